//! The log line of a rejection, which tells an operator the cause and the values.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::events::Event;
use mcp_bearer::testing::{TestIssuer, TestToken};
use serde_json::json;
use tokio::time::sleep;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, Fixture, ISSUER, RESOURCE};

/// The log lines about rejections since the last call.
fn rejections(capture: &Capture) -> Vec<(Level, String)> {
    capture.take().into_iter().filter(|(_, line)| line.starts_with("mcp_bearer::rejection")).collect()
}

/// One rejected request, and parts of its log line.
struct Case {
    request: Request<Body>,
    parts: Vec<String>,
}

fn request(authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::post("/mcp?x=1").body(Body::empty()).unwrap();
    if let Some(value) = authorization {
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
    }
    request
}

fn case(authorization: &str, parts: &[&str]) -> Case {
    Case { request: request(Some(authorization)), parts: parts.iter().map(|part| (*part).to_owned()).collect() }
}

fn token(token: TestToken, parts: &[&str]) -> Case {
    case(&format!("Bearer {}", token.sign()), parts)
}

#[tokio::test(start_paused = true)]
async fn a_rejection_says_what_was_expected_and_what_was_found() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let valid = || fixture.issuer.token().audience(RESOURCE).scope("mcp:tools");
    let now = fixture.clock.since_epoch().as_secs();
    let in_query = Request::get("/mcp?a=b&access_token=SECRET").body(Body::empty()).unwrap();
    for Case { request, parts } in [
        Case {
            request: request(None),
            parts: vec!["message=request rejected: no access token ".into(), "cause=\"missing_token\"".into()],
        },
        Case {
            request: in_query,
            parts: vec![
                "cause=\"token_in_query\"".into(),
                "the token in the query is not used".into(),
                "path=/mcp".into(),
            ],
        },
        case(
            "DPoP eyJhbGciOi.x.y",
            &["cause=\"other_scheme\"", "expected=\"Bearer\" found=\"DPoP\"", "kind=\"missing_token\""],
        ),
        case("Basic YWxpY2U6c2VjcmV0", &["cause=\"other_scheme\"", "found=\"Basic\""]),
        case("eyJhbGciOi.x.y", &["cause=\"other_scheme\"", "write `Authorization: Bearer <token>`"]),
        case("Bearer a b", &["cause=\"invalid_request\"", "the credentials are not one bearer token"]),
        case(
            "Bearer gho_16C7e42F292c6912E7710c838347Ae178B4a",
            &["cause=\"not_jwt\"", "not a JWT, and no issuer introspects opaque tokens", "`Issuer::introspect_opaque`"],
        ),
        case("Bearer a.b.c", &["cause=\"malformed\"", "not a JWT in compact form"]),
        case("Bearer a.b.c.d.e", &["cause=\"encrypted\""]),
        case(
            &format!("Bearer {}", "A".repeat(20_000)),
            &["cause=\"too_long\"", "the token has 20000 bytes; `max_token_length` is 16384"],
        ),
        token(valid().header("alg", "HS256"), &["cause=\"algorithm\"", "found=\"HS256\"", "expected=\"RS256"]),
        token(valid().header("typ", "dpop+jwt"), &["cause=\"token_type\"", "expected=\"at+jwt\" found=\"dpop+jwt\""]),
        token(valid().header("typ", "JWT").claim("nonce", "n"), &["cause=\"token_type\"", "claim of an ID token"]),
        token(valid().claim("exp", "soon"), &["cause=\"claims\"", "the claim \"exp\" is missing or has a wrong type"]),
        token(valid().claim("scope", 1), &["cause=\"claims\"", "the claim \"scope\""]),
        token(
            valid().claim("iss", "https://auth.example.com/"),
            &[
                "message=access token rejected: issuer not accepted ",
                "cause=\"issuer\"",
                "expected=\"https://auth.example.com\" found=\"https://auth.example.com/\"",
            ],
        ),
        token(valid().without("iss"), &["cause=\"issuer\"", "the claim \"iss\" is missing"]),
        token(
            valid().claim("aud", "https://mcp.example.com/mcp/"),
            &[
                "message=access token rejected: audience mismatch ",
                "cause=\"audience\"",
                "expected=\"https://mcp.example.com/mcp\" found=\"https://mcp.example.com/mcp/\"",
            ],
        ),
        token(valid().claim("aud", json!(["account", "a\nb"])), &["found=\"account, a\\\\nb\""]),
        token(
            valid().without("aud"),
            &[
                "message=access token rejected: no audience ",
                "cause=\"no_audience\"",
                "expected=\"https://mcp.example.com/mcp\" found=\"\"",
            ],
        ),
        token(valid().without("exp"), &["cause=\"no_expiry\""]),
        token(
            valid().claim("exp", now - 95),
            &["cause=\"expired\"", "the token expired 95 s ago; `clock_skew` is 60 s"],
        ),
        token(
            valid().claim("iat", now + 90),
            &["cause=\"not_yet_valid\"", "90 s ahead of the clock of this machine, which may be behind"],
        ),
        token(valid().claim("cnf", json!({"jkt": "x"})), &["cause=\"sender_constrained\""]),
        token(valid().header("kid", "other"), &["cause=\"unknown_key\"", "kid=other"]),
        token(
            valid().scope("notes:read email"),
            &[
                "message=access token rejected: scope missing ",
                "cause=\"insufficient_scope\"",
                "required=\"mcp:tools\" granted=\"notes:read email\"",
            ],
        ),
    ] {
        capture.take();
        let is_post = request.method() == "POST";
        app.send(request).await;
        let lines = rejections(&capture);
        let [(level, line)] = &lines[..] else { panic!("{parts:?}: {lines:?}") };
        assert_eq!(*level, Level::INFO, "{line}");
        for part in
            parts.iter().map(String::as_str).chain(["path=/mcp", if is_post { "method=POST" } else { "method=GET" }])
        {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("SECRET") && !line.contains("eyJ") && !line.contains("gho_"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_introspected_token_is_rejected_with_the_same_details() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let issuer = TestIssuer::builder(ISSUER).introspection_client("rs", "secret").build();
    let configured =
        issuer.issuer().introspect_all(mcp_bearer::introspection::ClientCredentials::basic("rs", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    for (token, claims, expected) in [
        ("t1", json!({"active": true, "token_type": "Bearer"}), "cause=\"no_audience\""),
        (
            "t2",
            json!({"active": true, "aud": "other"}),
            "cause=\"audience\" expected=\"https://mcp.example.com/mcp\" found=\"other\"",
        ),
        ("t3", json!({"active": false}), "cause=\"inactive\""),
    ] {
        issuer.introspection_answer(token, claims);
        capture.take();
        app.with_token(token).await;
        let lines = rejections(&capture);
        assert!(lines.len() == 1 && lines[0].1.contains(expected), "{expected}: {lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_repeats_the_ids_of_the_request_and_the_response_has_none() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (name, value, expected) in [
        ("x-request-id", "req-1".to_owned(), "request_id=\"req-1\"".to_owned()),
        ("traceparent", parent.to_owned(), format!("traceparent={parent:?}")),
        ("x-request-id", "i".repeat(500), format!("request_id={:?}", "i".repeat(64))),
    ] {
        capture.take();
        let mut request = request(Some("Bearer a.b.c"));
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = app.send(request).await;
        assert!(answer.headers.get(name).is_none());
        let lines = rejections(&capture);
        assert!(lines[0].1.contains(&expected), "{lines:?}");
    }
    // Without the headers, the line does not have these fields. An id with a control character is left out.
    let mut odd = request(Some("Bearer a.b.c"));
    odd.headers_mut().insert("x-request-id", "a\tb".parse().unwrap());
    for request in [request(Some("Bearer a.b.c")), odd] {
        app.send(request).await;
        let lines = rejections(&capture);
        assert!(!lines[0].1.contains("request_id") && !lines[0].1.contains("traceparent"), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_can_be_omitted_from_the_log() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let issuer = TestIssuer::new(ISSUER);
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let observed = Arc::clone(&seen);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer())
        .omit_claims_from_log()
        .observer(move |event: &Event<'_>| {
            if let Event::TokenRejected(rejected) | Event::ScopeMissing(rejected) = event {
                observed.lock().unwrap().extend(rejected.detail.map(ToString::to_string));
            }
        })
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    capture.take();
    for token in [
        issuer.token().audience("https://private.example.com"),
        issuer.token().audience(RESOURCE).scope("private"),
        issuer.token().audience(RESOURCE).claim("iss", "https://private.example.com"),
    ] {
        let token = token.sign();
        for _ in 0..5 {
            app.with_token(&token).await;
        }
    }
    sleep(Duration::from_secs(61)).await;
    let lines = rejections(&capture);
    assert_eq!(lines.len(), 18, "{lines:?}");
    assert!(lines.iter().all(|(_, line)| !line.contains("private")), "{lines:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|detail| detail.contains("private")).count(), 15, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_rejected_requests_writes_at_most_twenty_lines() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let wrong = fixture.issuer.token().audience("https://other.example.com/x").sign();
    let expired = fixture.issuer.token().audience(RESOURCE).expired().sign();
    capture.take();
    for number in 0..10_000 {
        let authorization = match number % 4 {
            0 => "Basic eA==".to_owned(),
            1 => format!("Bearer opaque-{number}"),
            2 => format!("Bearer {wrong}"),
            _ => format!("Bearer {expired}"),
        };
        app.send(request(Some(&authorization))).await;
    }
    sleep(Duration::from_secs(61)).await;
    let lines: Vec<_> = capture.take().into_iter().filter(|(level, _)| *level <= Level::INFO).collect();
    assert!((16..=20).contains(&lines.len()), "{lines:?}");
    let summary = lines.iter().find(|(level, line)| *level == Level::WARN && line.contains("\"audience\"")).unwrap();
    for part in [
        "message=2500 requests were rejected within a minute: audience mismatch",
        "count=2500",
        "expected=\"https://mcp.example.com/mcp\"",
        "last_found=\"https://other.example.com/x\"",
    ] {
        assert!(summary.1.contains(part), "{part} in {}", summary.1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_rejects_a_token_logs_the_request() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let handler = async |auth: mcp_bearer::AuthInfo| auth.require_scopes(["notes:write"]).map(|()| "written");
    let router = axum::Router::new()
        .route("/notes/{id}", axum::routing::delete(handler))
        .route_layer(fixture.server.bearer_layer());
    let request = Request::delete("/notes/7")
        .header(header::AUTHORIZATION, format!("Bearer {}", fixture.token()))
        .header("x-request-id", "r7")
        .body(Body::empty())
        .unwrap();
    capture.take();
    tower::ServiceExt::oneshot(router, request).await.unwrap();
    let lines = rejections(&capture);
    let [(_, line)] = &lines[..] else { panic!("{lines:?}") };
    for part in ["method=DELETE path=/notes/7", "request_id=\"r7\"", "required=\"notes:write\" granted=\"mcp:tools\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_scopes_leads_to_the_claim_that_may_have_them() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    for (claim, value, expected) in [
        ("permissions", json!(["mcp:tools"]), r#"call `Issuer::scope_claim(\"/permissions\")`"#),
        ("realm_access", json!({"roles": ["mcp:tools"]}), r#"call `Issuer::scope_claim(\"/realm_access/roles\")`"#),
        ("roles", json!(["mcp:tools"]), "the claim `roles`"),
        ("groups", json!(["mcp:tools"]), "the claim `groups`"),
        ("other", json!(1), "the token does not have scopes: let the client request them"),
    ] {
        capture.take();
        app.with_token(&fixture.issuer.token().audience(RESOURCE).claim(claim, value).sign()).await;
        let lines = rejections(&capture);
        assert!(lines.len() == 1 && lines[0].1.contains(expected), "{expected}: {lines:?}");
    }
    // A token with other scopes has the usual advice.
    app.with_token(&fixture.issuer.token().audience(RESOURCE).scope("x").claim("roles", json!(["r"])).sign()).await;
    let lines = rejections(&capture);
    assert!(lines[0].1.contains("let the client request the required scopes"), "{lines:?}");
}
