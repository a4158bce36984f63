//! Key rotation, outages of the issuer, and floods of unknown key ids.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bearer::testing::{Endpoint, Fault};
use tokio::time::{Instant, advance};

use crate::support::{Answer, App, Fixture, RESOURCE};

async fn all(app: &App, tokens: &[String]) -> Vec<Answer> {
    join_all(tokens.iter().map(|token| app.with_token(token))).await
}

#[tokio::test(start_paused = true)]
async fn two_hundred_requests_are_accepted_during_a_rotation() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_millis(300)));
    for round in 0..2 {
        fixture.issuer.rotate();
        let tokens: Vec<String> = (0..200).map(|_| fixture.token()).collect();
        let before = fixture.issuer.requests(Endpoint::KeySet);
        let answers = all(&app, &tokens).await;
        assert!(answers.iter().all(|answer| answer.verdict() == "OK"), "round {round}");
        assert_eq!(fixture.issuer.requests(Endpoint::KeySet), before + 1);
        let forced = fixture.issuer.last_request(Endpoint::KeySet).unwrap();
        assert_eq!(forced.header("cache-control"), Some("no-cache"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_cause_one_discovery_and_one_fetch() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_millis(300)));
    let tokens: Vec<String> = (0..1000).map(|_| fixture.token()).collect();
    let answers = all(&fixture.app(), &tokens).await;
    assert!(answers.iter().all(|answer| answer.verdict() == "OK"));
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 1);
    assert_eq!(fixture.issuer.total_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_to_a_broken_issuer_are_503_after_one_attempt() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let tokens: Vec<String> = (0..1000).map(|_| fixture.token()).collect();
    for answer in all(&fixture.app(), &tokens).await {
        assert_eq!(answer.verdict(), "R503");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("www-authenticate"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_key_ids_cause_two_fetches_and_one_more_each_half_minute() {
    let fixture = Fixture::new().await;
    // The key set does not expire during the test, so all fetches are due to unknown key ids.
    fixture.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "max-age=3600")]));
    advance(Duration::from_secs(301)).await;
    let app = fixture.app();
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    tokio::task::yield_now().await;
    let (before, start) = (fixture.issuer.requests(Endpoint::KeySet), Instant::now());
    let valid =
        fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(Duration::from_secs(3600)).sign();
    for n in 0..10_000 {
        let forged = fixture.issuer.token().audience(RESOURCE).header("kid", format!("random {n}")).sign();
        assert_eq!(app.with_token(&forged).await.verdict(), "R401");
        if n % 100 == 0 {
            assert_eq!(app.with_token(&valid).await.verdict(), "OK");
        }
        advance(Duration::from_millis(20)).await;
    }
    let allowed = 2 + usize::try_from(start.elapsed().as_secs() / 30).unwrap();
    let fetches = fixture.issuer.requests(Endpoint::KeySet) - before;
    assert!((allowed - 1..=allowed).contains(&fetches), "{fetches} of {allowed}");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_used_within_half_a_minute_during_a_flood() {
    let fixture = Fixture::new().await;
    fixture.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "max-age=3600")]));
    let app = fixture.app();
    // Before the flood, the same request fetches the key.
    fixture.issuer.rotate();
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    let flood = async |verdict: &str| {
        for n in 0..5 {
            let kid = format!("random {n} at {:?}", Instant::now());
            let forged = fixture.issuer.token().audience(RESOURCE).header("kid", kid).sign();
            assert_eq!(app.with_token(&forged).await.verdict(), verdict);
        }
    };
    flood("R401").await;
    fixture.issuer.rotate();
    let mut waited = 0;
    while app.with_token(&fixture.token()).await.verdict() != "OK" {
        // The server has a recent key set without this key, so the token is rejected as invalid.
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "R401", "after {waited} s");
        flood("R401").await;
        advance(Duration::from_secs(1)).await;
        waited += 1;
        assert!(waited <= 30);
    }
    assert!(waited > 20, "{waited}: the flood did not happen");
    // The published keys are unknown now, so no token is rejected as invalid.
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(503));
    fixture.issuer.rotate();
    advance(Duration::from_secs(60)).await;
    for _ in 0..60 {
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "R503");
        flood("R503").await;
        advance(Duration::from_secs(1)).await;
    }
    fixture.issuer.heal();
    advance(Duration::from_secs(60)).await;
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_used_during_an_outage_and_unknown_keys_are_503() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let long =
        fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(Duration::from_secs(86_400)).sign();
    fixture.issuer.stop();
    for _ in 0..65 {
        assert_eq!(app.with_token(&long).await.verdict(), "OK");
        advance(Duration::from_secs(59)).await;
    }
    // This token is signed with a new key, which the server does not know.
    fixture.issuer.rotate();
    let unseen = fixture.token();
    let answer = app.with_token(&unseen).await;
    assert_eq!(answer.verdict(), "R503");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    advance(Duration::from_secs(400)).await;
    assert_eq!(app.with_token(&long).await.verdict(), "R503");
    fixture.issuer.restart().unwrap();
    advance(Duration::from_secs(61)).await;
    let fresh = fixture.token();
    assert_eq!(app.with_token(&fresh).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_rejected_after_the_next_fetch() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let (old_key, old) = (fixture.issuer.key_id(), fixture.issuer.token().audience(RESOURCE).scope("mcp:tools"));
    let old = old.expires_in(Duration::from_secs(3600)).sign();
    fixture.issuer.add_key(mcp_bearer::jose::Algorithm::ES256);
    fixture.issuer.remove_key(&old_key);
    assert_eq!(app.with_token(&old).await.verdict(), "OK");
    advance(Duration::from_secs(301)).await;
    _ = app.with_token(&old).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.with_token(&old).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_the_issuer_is_forwarded_up_to_a_minute() {
    for (seconds, expected) in [(20, "20"), (7200, "60"), (0, "1")] {
        let fixture = Fixture::cold();
        fixture.issuer.fault(Endpoint::KeySet, Fault::RetryAfter(Duration::from_secs(seconds)));
        let answer = fixture.app().with_token(&fixture.token()).await;
        assert_eq!((answer.verdict().as_str(), answer.header("retry-after")), ("R503", Some(expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_response_does_not_replace_a_valid_key_set() {
    for fault in [
        Fault::Status(401),
        Fault::Status(404),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(206),
        Fault::Status(204),
        Fault::Drop,
        Fault::Oversize,
        Fault::Truncated,
        Fault::Redirect("https://evil.example.com/jwks".to_owned()),
        Fault::Garbage,
        Fault::Html,
        Fault::Document(serde_json::json!({"keys": []})),
        Fault::Document(serde_json::json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
    ] {
        let name = format!("{fault:?}");
        let fixture = Fixture::cold();
        // Without these headers, the server cannot answer with 304.
        fixture.issuer.fault(Endpoint::KeySet, Fault::without_header("etag"));
        fixture.issuer.fault(Endpoint::KeySet, Fault::without_header("last-modified"));
        fixture.server.warm_up().await.unwrap();
        let app = fixture.app();
        fixture.issuer.fault(Endpoint::KeySet, fault);
        let unknown = fixture.issuer.token().audience(RESOURCE).header("kid", "other").sign();
        assert_eq!(app.with_token(&unknown).await.verdict(), "R503", "{name}");
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK", "{name}");
        advance(Duration::from_secs(600)).await;
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK", "{name}");
        assert_eq!(fixture.issuer.stray_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_key_set_is_confirmed_by_its_validators() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    advance(Duration::from_secs(280)).await;
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let request = fixture.issuer.last_request(Endpoint::KeySet).unwrap();
    assert!(request.header("if-none-match").is_some());
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 2);
    // A 304 renews the key set, so no fetch is due for some time.
    advance(Duration::from_secs(200)).await;
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 2);
}

#[tokio::test(start_paused = true)]
async fn no_cache_does_not_cause_a_fetch_per_request() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "no-cache")]));
    let app = fixture.app();
    for _ in 0..1000 {
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
        advance(Duration::from_millis(200)).await;
    }
    assert_eq!(fixture.issuer.requests(Endpoint::KeySet), 1);
}
