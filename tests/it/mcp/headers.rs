//! The headers `Mcp-Method` and `Mcp-Name` must match the body (MCP 2026-07-28, Streamable HTTP).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};

use super::server::{McpServer, post};
use super::verdict::verdict;
use crate::support::Fixture;

const MISMATCH: &str = "400 -32020 7";

fn message(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

fn encoded(name: &str) -> String {
    format!("=?base64?{}?=", BASE64_STANDARD.encode(name))
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_rejected() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let token = fixture.token();
    let (call, read) = (json!({ "name": "add", "uri": "notes://1" }), json!({ "name": "add", "uri": "notes://1" }));
    let completion = json!({ "ref": { "type": "ref/prompt", "name": "p" }, "argument": {} });
    for (method, params, headers, expected) in [
        ("tools/call", &call, &[("mcp-method", "tools/call")][..], "OK"),
        ("tools/call", &call, &[("mcp-name", "add")], "OK"),
        ("tools/call", &call, &[("MCP-METHOD", "tools/call"), ("MCP-NAME", "add")], "OK"),
        // White space around a field value is not part of it. Without hyper, it reaches the layer.
        ("tools/call", &call, &[("mcp-method", " tools/call\t"), ("mcp-name", "\tadd ")], "OK"),
        ("tools/call", &call, &[("mcp-method", " tools/list ")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "tools/list")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "Tools/Call")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "tools/call, tools/list")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "tools/call;v=1")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", &encoded("tools/call"))], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "tools/call"), ("mcp-name", "list")], MISMATCH),
        ("tools/call", &call, &[("mcp-method", "tools/list"), ("mcp-name", "add")], MISMATCH),
        ("tools/call", &call, &[("mcp-name", "Add")], MISMATCH),
        ("tools/call", &call, &[("mcp-name", "ad")], MISMATCH),
        ("tools/call", &call, &[("mcp-name", "")], MISMATCH),
        ("tools/call", &call, &[("mcp-name", "notes://1")], MISMATCH),
        ("prompts/get", &call, &[("mcp-name", "add")], "OK"),
        ("prompts/get", &call, &[("mcp-name", "sub")], MISMATCH),
        ("resources/read", &read, &[("mcp-name", "notes://1")], "OK"),
        ("resources/read", &read, &[("mcp-name", "NOTES://1")], MISMATCH),
        ("resources/read", &read, &[("mcp-name", "add")], MISMATCH),
        ("resources/subscribe", &read, &[("mcp-name", "notes://2")], MISMATCH),
        ("tasks/get", &json!({ "taskId": "t1" }), &[("mcp-name", "t1")], "OK"),
        ("tasks/get", &json!({ "taskId": "t1" }), &[("mcp-name", "t2")], MISMATCH),
        // For methods without a name, `Mcp-Name` cannot contradict anything.
        ("ping", &json!({}), &[("mcp-name", "add")], "OK"),
        ("tools/list", &json!({ "name": "add" }), &[("mcp-name", "list")], "OK"),
        ("completion/complete", &completion, &[("mcp-name", "add")], "OK"),
        ("completion/complete", &completion, &[("mcp-method", "prompts/get")], MISMATCH),
        ("notes/shuffle", &json!({}), &[("mcp-method", "notes/shuffle")], "OK"),
    ] {
        let body = message(method, params.clone());
        assert_eq!(server.outcome(&token, headers, body).await, expected, "{method} {params} {headers:?}");
    }
}

#[tokio::test]
async fn a_name_that_a_header_cannot_contain_is_encoded_in_base64() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let token = fixture.token();
    for (name, header, expected) in [
        ("add", encoded("add"), "OK"),
        ("füge hinzu", encoded("füge hinzu"), "OK"),
        ("加", encoded("加"), "OK"),
        ("加", encoded("减"), MISMATCH),
        (" add ", encoded(" add "), "OK"),
        ("add\r\nx: y", encoded("add\r\nx: y"), "OK"),
        ("", encoded(""), "OK"),
        // A name that looks like an encoded name must be encoded.
        ("=?base64?YWRk?=", encoded("=?base64?YWRk?="), "OK"),
        ("=?base64?YWRk?=", "=?base64?YWRk?=".to_owned(), MISMATCH),
        ("add", encoded(&encoded("add")), MISMATCH),
        // Unicode normalization is not applied, so this is another name.
        ("\u{e9}", encoded("e\u{301}"), MISMATCH),
        // The prefix and the suffix of the encoding must be complete and in lower case.
        ("add", "=?BASE64?YWRk?=".to_owned(), MISMATCH),
        ("add", "=?base64?YWRk".to_owned(), MISMATCH),
        ("=?base64?YWRk", "=?base64?YWRk".to_owned(), "OK"),
        ("=?base64?=", "=?base64?=".to_owned(), "OK"),
        ("add", "=?utf-8?b?YWRk?=".to_owned(), MISMATCH),
        // Invalid base64 and invalid UTF-8 do not match any name.
        ("add", "=?base64?YWR?=".to_owned(), MISMATCH),
        ("add", "=?base64?YW Rk?=".to_owned(), MISMATCH),
        ("add", "=?base64?YWRk====?=".to_owned(), MISMATCH),
        ("ad", "=?base64?YWQ?=".to_owned(), MISMATCH),
        ("ad", "=?base64?YWR=?=".to_owned(), MISMATCH),
        ("a?", "=?base64?YT8=?=".to_owned(), "OK"),
        ("???", "=?base64?Pz8_?=".to_owned(), MISMATCH),
        ("\u{fffd}", format!("=?base64?{}?=", BASE64_STANDARD.encode(b"\xff")), MISMATCH),
    ] {
        let body = message("tools/call", json!({ "name": name }));
        let headers = [("mcp-method", "tools/call"), ("mcp-name", header.as_str())];
        assert_eq!(server.outcome(&token, &headers, body).await, expected, "{name:?} {header}");
    }
}

#[tokio::test]
async fn a_repeated_or_malformed_header_is_rejected() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let call = message("tools/call", json!({ "name": "add" }));
    for (name, values) in [
        ("mcp-method", &[b"tools/call".as_slice(), b"tools/call"][..]),
        ("mcp-method", &[b"tools/call", b"ping"]),
        ("mcp-method", &[b"ping", b"tools/call"]),
        ("mcp-name", &[b"add", b"add"]),
        ("mcp-name", &[b"add", b"=?base64?YWRk?="]),
        ("mcp-name", &["add\u{e9}".as_bytes()]),
        ("mcp-name", &[b"add\xff"]),
        ("mcp-method", &[b"\xe9"]),
    ] {
        let mut request = post(&fixture.token(), &[], call.clone());
        for value in values {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(verdict(&server.send(request).await), MISMATCH, "{name} {values:?}");
        assert!(server.take_reached().is_empty());
    }
}

#[tokio::test]
async fn headers_must_match_every_request_of_a_batch() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let token = fixture.token();
    let call = |name: &str| format!(r#"{{"id":7,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
    let ping = r#"{"id":8,"method":"ping"}"#;
    let answer = r#"{"id":9,"result":{}}"#;
    for (members, headers, expected) in [
        (vec![call("add")], &[("mcp-method", "tools/call"), ("mcp-name", "add")][..], "OK"),
        (vec![call("add"), call("add")], &[("mcp-method", "tools/call"), ("mcp-name", "add")], "OK"),
        (vec![call("add"), answer.into()], &[("mcp-method", "tools/call"), ("mcp-name", "add")], "OK"),
        (vec![call("sub")], &[("mcp-name", "add")], MISMATCH),
        (vec![call("add"), call("sub")], &[("mcp-name", "add")], "400 -32020"),
        (vec![call("sub"), call("add")], &[("mcp-name", "add")], "400 -32020"),
        (vec![call("add"), ping.into()], &[("mcp-method", "tools/call")], "400 -32020"),
        (vec![ping.into(), call("add")], &[("mcp-method", "ping")], "400 -32020"),
    ] {
        let body = format!("[{}]", members.join(","));
        assert_eq!(server.outcome(&token, headers, body).await, expected, "{members:?} {headers:?}");
    }
}

#[tokio::test]
async fn the_error_contains_the_id_of_the_request() {
    let fixture = Fixture::new().await;
    let server = McpServer::new(&fixture, McpScopes::new());
    let token = fixture.token();
    let long = "i".repeat(257);
    for (id, shown) in [
        (json!("a"), " \"a\""),
        (json!("\"\\\u{0}\u{e9}</script>"), " \"\\\"\\\\\\u0000\u{e9}</script>\""),
        (json!(&long[3..]), &*format!(" \"{}\"", &long[3..])),
        (json!(&long[2..]), ""),
        (json!(0), " 0"),
        (json!(-1), " -1"),
        (json!(u64::MAX), " 18446744073709551615"),
        (json!(1.5), " 1.5"),
        // This id is not valid in JSON-RPC, or too long to be repeated.
        (json!(long), ""),
        (Value::Null, ""),
        (json!({ "a": 1 }), ""),
        (json!([1]), ""),
        (json!(true), ""),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string();
        let rejected = server.outcome(&token, &[("mcp-method", "tools/call")], body).await;
        let shown = match shown {
            "" => String::new(),
            shown => format!(" {}", serde_json::from_str::<Value>(shown).unwrap()),
        };
        assert_eq!(rejected, format!("400 -32020{shown}"), "{id}");
    }
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(server.outcome(&token, &[("mcp-method", "ping")], notification).await, "400 -32020");
}

#[tokio::test]
async fn headers_never_replace_the_body() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new().tool("add", ["notes:write"]).public(["ping"]).public_tools(["free"]);
    let server = McpServer::mixed(&fixture, scopes);
    let add = message("tools/call", json!({ "name": "add" }));
    let agree = [("mcp-method", "tools/call"), ("mcp-name", "add")];
    assert_eq!(server.outcome("", &agree, add.clone()).await, "401 mcp:tools notes:write");
    assert_eq!(server.outcome(&fixture.token(), &agree, add.clone()).await, "403 mcp:tools notes:write");
    // A public operation in the headers does not allow another operation in the body, with or without a token.
    for headers in [&[("mcp-method", "ping")][..], &[("mcp-method", "tools/call"), ("mcp-name", "free")]] {
        for token in [String::new(), fixture.token(), fixture.token_for("mcp:tools notes:write")] {
            assert_eq!(server.outcome(&token, headers, add.clone()).await, MISMATCH, "{headers:?}");
        }
    }
}
