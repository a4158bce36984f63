//! One real request for each cause.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, header};
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Thumbprint;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use mcp_bearer::sender::{ClientCertificate, Dpop, SenderConstraint};
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::{
    AuthInfo, Clock as _, DevelopmentIdentity, PeerAddr, Rejection, ResourceServer, ResourceServerBuilder, Revocation,
};
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use serde_json::json;
use tower::ServiceExt as _;

use super::Observed;
use crate::mcp::server::{McpServer, post, tools};
use crate::support::{Answer, App, Fixture, ISSUER, RESOURCE, quiet};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

/// The length of a list that is too large to be filtered, in bytes.
const LONG_LIST: usize = 17 << 20;

pub async fn observe() -> Observed {
    let mut observed = Observed::new();
    let fixture = Fixture::new().await;
    credentials(&mut observed, &fixture).await;
    development(&mut observed).await;
    tokens(&mut observed, &fixture).await;
    proofs(&mut observed, &fixture).await;
    certificates(&mut observed, &fixture).await;
    api_keys(&mut observed, &fixture).await;
    outages(&mut observed).await;
    operations(&mut observed, &fixture).await;
    lists(&mut observed, &fixture).await;
    mistakes(&mut observed, &fixture).await;
    without_http(&mut observed).await;
    observed
}

async fn send(observed: &mut Observed, app: &Router, request: Request<Body>) {
    observed.skip();
    observed.answer(&Answer::of(app.clone().oneshot(request).await.unwrap()).await);
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

async fn credentials(observed: &mut Observed, fixture: &Fixture) {
    let app = fixture.app().router().layer(fixture.server.allowed_origins(["https://app.example.com"]));
    for uri in ["/mcp", "/mcp?access_token=secret"] {
        send(observed, &app, get(uri)).await;
    }
    for value in ["DPoP a.b.c", "a.b.c", "Bearer a b", "Bearer"] {
        let request = Request::get("/mcp").header(header::AUTHORIZATION, value);
        send(observed, &app, request.body(Body::empty()).unwrap()).await;
    }
    let other = server(fixture).token_from("x-token").build().await.unwrap();
    let request = Request::get("/mcp").header(header::AUTHORIZATION, "Bearer a.b.c").body(Body::empty()).unwrap();
    send(observed, &App::new(other.bearer_layer()).router(), request).await;
    let request = Request::get("/mcp").header(header::ORIGIN, "https://evil.example.com");
    send(observed, &app, request.body(Body::empty()).unwrap()).await;
}

async fn development(observed: &mut Observed) {
    let identity = DevelopmentIdentity::new("dev");
    let server = ResourceServer::builder("http://localhost/mcp").dangerously_trust_everyone_on_loopback(identity);
    let app = App::new(server.build().await.unwrap().bearer_layer()).router();
    send(observed, &app, get("/mcp")).await;
    let mut request = get("/mcp");
    request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 50_000).into()));
    send(observed, &app, request).await;
}

async fn tokens(observed: &mut Observed, fixture: &Fixture) {
    let introspecting = TestIssuer::builder("https://opaque.example.com").introspection_client("rs", "secret").build();
    let credentials = ClientCredentials::basic("rs", "secret");
    let server = server(fixture).max_token_lifetime(Duration::from_secs(86_400)).build().await.unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    let valid = || fixture.issuer.token().audience(RESOURCE).scope("mcp:tools");
    let now = fixture.clock.since_epoch().as_secs();
    let signed = valid().sign();
    let (unsigned, _) = signed.rsplit_once('.').unwrap();
    for token in [
        "A".repeat(20_000),
        "opaque".to_owned(),
        "a.b.c".to_owned(),
        "a.b.c.d.e".to_owned(),
        fixture.issuer.sign_raw(&fixture.issuer.key_id(), "[]", "{}"),
        valid().header("crit", json!(["exp"])).sign(),
        valid().header("alg", "HS256").sign(),
        valid().header("typ", "logout+jwt").sign(),
        valid().header("typ", "JWT").claim("nonce", "n").sign(),
        valid().claim("exp", "1").sign(),
        valid().claim("iss", "https://auth.example.com/").sign(),
        valid().without("iss").sign(),
        valid().claim("aud", "account").sign(),
        valid().without("aud").sign(),
        valid().without("exp").sign(),
        valid().expired().sign(),
        valid().claim("iat", now + 90).sign(),
        valid().claim("exp", now + 90_000).sign(),
        valid().claim("cnf", json!({"jkt": "x"})).sign(),
        valid().header("kid", "other").sign(),
        format!("{unsigned}.AAAA"),
        fixture.issuer.token().audience(RESOURCE).scope("mcp:other").sign(),
        fixture.issuer.token().audience(RESOURCE).claim("permissions", json!(["x"])).sign(),
        fixture.issuer.token().audience(RESOURCE).claim("realm_access", json!({"roles": ["x"]})).sign(),
    ] {
        observed.skip();
        observed.answer(&app.with_token(&token).await);
    }
    let issuer = introspecting.issuer().introspect_opaque(credentials);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap();
    introspecting.introspection_answer("gone", json!({"active": false}));
    observed.skip();
    observed.answer(&App::new(server.bearer_layer()).with_token("gone").await);
    let app = App::new(fixture.server.bearer_layer());
    let revoked = valid().subject("revoked").sign();
    let until = fixture.clock.now() + Duration::from_secs(3_600);
    fixture.server.revoke(Revocation::subject(ISSUER, "revoked"), until).await.unwrap();
    observed.skip();
    observed.answer(&app.with_token(&revoked).await);
}

fn server(fixture: &Fixture) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone())
}

async fn proofs(observed: &mut Observed, fixture: &Fixture) {
    let server = || server(fixture).sender_constraint(SenderConstraint::Dpop);
    let app = App::new(server().build().await.unwrap().bearer_layer());
    let key = fixture.issuer.dpop_key();
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").bound_to(&key).sign();
    let unbound = fixture.token();
    let proof = || key.proof("GET", RESOURCE).access_token(&token);
    let now = i64::try_from(fixture.clock.since_epoch().as_secs()).unwrap();
    let used = proof().sign();
    let other_key = fixture.issuer.dpop_key();
    let of_other_key = other_key.proof("GET", RESOURCE).access_token(&token).sign();
    let for_unbound = key.proof("GET", RESOURCE).access_token(&unbound).sign();
    app.send(with_proofs("DPoP", &token, std::slice::from_ref(&used))).await;
    for (scheme, token, proofs) in [
        ("DPoP", &token, vec![]),
        ("DPoP", &token, vec![proof().sign(), proof().sign()]),
        ("Bearer", &token, vec![proof().sign()]),
        ("Bearer", &token, vec![]),
        ("Bearer", &unbound, vec![]),
        ("DPoP", &unbound, vec![for_unbound]),
        ("DPoP", &token, vec![of_other_key]),
        ("DPoP", &token, vec!["A".repeat(9_000)]),
        ("DPoP", &token, vec!["a.b.c".to_owned()]),
        ("DPoP", &token, vec![proof().header("typ", "JWT").sign()]),
        ("DPoP", &token, vec![proof().header("alg", "HS256").sign()]),
        ("DPoP", &token, vec![proof().header("jwk", json!({"kty": "EC"})).sign()]),
        ("DPoP", &token, vec![proof().claim("jti", "").sign()]),
        ("DPoP", &token, vec![proof().claim("htm", "POST").sign()]),
        ("DPoP", &token, vec![proof().claim("htu", "https://mcp.example.com/mcp/").sign()]),
        ("DPoP", &token, vec![proof().issued_at(now - 120).sign()]),
        ("DPoP", &token, vec![proof().issued_at(now + 120).sign()]),
        ("DPoP", &token, vec![proof().access_token("other").sign()]),
        ("DPoP", &token, vec![proof().signed_by(&other_key).sign()]),
        ("DPoP", &token, vec![used]),
    ] {
        observed.skip();
        observed.answer(&app.send(with_proofs(scheme, token, &proofs)).await);
    }
    let server = server().dpop(Dpop::new().require_nonces()).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    for proof in [proof().sign(), proof().nonce("unknown").sign()] {
        observed.skip();
        observed.answer(&app.send(with_proofs("DPoP", &token, &[proof])).await);
    }
}

async fn certificates(observed: &mut Observed, fixture: &Fixture) {
    let server = server(fixture)
        .sender_constraint(SenderConstraint::Mtls)
        .client_certificate_from_connection()
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer());
    let certificate = Thumbprint::from_bytes([7; 32]);
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").bound_to_certificate(certificate).sign();
    let mut request = with_proofs("Bearer", &token, &[]);
    observed.skip();
    observed.answer(&app.send(with_proofs("Bearer", &token, &[])).await);
    // A SEQUENCE of a SEQUENCE, a SEQUENCE and a BIT STRING, as a certificate is.
    let other = ClientCertificate::from_der(&[0x30, 11, 0x30, 3, 2, 1, 1, 0x30, 0, 3, 2, 0, 1]).unwrap();
    request.extensions_mut().insert(other);
    observed.skip();
    observed.answer(&app.send(request).await);
}

fn with_proofs(scheme: &str, token: &str, proofs: &[String]) -> Request<Body> {
    let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("{scheme} {token}"));
    proofs.iter().fold(request, |request, proof| request.header("dpop", proof)).body(Body::empty()).unwrap()
}

async fn api_keys(observed: &mut Observed, fixture: &Fixture) {
    let (expired, unknown) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = ApiKeys::new().key(expired.stored_as("ci").expires_at(fixture.clock.now()));
    let app = App::new(server(fixture).api_keys(keys).build().await.unwrap().bearer_layer());
    for token in ["mcpk_short", unknown.expose(), expired.expose()] {
        observed.skip();
        observed.answer(&app.with_token(token).await);
    }
}

async fn outages(observed: &mut Observed) {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    observed.skip();
    observed.answer(&fixture.app().with_token(&fixture.token()).await);

    let issuer = TestIssuer::builder(ISSUER).introspection_client("rs", "secret").build();
    let configured = issuer.issuer().introspect_opaque(ClientCredentials::basic("rs", "wrong"));
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(configured));
    observed.skip();
    observed.answer(&App::new(server.bearer_layer()).with_token("opaque").await);
}

async fn operations(observed: &mut Observed, fixture: &Fixture) {
    let scopes = || McpScopes::new().tool("delete_note", ["notes:write"]);
    let layer = fixture.server.mcp_layer(scopes().deny_unlisted()).max_body(1_024).bind_sessions();
    let server = McpServer::with(tools(layer), |_| "ok".into_response());
    let token = fixture.token();
    let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("closed"))]);
    for (headers, body) in [
        (&[][..], Body::from(" ".repeat(2_000))),
        (&[], Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())),
        (&[], Body::from_stream(broken)),
        (&[], Body::from("not JSON")),
        (&[("mcp-method", "tools/list")], Body::from(CALL)),
        (&[], Body::from(CALL)),
        (&[("mcp-session-id", "made-up")], Body::from(LIST)),
    ] {
        observed.skip();
        observed.answer(&server.send(post(&token, headers, body)).await);
    }
    // An id of the inner service that is too long to be bound.
    let layer = fixture.server.mcp_layer(McpScopes::new()).bind_sessions();
    let id = HeaderValue::from_str(&"x".repeat(981)).unwrap();
    let server = McpServer::with(tools(layer), move |_| ([("mcp-session-id", id.clone())], "ok").into_response());
    observed.skip();
    observed.answer(&server.post(&token, &[], INITIALIZE).await);
}

async fn lists(observed: &mut Observed, fixture: &Fixture) {
    for (content_type, content_encoding, body) in [
        ("application/json", Some("gzip"), "{}".to_owned()),
        ("application/json", None, "not JSON".to_owned()),
        ("text/event-stream", None, "data: not JSON\n\n".to_owned()),
        ("application/json", None, " ".repeat(LONG_LIST)),
        ("text/event-stream", None, "x".repeat(LONG_LIST)),
    ] {
        let layer: McpLayer = fixture.server.mcp_layer(McpScopes::new().tool("add_note", ["notes:write"]));
        let server = McpServer::with(tools(layer.filter_lists()), move |_| {
            let mut response = ([(header::CONTENT_TYPE, content_type)], body.clone()).into_response();
            let encoding = content_encoding.map(HeaderValue::from_static);
            response.headers_mut().extend(encoding.map(|encoding| (header::CONTENT_ENCODING, encoding)));
            response
        });
        observed.skip();
        observed.answer(&server.post(&fixture.token(), &[], LIST).await);
    }
}

async fn mistakes(observed: &mut Observed, fixture: &Fixture) {
    let whoami = async |_: AuthInfo| "somebody";
    send(observed, &Router::new().route("/mcp", any(whoami)), get("/mcp")).await;

    let handler = async |auth: AuthInfo| auth.require_scopes(["two words"]);
    let app = Router::new().route("/mcp", any(handler)).route_layer(fixture.server.bearer_layer());
    let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()));
    send(observed, &app, request.body(Body::empty()).unwrap()).await;

    let panics = |_: &Rejection| -> Response<Bytes> { panic!("this function is broken") };
    let app = Router::new().route("/mcp", any(whoami)).route_layer(fixture.server.bearer_layer().on_rejection(panics));
    observed.skip();
    let answer = Answer::of(app.oneshot(get("/mcp")).await.unwrap()).await;
    observed.shown_besides(Observed::sentence(&answer), "request rejected: no access token");
}

/// A tool that uses the caller, over a transport that is not HTTP.
async fn without_http(observed: &mut Observed) {
    let (client, server) = tokio::io::duplex(4_096);
    let server = tokio::spawn(async move { crate::rmcp::Tools.serve(server).await.unwrap().waiting().await });
    let client = ().serve(client).await.unwrap();
    observed.skip();
    let error = client.call_tool(CallToolRequestParams::new("whoami")).await.unwrap_err();
    let rmcp::ServiceError::McpError(error) = error else { panic!("{error}") };
    observed.shown(format!("JSON-RPC error \"{}\"", error.message));
    client.cancel().await.unwrap();
    server.abort();
}
