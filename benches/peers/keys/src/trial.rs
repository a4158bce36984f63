use std::cell::Cell;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer_peers::Subject;

use crate::Failure;
use crate::source::Source;

/// Counts the fetches of the key set in a thousand consecutive requests with one token.
pub(crate) async fn thousand(source: Source, cache_control: Option<&str>) -> Result<String, Failure> {
    let subject = subject(cache_control)?;
    let router = source.router(&subject)?;
    for _ in 0..1000 {
        let status = status(&router, &subject.token).await;
        assert!(status.is_success(), "a valid token gets {status}");
    }
    Ok(fetches(&subject).to_string())
}

/// An outage that starts 1.2 seconds after a fetch of the key set. Returns the number of requests to the authorization
/// server in two seconds, and the results of the requests with a known key.
pub(crate) async fn outage(source: Source, cache_control: &str) -> Result<String, Failure> {
    let subject = subject(Some(cache_control))?;
    let router = source.router(&subject)?;
    let status = status(&router, &subject.token).await;
    assert!(status.is_success(), "a valid token gets {status}");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    two_seconds_of_failure(&subject, &router).await
}

/// An outage before the first fetch of the key set.
pub(crate) async fn outage_at_start(source: Source) -> Result<String, Failure> {
    let subject = subject(Some("max-age=300"))?;
    let router = source.router(&subject)?;
    two_seconds_of_failure(&subject, &router).await
}

/// Eight clients, each of which sends the next request when it gets the response. A request without a response at the
/// end is not counted.
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
    let requests = fetches(subject) - before;
    Ok(match (answered.get(), accepted.get()) {
        (0, _) => format!("{requests}, no response"),
        (_, 0) => format!("{requests}, none accepted"),
        (all, valid) if all == valid => format!("{requests}, all accepted"),
        (all, valid) => format!("{requests}, {valid} of {all} accepted"),
    })
}

/// Returns the response to the first token under a new key, and the number of fetches that it causes.
pub(crate) async fn rotation(source: Source) -> Result<String, Failure> {
    let subject = subject(Some("max-age=300"))?;
    let router = source.router(&subject)?;
    status(&router, &subject.token).await;
    let before = fetches(&subject);
    subject.issuer.rotate();
    let status = status(&router, &subject.unsigned().sign()).await;
    Ok(format!("{}, {}", status.as_u16(), fetches(&subject) - before))
}

/// Counts the fetches that a thousand tokens with different unknown key ids cause.
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
    // Removes the headers from which a client could estimate the lifetime of the key set or revalidate it.
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
