//! The cache of introspection responses: what it stores, and for how long.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::introspection::Introspection;
use mcp_bearer::testing::{Endpoint, Fault, TestClock};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;
use tokio::time::advance;

use super::stub::{Page, Stub, active};
use super::{BareLayer, Fixture, START, credentials};
use crate::support::{App, RESOURCE, quiet};

const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn positive_cache_entry_expires_after_its_time_and_never_after_exp() {
    let with = |time| Introspection::new(credentials()).positive_cache(time);
    for (introspection, lifetime, expected) in [
        (credentials().into(), 300, 30),
        (with(seconds(1)), 300, 1),
        (with(seconds(300)), 3600, 300),
        // The clock skew of one minute applies only if the authorization server reports the token as active.
        (credentials().into(), 10, 10),
        (with(seconds(300)), 299, 299),
    ] {
        let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
        let app = fixture.app();
        let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(seconds(lifetime)).opaque();
        for _ in 0..3 {
            assert_eq!(app.with_token(&token).await.verdict(), "OK");
        }
        // The token is revoked. The next introspection shows it.
        fixture.issuer.revoke(&token);
        advance(seconds(expected) - MILLISECOND).await;
        assert_eq!(
            (app.with_token(&token).await.verdict().as_str(), fixture.introspections()),
            ("OK", 1),
            "{expected}"
        );
        advance(MILLISECOND).await;
        assert_eq!(
            (app.with_token(&token).await.verdict().as_str(), fixture.introspections()),
            ("R401", 2),
            "{expected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_entry_is_renewed_by_a_new_response() {
    let fixture = Fixture::new().await;
    let (app, token) = (fixture.app(), fixture.token());
    for requests in 1..=5 {
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        advance(seconds(29)).await;
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", requests));
        advance(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_entry_without_exp_expires() {
    let stub = Stub::with_page(Page::json(&active()));
    let app = stub.app();
    for requests in 1..=3 {
        assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.introspections()), ("OK", requests));
        advance(seconds(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_is_disabled_by_zero() {
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO);
    let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
    let (app, token) = (fixture.app(), fixture.token());
    for requests in 1..=3 {
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", requests));
    }
    fixture.issuer.revoke(&token);
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn positive_cache_rechecks_exp_and_nbf_on_a_hit() {
    let introspection = || Introspection::new(credentials()).positive_cache(seconds(300));
    // Only the wall clock advances. The cached result expires by the clock of Tokio.
    for (shown, expected) in [
        (START + 359, None),
        (START + 360, Some(CheckFailure::Expired)),
        (START - 60, None),
        (START - 61, Some(CheckFailure::NotYetValid)),
    ] {
        let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection())).await;
        let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(seconds(300));
        let (app, token) = (fixture.app(), token.without("iat").claim("nbf", START).opaque());
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        fixture.clock.set(shown);
        let answer = app.with_token(&token).await;
        let kind = answer.rejection.map(|rejection| rejection.kind());
        assert_eq!(kind, expected.map(RejectionKind::InvalidToken), "{shown}");
        fixture.clock.set(START);
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", 1), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_entry_expires_after_its_time() {
    let with = |time| Introspection::new(credentials()).negative_cache(seconds(time));
    for (introspection, expected) in [(credentials().into(), 10), (with(60), 60), (with(1), 1)] {
        let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
        let app = fixture.app();
        let mut answer = active();
        for _ in 0..3 {
            assert_eq!(app.with_token("early").await.verdict(), "R401");
        }
        // The token was first sent before all replicas of the issuer knew it. From now on it is active.
        answer["exp"] = (START + 300).into();
        fixture.issuer.introspection_answer("early", answer);
        advance(seconds(expected) - MILLISECOND).await;
        assert_eq!(
            (app.with_token("early").await.verdict().as_str(), fixture.introspections()),
            ("R401", 1),
            "{expected}"
        );
        advance(MILLISECOND).await;
        assert_eq!(
            (app.with_token("early").await.verdict().as_str(), fixture.introspections()),
            ("OK", 2),
            "{expected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_is_disabled_by_zero() {
    let introspection = Introspection::new(credentials()).negative_cache(Duration::ZERO);
    let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
    let app = fixture.app();
    for requests in 1..=3 {
        assert_eq!((app.with_token("early").await.verdict().as_str(), fixture.introspections()), ("R401", requests));
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_never_stores_an_error() {
    for fault in [
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(404),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Drop,
        Fault::Html,
        Fault::Garbage,
        Fault::Truncated,
        Fault::Oversize,
        Fault::Delay(seconds(60)),
        Fault::Document(json!({ "active": "false" })),
        Fault::Document(json!({ "error": "server_error" })),
    ] {
        let name = format!("{fault:?}");
        let fixture = Fixture::new().await;
        let (app, token) = (fixture.app(), fixture.token());
        fixture.issuer.fault(Endpoint::Introspection, fault);
        assert_eq!(app.with_token(&token).await.verdict(), "R503", "{name}");
        fixture.issuer.heal();
        assert_eq!(app.with_token(&token).await.verdict(), "OK", "{name}");
        assert_eq!(app.with_token("never-heard-of").await.verdict(), "R401", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_tokens_evict_no_valid_token() {
    let seen_tokens = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&seen_tokens);
    let stub = Stub::new(move |token| {
        let is_valid = token.starts_with("valid");
        assert!(!is_valid || seen.lock().unwrap().insert(token.to_owned()), "{token} was introspected twice");
        Page::json(&if is_valid { active() } else { json!({ "active": false }) })
    });
    let (layer, valid) = (BareLayer::new(&stub.server()), super::numbered("valid", 500));
    assert_eq!(layer.count(&valid, StatusCode::OK).await, 500);
    for burst in 0..20 {
        let garbage = super::numbered(&format!("garbage-{burst}"), 1_000);
        assert_eq!(layer.count(&garbage, StatusCode::UNAUTHORIZED).await, 1_000);
    }
    assert_eq!(layer.count(&valid, StatusCode::OK).await, 500);
    assert_eq!((seen_tokens.lock().unwrap().len(), stub.introspections()), (500, 20_500));
}

#[tokio::test(start_paused = true)]
async fn cache_key_depends_on_every_byte_of_a_token() {
    let common = "x".repeat(64);
    let stub = Stub::new(|token| Page::json(&if token.contains('+') { active() } else { json!({ "active": false }) }));
    let app = stub.app();
    let tokens = [
        (format!("{common}+"), "OK"),
        (format!("{common}-"), "R401"),
        (format!("+{common}"), "OK"),
        (format!("-{common}"), "R401"),
        (format!("{common}+{common}"), "OK"),
        (format!("{common}-{common}"), "R401"),
        (common.clone(), "R401"),
    ];
    for _ in 0..2 {
        for (token, expected) in &tokens {
            assert_eq!(app.with_token(token).await.verdict(), *expected, "{token}");
        }
    }
    assert_eq!(stub.introspections(), tokens.len());
}

#[tokio::test(start_paused = true)]
async fn debug_output_does_not_contain_a_cached_token() {
    let stub = Stub::new(|token| Page::json(&if token.len() < 50 { active() } else { json!({ "active": false }) }));
    let (issuer, tokens) = (stub.issuer(credentials()), ["a-valid-token-4711", &"not-a-valid-token-0815".repeat(3)]);
    let server = super::server_of(issuer.clone());
    let app = App::new(server.bearer_layer());
    for (token, expected) in tokens.iter().zip(["OK", "R401"]) {
        assert_eq!(app.with_token(token).await.verdict(), expected);
    }
    let printed = format!("{server:?} {server:#?} {:?} {issuer:?} {:?}", server.bearer_layer(), server.health());
    assert!(tokens.iter().all(|token| !printed.contains(&token[..12])), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn scopes_and_audience_are_checked_for_each_request() {
    let other = "https://mcp.example.com/other";
    for other_first in [false, true] {
        let (issuer, clock) = super::issuer(crate::support::ISSUER);
        let configured: Issuer = issuer.issuer().introspect_all(credentials());
        let server = |resource: &str, issuer: Issuer| {
            let clock: TestClock = clock.clone();
            quiet(ResourceServer::builder(resource).issuer(issuer).clock(clock))
        };
        let mine = server(RESOURCE, configured.clone());
        let theirs = App::new(server(other, configured.clone()).bearer_layer());
        let aliased = App::new(server(other, configured.clone().accept_audience(RESOURCE)).bearer_layer());
        let pointed = server(RESOURCE, configured.scope_claim("/permissions"));
        let requiring = |server: &ResourceServer, scope: &str| App::new(server.bearer_layer().required_scopes([scope]));
        let (tools, notes) = (requiring(&mine, "mcp:tools"), requiring(&mine, "notes:read"));
        let (admin, pointed) = (requiring(&mine, "admin"), requiring(&pointed, "admin"));
        let token =
            issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").claim("permissions", json!(["admin"]));
        let token = token.opaque();
        let mut rows =
            [(&tools, "OK"), (&notes, "OK"), (&admin, "R403"), (&pointed, "OK"), (&theirs, "R401"), (&aliased, "OK")];
        if other_first {
            rows.reverse();
        }
        for (index, (app, expected)) in rows.into_iter().enumerate() {
            assert_eq!(app.with_token(&token).await.verdict(), expected, "{index} {other_first}");
        }
        assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_introspected_again_after_forget() {
    let fixture = Fixture::new().await;
    let (app, token, other) = (fixture.app(), fixture.token(), fixture.token());
    for token in [&token, &other] {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
    fixture.issuer.revoke(&token);
    fixture.issuer.revoke(&other);
    fixture.server.forget(&token);
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("R401", 3));
    assert_eq!((app.with_token(&other).await.verdict().as_str(), fixture.introspections()), ("OK", 3));
    // `forget` also removes an inactive result, and it accepts an unknown token.
    fixture.issuer.introspection_answer(&token, active());
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
    fixture.server.forget(&token);
    fixture.server.forget("never-heard-of");
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.introspections()), ("OK", 4));
}
