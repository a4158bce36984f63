//! If the layer finds an unambiguous operation in a JSON-RPC body, all common JSON parsers find the same operation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::{ParsedOperation, messages};
use mcp_bearer_fuzz::readers::Reader;
use mcp_bearer_fuzz::tree::Tree;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Some(messages) = messages(body) else { return };
    assert!(std::str::from_utf8(body).is_ok(), "the layer accepts a body that is not UTF-8");
    let tree = Tree::parse(body).expect("an accepted body is JSON");
    let read = tree.elements().unwrap_or(std::slice::from_ref(&tree));
    assert_eq!(messages.len(), read.len());
    assert!((1..=1_000).contains(&read.len()));
    for (message, read) in messages.iter().zip(read) {
        for reader in Reader::ALL {
            check(message.as_ref(), read, reader);
        }
    }
    check_value(&messages, body);
});

fn check(message: Option<&ParsedOperation>, read: &Tree, reader: Reader) {
    let method = reader.pick(read, "method");
    let Some(asked) = message else {
        assert!(method.is_none(), "{reader:?} finds a request where the layer finds none");
        assert!(["result", "error"].iter().any(|name| reader.pick(read, name).is_some()));
        return;
    };
    let same = |found: Option<&Tree>, expected: &str| {
        let found = found.and_then(Tree::text);
        assert_eq!(found, Some(expected), "{reader:?} finds another value than the layer");
    };
    same(method, &asked.method);
    assert!(Reader::First.pick(read, "result").is_none() && Reader::First.pick(read, "error").is_none());
    let nothing = Tree::Null;
    let params = reader.pick(read, "params").unwrap_or(&nothing);
    assert!(matches!(params, Tree::Null | Tree::Object(_)));
    assert_eq!(asked.kind, kind(&asked.method, params, reader), "{reader:?}");
    let by_name = |member: &str| same(reader.pick(params, member), &asked.names[0]);
    match asked.method.as_str() {
        "completion/complete" => {
            let reference = reader.pick(params, "ref").expect("a completion has a reference");
            let [name, uri] = ["name", "uri"].map(|member| reader.pick(reference, member));
            assert!(name.is_some() != uri.is_some());
            same(name.or(uri), &asked.names[0]);
        }
        "subscriptions/listen" => {
            let uris: Vec<&str> =
                subscriptions(params, reader).iter().map(|uri| uri.text().expect("a subscription is a URI")).collect();
            assert_eq!(uris, asked.names);
        }
        _ => match asked.kind {
            "tool" | "prompt" => by_name("name"),
            "resource" => by_name("uri"),
            "task" => by_name("taskId"),
            _ => assert!(asked.names.is_empty()),
        },
    }
}

fn kind(method: &str, params: &Tree, reader: Reader) -> &'static str {
    match method {
        "tools/call" => "tool",
        "prompts/get" => "prompt",
        "resources/read"
        | "resources/subscribe"
        | "resources/unsubscribe"
        | "resources/directory/read"
        | "skills/get" => "resource",
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => "task",
        "completion/complete" => {
            let reference = reader.pick(params, "ref").expect("a completion has a reference");
            match reader.pick(reference, "uri").and_then(Tree::text) {
                None => "prompt",
                Some(uri) if uri.contains('{') => "template",
                Some(_) => "resource",
            }
        }
        "subscriptions/listen" => {
            let notifications = reader.pick(params, "notifications");
            let named = notifications.and_then(|members| reader.pick(members, "resourceSubscriptions"));
            if named.is_some() { "resources" } else { "none" }
        }
        _ => "none",
    }
}

fn subscriptions(params: &Tree, reader: Reader) -> &[Tree] {
    let notifications = reader.pick(params, "notifications");
    let named = notifications.and_then(|members| reader.pick(members, "resourceSubscriptions"));
    named.map(|named| named.elements().expect("the subscriptions are a list")).unwrap_or_default()
}

/// Repeats the comparison with `serde_json`, which most Rust servers use. It has its own limits for depth and numbers.
fn check_value(messages: &[Option<ParsedOperation>], body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    for (at, message) in messages.iter().enumerate() {
        let read = if value.is_array() { &value[at] } else { &value };
        assert_eq!(read["method"].as_str(), message.as_ref().map(|asked| asked.method.as_str()));
        let Some(asked) = message else { continue };
        let named = match asked.method.as_str() {
            "tools/call" | "prompts/get" => &read["params"]["name"],
            "resources/read" => &read["params"]["uri"],
            _ => continue,
        };
        assert_eq!(named.as_str(), asked.names.first().map(String::as_str));
    }
}
