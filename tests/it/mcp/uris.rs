//! Rules for resources fit every way of writing a URI; public resources only the plain one.

use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};

use super::server::McpServer;
use crate::support::Fixture;

/// Every request that is about this resource.
fn requests(uri: &str) -> Vec<String> {
    let of = |method: &str, params: Value| json!({ "id": 7, "method": method, "params": params }).to_string();
    let mut requests: Vec<_> = ["read", "subscribe", "unsubscribe", "directory/read"]
        .map(|action| of(&format!("resources/{action}"), json!({ "uri": uri })))
        .into();
    requests.push(of("completion/complete", json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": {} })));
    let listen = json!({ "notifications": { "resourceSubscriptions": [uri] } });
    requests.push(of("subscriptions/listen", listen));
    requests
}

#[tokio::test]
async fn a_rule_fits_every_way_to_write_its_uris() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("notes://{id}", ["notes"])
        .resource("notes://{id}/text", ["text"])
        .resource("file:///secret/{+path}", ["secret"])
        .resource("Config://Main", ["config"])
        .resource("search://notes{?q}", ["search"])
        .any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes);
    for (uri, needed) in [
        ("notes://1", "notes"),
        ("notes://", "notes"),
        ("NOTES://1", "notes"),
        ("Notes://1", "notes"),
        ("n%6ftes://1", "notes any"),
        ("%6E%4F%54%45%53://1", "notes any"),
        ("notes:%2F%2f1", "notes any"),
        ("notes:\\\\1", "notes"),
        ("notes:/\\1", "notes"),
        ("notes:%5C%5c1", "notes any"),
        ("notes://a%2Fb", "notes any"),
        ("notes://x/../1", "notes any"),
        ("notes://./1", "notes"),
        ("notes://x/%2e%2E/1", "notes any"),
        ("notes://x\\..\\1", "notes"),
        ("notes://1?x", "notes"),
        ("notes://1#x", "notes"),
        ("notes://1/text", "text"),
        ("notes://1/TEXT", "text"),
        ("notes://1/./text", "text"),
        ("notes://1/x/%2e./text", "text any"),
        ("notes://1/2/text", "any"),
        ("note://1", "any"),
        ("xnotes://1", "any"),
        ("file:///secret/", "secret"),
        ("file:///secret/a/b?c#d", "secret"),
        ("file:///public/../secret/a", "secret"),
        ("file:///public/..%2fsecret%2fa", "secret any"),
        ("file:///public/../SECRET/a", "secret"),
        ("FILE:///SECRET/A", "secret"),
        ("file:///secret/../public", "secret any"),
        ("file:///public/a", "any"),
        ("file:///secrets/a", "any"),
        ("config://main", "config"),
        ("Config://Main", "config"),
        ("search://notes?q=1&q=2", "search"),
        ("search://notes", "search"),
        ("SEARCH://NOTES/?q", "search"),
        ("search://note", "any"),
        ("", "any"),
        ("%", "any"),
        ("notes://%zz", "notes"),
        ("notes://\u{e9}\u{1f5d2}", "notes"),
    ] {
        for body in requests(uri) {
            let refused = server.judge(&fixture.token(), &[], body.clone()).await;
            assert_eq!(refused, format!("403 mcp:tools {needed}"), "{body}");
            let token = fixture.token_for(&format!("mcp:tools {needed}"));
            assert_eq!(server.judge(&token, &[], body.clone()).await, "OK", "{body}");
        }
    }
}

#[tokio::test]
async fn a_uri_that_could_also_be_one_without_a_rule_needs_what_those_need() {
    let fixture = Fixture::new().await;
    let scopes = || McpScopes::new().resource("notes://{id}", ["notes"]).resource("https://h/a/{+path}", ["web"]);
    let any = McpServer::new(&fixture, scopes().any_resource(["any"]));
    let denied = McpServer::new(&fixture, scopes().deny_unlisted());
    for (uri, needed) in [
        // Plain to every reader.
        ("notes://1", "notes"),
        ("notes://1?x=1#y", "notes"),
        ("notes://caf%C3%A9", "notes"),
        ("HTTPS://H/a/%62", "web"),
        // A note to some, and something else to others.
        ("notes://a%2Fb", "notes any"),
        ("notes://1?x=/secret", "notes any"),
        ("https://h/a/b?x=/../../c", "web any"),
        ("https://h:443/a/b", "web any"),
        ("https://h/c/../a/b", "web"),
        ("https://h/c/%2e%2e/a/b", "web any"),
        ("https://h/c/..%2fa/b", "web any"),
        ("https://h/a/..%2f..%2fsecret", "web any"),
        // Spaces, tabs and line breaks are dropped by some, wherever they stand.
        (" secret://1", "notes web any"),
        ("sec\tret://1", "notes web any"),
        ("notes://1\n", "notes web any"),
        ("no URI at all", "notes web any"),
    ] {
        for body in requests(uri) {
            let refused = any.judge(&fixture.token(), &[], body.clone()).await;
            assert_eq!(refused, format!("403 mcp:tools {needed}"), "{body}");
            let token = fixture.token_for(&format!("mcp:tools {needed}"));
            assert_eq!(any.judge(&token, &[], body.clone()).await, "OK", "{body}");
            let expected = if needed.contains("any") { "403 -32602 7" } else { "OK" };
            assert_eq!(denied.judge(&token, &[], body.clone()).await, expected, "{body}");
        }
    }
}

#[tokio::test]
async fn completing_a_template_needs_what_its_resources_may_need() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("notes://{id}", ["notes"])
        .resource("notes://secret/{id}", ["secret"])
        .resource("docs://{id}", ["docs"])
        .any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes);
    for (template, needed) in [
        ("notes://{id}", "notes secret"),
        ("NOTES://{other}{?q}", "notes secret"),
        ("notes://secret/{id}", "notes secret"),
        ("notes://public/{id}", "notes"),
        ("docs://{+path}", "docs"),
        ("{scheme}://1", "notes secret docs any"),
        ("files://{path}", "any"),
    ] {
        let body = json!({ "id": 7, "method": "completion/complete", "params": { "ref": { "uri": template } } });
        let refused = server.judge(&fixture.token(), &[], body.to_string()).await;
        assert_eq!(refused, format!("403 mcp:tools {needed}"), "{template}");
        let token = fixture.token_for(&format!("mcp:tools {needed}"));
        assert_eq!(server.judge(&token, &[], body.to_string()).await, "OK", "{template}");
    }
}

#[tokio::test]
async fn a_uri_that_several_rules_fit_needs_the_scopes_of_all_in_their_order() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("{+everything}", ["all"])
        .resource("notes://{id}", ["notes", "all"])
        .resource("notes://1", ["one"])
        .resource("notes://{a}{b}", ["notes"])
        .resource("{scheme}://2", ["two", "one"])
        .any_resource(["never"]);
    let server = McpServer::new(&fixture, scopes);
    for (uri, needed) in [
        ("notes://1", "all notes one"),
        ("notes://2", "all notes two one"),
        ("notes://3", "all notes"),
        ("other://2", "all two one"),
        ("other://a/b", "all"),
        ("", "all"),
    ] {
        for body in requests(uri) {
            for missing in needed.split(' ') {
                let held: Vec<_> = needed.split(' ').filter(|scope| *scope != missing).collect();
                let token = fixture.token_for(&format!("mcp:tools {}", held.join(" ")));
                assert_eq!(server.judge(&token, &[], body.clone()).await, format!("403 mcp:tools {needed}"), "{body}");
            }
            let token = fixture.token_for(&format!("mcp:tools {needed}"));
            assert_eq!(server.judge(&token, &[], body.clone()).await, "OK", "{body}");
        }
    }
}

#[tokio::test]
async fn a_subscription_needs_what_each_of_its_resources_needs() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new().resource("a://{id}", ["a"]).resource("b://{id}", ["b"]).any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes.clone());
    let (denied, listed) = (scopes.deny_unlisted(), McpScopes::new().resource("a://{id}", ["a"]).deny_unlisted());
    for (uris, needed) in [
        (json!(["a://1", "a://2"]), "a"),
        (json!(["b://1", "a://1"]), "b a"),
        (json!(["c://1", "a://1", "b://1"]), "any a b"),
    ] {
        let params = json!({ "notifications": { "resourceSubscriptions": uris, "toolsListChanged": true } });
        let body = json!({ "id": 7, "method": "subscriptions/listen", "params": params }).to_string();
        assert_eq!(server.judge(&fixture.token(), &[], body.clone()).await, format!("403 mcp:tools {needed}"));
        let token = fixture.token_for(&format!("mcp:tools {needed}"));
        assert_eq!(server.judge(&token, &[], body.clone()).await, "OK");
        assert_eq!(McpServer::new(&fixture, denied.clone()).judge(&token, &[], body.clone()).await, "OK");
        let expected = if needed == "a" { "OK" } else { "403 -32602 7" };
        assert_eq!(McpServer::new(&fixture, listed.clone()).judge(&token, &[], body).await, expected);
    }
}

#[tokio::test]
async fn only_a_plainly_written_uri_is_public() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .public_resources(["docs://{page}", "file:///public/{+path}", "https://h/{?q}"])
        .resource("docs://draft", ["drafts"])
        .resource("file:///public/internal/{+path}", ["internal"]);
    let server = McpServer::mixed(&fixture, scopes);
    for (uri, expected) in [
        ("docs://start", "OK"),
        ("docs://", "OK"),
        ("docs://...", "OK"),
        ("file:///public/a/b.txt", "OK"),
        ("file:///public/a..b/.c", "OK"),
        ("https://h/?q=1&x=/../y", "401 mcp:tools"),
        ("https://h/?q=1&x=y", "OK"),
        // What needs scopes needs them, whatever else fits it.
        ("docs://draft", "401 mcp:tools drafts"),
        ("docs://DRAFT", "401 mcp:tools drafts"),
        ("file:///public/internal/a", "401 mcp:tools internal"),
        ("file:///public/x/../internal/a", "401 mcp:tools internal"),
        ("file:///public/%69nternal/a", "401 mcp:tools internal"),
        ("DOCS://start", "401 mcp:tools"),
        ("docs://%73tart", "401 mcp:tools"),
        ("docs://a/b", "401 mcp:tools"),
        ("docs://a?b", "401 mcp:tools"),
        ("docs://a#b", "401 mcp:tools"),
        ("docs://a\\b", "401 mcp:tools"),
        ("docs://..", "401 mcp:tools"),
        ("docs://a b", "401 mcp:tools drafts internal"),
        ("docs://a\u{0}", "401 mcp:tools drafts internal"),
        ("docs://\u{e9}", "401 mcp:tools"),
        ("file:///public/../secret", "401 mcp:tools"),
        ("file:///public/./a", "401 mcp:tools"),
        ("file:///public/%2e%2e/secret", "401 mcp:tools"),
        ("file:///public/..\\secret", "401 mcp:tools"),
        ("file:///public", "401 mcp:tools"),
    ] {
        for body in requests(uri).into_iter().filter(|body| !body.contains("subscriptions/listen")) {
            assert_eq!(server.judge("", &[], body.clone()).await, expected, "{body}");
        }
    }
}
