//! Made-up tokens to which the endpoint, or a firewall before it, reacts in every odd way: they must not keep valid tokens
//! out.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::http_client::HttpErrorKind;
use mcp_bearer::introspection::Introspection;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::stub::{Page, Stub, active};
use super::{Door, credentials, numbered, server_of};
use crate::support::App;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What comes of a made-up token, with a name for it.
fn reactions() -> Vec<(&'static str, Page)> {
    let json = |status: u16, body: &'static str| Page::status(status).body(body);
    vec![
        ("the connection is reset", Page::error(HttpErrorKind::Other)),
        ("the response is too large", Page::error(HttpErrorKind::TooLarge)),
        ("302", Page::status(302).header("location", "https://blocked.example.com/")),
        ("400 without a word", Page::status(400)),
        ("401 of django-oauth-toolkit", json(401, r#"{"active":false}"#)),
        ("401 of Hydra", json(401, r#"{"error":"request_unauthorized","statusCode":401}"#)),
        ("401 without a word", Page::status(401)),
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

/// An endpoint that knows valid tokens, and reacts to all others like this.
fn endpoint(reaction: Page) -> (Stub, Door) {
    let stub =
        Stub::new(move |token| if token.starts_with("valid") { Page::json(&active()) } else { reaction.clone() });
    let door = Door::new(&stub.server());
    (stub, door)
}

/// Shows made-up tokens, so many in each second, until it is dropped.
fn flood(door: &Door, per_second: u32) -> JoinSet<()> {
    let (door, mut flood) = (door.clone(), JoinSet::new());
    flood.spawn(async move {
        for number in 0_u64.. {
            let door = door.clone();
            tokio::spawn(async move { door.status(&format!("made-up-{number}")).await });
            sleep(SECOND / per_second).await;
        }
    });
    flood
}

/// How many valid tokens that were never seen before are accepted, one in each `pause`.
async fn accepted(door: &Door, count: usize, pause: Duration) -> usize {
    let mut accepted = 0;
    for token in numbered("valid", count) {
        sleep(pause).await;
        accepted += usize::from(door.status(&token).await == StatusCode::OK);
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_whatever_the_endpoint_makes_of_made_up_ones() {
    for (name, reaction) in reactions() {
        let (_, door) = endpoint(reaction);
        assert_eq!(door.status("valid").await, StatusCode::OK);
        let _flood = flood(&door, 20);
        let count = if name.starts_with("401") { 45 } else { 30 };
        assert_eq!(accepted(&door, count, SECOND).await, count, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_while_made_up_ones_come_in_crowds() {
    for (name, reaction) in reactions() {
        let (_, door) = endpoint(reaction);
        assert_eq!(door.status("valid").await, StatusCode::OK);
        for round in 0..10 {
            door.count(&numbered(&format!("made-up-{round}"), 50), StatusCode::OK).await;
            assert_eq!(door.status(&format!("valid-{round}")).await, StatusCode::OK, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_while_made_up_ones_get_no_answer_at_all() {
    for pause in [SECOND / 3, SECOND, 3 * SECOND, 10 * SECOND] {
        let (_, door) = endpoint(Page::ok("").after(HOUR));
        assert_eq!(door.status("valid").await, StatusCode::OK);
        let _flood = flood(&door, 2);
        assert_eq!(accepted(&door, 30, pause).await, 30, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_tokens_without_an_answer_cannot_keep_the_width_narrow() {
    for crowd in [8, 30, 100] {
        let (_, door) = endpoint(Page::ok("").after(HOUR));
        assert_eq!(door.status("valid").await, StatusCode::OK);
        let _flood = flood(&door, 2);
        // They take all places at once, so the width is halved until one call alone gets no answer either.
        door.count(&numbered("crowd", crowd), StatusCode::OK).await;
        sleep(20 * SECOND).await;
        assert_eq!(accepted(&door, 60, SECOND).await, 60, "{crowd}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_valid_token_gets_through_though_made_up_ones_get_no_answer() {
    let (_, door) = endpoint(Page::ok("").after(HOUR));
    let _flood = flood(&door, 2);
    // The circuit breaker has opened, and is half-open.
    sleep(30 * SECOND).await;
    let begun = Instant::now();
    while door.status("valid").await != StatusCode::OK {
        assert!(begun.elapsed() < 30 * SECOND);
        sleep(SECOND).await;
    }
    sleep(20 * SECOND).await;
    assert_eq!(accepted(&door, 60, SECOND).await, 60);
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_accepted_after_strangers_were_alone_for_hours() {
    for (name, reaction) in reactions() {
        let (stub, door) = endpoint(reaction);
        assert_eq!(door.status("valid").await, StatusCode::OK);
        for hour in 0..3 {
            for round in 0..5 {
                door.count(&numbered(&format!("made-up-{hour}-{round}"), 20), StatusCode::OK).await;
            }
            sleep(HOUR).await;
        }
        // At worst the circuit breaker has just opened, for its first pause.
        door.count(&numbered("made-up", 100), StatusCode::OK).await;
        if door.status("valid-first").await != StatusCode::OK {
            let _flood = flood(&door, 20);
            sleep(5 * SECOND).await;
            assert_eq!(door.status("valid-first").await, StatusCode::OK, "{name}");
        }
        assert_eq!(accepted(&door, 5, SECOND).await, 5, "{name}");
        assert!(stub.asked() > 20);
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_before_the_first_valid_token_cannot_keep_it_out() {
    // Where the client itself is blamed and no token was ever valid, that is believed.
    for (name, reaction) in reactions().into_iter().filter(|(name, _)| !name.contains("blames the client")) {
        let (stub, door) = endpoint(reaction);
        let _flood = flood(&door, 20);
        sleep(8 * SECOND).await;
        let first = door.status("valid").await;
        assert!(first == StatusCode::OK || stub.asked() > 5, "{name}");
        assert_eq!(accepted(&door, 5, SECOND).await, 5, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_rate_limited_is_held_back_alone() {
    let stub = Stub::new(|token| match token {
        "made-up" => Page::status(429).header("retry-after", "17"),
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
        let answer = app.with_token("made-up").await;
        assert_eq!((answer.verdict().as_str(), stub.asked()), ("R503", 2));
        assert_eq!(answer.header("retry-after"), Some(left.to_string().as_str()));
    }
    assert_eq!((app.with_token("valid-too").await.verdict().as_str(), stub.asked()), ("OK", 3));
    sleep(SECOND).await;
    assert_eq!((app.with_token("made-up").await.verdict().as_str(), stub.asked()), ("R503", 4));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_made_up_tokens_delays_new_tokens_but_none_that_were_active_before() {
    // The numbers of SECURITY.md: an endpoint that needs 100 ms, and 1,000 made-up tokens in each second.
    let stub = Stub::new(|token| {
        let page = if token.starts_with("valid") { Page::json(&active()) } else { Page::ok(r#"{"active":false}"#) };
        page.after(SECOND / 10)
    });
    let introspection = Introspection::new(credentials()).positive_cache(Duration::ZERO);
    let server = server_of(stub.issuer(introspection));
    let (door, app) = (Door::new(&server), App::new(server.bearer_layer()));
    assert_eq!(app.with_token("valid").await.verdict(), "OK");
    let _flood = flood(&door, 1_000);
    sleep(10 * SECOND).await;
    let (mut at_once, mut tries, mut longest, mut known) = (0, Vec::new(), Duration::ZERO, Duration::ZERO);
    for (index, token) in (1..).zip(numbered("valid", 20)) {
        // Not in step with the answers, which come in waves.
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
    // Half of them wait less than two seconds for their turn; the others find the line full, and come back.
    assert!((5..=20).contains(&at_once), "{at_once} at once");
    assert!(tries.iter().all(|tries| *tries <= 4) && longest <= 12 * SECOND, "{tries:?}, {longest:?}");
    assert!(known <= SECOND / 5 && stub.most_open() <= 64, "{known:?}, {}", stub.most_open());
}
