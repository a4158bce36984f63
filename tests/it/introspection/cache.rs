//! What is remembered of an answer, for how long, and what is not.

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
use super::{Door, Fixture, START, credentials};
use crate::support::{App, RESOURCE};

const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn positive_cache_holds_for_its_time_and_never_past_exp() {
    let with = |time| Introspection::new(credentials()).positive_cache(time);
    for (introspection, lifetime, expected) in [
        (credentials().into(), 300, 30),
        (with(seconds(1)), 300, 1),
        (with(seconds(300)), 3600, 300),
        // Although it passes a minute longer: only if the issuer says so.
        (credentials().into(), 10, 10),
        (with(seconds(300)), 299, 299),
    ] {
        let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
        let app = fixture.app();
        let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(seconds(lifetime)).opaque();
        for _ in 0..3 {
            assert_eq!(app.with_token(&token).await.verdict(), "OK");
        }
        // Gone at the issuer: whoever asks again learns it.
        fixture.issuer.revoke(&token);
        advance(seconds(expected) - MILLISECOND).await;
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("OK", 1), "{expected}");
        advance(MILLISECOND).await;
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("R401", 2), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_is_renewed_by_a_new_answer() {
    let fixture = Fixture::new().await;
    let (app, token) = (fixture.app(), fixture.token());
    for asked in 1..=5 {
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        advance(seconds(29)).await;
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("OK", asked));
        advance(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_of_an_answer_without_exp_ends_all_the_same() {
    let stub = Stub::saying(Page::json(&active()));
    let app = stub.app();
    for asked in 1..=3 {
        assert_eq!((app.with_token("opaque").await.verdict().as_str(), stub.asked()), ("OK", asked));
        advance(seconds(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positive_cache_is_switched_off_by_zero() {
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO);
    let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
    let (app, token) = (fixture.app(), fixture.token());
    for asked in 1..=3 {
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("OK", asked));
    }
    fixture.issuer.revoke(&token);
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn positive_cache_rechecks_exp_and_nbf_on_a_hit() {
    let introspection = || Introspection::new(credentials()).positive_cache(seconds(300));
    // The wall clock alone moves: by tokio's, by which the memory lives, no time passes.
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
        assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("OK", 1), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_holds_for_its_time() {
    let with = |time| Introspection::new(credentials()).negative_cache(seconds(time));
    for (introspection, expected) in [(credentials().into(), 10), (with(60), 60), (with(1), 1)] {
        let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
        let app = fixture.app();
        let mut answer = active();
        for _ in 0..3 {
            assert_eq!(app.with_token("early").await.verdict(), "R401");
        }
        // Shown before all of the issuer's replicas knew it: good from now on.
        answer["exp"] = (START + 300).into();
        fixture.issuer.introspection_answer("early", answer);
        advance(seconds(expected) - MILLISECOND).await;
        assert_eq!((app.with_token("early").await.verdict().as_str(), fixture.asked()), ("R401", 1), "{expected}");
        advance(MILLISECOND).await;
        assert_eq!((app.with_token("early").await.verdict().as_str(), fixture.asked()), ("OK", 2), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_is_switched_off_by_zero() {
    let introspection = Introspection::new(credentials()).negative_cache(Duration::ZERO);
    let fixture = Fixture::with(|issuer| issuer.introspect_all(introspection)).await;
    let app = fixture.app();
    for asked in 1..=3 {
        assert_eq!((app.with_token("early").await.verdict().as_str(), fixture.asked()), ("R401", asked));
    }
}

#[tokio::test(start_paused = true)]
async fn negative_cache_never_holds_an_error() {
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
async fn sizes_are_apart_so_that_garbage_pushes_out_no_good_entry() {
    let asked_about = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&asked_about);
    let stub = Stub::new(move |token| {
        let is_good = token.starts_with("good");
        assert!(!is_good || seen.lock().unwrap().insert(token.to_owned()), "asked twice about {token}");
        Page::json(&if is_good { active() } else { json!({ "active": false }) })
    });
    let (door, good) = (Door::new(&stub.server()), super::numbered("good", 500));
    assert_eq!(door.count(&good, StatusCode::OK).await, 500);
    for burst in 0..20 {
        let garbage = super::numbered(&format!("garbage-{burst}"), 1_000);
        assert_eq!(door.count(&garbage, StatusCode::UNAUTHORIZED).await, 1_000);
    }
    assert_eq!(door.count(&good, StatusCode::OK).await, 500);
    assert_eq!((asked_about.lock().unwrap().len(), stub.asked()), (500, 20_500));
}

#[tokio::test(start_paused = true)]
async fn key_depends_on_every_byte_of_a_token() {
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
    assert_eq!(stub.asked(), tokens.len());
}

#[tokio::test(start_paused = true)]
async fn key_is_all_that_is_kept_and_nothing_prints_the_token() {
    let stub = Stub::new(|token| Page::json(&if token.len() < 50 { active() } else { json!({ "active": false }) }));
    let (issuer, tokens) = (stub.issuer(credentials()), ["very-good-token-4711", &"very-bad-token-0815".repeat(3)]);
    let server = super::server_of(issuer.clone());
    let app = App::new(server.bearer_layer());
    for (token, expected) in tokens.iter().zip(["OK", "R401"]) {
        assert_eq!(app.with_token(token).await.verdict(), expected);
    }
    let printed = format!("{server:?} {server:#?} {:?} {issuer:?} {:?}", server.bearer_layer(), server.health());
    assert!(tokens.iter().all(|token| !printed.contains(&token[..12])), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn scopes_and_audience_are_judged_on_each_request() {
    let other = "https://mcp.example.com/other";
    for other_first in [false, true] {
        let (issuer, clock) = super::issuer(crate::support::ISSUER);
        let configured: Issuer = issuer.issuer().introspect_all(credentials());
        let server = |resource: &str, issuer: Issuer| {
            let clock: TestClock = clock.clone();
            ResourceServer::builder(resource).issuer(issuer).clock(clock).build_lazy().unwrap()
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
        let mut trials =
            [(&tools, "OK"), (&notes, "OK"), (&admin, "R403"), (&pointed, "OK"), (&theirs, "R401"), (&aliased, "OK")];
        if other_first {
            trials.reverse();
        }
        for (index, (app, expected)) in trials.into_iter().enumerate() {
            assert_eq!(app.with_token(&token).await.verdict(), expected, "{index} {other_first}");
        }
        assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_asked_about_again() {
    let fixture = Fixture::new().await;
    let (app, token, other) = (fixture.app(), fixture.token(), fixture.token());
    for token in [&token, &other] {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
    fixture.issuer.revoke(&token);
    fixture.issuer.revoke(&other);
    fixture.server.forget(&token);
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("R401", 3));
    assert_eq!((app.with_token(&other).await.verdict().as_str(), fixture.asked()), ("OK", 3));
    // A bad answer can be forgotten too, and a token that nobody knows.
    fixture.issuer.introspection_answer(&token, active());
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
    fixture.server.forget(&token);
    fixture.server.forget("never-heard-of");
    assert_eq!((app.with_token(&token).await.verdict().as_str(), fixture.asked()), ("OK", 4));
}
