//! The value of each metric after a scripted series of events.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, header};
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::testing::{Endpoint, Fault, TestHttpClient, TestIssuer};
use mcp_bearer::{ResourceServer, Revocation};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tokio::time::sleep;

use crate::exporter::Exporter;
use crate::server::{JWTS, OPAQUE, RESOURCE, Server, get, introspected};

const ACCEPTED: &str = "mcp_bearer_tokens_accepted_total";
const REJECTED: &str = "mcp_bearer_requests_rejected_total";
const VERIFICATIONS: &str = "mcp_bearer_verification_duration_seconds_count";
const KEY_SET_FETCHES: &str = "mcp_bearer_key_set_fetch_duration_seconds_count";
const METADATA_FETCHES: &str = "mcp_bearer_metadata_fetch_duration_seconds_count";
const INTROSPECTIONS: &str = "mcp_bearer_introspection_duration_seconds_count";
const SUSPENDED: &str = "mcp_bearer_introspection_suspended";
const STREAMS_ENDED: &str = "mcp_bearer_streams_ended_total";

#[tokio::test(start_paused = true)]
async fn a_server_without_requests_has_its_gauges() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let page = exporter.page();
    assert_eq!(page.value(ACCEPTED, &[("resource", RESOURCE)]), Some(0.0));
    assert_eq!(page.value("mcp_bearer_verified_token_cache_entries", &[("resource", RESOURCE)]), Some(0.0));
    assert_eq!(page.value(SUSPENDED, &[("issuer", OPAQUE)]), Some(0.0));
    assert_eq!(page.value("mcp_bearer_introspection_cache_entries", &[("issuer", OPAQUE)]), Some(0.0));
    assert_eq!(page.value(SUSPENDED, &[("issuer", JWTS)]), None);
    assert_eq!(page.value("mcp_bearer_key_set_keys", &[("issuer", JWTS)]), Some(1.0));
    assert_eq!(page.value("mcp_bearer_key_set_unusable_keys", &[("issuer", JWTS)]), Some(0.0));
    for issuer in [JWTS, OPAQUE] {
        assert_eq!(page.value(METADATA_FETCHES, &[("issuer", issuer), ("result", "fetched")]), Some(1.0), "{issuer}");
    }
    assert_eq!(page.value(KEY_SET_FETCHES, &[("issuer", JWTS), ("result", "modified")]), Some(1.0));
    // A made-up token checks the credentials.
    assert_eq!(page.value(INTROSPECTIONS, &[("issuer", OPAQUE), ("result", "inactive")]), Some(1.0));
    assert_eq!(page.value(REJECTED, &[]), None);
    drop(server);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "Prometheus compares the metrics with the time of the system")]
async fn the_key_set_has_the_time_of_its_fetch_and_the_end_of_its_use() {
    let exporter = Exporter::start();
    let issuer = TestIssuer::new(JWTS);
    issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "max-age=600")]));
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let before = now();
    let _server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build().await.unwrap();
    let page = exporter.page();
    let of = |name: &str| page.value(name, &[("issuer", JWTS)]).unwrap();
    let fetched = of("mcp_bearer_key_set_fetched_timestamp_seconds");
    assert!((before..=now()).contains(&fetched), "{fetched}");
    // The lifetime, up to a tenth shorter, and the hour for which the last key set is used during an outage.
    let used_for = of("mcp_bearer_key_set_usable_until_timestamp_seconds") - fetched;
    assert!((4139.0..=4201.0).contains(&used_for), "{used_for}");
}

#[tokio::test(start_paused = true)]
async fn accepted_and_cached_tokens_are_counted() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let (first, second, opaque) = (
        server.token().sign(),
        server.token().subject("bob").sign(),
        server.opaque.token().audience(RESOURCE).scope("mcp:tools").opaque(),
    );
    for token in [&first, &first, &second, &first, &opaque, &opaque, &opaque] {
        assert_eq!(server.rest(token).await, 200);
    }
    for (name, labels, value) in [
        (ACCEPTED, &[("resource", RESOURCE)][..], 7.0),
        (VERIFICATIONS, &[("resource", RESOURCE), ("result", "accepted")], 7.0),
        ("mcp_bearer_verified_token_cache_hits_total", &[("resource", RESOURCE)], 2.0),
        ("mcp_bearer_verified_token_cache_entries", &[("resource", RESOURCE)], 2.0),
        ("mcp_bearer_introspection_cache_hits_total", &[("issuer", OPAQUE)], 2.0),
        ("mcp_bearer_introspection_cache_entries", &[("issuer", OPAQUE)], 1.0),
        (INTROSPECTIONS, &[("issuer", OPAQUE), ("result", "active")], 1.0),
    ] {
        assert_eq!(exporter.value(name, labels), Some(value), "{name} {labels:?}");
    }
    server.server.forget(&first);
    assert_eq!(exporter.value("mcp_bearer_verified_token_cache_entries", &[]), Some(1.0));
    server.server.forget(&opaque);
    assert_eq!(exporter.value("mcp_bearer_introspection_cache_entries", &[]), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn each_cause_of_a_rejection_is_counted() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let request = || Request::get("/rest");
    let with = |token: String| request().header(header::AUTHORIZATION, format!("Bearer {token}"));
    let credentials = |value: &str| request().header(header::AUTHORIZATION, value);
    let forged = server.token().sign().rsplit_once('.').unwrap().0.to_owned() + "." + &"A".repeat(86);
    // Each cause, and whether a token was verified.
    let causes = [
        ("missing_token", false, request()),
        ("token_in_query", false, Request::get("/rest?access_token=x")),
        ("other_scheme", false, credentials("Basic eA==")),
        ("invalid_request", false, credentials("Bearer a b")),
        ("origin", false, request().header(header::ORIGIN, "https://evil.example")),
        ("too_long", true, with("A".repeat(20_000))),
        ("algorithm", true, with(server.token().header("alg", "HS256").sign())),
        ("critical_header", true, with(server.token().header("crit", json!(["exp"])).sign())),
        ("token_type", true, with(server.token().header("typ", "dpop+jwt").sign())),
        ("claims", true, with(server.token().claim("exp", "soon").sign())),
        ("issuer", true, with(server.token().claim("iss", "https://other.example.com").sign())),
        ("audience", true, with(server.token().claim("aud", "https://other.example.com").sign())),
        ("no_audience", true, with(server.token().without("aud").sign())),
        ("no_expiry", true, with(server.token().without("exp").sign())),
        ("expired", true, with(server.token().expired().sign())),
        ("not_yet_valid", true, with(server.token().claim("nbf", 4_000_000_000_u64).sign())),
        ("sender_constrained", true, with(server.token().claim("cnf", json!({"jkt": "x"})).sign())),
        ("unknown_key", true, with(server.token().header("kid", "other").sign())),
        ("signature", true, with(forged)),
        ("inactive", true, with("unknown".to_owned())),
        ("insufficient_scope", true, with(server.jwts.token().audience(RESOURCE).sign())),
    ];
    let (mut rejected, mut verified) = (0.0, 0.0);
    for (cause, is_verified, request) in causes {
        server.send(request.body(Body::empty()).unwrap()).await;
        rejected += 1.0;
        verified += f64::from(u8::from(is_verified));
        let page = exporter.page();
        assert_eq!(page.value(REJECTED, &[("resource", RESOURCE), ("cause", cause)]), Some(1.0), "{cause}");
        let all: f64 = page.samples.iter().filter(|sample| sample.name == REJECTED).map(|sample| sample.value).sum();
        assert_eq!(all, rejected, "{cause}");
        let rejections = page.value(VERIFICATIONS, &[("resource", RESOURCE), ("result", "rejected")]);
        assert_eq!(rejections.unwrap_or_default(), verified, "{cause}");
    }
    assert_eq!(exporter.value(ACCEPTED, &[]), Some(0.0));
    // One for the made-up token that checks the credentials at start-up.
    assert_eq!(exporter.value(INTROSPECTIONS, &[("issuer", OPAQUE), ("result", "inactive")]), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_jwts_are_counted_where_no_issuer_introspects() {
    let exporter = Exporter::start();
    let issuer = TestIssuer::new(JWTS);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build().await.unwrap();
    for (token, cause) in [("opaque", "not_jwt"), ("a.b.c", "malformed"), ("a.b.c.d.e", "encrypted")] {
        assert_eq!(get(&server, Some(token)).await, 401);
        assert_eq!(exporter.value(REJECTED, &[("resource", RESOURCE), ("cause", cause)]), Some(1.0), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_mcp_operation_that_is_rejected_counts_its_token_as_accepted() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let token = server.token().sign();
    for (tool, headers, cause) in [
        ("write", &[][..], "insufficient_scope"),
        ("other", &[], "unlisted"),
        ("watch", &[("mcp-session-id", "made-up")], "unknown_session"),
        ("watch", &[("mcp-method", "tools/list")], "header_mismatch"),
    ] {
        server.call(&token, tool, headers).await;
        assert_eq!(exporter.value(REJECTED, &[("cause", cause)]), Some(1.0), "{cause}");
    }
    // One verification each: the rejections by the MCP layer add none.
    assert_eq!(exporter.value(ACCEPTED, &[]), Some(4.0));
    assert_eq!(exporter.value(VERIFICATIONS, &[("result", "accepted")]), Some(4.0));
    assert_eq!(exporter.value(VERIFICATIONS, &[("result", "rejected")]), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_with_its_token_is_counted_by_its_reason() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let day = Duration::from_secs(24 * 3600);
    let token = || server.opaque.token().audience(RESOURCE).scope("mcp:tools").expires_in(day).opaque();
    let narrow = json!({"active": true, "aud": RESOURCE, "scope": "other"});
    let down = || server.opaque.fault(Endpoint::Introspection, Fault::Drop);
    let (revoked, narrowed, unverified, listed) = (token(), token(), token(), token());
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + 10 * day;
    let revoke = || drop(server.server.revoke(Revocation::token(&*listed), until).now_or_never().unwrap());
    let changes: [(_, &str, &dyn Fn()); 5] = [
        (&server.token().sign(), "expired", &|| {}),
        (&revoked, "rejected", &|| server.opaque.revoke(&revoked)),
        (&narrowed, "scope_missing", &|| server.opaque.introspection_answer(&narrowed, narrow.clone())),
        (&listed, "revoked", &revoke),
        (&unverified, "unverified", &down),
    ];
    for (token, reason, change) in changes {
        let later = async {
            sleep(Duration::from_secs(1)).await;
            change();
        };
        let (status, ()) = tokio::join!(server.call(token, "watch", &[]), later);
        assert_eq!(status, 200);
        assert_eq!(exporter.value(STREAMS_ENDED, &[("resource", RESOURCE), ("reason", reason)]), Some(1.0), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_key_set_and_its_end_are_counted() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let fetches = |result: &str| exporter.value(KEY_SET_FETCHES, &[("issuer", JWTS), ("result", result)]);
    assert_eq!((fetches("modified"), fetches("not_modified"), fetches("failed")), (Some(1.0), None, None));
    server.jwts.fault(Endpoint::KeySet, Fault::Status(500));
    sleep(Duration::from_secs(3 * 3600)).await;
    server.rest(&server.token().sign()).await;
    assert!(fetches("failed").unwrap() > 1.0);
    assert_eq!(exporter.value(REJECTED, &[("cause", "unavailable")]), Some(1.0));
    assert_eq!(exporter.value(VERIFICATIONS, &[("result", "unavailable")]), Some(1.0));
    server.jwts.heal();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(server.rest(&server.token().sign()).await, 200);
    assert!(fetches("not_modified").unwrap() >= 1.0);
}

#[tokio::test(start_paused = true)]
async fn unusable_keys_are_counted_until_they_are_removed() {
    let exporter = Exporter::start();
    let issuer = TestIssuer::new(JWTS);
    let good = issuer.jwk_set();
    let mut keys = good.clone();
    let unusable = json!({"kty": "RSA", "use": "sig", "kid": "small", "n": "AQAB", "e": "AQAB"});
    keys["keys"].as_array_mut().unwrap().extend([unusable.clone(), unusable]);
    issuer.publish_key_set(keys);
    let _server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build().await.unwrap();
    let keys = || {
        let of = |name: &str| exporter.value(name, &[("issuer", JWTS)]).unwrap();
        (of("mcp_bearer_key_set_keys"), of("mcp_bearer_key_set_unusable_keys"))
    };
    assert_eq!(keys(), (1.0, 2.0));
    issuer.publish_key_set(good);
    // Without requests, the key set is fetched again shortly before the end of its use.
    sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(keys(), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn failed_and_wrong_metadata_is_counted() {
    let exporter = Exporter::start();
    let wrong = TestIssuer::new(JWTS);
    wrong.set_metadata_member("issuer", "https://evil.example.com");
    let down = TestIssuer::new(OPAQUE);
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
        down.fault(endpoint, Fault::Status(500));
    }
    let builder = ResourceServer::builder(RESOURCE).issuer(wrong.issuer()).issuer(down.issuer());
    let _server = builder.build_lazy().unwrap();
    sleep(Duration::from_secs(5)).await;
    let fetches =
        |issuer: &str, result: &str| exporter.value(METADATA_FETCHES, &[("issuer", issuer), ("result", result)]);
    assert!(fetches(JWTS, "issuer_mismatch").unwrap() >= 1.0);
    assert!(fetches(OPAQUE, "failed").unwrap() >= 1.0);
    assert_eq!((fetches(JWTS, "fetched"), fetches(OPAQUE, "fetched")), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_suspension_of_introspection_is_shown_until_it_ends() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let introspections = |result: &str| exporter.value(INTROSPECTIONS, &[("issuer", OPAQUE), ("result", result)]);
    let suspended = || exporter.value(SUSPENDED, &[("issuer", OPAQUE)]);
    server.opaque.fault(Endpoint::Introspection, Fault::Drop);
    for number in 0..5 {
        assert_eq!(suspended(), Some(0.0));
        assert_eq!(server.rest(&format!("opaque-{number}")).await, 503);
    }
    assert_eq!((introspections("failed"), suspended()), (Some(5.0), Some(1.0)));
    server.opaque.heal();
    sleep(Duration::from_secs(60)).await;
    let token = server.opaque.token().audience(RESOURCE).scope("mcp:tools").opaque();
    assert_eq!(server.rest(&token).await, 200);
    assert_eq!((introspections("active"), suspended()), (Some(1.0), Some(0.0)));
    // A second server that shares the issuer does not reset the gauge.
    server.opaque.fault(Endpoint::Introspection, Fault::Drop);
    let issuer = introspected(&server.opaque);
    let first = ResourceServer::builder(RESOURCE).issuer(issuer.clone()).build_lazy().unwrap();
    for number in 0..5 {
        assert_eq!(get(&first, Some(&format!("opaque-{number}"))).await, 503);
    }
    assert_eq!(suspended(), Some(1.0));
    let _second = ResourceServer::builder("https://other.example.com").issuer(issuer).build_lazy().unwrap();
    assert_eq!(suspended(), Some(1.0));
}

/// Responds to each introspection request as a server that introspects no JWTs.
struct Unsupported(TestHttpClient);

impl HttpClient for Unsupported {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        if request.uri().path() != "/introspect" {
            return self.0.send(request, limits);
        }
        let mut response = Response::new(Bytes::from_static(br#"{"error":"unsupported_token_type"}"#));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        Box::pin(async { Ok(response) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_kind_that_is_not_introspected_is_counted() {
    let exporter = Exporter::start();
    let issuer = TestIssuer::new(OPAQUE);
    let configured = introspected(&issuer).http_client(Unsupported(issuer.http_client()));
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build_lazy().unwrap();
    get(&server, Some("opaque")).await;
    assert!(exporter.value(INTROSPECTIONS, &[("issuer", OPAQUE), ("result", "unsupported")]).unwrap() >= 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_is_not_counted() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let before = exporter.page().sorted();
    server.server.explain(&server.token().expired().sign()).await;
    server.server.explain("unknown").await;
    assert_eq!(exporter.page().sorted(), before);
}

#[tokio::test(start_paused = true)]
async fn two_servers_of_one_process_have_their_own_series() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let other = "https://other.example.com";
    let second = ResourceServer::builder(other).issuer(server.jwts.issuer()).build().await.unwrap();
    server.rest(&server.token().sign()).await;
    assert_eq!(get(&second, None).await, 401);
    assert_eq!(exporter.value(ACCEPTED, &[("resource", RESOURCE)]), Some(1.0));
    assert_eq!(exporter.value(ACCEPTED, &[("resource", other)]), Some(0.0));
    assert_eq!(exporter.value(REJECTED, &[("resource", other), ("cause", "missing_token")]), Some(1.0));
    assert_eq!(exporter.value(REJECTED, &[("resource", RESOURCE)]), None);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_installed_later_gets_later_events() {
    let server = Server::new().await;
    let exporter = Exporter::start();
    assert!(exporter.page().samples.is_empty());
    server.rest(&server.token().sign()).await;
    assert_eq!(exporter.value(ACCEPTED, &[("resource", RESOURCE)]), Some(1.0));
    assert_eq!(exporter.value("mcp_bearer_key_set_keys", &[]), None);
    sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(exporter.value("mcp_bearer_key_set_keys", &[("issuer", JWTS)]), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn the_naming_rules_of_the_exporter_change_no_name() {
    let names = async |builder: PrometheusBuilder| {
        let exporter = Exporter::with(builder);
        let server = Server::new().await;
        server.rest(&server.token().sign()).await;
        server.rest("unknown").await;
        exporter.page().types
    };
    let plain = names(PrometheusBuilder::new()).await;
    assert_eq!(names(PrometheusBuilder::new().with_recommended_naming(true)).await, plain);
}
