//! Ambiguous and invalid JSON: only a token with all scopes of all rules may send it.

use mcp_bearer::mcp::McpScopes;

use super::server::{McpServer, post};
use super::verdict::verdict;
use crate::support::Fixture;

const UNREADABLE: &str = "400 -32600";

fn rules() -> McpScopes {
    McpScopes::new()
        .tool("add", ["notes:write"])
        .any_tool(["tools"])
        .prompt("summary", ["notes:read"])
        .any_resource(["notes:read"])
}

const EVERYTHING: &str = "mcp:tools notes:write notes:read tools";

/// Servers that handle an ambiguous body in different ways.
struct Servers {
    fixture: Fixture,
    ruled: McpServer,
    strict: McpServer,
    free: McpServer,
    mixed: McpServer,
}

impl Servers {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let public = ["ping", "initialize", "tools/list", "roots/list", "completion/complete"];
        Self {
            ruled: McpServer::new(&fixture, rules()),
            strict: McpServer::new(&fixture, rules().deny_unlisted()),
            free: McpServer::new(&fixture, McpScopes::new()),
            mixed: McpServer::mixed(&fixture, rules().public(public).public_tools(["free"])),
            fixture,
        }
    }

    async fn assert_ambiguous(&self, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) {
        let body = body.into();
        let shown = String::from_utf8_lossy(&body).into_owned();
        let token = |scopes: &str| self.fixture.token_for(scopes);
        for missing in EVERYTHING.split(' ').skip(1) {
            let held: Vec<_> = EVERYTHING.split(' ').filter(|scope| *scope != missing).collect();
            let some = self.ruled.outcome(&token(&held.join(" ")), headers, body.clone()).await;
            assert_eq!(some, UNREADABLE, "{shown:.200}");
        }
        assert_eq!(self.ruled.outcome(&token(EVERYTHING), headers, body.clone()).await, "OK", "{shown:.200}");
        assert_eq!(self.strict.outcome(&token(EVERYTHING), headers, body.clone()).await, UNREADABLE, "{shown:.200}");
        assert_eq!(self.free.outcome(&token("mcp:tools"), headers, body.clone()).await, "OK", "{shown:.200}");
        assert_eq!(self.mixed.outcome("", headers, body.clone()).await, "401 mcp:tools", "{shown:.200}");
    }

    async fn assert_needs(&self, body: &str, needed: &str) {
        for server in [&self.ruled, &self.strict] {
            assert_eq!(
                server.outcome(&self.fixture.token_for(needed), &[], body.to_owned()).await,
                "OK",
                "{body:.200}"
            );
            if needed != "mcp:tools" {
                let rejected = server.outcome(&self.fixture.token_for("mcp:tools"), &[], body.to_owned()).await;
                assert_eq!(rejected, format!("403 {needed}"), "{body:.200}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_a_json_rpc_message_is_unreadable() {
    let servers = Servers::new().await;
    for body in [
        &b""[..],
        b" \n",
        b"null",
        b"1",
        b"true",
        b"\"ping\"",
        b"{",
        b"{}",
        b"{'method':'ping'}",
        b"{method:\"ping\"}",
        br#"{"method":"ping",}"#,
        br#"{"method":"ping"} x"#,
        br#"{"method":"ping"}{"method":"ping"}"#,
        br#"{"method":"ping"}/* */"#,
        b"{\"method\":\"ping\"}\0",
        b"\xef\xbb\xbf{\"method\":\"ping\"}",
        b"{\0\"\0m\0e\0t\0h\0o\0d\0\"\0:\0\"\0p\0i\0n\0g\0\"\0}\0",
        br#"{"method":"ping","params":{"x":NaN}}"#,
        br#"{"method":"ping","params":{"x":01}}"#,
        b"{\"method\":\"ping\",\"params\":{\"name\":\"a\nb\"}}",
        b"{\"method\":\"ping\",\"x\":\"\xff\"}",
        b"{\"method\":\"ping\",\"x\":\"\xc0\xa2,\xc0\xa2method\xc0\xa2:\xc0\xa2tools/call\xc0\xa2\"}",
        br#"{"jsonrpc":"2.0","id":1}"#,
        br#"{"jsonrpc":"2.0","id":1,"params":{}}"#,
        br#"{"jsonrpc":"2.0","id":1,"Result":{}}"#,
        b"jsonrpc=2.0&method=ping",
        b"data: {\"method\":\"ping\"}\n\n",
        // The first bytes of gzip data.
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\xcaM-\xc9\xc8OQ\xb2R*\xc8\xccKW\xaa\x05\x00",
    ] {
        servers.assert_ambiguous(body, &[]).await;
    }
}

#[tokio::test]
async fn an_ambiguous_member_is_unreadable() {
    let servers = Servers::new().await;
    for body in [
        r#"{"method":"ping","method":"ping"}"#,
        r#"{"method":"ping","method":"tools/call","params":{"name":"add"}}"#,
        r#"{"method":"ping","m\u0065thod":"tools/call","params":{"name":"add"}}"#,
        r#"{"method":"ping","Method":"tools/call"}"#,
        r#"{"method":"ping","METHOD":"tools/call"}"#,
        r#"{"Method":"ping"}"#,
        r#"{"method":"tools/call","params":{"name":"free"},"params":{"name":"add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free"},"p\u0061rams":{"name":"add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free"},"Params":{"name":"add"}}"#,
        r#"{"params":{"name":"free"},"method":"tools/call","params":null}"#,
        r#"{"method":"tools/call","params":{"name":"free","name":"add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free","n\u0061me":"add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free","Name":"add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free","name":1}}"#,
        r#"{"method":"resources/read","params":{"uri":"a:1","uri":"b:1"}}"#,
        r#"{"method":"resources/read","params":{"uri":"a:1","\u0075ri":"b:1"}}"#,
        r#"{"method":"resources/read","params":{"uri":"a:1","URI":"b:1"}}"#,
        r#"{"method":"tasks/get","params":{"taskId":"1","taskId":"2"}}"#,
        r#"{"method":"tasks/get","params":{"taskId":"1","taskid":"2"}}"#,
        // Unicode case folding maps the long s and the Kelvin sign to ASCII letters.
        "{\"method\":\"tools/call\",\"param\u{17f}\":{\"name\":\"add\"},\"params\":{\"name\":\"free\"}}",
        "{\"method\":\"tasks/get\",\"params\":{\"ta\u{17f}kId\":\"1\",\"taskId\":\"2\"}}",
        "{\"method\":\"tasks/get\",\"params\":{\"TAS\u{212a}ID\":\"1\",\"taskId\":\"2\"}}",
        r#"{"method":"completion/complete","params":{"ref":{"name":"a"},"ref":{"name":"b"}}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"name":"a","name":"b"}}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"name":"a","uri":"b:1"}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{},"Notifications":{"resourceSubscriptions":[]}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[],"resourcesubscriptions":["a:1"]}}}"#,
        // Some parsers see a request, and others a response.
        r#"{"id":1,"method":"ping","result":{}}"#,
        r#"{"id":1,"error":{"code":1,"message":""},"method":"ping"}"#,
    ] {
        servers.assert_ambiguous(body, &[]).await;
        servers.assert_ambiguous(format!("[{body}]"), &[]).await;
    }
}

#[tokio::test]
async fn a_required_name_that_is_not_a_string_is_unreadable() {
    let servers = Servers::new().await;
    let many = format!(
        r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{}"a:1"]}}}}}}"#,
        r#""a:1","#.repeat(256)
    );
    for body in [
        r#"{"method":1}"#,
        r#"{"method":null}"#,
        r#"{"method":["ping"]}"#,
        r#"{"method":{"ping":1}}"#,
        r#"{"method":"\ud800"}"#,
        r#"{"method":"ping","params":1}"#,
        r#"{"method":"ping","params":true}"#,
        r#"{"method":"ping","params":"name"}"#,
        r#"{"method":"ping","params":[]}"#,
        r#"{"method":"ping","params":["name"]}"#,
        r#"{"method":"ping","params":[1,{"name":"free"},null]}"#,
        r#"{"method":"ping","params":-1.5}"#,
        r#"{"method":"tools/call"}"#,
        r#"{"method":"tools/call","params":null}"#,
        r#"{"method":"tools/call","params":"free"}"#,
        r#"{"method":"tools/call","params":["free"]}"#,
        r#"{"method":"tools/call","params":[{"name":"free"}]}"#,
        r#"{"method":"tools/call","params":{}}"#,
        r#"{"method":"tools/call","params":{"arguments":{"name":"free"}}}"#,
        r#"{"method":"tools/call","params":{"uri":"free"}}"#,
        r#"{"method":"tools/call","params":{"name":null}}"#,
        r#"{"method":"tools/call","params":{"name":1}}"#,
        r#"{"method":"tools/call","params":{"name":["free"]}}"#,
        r#"{"method":"tools/call","params":{"name":{"name":"free"}}}"#,
        r#"{"method":"tools/call","params":{"name":"\udc00"}}"#,
        r#"{"method":"prompts/get","params":{"uri":"summary"}}"#,
        r#"{"method":"resources/read","params":{"name":"a:1"}}"#,
        r#"{"method":"resources/read","params":{"uri":[]}}"#,
        r#"{"method":"resources/subscribe","params":{}}"#,
        r#"{"method":"tasks/cancel","params":{"task_id":"1"}}"#,
        r#"{"method":"completion/complete","params":{}}"#,
        r#"{"method":"completion/complete","params":{"ref":"summary"}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"type":"ref/prompt"}}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"name":1}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":[]}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":"a:1"}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:1",2]}}}"#,
        many.as_str(),
    ] {
        servers.assert_ambiguous(body, &[]).await;
    }
    servers.assert_ambiguous(b"{\"method\":\"tools/call\",\"params\":{\"name\":\"\xff\"}}", &[]).await;
    servers.assert_ambiguous(b"{\"method\":\"pi\xc0\x80ng\"}", &[]).await;
    servers.assert_ambiguous(b"{\"method\":\"ping\",\"m\xe9thod\":1}", &[]).await;
}

#[tokio::test]
async fn reserved_names_of_the_parser_are_unreadable() {
    let servers = Servers::new().await;
    for private in ["RawValue", "Number", "Else", ""].map(|name| format!("$serde_json::private::{name}")) {
        let escaped = private.replace('$', "\\u0024");
        for (name, text) in [&private, &escaped].into_iter().flat_map(|name| [(name, r#""{}""#), (name, r#""1""#)]) {
            for body in [
                format!(r#"{{"{name}":{text}}}"#),
                format!(r#"{{"method":"ping","{name}":{text}}}"#),
                format!(r#"{{"{name}":{text},"method":"ping"}}"#),
                format!(r#"{{"method":{{"{name}":{text}}}}}"#),
                format!(r#"{{"method":"ping","params":{{"name":"free","{name}":{text}}}}}"#),
                format!(r#"{{"method":"ping","params":{{"{name}":{text}}}}}"#),
                format!(r#"{{"method":"ping","params":{{"{name}":{text},"name":"free"}}}}"#),
                format!(r#"{{"method":"subscriptions/listen","params":{{"notifications":{{}},"{name}":{text}}}}}"#),
                format!(r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"{name}":{text}}}}}}}"#),
                format!(r#"{{"method":"tools/call","params":{{"{name}":{text}}}}}"#),
                format!(r#"{{"method":"tools/call","params":{{"name":{{"{name}":{text}}}}}}}"#),
                format!(r#"{{"method":"completion/complete","params":{{"ref":{{"{name}":{text}}}}}}}"#),
            ] {
                servers.assert_ambiguous(body, &[]).await;
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_nested_too_deeply_is_unreadable() {
    let servers = Servers::new().await;
    let deep = 100_000;
    for (before, open) in [
        ("", "["),
        ("", "{\"method\":"),
        ("{\"method\":\"ping\",\"params\":", "["),
        ("{\"method\":\"ping\",\"params\":", "{\"name\":"),
        ("{\"method\":\"tools/call\",\"params\":{\"name\":", "["),
        ("{\"id\":", "["),
    ] {
        servers.assert_ambiguous(format!("{before}{}", open.repeat(deep)), &[]).await;
    }
    let closed = format!(r#"{{"method":"ping","params":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
    servers.assert_ambiguous(closed, &[]).await;
}

#[tokio::test]
async fn a_body_with_a_content_encoding_is_unreadable() {
    let servers = Servers::new().await;
    let ping = r#"{"method":"ping"}"#;
    for coding in ["gzip", "br", "deflate", "zstd", "compress", "x-mine", "identity, br", "GZIP", ""] {
        servers.assert_ambiguous(ping, &[("content-encoding", coding)]).await;
    }
    servers.assert_ambiguous(ping, &[("content-encoding", "identity"), ("content-encoding", "br")]).await;
    let token = servers.fixture.token();
    for coding in ["identity", "Identity"] {
        assert_eq!(servers.strict.outcome(&token, &[("content-encoding", coding)], ping).await, "OK");
    }
}

#[tokio::test]
async fn a_body_with_another_charset_is_unreadable() {
    let servers = Servers::new().await;
    // Behind `express.json()`, UTF-7 makes several members out of one UTF-8 string.
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":"+ACIALAAi-method+ACIAOgAi-tools/call+ACIA-"}"#;
    // `post` already sets `application/json`, so this is a second `Content-Type`.
    for media_type in ["application/json", "text/plain", "application/json; charset=utf-8"] {
        servers.assert_ambiguous(ping, &[("content-type", media_type)]).await;
    }
    let outcome = async |token: &str, media_type: &str| {
        let mut request = post(token, &[], ping);
        request.headers_mut().insert("content-type", media_type.parse().unwrap());
        let answer = servers.ruled.send(request).await;
        let reached = servers.ruled.take_reached().len();
        if answer.status.is_success() { format!("OK {reached}") } else { format!("{} {reached}", verdict(&answer)) }
    };
    let (some, all) = (servers.fixture.token_for("mcp:tools"), servers.fixture.token_for(EVERYTHING));
    for charset in [
        "charset=utf-7",
        "charset=UTF-7",
        "Charset=utf-16",
        "charset=utf-16le",
        "charset=iso-2022-jp",
        "charset=iso-8859-1",
        "charset=windows-1252",
        "charset=utf-80",
        "charset=",
        "charset",
        "charset =utf-7",
        "charset= utf-7",
        "charset*=utf-8''utf-7",
        "charset=\"utf-7\"",
        "charset=\"utf-8",
        "charset='utf-8'",
        "charset=\"utf-8\"x",
        "charset=utf-8 utf-7",
        "charset=utf-8; charset=utf-7",
        "charset=utf-7; charset=utf-8",
        "a=b; charset=utf-7",
        "a=\";\"; charset=utf-7",
        "a=b, application/json; charset=utf-8",
    ] {
        for media_type in ["application/json", "Application/JSON ", "text/plain"] {
            let media_type = format!("{media_type}; {charset}");
            assert_eq!(outcome(&some, &media_type).await, format!("{UNREADABLE} 0"), "{media_type}");
            assert_eq!(outcome(&all, &media_type).await, "OK 1", "{media_type}");
        }
    }
    for media_type in [
        "application/json",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ; charset=\"utf-8\" ",
        "application/json; Charset=utf8; profile=x",
        "application/json; charset=us-ascii",
        "application/json; charset=utf-8; charset=UTF-8",
        "application/vnd.x+json; version=1",
    ] {
        assert_eq!(outcome(&some, media_type).await, "OK 1", "{media_type}");
    }
}

#[tokio::test]
async fn a_name_with_a_nul_character_is_unreadable() {
    let servers = Servers::new().await;
    for body in [
        r#"{"method":"ping\u0000"}"#,
        r#"{"method":"tools/call\u0000","params":{"name":"free"}}"#,
        r#"{"method":"tools/call","params":{"name":"add\u0000"}}"#,
        r#"{"method":"tools/call","params":{"name":"\u0000add"}}"#,
        r#"{"method":"tools/call","params":{"name":"free\u0000x"}}"#,
        r#"{"method":"prompts/get","params":{"name":"summary\u0000"}}"#,
        r#"{"method":"resources/read","params":{"uri":"a:1\u0000"}}"#,
        r#"{"method":"tasks/get","params":{"taskId":"1\u0000"}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"name":"summary\u0000"}}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"uri":"a:1\u0000"}}}"#,
        r#"{"method":"completion/complete","params":{"ref":{"uri":"a:{x}\u0000"}}}"#,
        r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:1","b:1\u0000"]}}}"#,
    ] {
        servers.assert_ambiguous(body, &[]).await;
        servers.assert_ambiguous(format!("[{body}]"), &[]).await;
    }
}

#[tokio::test]
async fn unusual_but_unambiguous_json_is_accepted() {
    let servers = Servers::new().await;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, needed) in [
        (r#"{"method":"ping"}"#, "mcp:tools"),
        (" \r\n\t{ \"params\" : null , \"method\" : \"ping\" }\n", "mcp:tools"),
        (r#"{"method":"ping","x":1,"x":2,"jsonrpc":3}"#, "mcp:tools"),
        ("{\"method\":\"ping\",\"m\u{e9}thod\":1,\"params\":{\"\u{212a}\":1,\"\u{ff4e}ame\":2}}", "mcp:tools"),
        (r#"{"method":"pi\u006eg","params":{"name":1,"uri":[],"ref":{},"notifications":null}}"#, "mcp:tools"),
        (r#"{"m\u0065thod":"tools\/call","params":{"n\u0061me":"\u0061dd"}}"#, "mcp:tools notes:write"),
        (r#"{"params":{"arguments":{},"name":"add"},"id":1,"method":"tools/call"}"#, "mcp:tools notes:write"),
        (
            r#"{"method":"tools/call","params":{"name":"add","arguments":{"a":1,"a":2,"Name":3,"$serde_json::private::RawValue":"{"}}}"#,
            "mcp:tools notes:write",
        ),
        (r#"{"method":"tools/call","params":{"name":"ADD"}}"#, "mcp:tools tools"),
        (r#"{"method":"ping","params":{"name":"add\u0000"}}"#, "mcp:tools"),
        (r#"{"method":"tools/call","params":{"name":""}}"#, "mcp:tools tools"),
        (r#"{"method":"tools/call ","params":{}}"#, "mcp:tools"),
        (r#"{"method":"resources/read","params":{"uri":""}}"#, "mcp:tools notes:read"),
        (
            &format!(r#"{{"method":"tools/call","params":{{"name":"add","arguments":{nested}}}}}"#),
            "mcp:tools notes:write",
        ),
        (&format!(r#"{{"method":"tools/call","params":{{"name":"{}"}}}}"#, "n".repeat(1 << 20)), "mcp:tools tools"),
        (
            &format!(r#"{{"method":"resources/read","params":{{"uri":"{}"}}}}"#, "u".repeat(8 << 10)),
            "mcp:tools notes:read",
        ),
    ] {
        servers.assert_needs(body, needed).await;
    }
}

#[tokio::test]
async fn a_uri_that_is_too_long_is_unreadable() {
    let servers = Servers::new().await;
    for length in [(8 << 10) + 1, 1 << 20] {
        let uri = "u".repeat(length);
        for params in [
            format!(r#""resources/read","params":{{"uri":"{uri}"}}"#),
            format!(r#""resources/unsubscribe","params":{{"uri":"{uri}"}}"#),
            format!(r#""completion/complete","params":{{"ref":{{"uri":"{uri}"}}}}"#),
            format!(
                r#""subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":["a:1","{uri}"]}}}}"#
            ),
        ] {
            servers.assert_ambiguous(format!(r#"{{"method":{params}}}"#), &[]).await;
        }
    }
}
