//! Streams that end because their token is revoked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_bearer::events::{Event, StreamEndReason};
use mcp_bearer::mcp::{McpLayer, McpScopes};
use mcp_bearer::testing::TestToken;
use mcp_bearer::{Clock as _, ResourceServer, Revocation};
use tokio::time::{Instant, sleep};

use super::server::{McpServer, tools};
use super::stream::{EVENTS, Feed, Stream, feeding};
use crate::support::{Fixture, ISSUER, RESOURCE};

const HOUR: Duration = Duration::from_secs(3600);

fn guarded(fixture: &Fixture) -> (McpServer, Feed) {
    feeding(tools(layer(fixture)), EVENTS)
}

fn layer(fixture: &Fixture) -> McpLayer {
    fixture.server.mcp_layer(McpScopes::new())
}

fn token<'f>(fixture: &'f Fixture, name: &str) -> TestToken<'f> {
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(24 * HOUR);
    token.subject(name).claim("jti", format!("jti-{name}")).claim("sid", format!("sid-{name}"))
}

async fn revoke(fixture: &Fixture, revocation: Revocation) {
    fixture.server.revoke(revocation, fixture.clock.now() + 24 * HOUR).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_the_streams_of_its_tokens_at_once() {
    for kind in 0..4 {
        let fixture = Fixture::new().await;
        let (alice, bob) = (token(&fixture, "alice").sign(), token(&fixture, "bob").sign());
        let revocation = [
            Revocation::token(&*alice),
            Revocation::token_id(ISSUER, "jti-alice"),
            Revocation::subject(ISSUER, "alice"),
            Revocation::session(ISSUER, "sid-alice"),
        ];
        let (server, feed) = guarded(&fixture);
        let (other_server, other_feed) = guarded(&fixture);
        let mut stream = Stream::open(&server, &alice).await;
        let mut other = Stream::open(&other_server, &bob).await;
        feed.send("data: a\n\n");
        assert_eq!(stream.next_now().as_deref(), Some("data: a\n\n"));
        assert!(stream.is_waiting() && other.is_waiting());
        let readers = tokio::spawn(async move { stream.rest().await });
        sleep(Duration::from_secs(1000)).await;
        assert!(!readers.is_finished());
        revoke(&fixture, revocation[kind].clone()).await;
        assert_eq!(readers.await.unwrap(), (String::new(), 1000));
        sleep(HOUR).await;
        other_feed.send("data: b\n\n");
        assert_eq!(other.next_now().as_deref(), Some("data: b\n\n"));
        assert!(other.is_waiting());
        // The inner stream is dropped with the response.
        assert!(feed.is_dropped() && !other_feed.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_in_flight_is_completed_after_a_revocation() {
    let fixture = Fixture::new().await;
    let (server, feed) = guarded(&fixture);
    let mut stream = Stream::open(&server, &token(&fixture, "alice").sign()).await;
    feed.send("data: a");
    assert_eq!(stream.next_now().as_deref(), Some("data: a"));
    revoke(&fixture, Revocation::subject(ISSUER, "alice")).await;
    assert!(stream.is_waiting());
    feed.send("\n\ndata: b\n\n");
    assert_eq!(stream.rest().await, ("\n\n".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_an_event_stream_ends_with_an_error() {
    let fixture = Fixture::new().await;
    let (server, feed) = feeding(tools(layer(&fixture)), "application/octet-stream");
    let mut download = Stream::open(&server, &token(&fixture, "alice").sign()).await;
    feed.send("half of it");
    assert_eq!(download.next_now().as_deref(), Some("half of it"));
    assert!(download.is_waiting());
    revoke(&fixture, Revocation::subject(ISSUER, "alice")).await;
    assert_eq!(download.expect_error().await, 0);
}

#[tokio::test(start_paused = true)]
async fn streams_that_outlive_their_token_end_with_a_revocation() {
    let fixture = Fixture::new().await;
    let layers = [
        layer(&fixture).streams_may_outlive_token(),
        layer(&fixture).streams_may_outlive_token().revalidate_streams(HOUR),
        layer(&fixture).revalidate_streams(HOUR),
        layer(&fixture).filter_lists(),
    ];
    for (number, layer) in layers.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (server, _feed) = feeding(tools(layer), EVENTS);
        let mut stream = Stream::open(&server, &token(&fixture, &name).sign()).await;
        assert!(stream.is_waiting());
        revoke(&fixture, Revocation::subject(ISSUER, &*name)).await;
        assert_eq!(stream.rest().await, (String::new(), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_ends_when_it_is_read() {
    let fixture = Fixture::new().await;
    let (server, feed) = guarded(&fixture);
    let mut stream = Stream::open(&server, &token(&fixture, "alice").sign()).await;
    // Nothing was read before the revocation.
    feed.send("data: a\n\n");
    revoke(&fixture, Revocation::subject(ISSUER, "alice")).await;
    assert_eq!(stream.next_now(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_token_is_not_affected() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new().public_tools(["watch"]));
    let (server, feed) = feeding(tools(layer).allow_anonymous(), EVENTS);
    let mut stream = Stream::open(&server, "").await;
    revoke(&fixture, Revocation::subject(ISSUER, "alice")).await;
    feed.send("data: a\n\n");
    assert_eq!(stream.next_now().as_deref(), Some("data: a\n\n"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_has_its_reason() {
    let mut fixture = Fixture::new().await;
    let reasons: Arc<Mutex<Vec<StreamEndReason>>> = Arc::default();
    let observed = Arc::clone(&reasons);
    let builder = ResourceServer::builder(RESOURCE).issuer(fixture.issuer.issuer()).clock(fixture.clock.clone());
    let builder = builder.observer(move |event: &Event<'_>| {
        if let Event::StreamEnded(reason) = event {
            observed.lock().unwrap().push(*reason);
        }
    });
    fixture.server = builder.build().await.unwrap();
    let (server, _feed) = guarded(&fixture);
    let mut stream = Stream::open(&server, &token(&fixture, "alice").sign()).await;
    assert!(stream.is_waiting());
    revoke(&fixture, Revocation::subject(ISSUER, "alice")).await;
    assert_eq!(stream.next_now(), None);
    assert_eq!(*reasons.lock().unwrap(), [StreamEndReason::Revoked]);
    assert_eq!(StreamEndReason::Revoked.label(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn many_revocations_and_many_streams() {
    let fixture = Fixture::new().await;
    let mut streams = Vec::new();
    for number in 0..1_000 {
        let (server, feed) = guarded(&fixture);
        let mut stream = Stream::open(&server, &token(&fixture, &format!("user-{number}")).sign()).await;
        assert!(stream.is_waiting());
        streams.push((tokio::spawn(async move { stream.rest().await }), feed));
    }
    // The subject of every tenth revocation has a stream.
    for number in 0..10_000 {
        let name = if number % 10 == 0 { format!("user-{}", number / 10) } else { format!("other-{number}") };
        revoke(&fixture, Revocation::subject(ISSUER, name)).await;
        tokio::task::yield_now().await;
        if number % 10 == 0 {
            let (reader, _) = &mut streams[number / 10];
            let revoked = Instant::now();
            assert_eq!(reader.await.unwrap().0, "");
            assert!(revoked.elapsed() <= Duration::from_millis(101), "{:?}", revoked.elapsed());
        }
    }
    assert_eq!(fixture.server.health().revocations().entry_count(), 10_000);
    assert!(streams.iter().all(|(_, feed)| feed.is_dropped()));
}
