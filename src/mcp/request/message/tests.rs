use std::borrow::Cow;

use super::super::operation::Target;
use super::*;

fn operations(body: &str) -> Option<Vec<Option<Operation<'_>>>> {
    Some(read(body.as_bytes())?.into_iter().map(|message| message.operation).collect())
}

fn operation<'b>(method: &'b str, target: Target<'b>) -> Option<Operation<'b>> {
    Some(Operation { method: method.into(), target })
}

#[test]
fn an_operation_is_its_method_and_what_it_is_about() {
    for (body, expected) in [
        (r#"{"method":"ping"}"#, operation("ping", Target::None)),
        (
            r#"{"params":{"name":"t","uri":"u"},"method":"tools/call"}"#,
            operation("tools/call", Target::Tool("t".into())),
        ),
        (r#"{"method":"prompts/get","params":{"name":"p"}}"#, operation("prompts/get", Target::Prompt("p".into()))),
        (
            r#"{"method":"resources/read","params":{"name":"t","uri":"u"}}"#,
            operation("resources/read", Target::Resource("u".into())),
        ),
        (
            r#"{"method":"completion/complete","params":{"ref":{"name":"p"},"name":"x"}}"#,
            operation("completion/complete", Target::Prompt("p".into())),
        ),
        (
            r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a","b"]}}}"#,
            operation("subscriptions/listen", Target::Resources(vec!["a".into(), "b".into()])),
        ),
        (r#"{"method":"tasks/get","params":{"taskId":"1"}}"#, operation("tasks/get", Target::Task("1".into()))),
        (r#"{"method":"tools/execute","params":{"name":"t"}}"#, operation("tools/execute", Target::None)),
        (r#"{"id":1,"result":{"method":"ping"}}"#, None),
    ] {
        assert_eq!(operations(body), Some(vec![expected]), "{body}");
    }
}

#[test]
fn a_name_is_copied_only_where_it_has_escapes() {
    for (body, is_copied) in [
        (r#"{"method":"tools/call","params":{"name":"é"}}"#, false),
        (r#"{"method":"tools/call","params":{"name":"\u0061"}}"#, true),
    ] {
        let found = operations(body).unwrap();
        let [Some(Operation { target: Target::Tool(name), .. })] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(matches!(name, Cow::Owned(_)), is_copied, "{body}");
    }
}

#[test]
fn no_part_of_a_body_is_readable_by_itself() {
    for body in [
        r#"{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"t","arguments":{"a":[1,{}]}}}"#,
        r#"[{"method":"ping"},{"id":1,"result":{}},{"method":"resources/read","params":{"uri":"u"}}]"#,
    ] {
        assert!(operations(body).is_some());
        for (end, _) in body.char_indices() {
            let (part, _) = body.split_at(end);
            assert_eq!(operations(part), None, "{part}");
        }
    }
}

#[test]
fn a_second_member_of_the_same_name_is_found_wherever_it_stands() {
    let members = [r#""jsonrpc":"2.0""#, r#""id":1"#, r#""method":"tools/call""#, r#""params":{"name":"t"}"#];
    for second in
        [r#""method":"ping""#, r#""METHOD":"ping""#, r#""params":{}"#, r#""par\u0061ms":null"#, r#""result":1"#]
    {
        for place in 0..=members.len() {
            let mut members = members.to_vec();
            members.insert(place, second);
            let body = format!("{{{}}}", members.join(","));
            assert_eq!(operations(&body), None, "{body}");
        }
    }
    let harmless = members.iter().chain(&[r#""Id":2"#, r#""id":3"#, r#""JSONRPC":1"#]);
    let body = format!("{{{}}}", harmless.copied().collect::<Vec<_>>().join(","));
    assert!(operations(&body).is_some(), "{body}");
}

#[test]
fn what_other_readers_read_otherwise_is_not_readable() {
    for body in [
        // Java compares letter by letter, in upper case and in lower; Python has `casefold`.
        "{\"method\":\"resources/read\",\"params\":{\"uri\":\"a\",\"ur\u{131}\":\"b\"}}",
        "{\"method\":\"resources/read\",\"params\":{\"uri\":\"a\",\"UR\u{130}\":\"b\"}}",
        "{\"method\":\"subscriptions/listen\",\"params\":{\"noti\u{fb01}cations\":{}}}",
        "{\"method\":\"ping\",\"param\u{17f}\":{}}",
        "{\"method\":\"tasks/get\",\"params\":{\"taskId\":\"a\",\"tas\u{212a}id\":\"b\"}}",
        r#"{"method":"ping","method\u0000":"x"}"#,
    ] {
        assert_eq!(operations(body), None, "{body}");
    }
    let body = b"{\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":\"\xc0\xa2\"}}";
    assert!(read(body).is_none());
    assert!(operations("{\"method\":\"ping\",\"params\":{\"gr\u{f6}\u{df}e\":1}}").is_some());
}

#[test]
fn each_message_of_a_batch_is_read_and_has_its_id() {
    let ids = |body: &str| {
        let messages = read(body.as_bytes())?;
        Some(messages.iter().map(|message| message.request_id().map(str::to_owned)).collect::<Vec<_>>())
    };
    let two = r#"{"id":1,"method":"a"},{"id":"b","method":"b"}"#;
    assert_eq!(ids(&format!("[{two}]")), Some(vec![Some("1".into()), Some("\"b\"".into())]));
    assert_eq!(ids(&format!(r#"[{two},{{"id":3}}]"#)), None);
}

#[test]
fn a_body_with_more_messages_or_uris_than_are_compared_with_rules_is_rejected() {
    let listen = |uris: usize, length: usize| {
        let uris = vec![format!("{:?}", "u".repeat(length)); uris].join(",");
        format!(
            r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}}}"#
        )
    };
    let batch = |messages: &[String]| format!("[{}]", messages.join(","));
    for (body, is_read) in [
        (listen(256, 1), true),
        (listen(257, 1), false),
        (batch(&[listen(128, 1), listen(128, 1)]), true),
        (batch(&[listen(128, 1), listen(129, 1)]), false),
        (listen(1, 8 * 1024), true),
        (listen(1, 8 * 1024 + 1), false),
        (listen(8, 8 * 1024), true),
        (batch(&[listen(8, 8 * 1024), listen(1, 1)]), false),
        (batch(&vec![listen(0, 0); 1_000]), true),
        (batch(&vec![listen(0, 0); 1_001]), false),
        // The rest of the batch cannot make it readable.
        (batch(&[listen(257, 1), r#"{"method":"ping"}"#.into()]), false),
        (batch(&[]), false),
    ] {
        assert_eq!(read(body.as_bytes()).is_some(), is_read, "{body:.200}");
    }
}
