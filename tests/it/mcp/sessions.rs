//! Sessions are bound to the principal that opened them.

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{HeaderValue, Request, StatusCode};
use mcp_bearer::ResourceServer;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::mcp::{McpLayer, McpScopes, OperationFailure};
use mcp_bearer::testing::{TestIssuer, TestToken};
use serde_json::json;

use super::server::{McpServer, tools};
use crate::support::{Answer, Fixture, RESOURCE};

const SESSION: &str = "mcp-session-id";
/// The session id of the inner service.
const INNER: &str = "0d2c3f0e-7a64-4b1c-9d0e-6e3c1a5b9f10";
const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

/// A server whose inner service sends this session id and status.
fn answering(layer: McpLayer, id: impl AsRef<[u8]>, status: StatusCode) -> McpServer {
    let id = HeaderValue::from_bytes(id.as_ref()).unwrap();
    McpServer::with(tools(layer).allow_anonymous(), move |_| (status, [(SESSION, id.clone())], "ok").into_response())
}

fn layer(fixture: &Fixture) -> McpLayer {
    let scopes = McpScopes::new().public(["initialize", "tools/list"]);
    fixture.server.mcp_layer(scopes)
}

fn binding(fixture: &Fixture) -> McpServer {
    answering(layer(fixture).bind_sessions(), INNER, StatusCode::OK)
}

/// Opens a session with this token and returns its id.
async fn opened(server: &McpServer, token: &str) -> String {
    let answer = server.post(token, &[], INITIALIZE).await;
    server.take_reached();
    answer.header(SESSION).unwrap().to_owned()
}

/// A valid token with the changes of the test.
fn token(issuer: &TestIssuer, change: impl FnOnce(TestToken<'_>) -> TestToken<'_>) -> String {
    change(issuer.token().audience(RESOURCE).scope("mcp:tools")).sign()
}

fn with_session(method: &str, token: &str, ids: &[&[u8]]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for id in ids {
        request = request.header(SESSION, HeaderValue::from_bytes(id).unwrap());
    }
    request.body(if method == "POST" { Body::from(LIST) } else { Body::empty() }).unwrap()
}

/// Asserts that the session is unknown, with the same response for every cause, and that no request reaches the
/// handler.
async fn assert_unknown(server: &McpServer, token: &str, ids: &[&[u8]]) {
    for method in ["POST", "GET", "DELETE"] {
        if token.is_empty() && method != "POST" {
            continue;
        }
        let answer = server.send(with_session(method, token, ids)).await;
        let shown: Vec<_> = ids.iter().map(|id| String::from_utf8_lossy(id)).collect();
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {shown:?}");
        assert_eq!(
            answer.body, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}"#,
            "{method} {shown:?}"
        );
        assert_eq!(headers(&answer), "cache-control: no-store, content-length: 71, content-type: application/json");
        assert_eq!(answer.rejection.unwrap().kind(), OperationFailure::UnknownSession.into());
        assert_eq!(server.take_reached().len(), 0, "{method} {shown:?}");
    }
}

fn headers(answer: &Answer) -> String {
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    headers.join(", ")
}

#[tokio::test(start_paused = true)]
async fn the_client_gets_a_bound_id_and_the_inner_service_sees_its_own() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    let token = fixture.token();
    let id = opened(&server, &token).await;
    assert!(id.starts_with(&format!("{INNER}.")) && id.len() == INNER.len() + 1 + 43, "{id}");
    // A session id contains only visible ASCII characters (MCP 2025-11-25, Transports).
    assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    // White space around a field value is not part of it. Without hyper, it reaches the layer.
    let padded = format!("\t{id} ");
    for (method, id) in [("POST", &id), ("GET", &id), ("DELETE", &id), ("POST", &padded), ("GET", &padded)] {
        let answer = server.send(with_session(method, &token, &[id.as_bytes()])).await;
        assert_eq!((answer.status, answer.header(SESSION)), (StatusCode::OK, Some(id.trim())), "{method}");
        let reached = server.take_reached();
        let seen: Vec<_> = reached[0].headers.get_all(SESSION).iter().map(|id| id.to_str().unwrap()).collect();
        assert_eq!((reached[0].method.as_str(), seen), (method, vec![INNER]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_unknown_to_everyone_except_its_owner() {
    let clock = mcp_bearer::testing::TestClock::new();
    let [one, two] = ["https://auth.example.com", "https://two.example.com"]
        .map(|url| TestIssuer::builder(url).clock(clock.clone()).build());
    let server = ResourceServer::builder(RESOURCE).issuer(one.issuer()).issuer(two.issuer()).clock(clock.clone());
    let fixture = Fixture { server: server.build().await.unwrap(), issuer: one, clock };
    let server = binding(&fixture);
    let one = &fixture.issuer;
    let id = opened(&server, &token(one, |token| token)).await;
    for other_principal in [
        token(one, |token| token.subject("bob")),
        token(one, |token| token.subject("Alice")),
        token(one, |token| token.client_id("other-client")),
        token(one, |token| token.without("client_id")),
        token(one, |token| token.without("sub")),
        token(one, |token| token.without("sub").without("client_id")),
        // Subject and client are exchanged, or characters move from one to the other.
        token(one, |token| token.subject("test-client").client_id("alice")),
        token(one, |token| token.subject("alicetest-client").without("client_id")),
        token(one, |token| token.subject("alicet").client_id("est-client")),
        token(&two, |token| token),
        String::new(),
    ] {
        assert_unknown(&server, &other_principal, &[id.as_bytes()]).await;
    }
    // Another principal gets another id, even if the inner service uses the same one.
    let other = opened(&server, &token(&two, |token| token)).await;
    assert_ne!(other, id);
    assert_unknown(&server, &token(one, |token| token), &[other.as_bytes()]).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_token_without_a_subject_belongs_to_its_username_or_to_the_token() {
    let tokens = ["alice-1", "alice-2", "bob-1", "nobody-1", "nobody-2", "empty-1", "empty-2", "number-1", "number-2"];
    let tokens = tokens.into_iter().chain(["subject-1", "subject-2"]);
    let mut fixture = Fixture::cold();
    let issuer = fixture.issuer.issuer().introspect_all(ClientCredentials::basic("mcp-server", "s3cret"));
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone());
    fixture.server = builder.build().await.unwrap();
    for token in tokens.clone() {
        let mut answer = json!({ "active": true, "aud": RESOURCE, "client_id": "inspector", "token_type": "Bearer" });
        match token.split_once('-').unwrap().0 {
            "nobody" => {}
            "empty" => (answer["sub"], answer["username"]) = ("".into(), "".into()),
            "number" => answer["username"] = 7.into(),
            "subject" => (answer["sub"], answer["username"]) = ("alice".into(), token.into()),
            user => answer["username"] = user.into(),
        }
        fixture.issuer.introspection_answer(token, answer);
    }
    let server = &fixture.server;
    let layer = server.mcp_layer(McpScopes::new()).bind_sessions();
    let server = McpServer::with(layer, |_| ([(SESSION, INNER)], "ok").into_response());
    // Tokens with the same username belong to the same user, whose username may equal the subject of another user.
    // Without a valid username, each token has its own sessions.
    for owner in tokens.clone() {
        let id = opened(&server, owner).await;
        for other in tokens.clone() {
            let user = |token: &'static str| token.split_once('-').unwrap().0;
            let is_same = owner == other || (user(owner) == user(other) && ["alice", "subject"].contains(&user(owner)));
            let status = server.send(with_session("POST", other, &[id.as_bytes()])).await.status;
            let expected = if is_same { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(status, expected, "{owner}'s session, used by {other}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_names_of_an_owner_are_separated_unambiguously() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    let named = |subject: &str, client: &str| token(&fixture.issuer, |token| token.subject(subject).client_id(client));
    let id = opened(&server, &named("a", "b\u{1}c")).await;
    assert_unknown(&server, &named("a\u{1}b", "c"), &[id.as_bytes()]).await;
    // The separation also holds between the client and the session id.
    let id = opened(&server, &named("alice", "client")).await;
    let (first, rest) = id.split_at(1);
    assert_unknown(&server, &named("alice", &format!("client{first}")), &[rest.as_bytes()]).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_token_of_the_same_principal_continues_the_session() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    let id = opened(&server, &fixture.token()).await;
    fixture.issuer.rotate();
    for refreshed in [
        token(&fixture.issuer, |token| token),
        token(&fixture.issuer, |token| token.scope("mcp:tools notes:write").claim("sid", "2")),
        token(&fixture.issuer, |token| token.without("client_id").claim("azp", "test-client")),
    ] {
        assert_eq!(server.send(with_session("POST", &refreshed, &[id.as_bytes()])).await.status, StatusCode::OK);
        assert_eq!(server.take_reached()[0].headers[SESSION], INNER);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_not_issued_is_unknown() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    let token = fixture.token();
    let id = opened(&server, &token).await;
    let (inner, mac) = id.rsplit_once('.').unwrap();
    let long = [INNER, ".", &"A".repeat(1024 - INNER.len())].concat();
    let zeros = "A".repeat(43);
    // The last character of the MAC has two unused bits.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(mac.chars().last().unwrap()).unwrap();
    let loose = format!("{inner}.{}{}", &mac[..42], &alphabet[last ^ 1..=last ^ 1]);
    let mut cases = vec![
        INNER.to_owned(),
        String::new(),
        ".".to_owned(),
        format!(".{mac}"),
        format!("{inner}."),
        format!("{inner}..{mac}"),
        format!("{inner}.{zeros}"),
        format!("{inner}.{mac}="),
        format!("{inner}.{mac}A"),
        format!("{inner}.{mac}.{mac}"),
        format!("{inner}.{mac},{inner}.{mac}"),
        format!("{mac}.{inner}"),
        format!("{inner}{mac}"),
        format!("x{id}"),
        format!("{} .{mac}", inner),
        id.replace('.', ":"),
        id.to_uppercase(),
        loose,
        long,
        id.repeat(200),
        mac.to_owned(),
    ];
    cases.extend((0..id.len()).map(|length| id[..length].to_owned()));
    cases.extend((0..id.len()).map(|at| {
        let other = if id.as_bytes()[at] == b'x' { "y" } else { "x" };
        [&id[..at], other, &id[at + 1..]].concat()
    }));
    for case in &cases {
        assert_unknown(&server, &token, &[case.as_bytes()]).await;
    }
    assert_unknown(&server, &token, &[format!("{id}\u{e9}").as_bytes()]).await;
    assert_unknown(&server, &token, &[&[&[0xff], id.as_bytes()].concat()]).await;
    for twice in [[id.as_bytes(), id.as_bytes()], [id.as_bytes(), b""], [b"x", id.as_bytes()]] {
        assert_unknown(&server, &token, &twice).await;
    }
    // The unchanged id is still accepted.
    assert_eq!(server.send(with_session("GET", &token, &[id.as_bytes()])).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_mac_of_one_session_does_not_fit_another() {
    let fixture = Fixture::new().await;
    let keyed = || layer(&fixture).bind_sessions_with_key(&KEY);
    let [one, two] = ["one", "two"].map(|id| answering(keyed(), id, StatusCode::OK));
    let token = fixture.token();
    let (first, second) = (opened(&one, &token).await, opened(&two, &token).await);
    let mac_of = |id: &str| id.rsplit_once('.').unwrap().1.to_owned();
    for swapped in [format!("one.{}", mac_of(&second)), format!("two.{}", mac_of(&first))] {
        assert_unknown(&one, &token, &[swapped.as_bytes()]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn responses_with_any_status_contain_the_bound_id() {
    let fixture = Fixture::new().await;
    for status in [200, 202, 400, 404, 500] {
        let layer = layer(&fixture).bind_sessions();
        let server = answering(layer, INNER, StatusCode::from_u16(status).unwrap());
        let answer = server.post(&fixture.token(), &[], INITIALIZE).await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(answer.header(SESSION).unwrap().starts_with(&format!("{INNER}.")), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn servers_agree_on_sessions_if_they_share_the_key() {
    let fixture = Fixture::new().await;
    let keyed = |key| answering(layer(&fixture).bind_sessions_with_key(key), INNER, StatusCode::OK);
    let (one, same, other) = (keyed(&KEY), keyed(&KEY), keyed(&OTHER_KEY));
    let token = fixture.token();
    let id = opened(&one, &token).await;
    assert_eq!(same.send(with_session("POST", &token, &[id.as_bytes()])).await.header(SESSION), Some(id.as_str()));
    assert_unknown(&other, &token, &[id.as_bytes()]).await;
    // Without a configured key, each server has a random key.
    assert_unknown(&binding(&fixture), &token, &[opened(&binding(&fixture), &token).await.as_bytes()]).await;
}

#[tokio::test(start_paused = true)]
async fn an_inner_id_of_any_form_is_restored() {
    let fixture = Fixture::new().await;
    let token = fixture.token();
    for inner in ["a.b.c", ".", "a.", ".a", "a", "!~", &"x".repeat(980)] {
        let server = answering(layer(&fixture).bind_sessions(), inner, StatusCode::OK);
        let id = opened(&server, &token).await;
        server.send(with_session("GET", &token, &[id.as_bytes()])).await;
        assert_eq!(server.take_reached()[0].headers[SESSION], inner);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_too_long_is_removed() {
    let fixture = Fixture::new().await;
    let server = answering(layer(&fixture).bind_sessions(), "x".repeat(981), StatusCode::OK);
    let answer = server.post(&fixture.token(), &[], INITIALIZE).await;
    assert_eq!((answer.status, answer.header(SESSION)), (StatusCode::OK, None));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_token_belongs_to_no_principal() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    let anonymous = opened(&server, "").await;
    assert_eq!(server.send(with_session("POST", "", &[anonymous.as_bytes()])).await.status, StatusCode::OK);
    assert_eq!(server.take_reached()[0].headers[SESSION], INNER);
    for token in [fixture.token(), token(&fixture.issuer, |token| token.without("sub").without("client_id"))] {
        assert_unknown(&server, &token, &[anonymous.as_bytes()]).await;
        let own = opened(&server, &token).await;
        assert_unknown(&server, "", &[own.as_bytes()]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_session_passes() {
    let fixture = Fixture::new().await;
    let server = binding(&fixture);
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(server.send(with_session(method, &fixture.token(), &[])).await.status, StatusCode::OK);
        assert!(!server.take_reached()[0].headers.contains_key(SESSION));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_id_does_not_authenticate_a_request() {
    let fixture = Fixture::new().await;
    let server =
        McpServer::with(tools(layer(&fixture).bind_sessions()), |_| ([(SESSION, INNER)], "ok").into_response());
    let id = opened(&server, &fixture.token()).await;
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(server.send(with_session(method, "", &[id.as_bytes()])).await.verdict(), "R401N");
        assert_eq!(server.send(with_session(method, "forged", &[id.as_bytes()])).await.verdict(), "R401");
    }
    assert_eq!(server.take_reached().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_unchanged_unless_binding_is_configured() {
    let fixture = Fixture::new().await;
    let server = answering(layer(&fixture), INNER, StatusCode::OK);
    assert_eq!(opened(&server, &fixture.token()).await, INNER);
    for ids in [[INNER.as_bytes()].as_slice(), &[b"any.thing"], &[b"one", b"two"], &[b"\xff"]] {
        assert_eq!(server.send(with_session("POST", &fixture.token(), ids)).await.header(SESSION), Some(INNER));
        let reached = server.take_reached();
        assert_eq!(reached[0].headers.get_all(SESSION).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>(), ids);
    }
}
