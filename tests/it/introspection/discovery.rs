//! How the introspection endpoint is found, and what happens until it is known.

use std::error::Error as _;
use std::time::Duration;

use mcp_bearer::http_client::{AddressPolicy, HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::testing::{Documents, Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::stub::{ENDPOINT, Page, Stub, active};
use super::{Fixture, credentials, server_of};
use crate::support::{App, ISSUER, RESOURCE};

/// Both ways to configure introspection, which need different members of the metadata.
const METHODS: [fn(Issuer, ClientCredentials) -> Issuer; 2] = [
    |issuer, credentials| issuer.introspect_all(credentials),
    |issuer, credentials| issuer.introspect_opaque(credentials),
];

async fn build(issuer: Issuer) -> Result<ResourceServer, BuildError> {
    ResourceServer::builder(RESOURCE).issuer(issuer).clock(TestClock::new()).build().await
}

/// The error and its sources.
fn chain(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The metadata of the issuer without these members.
fn metadata_without(issuer: &TestIssuer, members: &[&str]) -> Value {
    let mut document = issuer.metadata();
    document.as_object_mut().unwrap().retain(|name, _| !members.contains(&name.as_str()));
    document
}

async fn accepts(server: &ResourceServer, issuer: &TestIssuer) -> bool {
    let token = issuer.token().audience(RESOURCE).opaque();
    App::new(server.bearer_layer()).with_token(&token).await.verdict() == "OK"
}

#[tokio::test(start_paused = true)]
async fn endpoint_is_taken_from_the_document_that_contains_it() {
    for way in METHODS {
        for lacking in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
            let (issuer, clock) = super::issuer(ISSUER);
            let document = metadata_without(&issuer, &["introspection_endpoint"]);
            issuer.fault(lacking, Fault::Document(document));
            let configured = way(issuer.issuer(), credentials());
            let builder = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock);
            let server = builder.build().await.unwrap();
            assert!(accepts(&server, &issuer).await, "{lacking:?}");
            // The second document is fetched only if the first is not sufficient.
            let second = usize::from(lacking == Endpoint::OauthMetadata);
            assert_eq!(issuer.requests(Endpoint::OidcMetadata), second);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_may_be_in_the_only_available_document() {
    for documents in [Documents::OAuth, Documents::Oidc] {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).documents(documents).build();
        let server = build(issuer.issuer().introspect_all(credentials())).await.unwrap();
        assert!(accepts(&server, &issuer).await, "{documents:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_missing_in_all_documents_is_named_in_the_build_error() {
    for way in METHODS {
        for named in
            [json!(null), json!(""), json!(7), json!("/introspect"), json!("http://auth.example.com/introspect")]
        {
            let issuer = TestIssuer::builder(ISSUER).metadata_member("introspection_endpoint", named.clone()).build();
            let error = build(way(issuer.issuer(), credentials())).await.unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Unreachable, "{named}");
            let text = chain(&error);
            assert!(text.contains("\"introspection_endpoint\"") && text.contains(ISSUER), "{text}");
            assert_eq!(issuer.requests(Endpoint::Introspection), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_of_a_contradicting_document_is_not_used() {
    let issuer = TestIssuer::new(ISSUER);
    let oauth = metadata_without(&issuer, &["introspection_endpoint"]);
    let mut oidc = issuer.metadata();
    oidc["jwks_uri"] = json!("https://auth.example.com/other/jwks");
    issuer.fault(Endpoint::OauthMetadata, Fault::Document(oauth));
    issuer.fault(Endpoint::OidcMetadata, Fault::Document(oidc));
    for way in METHODS {
        let error = build(way(issuer.issuer(), credentials())).await.unwrap_err();
        assert!(chain(&error).contains("\"introspection_endpoint\""), "{}", chain(&error));
    }
    assert_eq!(issuer.requests(Endpoint::Introspection), 0);
}

#[tokio::test(start_paused = true)]
async fn configured_endpoint_needs_no_metadata() {
    let issuer = TestIssuer::builder(ISSUER).clock(TestClock::new()).documents(Documents::Nothing).build();
    let server = build(issuer.issuer().introspect_all(credentials()).introspection_endpoint(ENDPOINT)).await.unwrap();
    // The first introspection checked the credentials.
    assert_eq!(issuer.total_requests(), 1);
    assert!(server.health().is_ready() && accepts(&server, &issuer).await);
    assert_eq!((issuer.requests(Endpoint::Introspection), issuer.total_requests()), (2, 2));

    let configured = issuer.issuer().introspect_opaque(credentials()).introspection_endpoint(ENDPOINT);
    let server = build(configured.jwks_uri("https://auth.example.com/jwks")).await.unwrap();
    assert!(accepts(&server, &issuer).await);
    assert_eq!((issuer.requests(Endpoint::KeySet), issuer.total_requests()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn endpoint_may_be_in_configured_metadata() {
    let issuer = TestIssuer::builder(ISSUER).clock(TestClock::new()).build();
    let metadata = AuthorizationServerMetadata::from_json(issuer.metadata().to_string()).unwrap();
    assert_eq!(metadata.introspection_endpoint(), Some(ENDPOINT));
    let configured = Issuer::with_metadata(metadata).http_client(issuer.http_client()).introspect_all(credentials());
    let server = build(configured).await.unwrap();
    assert!(accepts(&server, &issuer).await);
    assert_eq!(issuer.total_requests(), 2);
    // A mistake in configured metadata fails the build.
    for named in ["http://auth.example.com/introspect", "/introspect", ""] {
        let mut document = issuer.metadata();
        document["introspection_endpoint"] = named.into();
        let error = AuthorizationServerMetadata::from_json(document.to_string()).unwrap_err();
        assert!(error.to_string().contains("\"introspection_endpoint\""), "{error}");
    }
}

/// Answers discovery like the issuer, and introspection like the stub.
struct DiscoveryAndStub(TestIssuer, Stub);

impl HttpClient for DiscoveryAndStub {
    fn send(&self, request: http::Request<bytes::Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        if request.uri().path() == "/introspect" {
            return self.1.send(request, limits);
        }
        let client = self.0.http_client();
        Box::pin(async move { client.send(request, limits).await })
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_in_public_metadata_must_not_be_private() {
    let stub = Stub::with_page(Page::json(&active()));
    let client = DiscoveryAndStub(TestIssuer::new(ISSUER), stub.clone());
    let server = build(Issuer::discover(ISSUER).introspect_all(credentials()).http_client(client)).await.unwrap();
    assert_eq!(App::new(server.bearer_layer()).with_token("opaque").await.verdict(), "OK");
    let (_, limits) = stub.last();
    assert_eq!(limits.addresses, AddressPolicy::NoMorePrivateThan("auth.example.com".into()));
    assert_eq!((limits.connect, limits.body), (Duration::from_secs(2), 64 * 1024));
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_has_moved_is_found() {
    for status in [404, 405, 410] {
        let (issuer, clock) = super::issuer(ISSUER);
        issuer.set_metadata_member("introspection_endpoint", "https://auth.example.com/old");
        let stub = Stub::with_page(Page::status(status));
        // The new endpoint answers, and the old one is gone.
        let client = Moved { issuer: issuer.http_client(), gone: stub.clone() };
        let configured = Issuer::discover(ISSUER).introspect_all(credentials()).http_client(client);
        let server = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock).build().await.unwrap();
        let app = App::new(server.bearer_layer());
        let token = || issuer.token().audience(RESOURCE).opaque();
        issuer.set_metadata_member("introspection_endpoint", ENDPOINT);
        // Metadata that was fetched a moment ago is not fetched again.
        for _ in 0..2 {
            assert_eq!(app.with_token(&token()).await.verdict(), "R503");
        }
        // The first introspection checked the credentials.
        assert_eq!((stub.introspections(), issuer.requests(Endpoint::OauthMetadata)), (3, 1), "{status}");
        advance(Duration::from_secs(60)).await;
        assert_eq!(app.with_token(&token()).await.verdict(), "R503");
        assert_eq!(app.with_token(&token()).await.verdict(), "OK");
        assert_eq!((stub.introspections(), issuer.requests(Endpoint::OauthMetadata)), (4, 2), "{status}");
    }
}

/// An issuer whose old endpoint `/old` now belongs to another server.
struct Moved {
    issuer: mcp_bearer::testing::TestHttpClient,
    gone: Stub,
}

impl HttpClient for Moved {
    fn send(&self, request: http::Request<bytes::Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        if request.uri().path() == "/old" { self.gone.send(request, limits) } else { self.issuer.send(request, limits) }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_endpoint_is_looked_up_at_most_once_a_minute() {
    // With and without metadata that can be fetched. A failed attempt counts too.
    for metadata_fails in [false, true] {
        let fixture = Fixture::new().await;
        let app = fixture.app();
        advance(Duration::from_secs(60)).await;
        fixture.issuer.fault(Endpoint::Introspection, Fault::Status(404));
        if metadata_fails {
            fixture.issuer.fault(Endpoint::OauthMetadata, Fault::Status(500));
            fixture.issuer.fault(Endpoint::OidcMetadata, Fault::Status(500));
        }
        let fetches = || fixture.issuer.requests(Endpoint::OauthMetadata);
        let before = fetches();
        for number in 0..5 {
            assert_eq!(app.with_token(&format!("gone-{number}")).await.verdict(), "R503");
        }
        assert_eq!((fixture.introspections(), fetches() - before), (5, 1), "{metadata_fails}");
        // Ten minutes, at the pace of the circuit breaker.
        for number in 0..600 {
            advance(Duration::from_secs(1)).await;
            assert_eq!(app.with_token(&format!("still-gone-{number}")).await.verdict(), "R503");
        }
        assert!((5..=11).contains(&(fetches() - before)), "{metadata_fails}: {}", fetches() - before);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoint_with_another_failure_is_not_looked_up() {
    let fixture = Fixture::new().await;
    let app = fixture.app();
    advance(Duration::from_secs(60)).await;
    let before = fixture.issuer.requests(Endpoint::OauthMetadata);
    for fault in [Fault::Status(500), Fault::Html, Fault::Status(401), Fault::Status(400)] {
        fixture.issuer.fault(Endpoint::Introspection, fault);
        assert_eq!(app.with_token("opaque").await.verdict(), "R503");
        fixture.issuer.heal();
    }
    assert_eq!(fixture.issuer.requests(Endpoint::OauthMetadata), before);
}

#[tokio::test(start_paused = true)]
async fn a_lazy_server_answers_503_until_its_issuer_is_available() {
    for way in METHODS {
        let (issuer, clock) = super::issuer(ISSUER);
        issuer.stop();
        let builder = ResourceServer::builder(RESOURCE).issuer(way(issuer.issuer(), credentials())).clock(clock);
        let server = builder.build_lazy().unwrap();
        let (app, token) = (App::new(server.bearer_layer()), issuer.token().audience(RESOURCE));
        let token = token.expires_in(Duration::from_secs(3600)).opaque();
        let answer = app.with_token(&token).await;
        assert_eq!((answer.verdict().as_str(), answer.header("www-authenticate")), ("R503", None));
        let health = server.health();
        assert!(!health.is_ready() && health.issuers()[0].last_error().is_some());
        sleep(Duration::from_secs(300)).await;
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
        issuer.restart().unwrap();
        // The server notices it without traffic.
        sleep(Duration::from_secs(61)).await;
        assert!(server.health().is_ready());
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        // The first introspection checked the credentials.
        assert_eq!(issuer.requests(Endpoint::Introspection), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_built_outside_a_runtime_finds_its_endpoint_in_its_warm_up() {
    let issuer = TestIssuer::new(ISSUER);
    let configured = issuer.issuer().introspect_all(credentials());
    let server = server_of(configured);
    assert!(!server.health().is_ready());
    server.warm_up().await.unwrap();
    assert!(server.health().is_ready());
    assert_eq!((issuer.requests(Endpoint::OauthMetadata), issuer.total_requests()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_discovery_delays_a_request_by_at_most_eight_seconds() {
    let issuer = TestIssuer::new(ISSUER);
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
        issuer.fault(endpoint, Fault::Delay(Duration::from_secs(60)));
    }
    let server = server_of(issuer.issuer().introspect_all(credentials()));
    let started = tokio::time::Instant::now();
    assert_eq!(App::new(server.bearer_layer()).with_token("opaque").await.verdict(), "R503");
    assert!((8000..=8001).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn known_endpoint_is_used_while_its_metadata_cannot_be_renewed() {
    for fault in [Fault::Status(500), Fault::Drop, Fault::Delay(Duration::from_secs(60)), Fault::Html] {
        let fixture = Fixture::new().await;
        let app = fixture.app();
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
        fixture.issuer.fault(Endpoint::OauthMetadata, fault.clone());
        fixture.issuer.fault(Endpoint::OidcMetadata, fault.clone());
        let before = fixture.issuer.requests(Endpoint::OauthMetadata);
        for _ in 0..4 {
            advance(Duration::from_secs(3600)).await;
            let started = tokio::time::Instant::now();
            assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK", "{fault:?}");
            assert!(started.elapsed().is_zero(), "{fault:?}: the request waited for a renewal of the metadata");
            for _ in 0..200 {
                sleep(Duration::from_millis(100)).await;
                assert!(fixture.server.health().is_ready(), "{fault:?}");
            }
        }
        assert!(fixture.issuer.requests(Endpoint::OauthMetadata) > before, "{fault:?}: the metadata was not requested");
    }
}
