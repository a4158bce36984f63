//! Start-up lines, spans and observers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_bearer::ResourceServer;
use mcp_bearer::events::{Detail, Event};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{Dpop, SenderConstraint};
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::verify::CheckFailure;
use serde_json::json;
use tokio::time::sleep;
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, ISSUER, METADATA_URL, RESOURCE};

#[tokio::test(start_paused = true)]
async fn a_server_announces_itself_with_one_line() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let issuer = TestIssuer::builder(ISSUER).introspection_client("rs", "secret").build();
    let credentials = || mcp_bearer::introspection::ClientCredentials::basic("rs", "secret");
    let other = TestIssuer::new("https://other.example.com").issuer().algorithms([Algorithm::ES256]);
    let jwts = ResourceServer::builder(RESOURCE).issuer(issuer.issuer().algorithms([Algorithm::RS256]));
    for (builder, parts) in [
        (jwts, &["issuers=\"https://auth.example.com (JWT: RS256)\"", "cached_tokens=10000"][..]),
        (
            ResourceServer::builder(RESOURCE)
                .issuer(issuer.issuer())
                .sender_constraint(SenderConstraint::Optional)
                .dpop(Dpop::new().algorithms([Algorithm::ES256]).require_nonces())
                .client_certificate_from_connection(),
            &[
                "sender_constraint=\"optional (DPoP: ES256, with a nonce, used proofs are in memory; client certificates)\"",
            ],
        ),
        (
            ResourceServer::builder(RESOURCE).issuer(issuer.issuer().introspect_all(credentials())).issuer(other),
            &["https://auth.example.com (all tokens are introspected); https://other.example.com (JWT: ES256)"],
        ),
    ] {
        capture.take();
        builder.build().await.unwrap();
        let lines: Vec<_> = capture.take().into_iter().filter(|(level, _)| *level <= Level::INFO).collect();
        let [(Level::INFO, line)] = &lines[..] else { panic!("{lines:?}") };
        for part in parts.iter().copied().chain([
            "mcp_bearer message=this server verifies access tokens for the resource",
            &format!("resource={RESOURCE:?}"),
            &format!("metadata_url={METADATA_URL:?}"),
        ]) {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_every_event() {
    let issuer = TestIssuer::new(ISSUER);
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let observed = Arc::clone(&names);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer())
        .observer(move |event: &Event<'_>| {
            let text = match event {
                Event::TokenAccepted(accepted) => format!("{:?} {:?}", accepted.subject, accepted.request.method()),
                Event::TokenRejected(rejected) => rejected.cause.to_owned(),
                Event::ScopeMissing(rejected) => format!("{:?}", rejected.detail.and_then(Detail::expected)),
                Event::KeySetFetched(fetched) => format!("{} keys", fetched.keys),
                _ => String::new(),
            };
            observed.lock().unwrap().push(format!("{} {text}", event.name()));
        })
        .observer(|_: &Event<'_>| panic!("this observer is broken"))
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    let valid = issuer.token().audience(RESOURCE).scope("mcp:tools").subject("alice").sign();
    for token in [&valid, &valid, &issuer.token().audience(RESOURCE).sign(), "opaque"] {
        app.with_token(token).await;
    }
    issuer.fault(Endpoint::KeySet, Fault::Status(500));
    sleep(Duration::from_secs(360)).await;
    app.with_token(&issuer.token().audience(RESOURCE).scope("mcp:tools").sign()).await;
    sleep(Duration::from_secs(1)).await;
    let accepted = "token_accepted Some(\"alice\") \"GET\"";
    assert_eq!(
        names.lock().unwrap()[..8],
        [
            "metadata_fetched ",
            "key_set_fetched 1 keys",
            accepted,
            "cache_hit ",
            accepted,
            "scope_missing Some(\"mcp:tools\")",
            "token_rejected not_jwt",
            "key_set_failed ",
        ]
    );
}

#[test]
fn an_issuer_does_not_keep_the_observer_of_a_dropped_server() {
    let issuer = TestIssuer::new(ISSUER).issuer();
    let observer = Arc::new(());
    for _ in 0..10 {
        let kept = Arc::clone(&observer);
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.clone());
        builder.observer(move |_: &Event<'_>| _ = &kept).build_lazy().unwrap();
    }
    assert_eq!(Arc::strong_count(&observer), 1);
}

#[test]
fn every_cause_has_its_own_texts() {
    let mut labels: Vec<_> = CheckFailure::ALL.iter().map(|cause| cause.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), CheckFailure::ALL.len());
    for cause in CheckFailure::ALL {
        for text in [cause.summary(), cause.advice(), cause.description()] {
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains("  "), "{cause}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_verification_and_each_request_to_an_issuer_has_a_span() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let issuer = TestIssuer::builder(ISSUER).introspection_client("rs", "secret").build();
    let credentials = mcp_bearer::introspection::ClientCredentials::basic("rs", "secret");
    let configured = issuer.issuer().introspect_opaque(credentials);
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build_lazy().unwrap();
    let app = App::new(server.bearer_layer());
    issuer.introspection_answer("opaque", json!({"active": true, "aud": RESOURCE}));
    for token in [&issuer.token().audience(RESOURCE).sign(), "opaque"] {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
    let spans: Vec<_> = capture.take().into_iter().filter(|(_, line)| line.starts_with("span mcp_bearer")).collect();
    let count = |name: &str| spans.iter().filter(|(level, line)| *level == Level::DEBUG && line.contains(name)).count();
    let issuer = format!(" issuer={ISSUER:?}");
    for (name, expected) in [
        ("span mcp_bearer::verification verify_token".to_owned(), 2),
        (format!("span mcp_bearer::keys fetch_metadata{issuer}"), 1),
        (format!("span mcp_bearer::keys fetch_key_set{issuer}"), 1),
        (format!("span mcp_bearer::introspection introspect_token{issuer}"), 1),
    ] {
        assert_eq!(count(&name), expected, "{name}: {spans:?}");
    }
}
