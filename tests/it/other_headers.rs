//! Tokens in another header than `Authorization`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::{any, get};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::issuer::providers;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestHttpClient, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer, ResourceServerBuilder};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::capture::Capture;
use crate::mcp::server::McpServer;
use crate::support::{App, Fixture, ISSUER, METADATA_URL, RESOURCE, quiet};

const NAME: &str = "cf-access-jwt-assertion";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn builder(fixture: &Fixture) -> ResourceServerBuilder {
    let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    builder.scopes_supported(["mcp:tools"]).token_from(NAME)
}

/// A server that reads tokens from `cf-access-jwt-assertion`.
async fn fixture() -> Fixture {
    let mut fixture = Fixture::cold();
    fixture.server = builder(&fixture).build().await.unwrap();
    fixture
}

fn request(method: Method, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri("/mcp");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_read_from_the_configured_header_alone() {
    let fixture = fixture().await;
    let app = fixture.app();
    let token = fixture.token();
    let bearer = format!("Bearer {token}");
    let scopeless = fixture.issuer.token().audience(RESOURCE).sign();
    let forged = token.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    let long = "A".repeat(20_000);
    for (headers, verdict) in [
        (&[(NAME, token.as_str())][..], "OK"),
        (&[(NAME, &bearer)], "OK"),
        (&[("Cf-Access-Jwt-Assertion", &token)], "OK"),
        (&[], "R401N"),
        (&[(NAME, "")], "R401N"),
        (&[("x-other", &token)], "R401N"),
        (&[("cookie", &token)], "R401N"),
        (&[(NAME, "garbage")], "R401"),
        (&[(NAME, &forged)], "R401"),
        (&[(NAME, &long)], "R401"),
        (&[(NAME, &scopeless)], "R403"),
        (&[(NAME, "Bearer")], "R400"),
        (&[(NAME, "Basic eA==")], "R400"),
        (&[(NAME, &token), (NAME, &token)], "R400"),
        (&[(NAME, &token), ("authorization", &bearer)], "R400"),
        (&[(NAME, &token), ("authorization", "Basic eA==")], "R400"),
        (&[(NAME, &token), ("authorization", "")], "R400"),
        (&[("authorization", &bearer)], "R400"),
        (&[("authorization", "")], "R400"),
    ] {
        let reached = app.reached();
        let answer = app.send(request(Method::GET, headers)).await;
        assert_eq!(answer.verdict(), verdict, "{headers:.60?}");
        assert_eq!(app.reached() - reached, usize::from(verdict == "OK"), "{headers:.60?}");
        if verdict != "OK" {
            assert_eq!(answer.parameter("resource_metadata").as_deref(), Some(METADATA_URL));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        assert!(!format!("{answer:?}").contains(NAME), "no client can set the header of a proxy: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_another_header_is_ignored() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let token = fixture.token();
    assert_eq!(app.send(request(Method::GET, &[(NAME, &token)])).await.verdict(), "R401N");
    let both = [(NAME, "garbage"), ("authorization", &format!("Bearer {token}"))];
    assert_eq!(app.send(request(Method::GET, &both)).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_request_with_one_of_the_headers_is_never_anonymous() {
    let fixture = fixture().await;
    let token = fixture.token();
    let app = App::new(fixture.server.bearer_layer().allow_anonymous());
    for (headers, verdict, body) in [
        (&[][..], "OK", "anonymous"),
        (&[(NAME, token.as_str())], "OK", "alice"),
        (&[(NAME, "")], "R401N", ""),
        (&[(NAME, "garbage")], "R401", ""),
        (&[("authorization", "")], "R400", ""),
        (&[("authorization", "Basic eA==")], "R400", ""),
    ] {
        let answer = app.send(request(Method::GET, headers)).await;
        assert_eq!(answer.verdict(), verdict, "{headers:.60?}");
        assert!(verdict != "OK" || answer.body == body, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preflight_passes_and_allows_the_header() {
    let fixture = fixture().await;
    let preflight = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", NAME),
    ];
    let router = Router::new().route("/mcp", any(|| async { "preflight" })).route_layer(fixture.server.bearer_layer());
    let answer = router.clone().oneshot(request(Method::OPTIONS, &preflight)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let router = router.layer(fixture.server.cors_layer());
    let answer = router.oneshot(request(Method::OPTIONS, &preflight)).await.unwrap();
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], NAME);
}

#[tokio::test(start_paused = true)]
async fn log_lines_name_the_configured_header() {
    let capture = Capture::of_this_thread();
    let fixture = fixture().await;
    let app = fixture.app();
    let token = fixture.token();
    for (headers, parts) in [
        (&[][..], &["cause=\"missing_token\"", "send one header `cf-access-jwt-assertion`"][..]),
        (
            &[(NAME, "")],
            &["cause=\"other_scheme\"", "the header is empty", "send one header `cf-access-jwt-assertion`"],
        ),
        (&[(NAME, "a b")], &["cause=\"invalid_request\"", "send one header `cf-access-jwt-assertion`"]),
        (&[("authorization", "Bearer x")], &["cause=\"wrong_header\"", "remove the header `Authorization`"]),
        (&[(NAME, &token), ("authorization", "x")], &["cause=\"wrong_header\"", "kind=\"invalid_request\""]),
        (&[(NAME, "garbage")], &["cause=\"not_jwt\""]),
    ] {
        capture.take();
        app.send(request(Method::GET, headers)).await;
        let lines: Vec<_> = capture.take().into_iter().filter(|(_, line)| line.contains("::rejection")).collect();
        let [(_, line)] = lines.as_slice() else { panic!("{headers:.60?}: {lines:?}") };
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("garbage") && !line.contains(&token[..40]), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_503_and_a_flood_of_malformed_headers_causes_no_request() {
    let mut fixture = Fixture::cold();
    fixture.server = quiet(builder(&fixture));
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let app = fixture.app();
    let token = fixture.token();
    for _ in 0..1_000 {
        assert_eq!(app.send(request(Method::GET, &[(NAME, "a b")])).await.verdict(), "R400");
        let both = [(NAME, token.as_str()), ("authorization", "Bearer x")];
        assert_eq!(app.send(request(Method::GET, &both)).await.verdict(), "R400");
    }
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 0);
    assert_eq!(app.send(request(Method::GET, &[(NAME, &token)])).await.verdict(), "R503");
}

#[tokio::test(start_paused = true)]
async fn sessions_and_operations_use_the_token_of_the_configured_header() {
    let fixture = fixture().await;
    // Without `sub`, the session belongs to the token itself.
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").without("sub").sign();
    let other = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").without("sub").sign();
    assert_ne!(token, other);
    let layer = fixture.server.mcp_layer(McpScopes::new().tool("delete_note", ["notes:write"])).bind_sessions();
    let server = McpServer::with(layer, |_| ([("mcp-session-id", "s1")], "ok").into_response());
    let open = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}).to_string();
    let answer = server.post("", &[(NAME, &token)], open.clone()).await;
    let id = answer.header("mcp-session-id").unwrap().to_owned();
    assert!(id.starts_with("s1."), "{id}");
    for (token, status) in [(&token, 200), (&other, 404)] {
        let answer = server.post("", &[(NAME, token), ("mcp-session-id", &id)], open.clone()).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_note"}});
    assert_eq!(server.post("", &[(NAME, &token)], call.to_string()).await.status.as_u16(), 403);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_revalidated_with_the_token_of_the_configured_header() {
    let mut fixture = Fixture::cold();
    let issuer = fixture.issuer.issuer().introspect_all(ClientCredentials::basic("mcp-server", "s3cret"));
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone()).token_from(NAME);
    fixture.server = builder.build().await.unwrap();
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(DAY).opaque();
    let layer = fixture.server.mcp_layer(McpScopes::new()).revalidate_streams(Duration::from_secs(60));
    let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let server = McpServer::with(layer, move |_| ([("content-type", "text/event-stream")], endless()).into_response());
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "watch"}});
    let request = request(Method::POST, &[(NAME, &token), ("content-type", "application/json")]);
    let response = server.respond(request.map(|_| Body::from(call.to_string()))).await;
    assert_eq!(response.status(), StatusCode::OK);
    fixture.issuer.revoke(&token);
    // The token is revalidated within a minute. The positive cache answers for 30 s.
    let started = tokio::time::Instant::now();
    drop(response.into_body().collect().await);
    assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_self_check_finds_the_layer_of_a_server_with_another_header() {
    let fixture = fixture().await;
    for layer in [fixture.server.bearer_layer(), fixture.server.bearer_layer().allow_anonymous()] {
        let app = App::new(layer).router().merge(fixture.server.metadata_router());
        fixture.server.self_check(&app).await.unwrap();
    }
    let open = Router::new().route("/mcp", get(|| async { "open" }));
    let open = open.merge(fixture.server.metadata_router());
    fixture.server.self_check(&open).await.unwrap_err();
}

#[test]
fn a_header_that_cannot_have_a_token_fails_at_build() {
    for (name, part) in [
        ("authorization", "is read by default; remove the call"),
        ("Authorization", "is read by default; remove the call"),
        ("", "is not a header name"),
        ("x token", "is not a header name"),
        (":authority", "is not a header name"),
        ("x-token:", "is not a header name"),
        ("x-t\u{f6}ken", "is not a header name"),
        ("x\r\ny", "\"x\\r\\ny\""),
        ("cookie", "has another meaning"),
        ("Host", "has another meaning"),
        ("connection", "has another meaning"),
        ("te", "has another meaning"),
        ("transfer-encoding", "has another meaning"),
        ("proxy-authorization", "has another meaning"),
        ("content-type", "has another meaning"),
        ("forwarded", "has another meaning"),
        ("X-Forwarded-User", "has another meaning"),
        ("x-request-id", "has another meaning"),
        ("traceparent", "has another meaning"),
        ("mcp-session-id", "has another meaning"),
        ("dpop", "has another meaning"),
        ("sec-websocket-protocol", "has another meaning"),
        ("origin", "has another meaning"),
    ] {
        let builder = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER)).token_from(name);
        let message = quiet_error(builder);
        assert!(message.starts_with("`token_from` names the header \"") && message.contains(part), "{message}");
    }
    let long = format!("x {}", "y".repeat(100_000));
    let builder = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER)).token_from(long);
    assert!(builder.build_lazy().unwrap_err().to_string().len() < 400);
}

const AUDIENCE: &str = "/projects/123456789/global/backendServices/987654321";
const TAG: &str = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228";
const IAP: &str = "x-goog-iap-jwt-assertion";
const NOW: u64 = 1_800_000_000;

/// A client that answers requests for `url`, and no others, with the key set of an issuer on another host.
struct KeySetAt(&'static str, TestHttpClient);

impl HttpClient for KeySetAt {
    fn send(&self, mut request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        assert_eq!(request.uri().to_string(), self.0);
        let path = request.uri().path().to_owned();
        *request.uri_mut() = format!("https://proxy.example.com{path}").parse().unwrap();
        self.1.send(request, limits)
    }
}

/// A proxy whose key set is at `url`, an application behind it, and the metadata document.
async fn proxy(algorithm: Algorithm, url: &'static str, issuer: Issuer) -> (TestIssuer, App, String) {
    let clock = TestClock::at(NOW);
    let proxy = TestIssuer::builder("https://proxy.example.com").algorithm(algorithm).clock(clock.clone()).build();
    proxy.move_key_set(url.splitn(4, '/').last().map(|path| format!("/{path}")).unwrap().as_str());
    let issuer = issuer.http_client(KeySetAt(url, proxy.http_client()));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock).build().await.unwrap();
    let metadata = Request::get("/.well-known/oauth-protected-resource/mcp").body(Body::empty()).unwrap();
    let metadata = Router::new().merge(server.metadata_router()).oneshot(metadata).await.unwrap();
    let document = crate::support::Answer::of(metadata).await.body;
    (proxy, App::new(server.bearer_layer()), document)
}

/// Signs claims with these changes, in which `null` removes a claim. The header is that of the proxies.
fn sign(proxy: &TestIssuer, algorithm: &str, mut claims: Value, changes: Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let header = json!({"alg": algorithm, "typ": "JWT", "kid": proxy.key_id()});
    proxy.sign_raw(&proxy.key_id(), header.to_string(), claims.to_string())
}

#[tokio::test(start_paused = true)]
async fn tokens_of_google_iap_are_accepted_from_its_header() {
    let url = "https://www.gstatic.com/iap/verify/public_key-jwk";
    let issuer = providers::google_iap(AUDIENCE).scope_claim("/google/access_levels");
    let (proxy, app, document) = proxy(Algorithm::ES256, url, issuer).await;
    let claims = json!({
        "aud": AUDIENCE, "email": "alice@example.com", "exp": NOW + 600, "hd": "example.com", "iat": NOW,
        "google": {"access_levels": ["accessPolicies/1/accessLevels/staff"], "device_id": "d"},
        "identity_source": "GOOGLE", "iss": "https://cloud.google.com/iap", "sub": "accounts.google.com:1122",
    });
    for (changes, verdict) in [
        (json!({}), "OK"),
        (json!({"google": null, "hd": null}), "OK"),
        (json!({"aud": "/projects/123456789/global/backendServices/1"}), "R401"),
        (json!({"aud": RESOURCE}), "OK"),
        (json!({"aud": null}), "R401"),
        (json!({"iss": "https://accounts.google.com"}), "R401"),
        (json!({"exp": NOW - 61}), "R401"),
        (json!({"iat": NOW + 61}), "R401"),
    ] {
        let token = sign(&proxy, "ES256", claims.clone(), changes.clone());
        let answer = app.send(request(Method::GET, &[(IAP, &token)])).await;
        assert_eq!(answer.verdict(), verdict, "{changes}");
        assert!(verdict != "OK" || answer.body == "accounts.google.com:1122", "{answer:?}");
    }
    let token = sign(&proxy, "ES256", claims, json!({}));
    for headers in [&[("authorization", format!("Bearer {token}"))][..], &[(IAP, token), ("authorization", "x".into())]]
    {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(app.send(request(Method::GET, &headers)).await.verdict(), "R400");
    }
    assert!(!document.contains("authorization_servers"), "{document}");
    // The header with the name of the user does not have a signature.
    let unsigned = [("x-goog-authenticated-user-email", "accounts.google.com:alice@example.com")];
    assert_eq!(app.send(request(Method::GET, &unsigned)).await.verdict(), "R401N");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_cloudflare_access_are_accepted_from_its_header() {
    let url = "https://team.cloudflareaccess.com/cdn-cgi/access/certs";
    let (proxy, app, _) = proxy(Algorithm::RS256, url, providers::cloudflare_access("team", TAG)).await;
    // The document has the keys in PEM too.
    let mut document = proxy.jwk_set();
    document["public_cert"] = json!({"kid": proxy.key_id(), "cert": "-----BEGIN CERTIFICATE-----"});
    document["public_certs"] = json!([document["public_cert"].clone()]);
    proxy.publish_key_set(document);
    let claims = json!({
        "aud": [TAG], "email": "alice@example.com", "exp": NOW + 60, "iat": NOW, "nbf": NOW, "type": "app",
        "iss": "https://team.cloudflareaccess.com", "identity_nonce": "6ei69kawdKzMIAPF", "sub": "u-1", "country": "US",
    });
    for (changes, verdict, subject) in [
        (json!({}), "OK", "u-1"),
        (json!({"sub": "", "common_name": "e3.access", "email": null, "identity_nonce": null}), "OK", "service"),
        (json!({"aud": ["another"]}), "R401", ""),
        (json!({"iss": "https://other.cloudflareaccess.com"}), "R401", ""),
        (json!({"exp": NOW - 61}), "R401", ""),
    ] {
        let token = sign(&proxy, "RS256", claims.clone(), changes.clone());
        let answer = app.send(request(Method::GET, &[(NAME, &token)])).await;
        assert_eq!(answer.verdict(), verdict, "{changes}");
        assert!(verdict != "OK" || answer.body == subject, "{answer:?}");
    }
}

#[test]
fn issuers_whose_tokens_are_in_different_headers_fail_at_build() {
    let iap = || ResourceServer::builder(RESOURCE).issuer(providers::google_iap(AUDIENCE));
    for (builder, parts) in [
        (iap().issuer(Issuer::discover(ISSUER)), &[IAP, "\"authorization\"", ISSUER, "`token_from`"][..]),
        (iap().issuer(providers::cloudflare_access("team", TAG)), &[IAP, NAME]),
    ] {
        let message = quiet_error(builder);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    // A proxy that passes the token on in another header.
    quiet(iap().token_from("x-assertion"));
    quiet(iap().issuer(Issuer::discover(ISSUER)).token_from("x-assertion"));
}

fn quiet_error(builder: ResourceServerBuilder) -> String {
    builder.build_lazy().unwrap_err().to_string()
}
