//! The maximum length of tokens: users with hundreds of roles have long tokens, and operators must learn of rejections.

use std::time::Duration;

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE};

/// An application that accepts tokens of at most this many bytes.
async fn app(issuer: &TestIssuer, max: Option<usize>) -> App {
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer());
    let builder = max.into_iter().fold(builder, |builder, max| builder.max_token_length(max));
    App::new(builder.build().await.unwrap().bearer_layer())
}

/// A valid token of a user with this many roles.
fn token(issuer: &TestIssuer, roles: usize) -> String {
    let roles = Value::from_iter((0..roles).map(|number| format!("role-{number:030}")));
    issuer.token().audience(RESOURCE).claim("roles", json!(roles)).sign()
}

#[tokio::test(start_paused = true)]
async fn the_maximum_token_length_is_configurable() {
    let issuer = TestIssuer::new(ISSUER);
    let (short, long, longer) = (token(&issuer, 1), token(&issuer, 380), token(&issuer, 1_000));
    assert!(short.len() < 1024 && (18_000..24_000).contains(&long.len()) && (50_000..65_536).contains(&longer.len()));
    for (max, verdicts) in [
        (None, ["OK", "R401", "R401"]),
        (Some(1024), ["OK", "R401", "R401"]),
        (Some(long.len() - 1), ["OK", "R401", "R401"]),
        (Some(long.len()), ["OK", "OK", "R401"]),
        (Some(64 * 1024), ["OK", "OK", "OK"]),
    ] {
        let app = app(&issuer, max).await;
        for (token, verdict) in [&short, &long, &longer].into_iter().zip(verdicts) {
            let answer = app.with_token(token).await;
            assert_eq!(answer.verdict(), verdict, "{max:?}: {}", token.len());
            let kind = answer.rejection.map(|rejection| rejection.kind());
            assert!(kind.is_none_or(|kind| kind == RejectionKind::InvalidToken(CheckFailure::TooLong)), "{kind:?}");
        }
    }
    let app = app(&issuer, Some(64 * 1024)).await;
    assert_eq!(app.with_token(&"A".repeat(64 * 1024 + 1)).await.verdict(), "R401");
}

#[test]
fn the_maximum_token_length_is_between_1_and_64_kib() {
    for (max, is_valid) in
        [(0, false), (1023, false), (1024, true), (65_536, true), (65_537, false), (usize::MAX, false)]
    {
        let built = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER)).max_token_length(max);
        let error = built.build_lazy().err();
        assert_eq!(error.as_ref().map(|error| error.kind()), (!is_valid).then_some(BuildErrorKind::Setting), "{max}");
        assert!(error.is_none_or(|error| error.to_string().contains(&format!("`max_token_length` is {max}"))));
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_token_that_is_too_long_is_logged() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let issuer = TestIssuer::new(ISSUER);
    let (app, token) = (app(&issuer, None).await, token(&issuer, 380));
    let part = format!("the token has {} bytes; `max_token_length` is 16384", token.len());
    for minute in 0..3 {
        capture.take();
        for _ in 0..100 {
            assert_eq!(app.with_token(&token).await.verdict(), "R401");
        }
        let lines = capture.take().into_iter().filter(|(level, line)| *level == Level::INFO && line.contains(&part));
        assert_eq!(lines.count(), 3, "minute {minute}");
        advance(Duration::from_secs(60)).await;
    }
}
