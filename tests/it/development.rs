//! The development identity: who gets it, and who does not.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{Method, Request};
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::{
    AuthInfo, CredentialKind, DevelopmentIdentity, Issuer, PeerAddr, ResourceServer, ResourceServerBuilder,
};
use serde_json::json;
use tower::ServiceExt as _;
use tracing::Level;

use crate::capture::Capture;
use crate::mcp::server::McpServer;
use crate::support::{Answer, App, Fixture, ISSUER, quiet};

const LOCAL: &str = "http://localhost:8000/mcp";
const LOOPBACK: &str = "127.0.0.1:50000";
const OTHER: &str = "192.0.2.1:50000";

fn identity() -> DevelopmentIdentity {
    DevelopmentIdentity::new("dev").scopes(["mcp:tools", "notes:read"])
}

fn builder() -> ResourceServerBuilder {
    ResourceServer::builder(LOCAL).dangerously_trust_everyone_on_loopback(identity())
}

fn server() -> ResourceServer {
    quiet(builder())
}

fn app(server: &ResourceServer) -> Router {
    App::new(server.bearer_layer().required_scopes(["mcp:tools"])).router()
}

/// A request to `uri` from `peer`, with these headers besides `Host: localhost:8000`.
fn request(peer: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::get(uri);
    let has_host = headers.iter().any(|(name, _)| *name == "host") || !uri.starts_with('/');
    let request = if has_host { request } else { request.header("host", "localhost:8000") };
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut request = request.body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    }
    request
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_request_from_this_machine_without_credentials_has_the_identity() {
    let app = app(&server());
    for (peer, uri, headers) in [
        (LOOPBACK, "/mcp", &[][..]),
        ("127.8.9.1:1", "/mcp", &[]),
        ("[::1]:50000", "/mcp", &[]),
        ("[::ffff:127.0.0.1]:50000", "/mcp", &[]),
        (LOOPBACK, "/mcp", &[("host", "127.0.0.1:8000")]),
        (LOOPBACK, "/mcp", &[("host", "[::1]:8000")]),
        (LOOPBACK, "/mcp", &[("host", "LOCALHOST")]),
        // HTTP/2, and a proxy request of HTTP/1.1.
        (LOOPBACK, "http://localhost:8000/mcp", &[]),
        (LOOPBACK, "http://localhost:8000/mcp", &[("host", "127.0.0.1")]),
        (LOOPBACK, "/mcp", &[("origin", "http://localhost:6274")]),
        (LOOPBACK, "/mcp", &[("origin", "https://127.0.0.1")]),
        (LOOPBACK, "/mcp", &[("origin", "http://[::1]:3000"), ("sec-fetch-site", "cross-site")]),
        (LOOPBACK, "/mcp", &[("sec-fetch-site", "none")]),
        (LOOPBACK, "/mcp", &[("sec-fetch-site", "same-origin")]),
        (LOOPBACK, "/mcp", &[("x-request-id", "7"), ("cookie", "a=b")]),
    ] {
        let answer = send(&app, request(Some(peer), uri, headers)).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "dev"), "{peer} {uri} {headers:?}");
    }
    // As axum and tests of axum name the address.
    let mut of_axum = request(None, "/mcp", &[]);
    of_axum.extensions_mut().insert(ConnectInfo::<SocketAddr>(LOOPBACK.parse().unwrap()));
    assert_eq!(send(&app, of_axum).await.body, "dev");
}

#[tokio::test(start_paused = true)]
async fn a_request_from_elsewhere_is_403_with_and_without_credentials() {
    let fixture = Fixture::new().await;
    let issuer = fixture.issuer.issuer();
    let server = quiet(builder().issuer(issuer).clock(fixture.clock.clone()));
    let token = fixture.issuer.token().audience(LOCAL).scope("mcp:tools").sign();
    let app = app(&server);
    let bearer = format!("Bearer {token}");
    for (peer, uri, headers) in [
        (OTHER, "/mcp", &[][..]),
        ("10.0.0.1:1", "/mcp", &[]),
        ("0.0.0.0:1", "/mcp", &[]),
        ("[2001:db8::1]:1", "/mcp", &[]),
        ("[::ffff:192.0.2.1]:1", "/mcp", &[]),
        ("[fe80::1]:1", "/mcp", &[]),
        // DNS rebinding: the name leads to 127.0.0.1.
        (LOOPBACK, "/mcp", &[("host", "evil.example")]),
        (LOOPBACK, "/mcp", &[("host", "evil.example:8000")]),
        (LOOPBACK, "/mcp", &[("host", "localhost.evil.example:8000")]),
        (LOOPBACK, "/mcp", &[("host", "a.localhost")]),
        (LOOPBACK, "/mcp", &[("host", "0.0.0.0:8000")]),
        (LOOPBACK, "/mcp", &[("host", "127.1")]),
        (LOOPBACK, "/mcp", &[("host", "")]),
        (LOOPBACK, "/mcp", &[("host", "localhost, evil.example")]),
        (LOOPBACK, "/mcp", &[("host", "localhost:8000"), ("host", "localhost:8000")]),
        (LOOPBACK, "/mcp", &[("host", "localhost"), ("host", "evil.example")]),
        (LOOPBACK, "http://evil.example/mcp", &[]),
        (LOOPBACK, "http://evil.example/mcp", &[("host", "localhost")]),
        (LOOPBACK, "http://localhost/mcp", &[("host", "evil.example")]),
        (LOOPBACK, "http://user@localhost/mcp", &[]),
        (LOOPBACK, "/mcp", &[("origin", "https://evil.example")]),
        (LOOPBACK, "/mcp", &[("origin", "http://localhost.evil.example")]),
        (LOOPBACK, "/mcp", &[("origin", "null")]),
        (LOOPBACK, "/mcp", &[("origin", "")]),
        (LOOPBACK, "/mcp", &[("origin", "http://localhost"), ("origin", "http://localhost")]),
        (LOOPBACK, "/mcp", &[("sec-fetch-site", "cross-site")]),
        (LOOPBACK, "/mcp", &[("sec-fetch-site", "same-site")]),
        (LOOPBACK, "/mcp", &[("forwarded", "for=192.0.2.1")]),
        (LOOPBACK, "/mcp", &[("x-forwarded-for", "127.0.0.1")]),
        (LOOPBACK, "/mcp", &[("x-forwarded-host", "localhost")]),
        (LOOPBACK, "/mcp", &[("X-Forwarded-Anything", "")]),
        (LOOPBACK, "/mcp", &[("x-real-ip", "127.0.0.1")]),
        (LOOPBACK, "/mcp", &[("via", "1.1 proxy")]),
        (LOOPBACK, "/mcp", &[("cf-connecting-ip", "192.0.2.1")]),
    ] {
        let with_token = [headers, &[("authorization", bearer.as_str())]].concat();
        for headers in [headers, &with_token] {
            let answer = send(&app, request(Some(peer), uri, headers)).await;
            assert_eq!(answer.status.as_u16(), 403, "{peer} {uri} {headers:.60?}");
            assert!(answer.body.is_empty() && answer.challenge().is_none(), "{answer:?}");
            let rejection = answer.rejection.unwrap();
            assert_eq!((rejection.label(), rejection.error_code()), ("request", None));
        }
    }
    // Without a host, as in HTTP/1.0.
    let mut without = request(Some(LOOPBACK), "/mcp", &[]);
    without.headers_mut().remove("host");
    assert_eq!(send(&app, without).await.status.as_u16(), 403);
    // Two addresses, one of which is another machine's.
    let mut two = request(Some(LOOPBACK), "/mcp", &[]);
    two.extensions_mut().insert(ConnectInfo::<SocketAddr>(OTHER.parse().unwrap()));
    assert_eq!(send(&app, two).await.status.as_u16(), 403);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_address_is_unknown_is_500_and_the_log_says_what_to_add() {
    let capture = Capture::of_this_thread();
    let app = app(&server());
    capture.take();
    for headers in [&[][..], &[("authorization", "Bearer x")]] {
        assert_eq!(send(&app, request(None, "/mcp", headers)).await.status.as_u16(), 500);
    }
    let errors: Vec<_> = capture.take().into_iter().filter(|(level, _)| *level == Level::ERROR).collect();
    for (_, line) in &errors {
        assert!(line.contains("`into_make_service_with_connect_info::<SocketAddr>()`"), "{line}");
        assert!(line.contains("`PeerAddr`") && line.contains("cause=\"no_peer_address\""), "{line}");
    }
    assert_eq!(errors.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_verified_and_never_replaced_by_the_identity() {
    let fixture = Fixture::new().await;
    let with_issuer = quiet(builder().issuer(fixture.issuer.issuer()).clock(fixture.clock.clone()));
    let valid = fixture.issuer.token().audience(LOCAL).scope("mcp:tools");
    let expired = fixture.issuer.token().audience(LOCAL).scope("mcp:tools").expired();
    let foreign = fixture.token();
    for (server, token, verdict, body) in [
        (&with_issuer, valid.sign(), "OK", "alice"),
        (&with_issuer, expired.sign(), "R401", ""),
        (&with_issuer, foreign.clone(), "R401", ""),
        (&with_issuer, "garbage".to_owned(), "R401", ""),
        (&server(), foreign, "R401", ""),
        (&server(), "garbage".to_owned(), "R401", ""),
    ] {
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(&app(server), request(Some(LOOPBACK), "/mcp", &headers)).await;
        assert_eq!(answer.verdict(), verdict, "{token:.20}");
        assert!(verdict != "OK" || answer.body == body, "{answer:?}");
    }
    for (value, verdict) in [("", "R401N"), ("Basic eA==", "R401N"), ("Bearer", "R400"), ("Bearer a b", "R400")] {
        let answer = send(&app(&server()), request(Some(LOOPBACK), "/mcp", &[("authorization", value)])).await;
        assert_eq!(answer.verdict(), verdict, "{value:?}");
    }
    assert_eq!(send(&app(&with_issuer), request(Some(LOOPBACK), "/mcp", &[])).await.body, "dev");
}

#[tokio::test(start_paused = true)]
async fn the_identity_has_its_subject_and_scopes_and_nothing_that_nobody_issued() {
    let server = server();
    let (parts, _) = request(Some(LOOPBACK), "/mcp", &[]).into_parts();
    let accepted = server.bearer_layer().required_scopes(["notes:read"]).authenticate(&parts).await.unwrap();
    let auth: &AuthInfo = accepted.auth_info();
    assert_eq!(auth.kind(), CredentialKind::Development);
    assert_eq!((auth.subject(), auth.issuer(), auth.client_id(), auth.expires_at()), (Some("dev"), None, None, None));
    assert_eq!((auth.audience().count(), auth.identity()), (0, None));
    assert_eq!(auth.scopes().as_str(), "mcp:tools notes:read");
    assert_eq!(json!(auth.claims()), json!({"sub": "dev", "scope": "mcp:tools notes:read"}));
    assert!(auth.require_scopes(["notes:read"]).is_ok());
    assert_eq!(auth.require_scopes(["notes:write"]).unwrap_err().status().as_u16(), 403);

    let (foreign, _) = request(Some(OTHER), "/mcp", &[]).into_parts();
    assert_eq!(server.authenticate(&foreign).await.unwrap_err().status().as_u16(), 403);
    let (unknown, _) = request(None, "/mcp", &[]).into_parts();
    assert_eq!(server.authenticate(&unknown).await.unwrap_err().status().as_u16(), 500);
}

#[tokio::test(start_paused = true)]
async fn the_scopes_of_layers_and_operations_apply_to_the_identity() {
    let server = server();
    let layer = server.bearer_layer().required_scopes(["notes:write"]);
    let answer = send(&App::new(layer).router(), request(Some(LOOPBACK), "/mcp", &[])).await;
    assert_eq!(answer.verdict(), "R403");

    let scopes = McpScopes::new().tool("list_notes", ["notes:read"]).tool("add_note", ["notes:write"]);
    let layer = server.mcp_layer(scopes).bind_sessions().revalidate_streams(Duration::from_secs(60));
    let mcp = McpServer::with(layer, |_| ([("mcp-session-id", "s1")], "ok").into_response());
    let call = async |peer: &str, tool: &str, session: Option<&str>| {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
        let headers: Vec<_> = session.map(|id| ("mcp-session-id", id)).into_iter().collect();
        let mut request =
            request(Some(peer), "/mcp", &[&headers[..], &[("content-type", "application/json")]].concat());
        *request.method_mut() = Method::POST;
        mcp.send(request.map(|_| Body::from(call.to_string()))).await
    };
    let answer = call(LOOPBACK, "list_notes", None).await;
    assert_eq!(answer.status.as_u16(), 200);
    let session = answer.header("mcp-session-id").unwrap().to_owned();
    assert_eq!(call(LOOPBACK, "list_notes", Some(&session)).await.status.as_u16(), 200);
    assert_eq!(call(LOOPBACK, "add_note", None).await.status.as_u16(), 403);
    assert_eq!(call(OTHER, "list_notes", None).await.status.as_u16(), 403);
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_layer_and_a_preflight_do_not_weaken_the_checks() {
    let server = server();
    let app = App::new(server.bearer_layer().allow_anonymous()).router();
    assert_eq!(send(&app, request(Some(LOOPBACK), "/mcp", &[])).await.body, "dev");
    assert_eq!(send(&app, request(Some(OTHER), "/mcp", &[])).await.status.as_u16(), 403);
    // A preflight passes, and does not have an identity.
    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
    let mut request = request(Some(OTHER), "/mcp", &preflight);
    *request.method_mut() = Method::OPTIONS;
    let app = Router::new()
        .route("/mcp", axum::routing::any(|auth: Option<AuthInfo>| async move { auth.is_some().to_string() }));
    let answer = send(&app.route_layer(server.bearer_layer().allow_anonymous()), request).await;
    assert_eq!(answer.body, "false");
}

#[tokio::test(start_paused = true)]
async fn the_log_warns_at_the_start_and_once_a_minute_of_use() {
    let capture = Capture::of_this_thread();
    let warnings = |part: &str| {
        let lines = capture.take().into_iter().filter(|(level, _)| *level == Level::WARN);
        lines.filter(|(_, line)| line.contains(part)).count()
    };
    capture.take();
    let app = app(&builder().build().await.unwrap());
    assert_eq!(warnings("accepts every request from this machine without credentials"), 1);
    for (seconds, expected) in [(0, 1), (59, 0), (1, 1), (600, 1)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        for _ in 0..100 {
            send(&app, request(Some(LOOPBACK), "/mcp", &[])).await;
            send(&app, request(Some(LOOPBACK), "/mcp", &[("authorization", "Bearer x")])).await;
        }
        assert_eq!(warnings("are accepted as the development identity"), expected, "after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn the_self_check_finds_the_layer_without_a_connection() {
    let server = server();
    let app = App::new(server.bearer_layer()).router().merge(server.metadata_router());
    server.self_check(&app).await.unwrap();
    let open = Router::new().route("/mcp", get(|| async { "open" })).merge(server.metadata_router());
    server.self_check(&open).await.unwrap_err();
    assert!(server.health().is_ready());
    let metadata = send(&app, request(Some(OTHER), "/.well-known/oauth-protected-resource/mcp", &[])).await;
    assert_eq!(metadata.json(), json!({"resource": LOCAL, "bearer_methods_supported": ["header"]}));
}

#[tokio::test]
async fn axum_names_the_address_of_a_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = ResourceServer::builder(format!("http://{address}/mcp"));
    let server = server.dangerously_trust_everyone_on_loopback(identity()).build_lazy().unwrap();
    let app = app(&server).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = |host: &str| http.get(format!("http://{address}/mcp")).header("host", host).send();
    let answer = send("localhost").await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "dev"));
    assert_eq!(send("evil.example").await.unwrap().status().as_u16(), 403);
}

#[test]
fn a_server_that_others_can_reach_fails_at_build() {
    let with = |resource: &str, identity| {
        let builder = ResourceServer::builder(resource).issuer(Issuer::discover(ISSUER)).dangerously_allow_http();
        builder.dangerously_trust_everyone_on_loopback(identity).build_lazy()
    };
    for (resource, part) in [
        ("https://mcp.example.com/mcp", "\"mcp.example.com\""),
        ("http://192.168.0.2/mcp", "\"192.168.0.2\""),
        ("http://0.0.0.0:8000/mcp", "\"0.0.0.0\""),
        ("http://dev.localhost/mcp", "\"dev.localhost\""),
        ("http://[fe80::1]/mcp", "\"[fe80::1]\""),
    ] {
        let message = with(resource, identity()).unwrap_err().to_string();
        assert!(message.contains("`dangerously_trust_everyone_on_loopback`") && message.contains(part), "{message}");
        assert!(message.contains("or remove the call"), "{message}");
    }
    for resource in ["http://localhost/mcp", "https://localhost:8443/mcp", "http://127.0.0.2/mcp", "http://[::1]:1/mcp"]
    {
        with(resource, identity()).unwrap();
    }
    assert!(with(LOCAL, DevelopmentIdentity::new("")).unwrap_err().to_string().contains("subject"));
    let no_scope = DevelopmentIdentity::new("dev").scopes(["two words"]);
    assert!(with(LOCAL, no_scope).unwrap_err().to_string().contains("\"two words\""));
    with(LOCAL, DevelopmentIdentity::new("dev")).unwrap();
}
