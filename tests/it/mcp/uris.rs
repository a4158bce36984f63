//! Resource rules match a URI as it is written. A URI that servers may read in different ways needs the scopes of all
//! rules.

use mcp_bearer::mcp::McpScopes;
use serde_json::{Value, json};

use super::server::McpServer;
use crate::support::Fixture;

/// All requests with this resource.
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

/// Asserts that reading `uri`, and every other request with it, needs exactly the scopes `needed`.
async fn needs(fixture: &Fixture, server: &McpServer, uri: &str, needed: &str) {
    for body in requests(uri) {
        for missing in needed.split(' ') {
            let held: Vec<_> = needed.split(' ').filter(|scope| *scope != missing).collect();
            let token = fixture.token_for(&format!("mcp:tools {}", held.join(" ")));
            let rejected = server.outcome(&token, &[], body.clone()).await;
            assert_eq!(rejected, format!("403 mcp:tools {needed}"), "{body}");
        }
        let token = fixture.token_for(&format!("mcp:tools {needed}"));
        assert_eq!(server.outcome(&token, &[], body.clone()).await, "OK", "{body}");
    }
}

#[tokio::test]
async fn a_canonical_uri_is_matched_exactly() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("notes://{id}", ["notes"])
        .resource("notes://{id}/text", ["text"])
        .resource("file:///secret/{+path}", ["secret"])
        .resource("search://notes{?q}", ["search"])
        .resource("https://h:8443/{id}", ["port"])
        .resource("docs://d{#part}", ["part"])
        .resource("urn:isbn:{number}", ["isbn"])
        .any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes);
    for (uri, needed) in [
        ("notes://1", "notes"),
        ("notes://", "notes"),
        ("notes://caf%C3%A9", "notes"),
        ("notes://a%20b", "notes"),
        ("notes://a%2Fb", "notes"),
        ("notes://1/text", "text"),
        ("notes://1/2/text", "any"),
        ("note://1", "any"),
        ("note:1", "any"),
        ("xnotes://1", "any"),
        ("file:///secret/", "secret"),
        ("file:///secret/a/B", "secret"),
        ("file:///public/a", "any"),
        ("file:///secrets/a", "any"),
        ("search://notes?q=1&q=2", "search"),
        ("search://notes", "search"),
        ("search://note", "any"),
        ("https://h:8443/1", "port"),
        ("docs://d#e", "part"),
        ("urn:isbn:1", "isbn"),
        ("urn:issn:1", "any"),
        ("", "any"),
        ("name", "any"),
    ] {
        needs(&fixture, &server, uri, needed).await;
    }
}

/// Other spellings of `notes://secret/1` and of other protected URIs, which some servers read as the protected ones.
/// Also URIs that are not canonical for other reasons.
const NOT_CANONICAL: &[&str] = &[
    // User information and ports.
    "notes://x@secret/1",
    "notes://@secret/1",
    "notes://x:y@secret:7/1",
    "notes://secret:7/1",
    "notes://secret:/1",
    "notes://secret:x/1",
    "https://x@intranet.example/private/1",
    "https://intranet.example:443/private/1",
    "https://intranet.example:8443/private/1",
    "https://intranet.example:/private/1",
    // Missing or additional slashes.
    "notes:secret/1",
    "notes:/secret/1",
    "notes:///secret/1",
    "notes:////secret/1",
    "notes://secret//1",
    "//secret/1",
    "https:intranet.example/private/1",
    "file:/secret/a",
    "file:secret/a",
    // Slashes that the rules of the scheme do not have.
    "urn://isbn:1",
    "urn:///isbn:1",
    // Files on a host.
    "file://host/secret/a",
    "file://localhost/secret/a",
    "file://127.0.0.1/secret/a",
    "file:////secret/a",
    "file:///secret//a",
    // Scheme and host in upper case.
    "NOTES://secret/1",
    "Notes://secret/1",
    "notes://SECRET/1",
    "https://Intranet.example/private/1",
    "FILE:///secret/a",
    "urn:ISBN:1",
    "URN:isbn:1",
    // Hosts that a URL parser changes.
    "https://intranet%C2%AD.example/private/1",
    "https://127.1/private/1",
    // Characters that are not allowed in URIs.
    "notes://s\u{e9}cret/1",
    "notes://\u{17f}ecret/1",
    "notes:\\\\secret\\1",
    "notes://secret\\1",
    "notes://secret/1 ",
    " notes://secret/1",
    "notes://se\tcret/1",
    "notes://secret/1\n",
    "notes://secret/1\u{7f}",
    "file:///C|/a",
    // Dot segments.
    "notes://x/../secret/1",
    "notes://secret/./1",
    "notes://secret/1/..",
    "notes://.",
    "notes:..",
    "file:///public/../secret/a",
    "file:///public/..%2Fsecret%2Fa",
    "https://h/a?x=/../../c",
    // Percent-encoding in lower case, of characters that need none, and malformed.
    "notes://%73ecret/1",
    "notes://secret/%31",
    "n%6Ftes://secret/1",
    "notes:%2F%2Fsecret/1",
    "notes://secret%2f1",
    "notes://caf%c3%a9",
    "file:///public/%2E%2E/secret/a",
    "file:///public/%2e%2e/secret/a",
    "notes://secret%5C1",
    "notes://secret/1%00",
    "notes://secret/1%",
    "notes://secret/1%zz",
    "%",
    // Parts that the rule does not have.
    "notes://secret/1?x",
    "notes://secret/1#x",
    "notes://secret/1?",
    "notes://secret/1#",
    "other://1?x",
    "other://h:7/1",
];

#[tokio::test]
async fn a_uri_that_is_not_canonical_needs_the_scopes_of_every_rule() {
    let fixture = Fixture::new().await;
    let scopes = || {
        McpScopes::new()
            .resource("notes://secret/{id}", ["secret"])
            .resource("https://intranet.example/private/{id}", ["private"])
            .resource("file:///secret/{+path}", ["file"])
            .resource("urn:isbn:{number}", ["isbn"])
            .tool("t", ["tool"])
    };
    let listed = McpServer::new(&fixture, scopes().any_resource(["any"]));
    let unlisted = McpServer::new(&fixture, scopes());
    let denied = McpServer::new(&fixture, scopes().deny_unlisted());
    let denied_listed = McpServer::new(&fixture, scopes().any_resource(["any"]).deny_unlisted());
    // A token without the scopes of one rule is rejected. A request without a token is rejected too, whatever is
    // public.
    let public =
        ["notes://{+path}", "https://{+path}", "file:///{+path}", "urn:{+path}", "{+everything}", "other://{id}"];
    let mixed = McpServer::mixed(&fixture, scopes().public_resources(public));
    for uri in NOT_CANONICAL {
        needs(&fixture, &listed, uri, "secret private file isbn any").await;
        needs(&fixture, &unlisted, uri, "secret private file isbn").await;
        let token = fixture.token_for("mcp:tools secret private file isbn any");
        for body in requests(uri) {
            assert_eq!(denied.outcome(&token, &[], body.clone()).await, "403 -32602 7", "{body}");
            assert_eq!(denied_listed.outcome(&token, &[], body.clone()).await, "OK", "{body}");
            let expected = if body.contains("subscriptions/listen") { "401" } else { "401 mcp:tools secret private" };
            assert!(mixed.outcome("", &[], body.clone()).await.starts_with(expected), "{body}");
        }
    }
    // Without a rule for resources, no URI needs scopes.
    let free = McpServer::new(&fixture, McpScopes::new().tool("t", ["tool"]));
    for uri in NOT_CANONICAL {
        for body in requests(uri) {
            assert_eq!(free.outcome(&fixture.token(), &[], body.clone()).await, "OK", "{body}");
        }
    }
}

#[tokio::test]
async fn a_uri_that_a_lenient_server_reads_as_another_needs_the_scopes_of_both() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("notes://secret", ["secret"])
        .resource("notes://{id}", ["notes"])
        .resource("notes://{id}{?q}", ["search"])
        .resource("notes://secret/{id}", ["inner"])
        .resource("notes://h:{port}/{id}", ["port"])
        .resource("notes://h/{id}", ["host"])
        .resource("docs://a/", ["folder"])
        .resource("file:///Secret/{+path}", ["file"])
        .resource("mail://box/alice%40example.com/{id}", ["alice"])
        .resource("mail://list?class=secret", ["class"])
        .resource("mail://list{?class,id}", ["list"])
        .any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes);
    for (uri, needed) in [
        ("notes://1", "notes search"),
        ("notes://secret", "secret notes search inner"),
        // The server ignores the query.
        ("notes://1?q=1", "notes search"),
        ("notes://secret?q=1", "secret notes search inner"),
        // The server ignores the port.
        ("notes://h:7/1", "port host"),
        ("notes://h/1", "host"),
        // The server ignores a slash at the end.
        ("notes://secret/", "secret notes search inner"),
        ("docs://a", "folder any"),
        ("docs://a/", "folder"),
        // The file system ignores the case.
        ("file:///Secret/a", "file"),
        ("file:///secret/A", "file any"),
        ("file:///Secret", "file any"),
        ("file:///other/a", "any"),
        // The rule contains percent-encoding.
        ("mail://box/alice%40example.com/1", "alice"),
        ("mail://box/alice@example.com/1", "alice any"),
        // The order of the parameters differs.
        ("mail://list?class=secret", "class list"),
        ("mail://list?id=1&class=secret", "class list"),
        ("mail://list?class=secret&id=1", "class list"),
        ("notes://h/SECRET", "host"),
        // The server decodes the URI before it splits it.
        ("notes://secret%2F1", "notes search inner"),
        ("notes://secret%3Fq", "secret notes search inner"),
        ("notes://x%40secret%3A7%2F1", "notes search inner"),
        ("notes://%2573ecret", "notes search"),
    ] {
        needs(&fixture, &server, uri, needed).await;
    }
}

#[tokio::test]
async fn completing_a_template_needs_the_scopes_of_all_matching_resources() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .resource("notes://{id}", ["notes"])
        .resource("notes://secret/{id}", ["secret"])
        .resource("docs://{id}", ["docs"])
        .any_resource(["any"]);
    let server = McpServer::new(&fixture, scopes);
    for (template, needed) in [
        ("notes://{id}", "notes secret"),
        ("notes://{other}{?q}", "notes secret"),
        ("notes://{other}{#part}", "notes secret"),
        ("notes://secret/{id}", "notes secret"),
        ("notes://public/{id}", "notes"),
        ("docs://{+path}", "docs"),
        ("{scheme}://1", "notes secret docs any"),
        ("files://{path}", "any"),
        // A template that is not canonical needs the scopes of all rules.
        ("NOTES://{other}", "notes secret docs any"),
        ("notes:{other}", "notes secret docs any"),
        ("notes:///{other}", "notes secret docs any"),
        ("notes://x@secret/{id}", "notes secret docs any"),
        ("notes://secret:7/{id}", "notes secret docs any"),
        ("notes://{host}:{port}/{id}", "notes secret docs any"),
        ("notes://secret/{id}?q={q}", "notes secret docs any"),
        ("notes://public/../secret/{id}", "notes secret docs any"),
        ("notes://%73ecret/{id}", "notes secret docs any"),
        ("notes://{id", "notes secret docs any"),
    ] {
        let body = json!({ "id": 7, "method": "completion/complete", "params": { "ref": { "uri": template } } });
        let rejected = server.outcome(&fixture.token(), &[], body.to_string()).await;
        assert_eq!(rejected, format!("403 mcp:tools {needed}"), "{template}");
        let token = fixture.token_for(&format!("mcp:tools {needed}"));
        assert_eq!(server.outcome(&token, &[], body.to_string()).await, "OK", "{template}");
    }
}

#[tokio::test]
async fn a_uri_that_matches_several_rules_needs_the_scopes_of_all_in_order() {
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
                assert_eq!(
                    server.outcome(&token, &[], body.clone()).await,
                    format!("403 mcp:tools {needed}"),
                    "{body}"
                );
            }
            let token = fixture.token_for(&format!("mcp:tools {needed}"));
            assert_eq!(server.outcome(&token, &[], body.clone()).await, "OK", "{body}");
        }
    }
}

#[tokio::test]
async fn a_subscription_needs_the_scopes_of_all_its_resources() {
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
        assert_eq!(server.outcome(&fixture.token(), &[], body.clone()).await, format!("403 mcp:tools {needed}"));
        let token = fixture.token_for(&format!("mcp:tools {needed}"));
        assert_eq!(server.outcome(&token, &[], body.clone()).await, "OK");
        assert_eq!(McpServer::new(&fixture, denied.clone()).outcome(&token, &[], body.clone()).await, "OK");
        let expected = if needed == "a" { "OK" } else { "403 -32602 7" };
        assert_eq!(McpServer::new(&fixture, listed.clone()).outcome(&token, &[], body).await, expected);
    }
}

#[tokio::test]
async fn only_a_canonical_uri_is_public() {
    let fixture = Fixture::new().await;
    let scopes = McpScopes::new()
        .public_resources(["docs://{page}", "file:///public/{+path}", "https://h/{?q,x}"])
        .resource("docs://draft", ["drafts"])
        .resource("file:///public/internal/{+path}", ["internal"]);
    let server = McpServer::mixed(&fixture, scopes);
    for (uri, expected) in [
        ("docs://start", "OK"),
        ("docs://", "OK"),
        ("docs://...", "OK"),
        ("docs://caf%C3%A9", "OK"),
        ("file:///public/a%2Fb", "OK"),
        ("file:///public/a/b.txt", "OK"),
        ("file:///public/a..b/.c", "OK"),
        ("https://h/?q=1&x=/../y", "401 mcp:tools drafts internal"),
        ("https://h/?q=1&x=y", "OK"),
        // A URI with a rule needs its scopes, even if a public template matches it.
        ("docs://draft", "401 mcp:tools drafts"),
        ("docs://DRAFT", "401 mcp:tools drafts internal"),
        ("file:///public/internal/a", "401 mcp:tools internal"),
        ("file:///public/x/../internal/a", "401 mcp:tools drafts internal"),
        ("file:///public/%69nternal/a", "401 mcp:tools drafts internal"),
        ("DOCS://start", "401 mcp:tools drafts internal"),
        ("docs://%73tart", "401 mcp:tools drafts internal"),
        ("docs://a/b", "401 mcp:tools"),
        // A server that decodes first sees a URI that is not public.
        ("docs://a%2Fb", "401 mcp:tools"),
        ("docs://x@start", "401 mcp:tools drafts internal"),
        ("docs://start:7", "401 mcp:tools drafts internal"),
        ("docs:start", "401 mcp:tools drafts internal"),
        ("docs:///start", "401 mcp:tools drafts internal"),
        ("https://h/a", "401 mcp:tools"),
        ("docs://a?b", "401 mcp:tools drafts internal"),
        ("docs://a#b", "401 mcp:tools drafts internal"),
        ("docs://a\\b", "401 mcp:tools drafts internal"),
        ("docs://..", "401 mcp:tools drafts internal"),
        ("docs://a b", "401 mcp:tools drafts internal"),
        // This URI is unreadable.
        ("docs://a\u{0}", "401 mcp:tools"),
        ("docs://\u{e9}", "401 mcp:tools drafts internal"),
        ("file:///public/../secret", "401 mcp:tools drafts internal"),
        ("file:///public/./a", "401 mcp:tools drafts internal"),
        ("file:///public/%2e%2e/secret", "401 mcp:tools drafts internal"),
        ("file:///public/..\\secret", "401 mcp:tools drafts internal"),
        ("file:///public", "401 mcp:tools"),
    ] {
        for body in requests(uri).into_iter().filter(|body| !body.contains("subscriptions/listen")) {
            assert_eq!(server.outcome("", &[], body.clone()).await, expected, "{body}");
        }
    }
}
