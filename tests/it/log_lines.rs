//! The number of log lines that clients can cause, and what log lines never contain.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use mcp_bearer::http_client::{HttpClient, HttpError, HttpErrorKind, HttpFuture, RequestLimits};
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{Issuer, ResourceServer};
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::capture::Capture;
use crate::introspection::stub::{Page, Stub, active};
use crate::support::{App, Fixture, ISSUER, RESOURCE};

/// The events of one target.
struct Lines(Vec<(Level, String)>);

impl Lines {
    fn of(capture: &Capture, target: &str) -> Self {
        Self(capture.take().into_iter().filter(|(_, line)| line.starts_with(target)).collect())
    }

    fn at(&self, level: Level) -> Vec<&str> {
        self.0.iter().filter(|(logged, _)| *logged == level).map(|(_, line)| line.as_str()).collect()
    }

    fn counts(&self) -> [usize; 4] {
        [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG].map(|level| self.at(level).len())
    }
}

#[tokio::test(start_paused = true)]
async fn each_cause_has_three_lines_per_minute_and_one_summary() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let capture = Capture::of_this_thread();
    let expired = fixture.issuer.token().audience(RESOURCE).expired().sign();
    let narrow = fixture.issuer.token().audience(RESOURCE).scope("other").sign();
    for (sent, cause) in [
        ("", "invalid_request"),
        ("garbage", "not_jwt"),
        (expired.as_str(), "expired"),
        (narrow.as_str(), "insufficient_scope"),
    ] {
        capture.take();
        for _ in 0..50 {
            app.with_token(sent).await;
        }
        let lines = Lines::of(&capture, "mcp_bearer::rejection");
        assert_eq!(lines.counts(), [0, 0, 3, 47], "{cause}");
        assert!(lines.0.iter().all(|(_, line)| line.contains(&format!("cause=\"{cause}\""))), "{cause}: {:?}", lines.0);
        // The summary appears without further requests.
        sleep(Duration::from_secs(61)).await;
        let lines = Lines::of(&capture, "mcp_bearer::rejection");
        let [summary] = lines.at(Level::WARN)[..] else { panic!("{cause}: {:?}", lines.0) };
        let parts = [format!("cause=\"{cause}\""), "count=50".to_owned(), "hidden=47".to_owned()];
        assert!(parts.iter().all(|part| summary.contains(part)), "{summary}");
        assert_eq!(lines.0.len(), 1, "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_minute_of_a_flood_has_the_same_number_of_lines() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let capture = Capture::of_this_thread();
    capture.take();
    for _ in 0..10 {
        for _ in 0..60 {
            app.with_token("garbage").await;
            sleep(Duration::from_secs(1)).await;
        }
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(Lines::of(&capture, "mcp_bearer::rejection").counts(), [0, 10, 30, 570]);
}

#[tokio::test(start_paused = true)]
async fn few_rejections_need_no_summary() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let capture = Capture::of_this_thread();
    capture.take();
    for _ in 0..3 {
        app.with_token("garbage").await;
    }
    sleep(Duration::from_secs(200)).await;
    assert_eq!(Lines::of(&capture, "mcp_bearer::rejection").counts(), [0, 0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_request_logs_nothing() {
    let fixture = Fixture::new().await;
    let (app, token) = (fixture.app(), fixture.token());
    let capture = Capture::of_this_thread();
    capture.take();
    for _ in 0..5 {
        assert_eq!(app.with_token(&token).await.status, StatusCode::OK);
    }
    assert_eq!(Lines::of(&capture, "mcp_bearer").counts(), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_at_once_and_with_a_limited_number_of_lines() {
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::OauthMetadata, Fault::Drop);
    fixture.issuer.fault(Endpoint::OidcMetadata, Fault::Drop);
    fixture.issuer.fault(Endpoint::KeySet, Fault::Drop);
    let app = fixture.app();
    let capture = Capture::of_this_thread();
    capture.take();
    app.with_token(&fixture.token()).await;
    let first = Lines::of(&capture, "mcp_bearer::keys");
    assert!(!first.at(Level::WARN).is_empty(), "{:?}", first.0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        assert_eq!(app.with_token(&fixture.token()).await.status, StatusCode::SERVICE_UNAVAILABLE);
        sleep(Duration::from_millis(100)).await;
    }
    let all = Lines(capture.take());
    let lines = |target: &str| Lines(all.0.iter().filter(|(_, line)| line.starts_with(target)).cloned().collect());
    let [errors, warnings, infos, _] = lines("mcp_bearer::rejection").counts();
    assert!(errors == 0 && warnings <= 2 && infos <= 6, "{errors} {warnings} {infos}");
    // Three lines each for metadata and key set per minute, and a summary.
    let [errors, warnings, ..] = lines("mcp_bearer::keys").counts();
    assert!(errors == 0 && warnings <= 16, "{errors} {warnings}");
    fixture.issuer.heal();
    assert_eq!(app.with_token(&fixture.token()).await.status, StatusCode::OK);
    let lines = Lines::of(&capture, "mcp_bearer::keys");
    assert!(lines.at(Level::INFO).iter().any(|line| line.contains("key set available again")), "{:?}", lines.0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_opaque_tokens_logs_a_few_lines() {
    let stub = Stub::new(|_| Page::ok(r#"{"active":false}"#).after(Duration::from_secs(2)));
    let app = stub.app();
    let capture = Capture::of_this_thread();
    capture.take();
    let tokens: Vec<_> = (0..3000).map(|n| format!("unknown-{n}")).collect();
    join_all(tokens.iter().map(|token| app.with_token(token))).await;
    let [errors, warnings, infos, debugs] = Lines::of(&capture, "mcp_bearer::rejection").counts();
    assert!(errors == 0 && warnings <= 4 && infos <= 12, "{errors} {warnings} {infos}");
    assert!(debugs + infos >= 3000, "each rejection must appear at debug: {debugs}");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_a_firewall_blocks_log_a_few_lines() {
    for status in [401, 403, 404, 500] {
        let stub = Stub::new(move |token| match token {
            _ if token.contains("etc/passwd") => Page::status(status),
            _ => Page::json(&active()),
        });
        let app = stub.app();
        assert_eq!(app.with_token("valid").await.status, StatusCode::OK);
        let capture = Capture::of_this_thread();
        capture.take();
        for n in 0..200 {
            app.with_token(&format!("../etc/passwd{n}")).await;
        }
        let [errors, warnings, ..] = Lines::of(&capture, "mcp_bearer").counts();
        assert!(errors <= 3 && warnings <= 8, "{status}: {errors} at error, {warnings} at warn");
    }
}

/// Answers every request for this path with one document.
struct Documents(&'static str, u16, Bytes);

impl HttpClient for Documents {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let is_asked = request.uri().path().contains(self.0);
        let valid = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{ISSUER}/jwks"}}"#);
        let mut response = Response::new(if is_asked { self.2.clone() } else { Bytes::from(valid) });
        *response.status_mut() = if is_asked { StatusCode::from_u16(self.1).unwrap() } else { StatusCode::OK };
        Box::pin(async move { Ok(response) })
    }
}

#[tokio::test(start_paused = true)]
async fn no_line_contains_a_fetched_document_or_a_long_cause() {
    let signer = Fixture::new().await;
    let secret = "SECRET".repeat(40_000);
    let texts = [
        format!("\"{secret}\""),
        secret.clone(),
        format!("<html>{secret}</html>"),
        format!("[\"{secret}\"]"),
        format!("{{\"{secret}\":1,\"{secret}\":2}}"),
        // The name of another issuer is in the log. Nothing else of its document is.
        format!("{{\"issuer\":\"https://other.example\",\"jwks_uri\":\"{ISSUER}/SECRET\"}}"),
        format!("{{\"issuer\":{{\"SECRET\":1}},\"jwks_uri\":\"{ISSUER}/jwks\"}}"),
        format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"http://SECRET.example/jwks\"}}"),
        format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"/SECRET\"}}"),
        format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":[\"SECRET\"]}}"),
        format!("{{\"keys\":\"{secret}\"}}"),
        "\u{feff}{\"SECRET\":[]}".to_owned(),
        "{\"SECRET\":\"\\ud800\"}".to_owned(),
    ];
    for (place, status) in [(".well-known", 200), ("jwks", 200), (".well-known", 500), ("jwks", 404)] {
        for text in &texts {
            let capture = Capture::of_this_thread();
            let issuer = Issuer::discover(ISSUER).http_client(Documents(place, status, text.clone().into()));
            let server = ResourceServer::builder(RESOURCE).issuer(issuer).clock(signer.clock.clone());
            let server = server.build_lazy().unwrap();
            let signed = signer.token();
            let app = App::new(server.bearer_layer());
            for _ in 0..20 {
                assert_eq!(app.with_token(&signed).await.status, StatusCode::SERVICE_UNAVAILABLE, "{place} {status}");
            }
            sleep(Duration::from_secs(90)).await;
            let lines = Lines::of(&capture, "mcp_bearer").0;
            assert!(!lines.is_empty());
            for (_, line) in lines {
                assert!(!line.contains("SECRET"), "{place} {status}: {line}");
                assert!(line.len() < 1024, "{place} {status}: {} bytes", line.len());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_causes_of_a_failure_are_logged() {
    let client = Failing("connection refused\r\nby the machine");
    let issuer = Issuer::discover(ISSUER).jwks_uri("https://auth.example.com/jwks").http_client(client);
    let signer = Fixture::new().await;
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(signer.clock.clone());
    let server = std::thread::spawn(move || builder.build_lazy());
    let server = server.join().unwrap().unwrap();
    let capture = Capture::of_this_thread();
    capture.take();
    App::new(server.bearer_layer()).with_token(&signer.token()).await;
    let lines = Lines::of(&capture, "mcp_bearer::keys");
    let line = lines.at(Level::WARN).into_iter().find(|line| line.contains("key set not available")).unwrap();
    assert!(line.contains("no connection could be made: connection refused\\r\\nby the machine"), "{line}");
}

/// Fails to connect, with this error as the cause.
struct Failing(&'static str);

impl HttpClient for Failing {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let error = HttpError::new(HttpErrorKind::Connect).with_source(self.0);
        Box::pin(async move { Err(error) })
    }
}
