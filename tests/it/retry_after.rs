//! `Retry-After` while the key set or the introspection endpoint of an issuer is not available: the time until the next attempt.

use std::time::Duration;

use mcp_bearer::ResourceServer;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use tokio::time::advance;

use crate::support::{Answer, App, Fixture, ISSUER, RESOURCE};

/// The seconds of `Retry-After`, which a response with 503 has.
fn retry_after(answer: &Answer) -> u64 {
    assert_eq!(answer.verdict(), "R503");
    answer.header("retry-after").unwrap().parse().unwrap()
}

/// A lazy server that introspects opaque tokens, and a token.
fn lazy_server(opaque: bool) -> (TestIssuer, App, String) {
    let issuer = TestIssuer::builder(ISSUER).introspection_client("client", "secret").build();
    let introspecting = issuer.issuer().introspect_opaque(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(introspecting).build_lazy().unwrap();
    let token = issuer.token().audience(RESOURCE);
    let token = if opaque { token.opaque() } else { token.sign() };
    (issuer, App::new(server.bearer_layer()), token)
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_time_until_the_next_attempt_of_a_lazy_server() {
    for opaque in [false, true] {
        let (issuer, app, token) = lazy_server(opaque);

        // Requests go ahead of the back-off of the background task, so the next one starts an attempt after a second.
        issuer.stop();
        for outage in 0..60 {
            assert_eq!(retry_after(&app.with_token(&token).await), 1, "after {outage} attempts");
            advance(Duration::from_secs(1)).await;
        }
        issuer.restart().unwrap();
        assert_eq!(app.with_token(&token).await.verdict(), "OK", "opaque: {opaque}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_counts_down_the_time_that_the_issuer_asked_for() {
    for (asked, remaining) in [(30, [30, 20, 3]), (3_600, [60, 50, 33])] {
        for opaque in [false, true] {
            let (issuer, app, token) = lazy_server(opaque);
            for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
                issuer.fault(endpoint, Fault::RetryAfter(Duration::from_secs(asked)));
            }

            let mut found = Vec::new();
            for pause in [10_000, 17_500, 0] {
                found.push(retry_after(&app.with_token(&token).await));
                advance(Duration::from_millis(pause)).await;
            }
            assert_eq!(found, remaining, "opaque: {opaque}");
            issuer.heal();
            advance(Duration::from_secs(found[2])).await;
            assert_eq!(app.with_token(&token).await.verdict(), "OK", "opaque: {opaque}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_for_an_unknown_key_is_the_time_until_the_key_set_may_be_fetched() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    fixture.issuer.rotate();
    let token =
        fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(Duration::from_secs(86_400)).sign();
    fixture.issuer.stop();
    for failure in 0..12 {
        let seconds = retry_after(&app.with_token(&token).await);
        assert!((1..=60).contains(&seconds), "{seconds}");
        let before = fixture.issuer.refused_requests();
        advance(Duration::from_secs(seconds) - Duration::from_secs(1)).await;
        if seconds > 1 {
            app.with_token(&token).await;
            assert_eq!(fixture.issuer.refused_requests(), before, "after {failure} failures, {seconds} s");
        }
        advance(Duration::from_secs(1)).await;
    }
    let seconds = retry_after(&app.with_token(&token).await);
    fixture.issuer.restart().unwrap();
    advance(Duration::from_secs(seconds)).await;
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
}
