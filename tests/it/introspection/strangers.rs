//! Clients that send unknown tokens. The endpoint or a firewall answers these tokens in many odd ways, and this must
//! not block valid tokens.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::http_client::HttpErrorKind;
use mcp_bearer::introspection::Introspection;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::stub::{Page, Stub, active};
use super::{BareLayer, credentials, numbered, server_of};
use crate::support::App;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Responses to an unknown token, each with a name.
fn reactions() -> Vec<(&'static str, Page)> {
    let json = |status: u16, body: &'static str| Page::status(status).body(body);
    vec![
        ("the connection is reset", Page::error(HttpErrorKind::Other)),
        ("the response is too large", Page::error(HttpErrorKind::TooLarge)),
        ("302", Page::status(302).header("location", "https://blocked.example.com/")),
        ("400 without a body", Page::status(400)),
        ("401 of django-oauth-toolkit", json(401, r#"{"active":false}"#)),
        ("401 of Hydra", json(401, r#"{"error":"request_unauthorized","statusCode":401}"#)),
        ("401 without a body", Page::status(401)),
        ("401 that blames the client", json(401, r#"{"error":"invalid_client"}"#)),
        ("403 of a firewall", json(403, "<html>Request blocked</html>")),
        ("403 that blames the client", json(403, r#"{"error":"invalid_client"}"#)),
        ("404", Page::status(404)),
        ("405", Page::status(405)),
        ("406", Page::status(406)),
        ("429", Page::status(429)),
        ("429 with Retry-After", Page::status(429).header("retry-after", "60")),
        ("500", Page::status(500)),
        ("502", Page::status(502)),
        ("503", Page::status(503)),
        ("503 with Retry-After", Page::status(503).header("retry-after", "60")),
        ("504", Page::status(504)),
        ("200 without active", json(200, r#"{"error":"invalid_token"}"#)),
        ("200 with a page", json(200, "<html>Sign in</html>")),
        ("200 with a claim of a wrong type", json(200, r#"{"active":true,"exp":"never"}"#)),
    ]
}

/// An endpoint that accepts valid tokens, and answers all others with this page.
fn endpoint(reaction: Page) -> (Stub, BareLayer) {
    let stub =
        Stub::new(move |token| if token.starts_with("valid") { Page::json(&active()) } else { reaction.clone() });
    let layer = BareLayer::new(&stub.server());
    (stub, layer)
}

/// Sends this many unknown tokens per second until it is dropped.
fn flood(layer: &BareLayer, per_second: u32) -> JoinSet<()> {
    let (layer, mut flood) = (layer.clone(), JoinSet::new());
    flood.spawn(async move {
        for number in 0_u64.. {
            let layer = layer.clone();
            tokio::spawn(async move { layer.status(&format!("unknown-{number}")).await });
            sleep(SECOND / per_second).await;
        }
    });
    flood
}

/// How many new valid tokens are accepted, one after each `pause`.
async fn accepted(layer: &BareLayer, count: usize, pause: Duration) -> usize {
    let mut accepted = 0;
    for token in numbered("valid", count) {
        sleep(pause).await;
        accepted += usize::from(layer.status(&token).await == StatusCode::OK);
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_with_any_response_to_unknown_tokens() {
    for (name, reaction) in reactions() {
        let (_, layer) = endpoint(reaction);
        assert_eq!(layer.status("valid").await, StatusCode::OK);
        let _flood = flood(&layer, 20);
        let count = if name.starts_with("401") { 45 } else { 30 };
        assert_eq!(accepted(&layer, count, SECOND).await, count, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_between_groups_of_unknown_tokens() {
    for (name, reaction) in reactions() {
        let (_, layer) = endpoint(reaction);
        assert_eq!(layer.status("valid").await, StatusCode::OK);
        for round in 0..10 {
            layer.count(&numbered(&format!("unknown-{round}"), 50), StatusCode::OK).await;
            assert_eq!(layer.status(&format!("valid-{round}")).await, StatusCode::OK, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_while_unknown_tokens_time_out() {
    for pause in [SECOND / 3, SECOND, 3 * SECOND, 10 * SECOND] {
        let (_, layer) = endpoint(Page::ok("").after(HOUR));
        assert_eq!(layer.status("valid").await, StatusCode::OK);
        let _flood = flood(&layer, 2);
        assert_eq!(accepted(&layer, 30, pause).await, 30, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_tokens_that_time_out_do_not_keep_the_concurrency_low() {
    for crowd in [8, 30, 100] {
        let (_, layer) = endpoint(Page::ok("").after(HOUR));
        assert_eq!(layer.status("valid").await, StatusCode::OK);
        let _flood = flood(&layer, 2);
        // They take all places, so the concurrency limit is halved until a single request times out too.
        layer.count(&numbered("crowd", crowd), StatusCode::OK).await;
        sleep(20 * SECOND).await;
        assert_eq!(accepted(&layer, 60, SECOND).await, 60, "{crowd}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_valid_token_is_accepted_while_unknown_tokens_time_out() {
    let (_, layer) = endpoint(Page::ok("").after(HOUR));
    let _flood = flood(&layer, 2);
    // The circuit breaker has opened and is half-open now.
    sleep(30 * SECOND).await;
    let begun = Instant::now();
    while layer.status("valid").await != StatusCode::OK {
        assert!(begun.elapsed() < 30 * SECOND);
        sleep(SECOND).await;
    }
    sleep(20 * SECOND).await;
    assert_eq!(accepted(&layer, 60, SECOND).await, 60);
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_after_hours_of_unknown_tokens() {
    for (name, reaction) in reactions() {
        let (stub, layer) = endpoint(reaction);
        assert_eq!(layer.status("valid").await, StatusCode::OK);
        for hour in 0..3 {
            for round in 0..5 {
                layer.count(&numbered(&format!("unknown-{hour}-{round}"), 20), StatusCode::OK).await;
            }
            sleep(HOUR).await;
        }
        // In the worst case, the circuit breaker has just opened, for its first pause.
        layer.count(&numbered("unknown", 100), StatusCode::OK).await;
        if layer.status("valid-first").await != StatusCode::OK {
            let _flood = flood(&layer, 20);
            sleep(5 * SECOND).await;
            assert_eq!(layer.status("valid-first").await, StatusCode::OK, "{name}");
        }
        assert_eq!(accepted(&layer, 5, SECOND).await, 5, "{name}");
        assert!(stub.introspections() > 20);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_tokens_cannot_block_the_first_valid_token() {
    // An error about the client is trusted if no token was ever active.
    for (name, reaction) in reactions().into_iter().filter(|(name, _)| !name.contains("blames the client")) {
        let (stub, layer) = endpoint(reaction);
        let _flood = flood(&layer, 20);
        sleep(8 * SECOND).await;
        let first = layer.status("valid").await;
        assert!(first == StatusCode::OK || stub.introspections() > 5, "{name}");
        assert_eq!(accepted(&layer, 5, SECOND).await, 5, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_affects_only_its_token() {
    let stub = Stub::new(|token| match token {
        "unknown" => Page::status(429).header("retry-after", "17"),
        _ => Page::json(&active()),
    });
    let app = stub.app();
    assert_eq!(app.with_token("valid").await.verdict(), "OK");
    for left in [17, 16, 11, 1] {
        sleep(match left {
            17 => Duration::ZERO,
            16 => SECOND,
            11 => 5 * SECOND,
            _ => 10 * SECOND,
        })
        .await;
        let answer = app.with_token("unknown").await;
        assert_eq!((answer.verdict().as_str(), stub.introspections()), ("R503", 2));
        assert_eq!(answer.header("retry-after"), Some(left.to_string().as_str()));
    }
    assert_eq!((app.with_token("valid-too").await.verdict().as_str(), stub.introspections()), ("OK", 3));
    sleep(SECOND).await;
    assert_eq!((app.with_token("unknown").await.verdict().as_str(), stub.introspections()), ("R503", 4));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_tokens_does_not_delay_known_tokens() {
    // The numbers in SECURITY.md: an endpoint that takes 100 ms, and 1,000 unknown tokens per second.
    let stub = Stub::new(|token| {
        let page = if token.starts_with("valid") { Page::json(&active()) } else { Page::ok(r#"{"active":false}"#) };
        page.after(SECOND / 10)
    });
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO);
    let server = server_of(stub.issuer(introspection));
    let (layer, app) = (BareLayer::new(&server), App::new(server.bearer_layer()));
    assert_eq!(app.with_token("valid").await.verdict(), "OK");
    let _flood = flood(&layer, 1_000);
    sleep(10 * SECOND).await;
    let (mut at_once, mut tries, mut longest, mut known) = (0, Vec::new(), Duration::ZERO, Duration::ZERO);
    for (index, token) in (1..).zip(numbered("valid", 20)) {
        // The requests must not be in step with the responses, which arrive in groups.
        sleep(Duration::from_millis(37 * index)).await;
        let begun = Instant::now();
        assert_eq!(app.with_token("valid").await.verdict(), "OK");
        known = known.max(begun.elapsed());
        let begun = Instant::now();
        for attempt in 1.. {
            let answer = app.with_token(&token).await;
            if answer.verdict() == "OK" {
                at_once += usize::from(attempt == 1);
                tries.push(attempt);
                break;
            }
            sleep(Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap())).await;
        }
        longest = longest.max(begun.elapsed());
    }
    // About half of them wait for less than two seconds. The others find a full queue and retry.
    assert!((5..=20).contains(&at_once), "{at_once} at once");
    assert!(tries.iter().all(|tries| *tries <= 4) && longest <= 12 * SECOND, "{tries:?}, {longest:?}");
    assert!(known <= SECOND / 5 && stub.most_open() <= 64, "{known:?}, {}", stub.most_open());
}
