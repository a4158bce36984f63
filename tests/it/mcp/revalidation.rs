//! Streams whose token is revalidated.

use std::time::Duration;

use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::mcp::{McpLayer, McpScopes};
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};

use super::server::{McpServer, post, tools};
use super::stream::{CALL, EVENTS, Feed, START, Stream, feeding};
use crate::support::{Fixture, RESOURCE};

const INTERVAL: u64 = 100;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The default time of the positive cache.
const POSITIVE_CACHE: u64 = 30;

fn introspection() -> Introspection {
    Introspection::new(ClientCredentials::basic("mcp-server", "s3cret"))
}

/// A server with one issuer in this configuration.
async fn fixture(configure: impl FnOnce(Issuer) -> Issuer) -> Fixture {
    let mut fixture = Fixture::cold();
    let issuer = configure(fixture.issuer.issuer());
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(fixture.clock.clone());
    fixture.server = builder.build().await.unwrap();
    fixture
}

async fn introspecting() -> Fixture {
    fixture(|issuer| issuer.introspect_all(introspection())).await
}

fn layer(fixture: &Fixture) -> McpLayer {
    let scopes = McpScopes::new().tool("watch", ["notes:read"]);
    fixture.server.mcp_layer(scopes).revalidate_streams(Duration::from_secs(INTERVAL))
}

fn guarded(fixture: &Fixture) -> (McpServer, Feed) {
    feeding(tools(layer(fixture)), EVENTS)
}

fn opaque(fixture: &Fixture, lifetime: u64) -> String {
    let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools notes:read");
    token.expires_in(Duration::from_secs(lifetime)).opaque()
}

/// The introspection response for a token that is valid for a day, with these changes.
fn answer(changes: &Value) -> Value {
    let mut answer = json!({
        "active": true, "token_type": "Bearer", "iss": "https://auth.example.com", "sub": "alice", "aud": RESOURCE,
        "scope": "mcp:tools notes:read", "exp": START + DAY, "iat": START,
    });
    for (name, value) in changes.as_object().unwrap() {
        answer[name] = value.clone();
    }
    answer
}

fn introspections(fixture: &Fixture) -> usize {
    // One more checks the credentials when the server is built.
    fixture.issuer.requests(Endpoint::Introspection) - 1
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_its_stream_within_the_interval_and_the_cache_time() {
    // The cached result expires before the first revalidation, unless the configured time is longer.
    for (positive, revoked_at, earliest, latest) in
        [(POSITIVE_CACHE, 10, 90, 100), (0, 10, 90, 100), (POSITIVE_CACHE, 120, 180, 200), (150, 10, 180, 200)]
    {
        let held = introspection().positive_cache(Duration::from_secs(positive));
        let fixture = fixture(|issuer| issuer.introspect_all(held)).await;
        let (server, feed) = guarded(&fixture);
        let token = opaque(&fixture, DAY);
        let mut stream = Stream::open(&server, &token).await;
        feed.send("data: a\n\n");
        assert_eq!(stream.next().await.as_deref(), Some("data: a\n\n"));
        let issuer = fixture.issuer;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(revoked_at)).await;
            issuer.revoke(&token);
        });
        let (rest, ended) = stream.rest().await;
        assert!(rest.is_empty() && (earliest..=latest).contains(&ended), "{positive} {revoked_at}: {ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_in_flight_is_completed_after_a_revocation() {
    let fixture = introspecting().await;
    let (server, feed) = guarded(&fixture);
    let token = opaque(&fixture, DAY);
    let mut stream = Stream::open(&server, &token).await;
    feed.send("data: a");
    assert_eq!(stream.next_now().as_deref(), Some("data: a"));
    fixture.issuer.revoke(&token);
    stream.at(INTERVAL + 1).await;
    for _ in 0..3 {
        assert!(stream.is_waiting());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    feed.send("\n\ndata: b\n\n");
    assert_eq!(stream.rest().await, ("\n\n".to_owned(), INTERVAL + 1));
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_no_stream_and_the_next_revalidation_is_an_interval_later() {
    let faults =
        [Fault::Status(500), Fault::Status(401), Fault::Html, Fault::Drop, Fault::Delay(Duration::from_secs(60))];
    for fault in faults {
        let fixture = introspecting().await;
        let (server, _feed) = guarded(&fixture);
        let token = opaque(&fixture, DAY);
        let mut stream = Stream::open(&server, &token).await;
        assert_eq!(introspections(&fixture), 1);
        fixture.issuer.fault(Endpoint::Introspection, fault.clone());
        fixture.issuer.revoke(&token);
        let reader = tokio::spawn(async move { stream.rest().await });
        tokio::time::sleep(Duration::from_secs(1010)).await;
        assert!(!reader.is_finished(), "{fault:?}");
        // One request per revalidation. The circuit breaker also introspects an unknown token, to learn whether the
        // endpoint works.
        assert!((10..=26).contains(&introspections(&fixture)), "{fault:?}: {}", introspections(&fixture));
        fixture.issuer.heal();
        let (rest, ended) = reader.await.unwrap();
        assert!(rest.is_empty() && (1010..=1010 + INTERVAL + 10).contains(&ended), "{fault:?}: {ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_if_its_token_cannot_be_revalidated_for_an_hour_and_the_interval() {
    let faults = [Fault::Status(500), Fault::Drop, Fault::Delay(Duration::from_secs(60))];
    for fault in faults {
        for outlives in [false, true] {
            let fixture = introspecting().await;
            let mut layer = layer(&fixture);
            if outlives {
                layer = layer.streams_may_outlive_token();
            }
            let (server, feed) = feeding(tools(layer), EVENTS);
            let token = opaque(&fixture, DAY);
            let mut stream = Stream::open(&server, &token).await;
            let reader = tokio::spawn(async move { stream.rest().await.1 });
            // The hour begins with the last successful revalidation.
            tokio::time::sleep(Duration::from_secs(5 * INTERVAL)).await;
            fixture.issuer.fault(Endpoint::Introspection, fault.clone());
            tokio::time::sleep(Duration::from_secs(HOUR)).await;
            assert!(!reader.is_finished() && !feed.is_dropped(), "{fault:?}");
            let ended = reader.await.unwrap();
            let last = 4 * INTERVAL..=5 * INTERVAL;
            let expected = last.start() + INTERVAL + HOUR..=last.end() + INTERVAL + HOUR;
            assert!(expected.contains(&ended), "{fault:?} {outlives}: {ended}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_ends_within_the_hour_ends_no_stream() {
    let fixture = introspecting().await;
    let (server, feed) = guarded(&fixture);
    let token = opaque(&fixture, DAY);
    let mut stream = Stream::open(&server, &token).await;
    let reader = tokio::spawn(async move { stream.rest().await.1 });
    for _ in 0..5 {
        fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
        tokio::time::sleep(Duration::from_secs(HOUR - 2 * INTERVAL)).await;
        fixture.issuer.heal();
        // The circuit breaker sends at most one request per minute.
        tokio::time::sleep(Duration::from_secs(4 * INTERVAL)).await;
        assert!(!reader.is_finished() && !feed.is_dropped());
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_responses_with_a_known_length_and_without_an_expiry() {
    let fixture = introspecting().await;
    let server = McpServer::with(tools(layer(&fixture)), |_| {
        let bytes = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")), ()))
        });
        let headers = [("content-type", "application/json"), ("content-length", "100000")];
        axum::response::IntoResponse::into_response((headers, axum::body::Body::from_stream(bytes)))
    });
    let mut answer = answer(&json!({}));
    answer.as_object_mut().unwrap().remove("exp");
    fixture.issuer.introspection_answer("token", answer);
    let response = server.respond(post("token", &[], CALL)).await;
    let opened = tokio::time::Instant::now();
    fixture.issuer.revoke("token");
    assert!(http_body_util::BodyExt::collect(response.into_body()).await.is_err());
    assert!((90..=100).contains(&opened.elapsed().as_secs()), "{:?}", opened.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_loses_a_required_scope() {
    for (scope, ends) in [
        ("mcp:tools notes:read", false),
        ("mcp:tools notes:read other", false),
        ("mcp:tools", true),
        ("notes:read", true),
        ("", true),
    ] {
        let fixture = introspecting().await;
        let (server, feed) = guarded(&fixture);
        fixture.issuer.introspection_answer("token", answer(&json!({})));
        let mut stream = Stream::open(&server, "token").await;
        fixture.issuer.introspection_answer("token", answer(&json!({ "scope": scope })));
        let reader = tokio::spawn(async move { stream.rest().await.1 });
        tokio::time::sleep(Duration::from_secs(4 * INTERVAL)).await;
        assert_eq!(reader.is_finished(), ends, "{scope}");
        if ends {
            assert!((90..=100).contains(&reader.await.unwrap()));
        } else {
            assert!(!feed.is_dropped());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_introspection_response_decides_when_a_stream_expires() {
    for (changes, end) in [
        // An earlier expiry, and a later one.
        (json!({ "exp": START + 250 }), 250 + 60),
        (json!({ "exp": START + 2 * DAY }), 2 * DAY + 60),
    ] {
        let fixture = introspecting().await;
        let (server, _feed) = guarded(&fixture);
        fixture.issuer.introspection_answer("token", answer(&json!({})));
        let mut stream = Stream::open(&server, "token").await;
        fixture.issuer.introspection_answer("token", answer(&changes));
        assert_eq!(stream.rest().await, (String::new(), end));
    }
}

#[tokio::test(start_paused = true)]
async fn with_streams_may_outlive_token_only_a_revalidation_ends_a_stream() {
    let fixture = introspecting().await;
    let (server, _feed) = feeding(tools(layer(&fixture).streams_may_outlive_token()), EVENTS);
    fixture.issuer.introspection_answer("token", answer(&json!({ "exp": START + 50 })));
    let mut stream = Stream::open(&server, "token").await;
    // While the token is active, its expiry does not end the stream.
    let reader = tokio::spawn(async move { stream.rest().await.1 });
    tokio::time::sleep(Duration::from_secs(85)).await;
    fixture.issuer.introspection_answer("token", answer(&json!({ "exp": START + 111 })));
    tokio::time::sleep(Duration::from_secs(20)).await;
    fixture.issuer.introspection_answer("token", answer(&json!({ "exp": START + DAY })));
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!reader.is_finished());
    fixture.issuer.revoke("token");
    assert!((305..=405).contains(&reader.await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_key_of_its_token_is_removed() {
    for outlives in [false, true] {
        let fixture = Fixture::new().await;
        let mut layer = layer(&fixture);
        if outlives {
            layer = layer.streams_may_outlive_token();
        }
        let (server, _feed) = feeding(tools(layer), EVENTS);
        let token = fixture.issuer.token().audience(RESOURCE).scope("mcp:tools notes:read");
        let token = token.expires_in(Duration::from_secs(DAY)).sign();
        let mut stream = Stream::open(&server, &token).await;
        let reader = tokio::spawn(async move { stream.rest().await.1 });
        tokio::time::sleep(Duration::from_secs(HOUR)).await;
        assert!(!reader.is_finished());
        let key = fixture.issuer.key_id();
        fixture.issuer.add_key(Algorithm::ES256);
        fixture.issuer.remove_key(&key);
        // A key set is valid for five minutes. After that, it is refreshed in the background.
        let ended = reader.await.unwrap();
        assert!((HOUR..=HOUR + 300 + 2 * INTERVAL).contains(&ended), "{ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_streams_with_one_token_share_their_revalidations() {
    let fixture = introspecting().await;
    let token = opaque(&fixture, DAY);
    let mut readers = Vec::new();
    for _ in 0..50 {
        let (server, feed) = guarded(&fixture);
        let mut stream = Stream::open(&server, &token).await;
        readers.push(tokio::spawn(async move { stream.rest().await }));
        tokio::spawn(async move {
            while !feed.is_dropped() {
                feed.send("data: a\n\n");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
    }
    assert_eq!(introspections(&fixture), 1);
    tokio::time::sleep(Duration::from_secs(1005)).await;
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    // Revalidation uses cached results, so there is at most one request per cache period.
    let most = 1 + usize::try_from(1005 / POSITIVE_CACHE).unwrap();
    assert!((11..=most).contains(&introspections(&fixture)), "{}", introspections(&fixture));
    let before = introspections(&fixture);
    fixture.issuer.revoke(&token);
    for reader in readers {
        let (events, ended) = reader.await.unwrap();
        assert!((1005..=1005 + INTERVAL + POSITIVE_CACHE).contains(&ended), "{ended}");
        assert!(events.len() >= 100 * "data: a\n\n".len());
    }
    assert!(introspections(&fixture) - before < 12, "{}", introspections(&fixture) - before);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_revalidated_once_per_interval_or_up_to_a_tenth_earlier() {
    let fixture = fixture(|issuer| issuer.introspect_all(introspection().positive_cache(Duration::ZERO))).await;
    let (server, _feed) = guarded(&fixture);
    let mut stream = Stream::open(&server, &opaque(&fixture, DAY)).await;
    let reader = tokio::spawn(async move { stream.rest().await });
    for round in 1..=20_u64 {
        tokio::time::sleep(Duration::from_secs(INTERVAL)).await;
        let introspections = introspections(&fixture);
        let (least, most) = (1 + round, 1 + round * 100 / 90);
        assert!((least..=most + 1).contains(&u64::try_from(introspections).unwrap()), "{round}: {introspections}");
    }
    assert!(!reader.is_finished());
}

#[tokio::test(start_paused = true)]
async fn only_streams_with_an_interval_are_revalidated() {
    let fixture = introspecting().await;
    let plain = fixture.server.mcp_layer(McpScopes::new());
    let (server, _feed) = feeding(tools(plain), EVENTS);
    let token = opaque(&fixture, HOUR);
    let mut stream = Stream::open(&server, &token).await;
    fixture.issuer.revoke(&token);
    assert_eq!(stream.rest().await, (String::new(), HOUR + 60));
    assert_eq!(introspections(&fixture), 1);

    let server = McpServer::with(tools(layer(&fixture)), |_| {
        axum::response::IntoResponse::into_response("an answer of known length")
    });
    let mut answer = Stream::open(&server, &opaque(&fixture, DAY)).await;
    tokio::time::sleep(Duration::from_secs(HOUR)).await;
    assert_eq!(answer.rest().await.0, "an answer of known length");
    assert_eq!(introspections(&fixture), 2);
}
