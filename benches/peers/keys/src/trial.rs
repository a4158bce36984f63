use std::cell::Cell;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer_peers::Subject;

use crate::Failure;
use crate::source::Source;

/// How often the key set is fetched in a thousand requests with one token, one after another.
pub(crate) async fn thousand(source: Source, cache_control: Option<&str>) -> Result<String, Failure> {
    let subject = subject(cache_control)?;
    let router = source.router(&subject)?;
    for _ in 0..1000 {
        let status = status(&router, &subject.token).await;
        assert!(status.is_success(), "a good token is answered with {status}");
    }
    Ok(fetches(&subject).to_string())
}

/// An outage that begins 1.2 seconds after the key set was fetched: how often the authorization server is asked in two
/// seconds, and what becomes of requests with a key that was known.
pub(crate) async fn outage(source: Source, cache_control: &str) -> Result<String, Failure> {
    let subject = subject(Some(cache_control))?;
    let router = source.router(&subject)?;
    let status = status(&router, &subject.token).await;
    assert!(status.is_success(), "a good token is answered with {status}");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    two_seconds_of_failure(&subject, &router).await
}

/// The same before there ever was a key set.
pub(crate) async fn outage_at_start(source: Source) -> Result<String, Failure> {
    let subject = subject(Some("max-age=300"))?;
    let router = source.router(&subject)?;
    two_seconds_of_failure(&subject, &router).await
}

/// Eight callers, each with its next request as soon as the one before is answered. Who still waits at the end was not
/// answered.
async fn two_seconds_of_failure(subject: &Subject, router: &Router) -> Result<String, Failure> {
    subject.issuer.fault(Endpoint::KeySet, Fault::Status(503));
    let before = fetches(subject);
    let (answered, accepted) = (Cell::new(0_u32), Cell::new(0_u32));
    let caller = async || {
        loop {
            let is_accepted = status(router, &subject.token).await.is_success();
            answered.set(answered.get() + 1);
            accepted.set(accepted.get() + u32::from(is_accepted));
            tokio::task::yield_now().await;
        }
    };
    let callers =
        async { tokio::join!(caller(), caller(), caller(), caller(), caller(), caller(), caller(), caller()) };
    drop(tokio::time::timeout(Duration::from_secs(2), callers).await);
    let asked = fetches(subject) - before;
    Ok(match (answered.get(), accepted.get()) {
        (0, _) => format!("{asked}, none answered"),
        (_, 0) => format!("{asked}, none accepted"),
        (all, good) if all == good => format!("{asked}, all accepted"),
        (all, good) => format!("{asked}, {good} of {all} accepted"),
    })
}

/// What the first token under a new key is answered with, and how often that makes the key set be fetched.
pub(crate) async fn rotation(source: Source) -> Result<String, Failure> {
    let subject = subject(Some("max-age=300"))?;
    let router = source.router(&subject)?;
    status(&router, &subject.token).await;
    let before = fetches(&subject);
    subject.issuer.rotate();
    let status = status(&router, &subject.unsigned().sign()).await;
    Ok(format!("{}, {}", status.as_u16(), fetches(&subject) - before))
}

/// How often a thousand tokens, each under a key id that nobody knows, make the key set be fetched.
pub(crate) async fn unknown_keys(source: Source) -> Result<String, Failure> {
    let subject = subject(Some("max-age=300"))?;
    let router = source.router(&subject)?;
    status(&router, &subject.token).await;
    let before = fetches(&subject);
    for number in 0..1000 {
        let token = subject.unsigned().header("kid", format!("guess-{number}")).sign();
        let status = status(&router, &token).await;
        assert_ne!(status, StatusCode::OK, "the key is not in the set");
    }
    Ok((fetches(&subject) - before).to_string())
}

fn subject(cache_control: Option<&str>) -> Result<Subject, Failure> {
    let subject = Subject::new(Algorithm::ES256)?;
    // No validators: without them nobody can guess how long the set lives, or ask whether it changed.
    for name in ["cache-control", "etag", "last-modified"] {
        subject.issuer.fault(Endpoint::KeySet, Fault::without_header(name));
    }
    if let Some(value) = cache_control {
        subject.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", value)]));
    }
    Ok(subject)
}

async fn status(router: &Router, token: &str) -> StatusCode {
    Subject::call(router, Some(token)).await.status()
}

fn fetches(subject: &Subject) -> usize {
    subject.issuer.requests(Endpoint::KeySet)
}
