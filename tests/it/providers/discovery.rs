//! Discovery: metadata documents differ, and members are missing. django-oauth-toolkit publishes its introspection
//! endpoint only in the document of RFC 8414. glewlwyd has only the OpenID Connect document. Some servers have neither.
//!
//! The module `discovery` tests the order of the three locations.

use std::time::Duration;

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::provider::{Configure, Provider, TestApp, build, credentials, invalid, with};
use crate::support::RESOURCE;

const URL: &str = "https://as.example.com/o";
const KEYS: &str = "https://as.example.com/o/jwks";
const INTROSPECT: &str = "https://as.example.com/o/introspect";
/// The locations in the order in which they are tried.
const PLACES: [Endpoint; 3] = [Endpoint::OauthMetadata, Endpoint::OidcMetadataInserted, Endpoint::OidcMetadata];

/// A provider whose documents contain these members and the issuer.
fn publishing(documents: [&Value; 3]) -> Provider {
    let provider = Provider::new(URL);
    publish(&provider, documents);
    provider
}

/// Replaces the documents. A value that is not an object removes the document.
fn publish(provider: &Provider, documents: [&Value; 3]) {
    provider.issuer.heal();
    for (place, members) in PLACES.into_iter().zip(documents) {
        let fault = match members {
            Value::Object(_) => Fault::Document(with(json!({"issuer": URL}), members.clone())),
            _ => Fault::Status(404),
        };
        provider.issuer.fault(place, fault);
    }
}

/// JWTs are verified locally, and all other tokens are introspected.
fn mixed(issuer: Issuer) -> Issuer {
    issuer.introspect_opaque(credentials())
}

/// The verdicts for a JWT and for an opaque token.
async fn verdicts_of(provider: &Provider, app: &TestApp) -> [String; 2] {
    let claims = provider.claims();
    [app.verdict(&provider.sign(&claims)).await, app.verdict(&provider.opaque(&claims)).await]
}

/// The number of requests for metadata documents.
fn document_requests(provider: &Provider) -> usize {
    PLACES.into_iter().map(|place| provider.issuer.requests(place)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_missing_member_is_taken_from_a_later_document() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    for keys_at in 0..3 {
        for endpoint_at in 0..3 {
            for absent in [json!({}), json!({"jwks_uri": null, "introspection_endpoint": null}), json!(404)] {
                let mut documents = [absent.clone(), absent.clone(), absent];
                for (at, members) in [(keys_at, &keys), (endpoint_at, &endpoint)] {
                    let known = if documents[at].is_object() { documents[at].clone() } else { json!({}) };
                    documents[at] = with(known, members.clone());
                }
                let provider = publishing(documents.each_ref());
                let app = provider.trusted_as(mixed(provider.by_default()));
                assert_eq!(verdicts_of(&provider, &app).await, ["OK", "OK"], "{documents:?}");
                // No more documents are fetched than needed, and both members share the requests.
                assert_eq!(document_requests(&provider), keys_at.max(endpoint_at) + 1, "{documents:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn members_that_are_not_needed_may_be_missing() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let both = with(keys.clone(), endpoint.clone());
    let unusable = with(keys.clone(), json!({"introspection_endpoint": "http://as.example.com/introspect"}));
    let local: Configure = |issuer| issuer;
    let asking: Configure = |issuer| issuer.introspect_all(credentials());
    for (configure, document, is_enough) in [
        (local, &keys, true),
        (local, &unusable, true),
        (asking, &endpoint, true),
        (asking, &both, true),
        (local, &endpoint, false),
        (asking, &keys, false),
        (asking, &unusable, false),
        (mixed, &both, true),
        (mixed, &keys, false),
        (mixed, &endpoint, false),
        (mixed, &unusable, false),
    ] {
        let provider = publishing([document, &json!({}), &json!(404)]);
        let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone());
        let server = build(server.issuer(configure(provider.by_default()))).unwrap();
        assert_eq!(server.warm_up().await.is_ok(), is_enough, "{document}");
        assert_eq!(server.health().is_ready(), is_enough, "{document}");
        assert_eq!(document_requests(&provider), if is_enough { 1 } else { 3 }, "{document}");
    }
}

#[tokio::test(start_paused = true)]
async fn contradicting_documents_are_never_merged() {
    let elsewhere = |name: &str| format!("https://as.example.com/elsewhere/{name}");
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let both = with(keys.clone(), endpoint.clone());
    let other_keys = with(endpoint.clone(), json!({"jwks_uri": elsewhere("jwks")}));
    let other_endpoint = with(keys.clone(), json!({"introspection_endpoint": elsewhere("introspect")}));
    let other_issuer = with(both.clone(), json!({"issuer": "https://as.example.com/other"}));
    let nothing = json!(404);
    for (documents, verdicts) in [
        ([&keys, &other_keys, &nothing], ["OK", "R503"]),
        ([&keys, &nothing, &other_keys], ["OK", "R503"]),
        ([&endpoint, &other_endpoint, &nothing], ["R503", "OK"]),
        // The third document agrees with the first.
        ([&keys, &other_keys, &both], ["OK", "OK"]),
        ([&keys, &other_keys, &endpoint], ["OK", "OK"]),
        ([&endpoint, &other_endpoint, &keys], ["OK", "OK"]),
        // A document with another issuer is ignored.
        ([&keys, &other_issuer, &nothing], ["OK", "R503"]),
        ([&other_issuer, &keys, &endpoint], ["OK", "OK"]),
    ] {
        let provider = publishing(documents);
        let app = provider.trusted_as(mixed(provider.by_default()));
        assert_eq!(verdicts_of(&provider, &app).await, verdicts, "{documents:?}");
        let places = document_requests(&provider);
        assert_eq!(provider.issuer.requests(Endpoint::Unknown), 0, "{documents:?}: another URL was requested");
        assert!(places <= 3, "{documents:?}: {places}");
    }
}

#[tokio::test(start_paused = true)]
async fn explicit_urls_need_no_document() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let nothing = json!(404);
    let rows: [(Configure, &Value, usize); 5] = [
        (|issuer| mixed(issuer.jwks_uri(KEYS).introspection_endpoint(INTROSPECT)), &nothing, 0),
        (|issuer| mixed(issuer.jwks_uri(KEYS)), &endpoint, 1),
        (|issuer| mixed(issuer.introspection_endpoint(INTROSPECT)), &keys, 1),
        // A configured URL takes precedence over metadata.
        (
            |issuer| mixed(issuer.jwks_uri(KEYS)),
            &json!({"jwks_uri": "https://as.example.com/x", "introspection_endpoint": INTROSPECT}),
            1,
        ),
        (
            |issuer| mixed(issuer.introspection_endpoint(INTROSPECT)),
            &json!({"jwks_uri": KEYS, "introspection_endpoint": "https://as.example.com/x"}),
            1,
        ),
    ];
    for (configure, document, documents) in rows {
        let provider = publishing([document, &nothing, &nothing]);
        let app = provider.trusted_as(configure(provider.by_default()));
        assert_eq!(verdicts_of(&provider, &app).await, ["OK", "OK"], "{document}");
        assert_eq!(
            (document_requests(&provider), provider.issuer.requests(Endpoint::Unknown)),
            (documents, 0),
            "{document}"
        );
    }
    // If every token is introspected, only the endpoint is needed.
    let provider = publishing([&nothing, &nothing, &nothing]);
    let app = provider.trusted_as(provider.introspecting().introspection_endpoint(INTROSPECT));
    assert_eq!(verdicts_of(&provider, &app).await, ["OK", "OK"]);
    assert_eq!(provider.issuer.total_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn missing_members_are_looked_up_again_after_a_minute() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let (both, nothing) = (with(keys.clone(), endpoint.clone()), json!({}));
    for (first, missing) in [(&keys, "opaque"), (&endpoint, "JWT")] {
        let provider = publishing([first, &nothing, &nothing]);
        let app = provider.trusted_as(mixed(provider.by_default()));
        // The available members are used at once.
        let verdicts = if missing == "opaque" { ["OK", "R503"] } else { ["R503", "OK"] };
        assert_eq!(verdicts_of(&provider, &app).await, verdicts, "{missing}");
        assert_eq!(document_requests(&provider), 3, "{missing}");
        publish(&provider, [&nothing, &both, &nothing]);
        // One minute, plus or minus up to a tenth.
        advance(Duration::from_secs(53)).await;
        assert_eq!(verdicts_of(&provider, &app).await, verdicts, "{missing}");
        assert_eq!(document_requests(&provider), 3, "{missing}: the documents were fetched again too early");
        advance(Duration::from_secs(14)).await;
        verdicts_of(&provider, &app).await;
        // The next attempt may wait for a back-off. After that, the missing member is known.
        advance(Duration::from_secs(60)).await;
        assert_eq!(verdicts_of(&provider, &app).await, ["OK", "OK"], "{missing}");
        assert_eq!(document_requests(&provider), 5, "{missing}: the second document completes the metadata");
        // Complete metadata is used for an hour.
        for _ in 0..50 {
            advance(Duration::from_secs(60)).await;
            verdicts_of(&provider, &app).await;
        }
        assert_eq!(document_requests(&provider), 5, "{missing}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsuccessful_search_is_repeated_once_a_minute() {
    let nothing = json!({});
    let provider = publishing([&json!({"jwks_uri": KEYS}), &nothing, &nothing]);
    let app = provider.trusted_as(mixed(provider.by_default()));
    for _ in 0..600 {
        let outcome = app.outcome(&provider.opaque(&provider.claims())).await;
        assert!(matches!(outcome, Err(RejectionKind::Unavailable { .. })), "{outcome:?}");
        advance(Duration::from_secs(1)).await;
    }
    // Each search fetches three documents.
    let searches = document_requests(&provider) / 3;
    assert!((5..=12).contains(&searches), "{searches} in ten minutes");
    // Tokens that do not need the missing member are not affected.
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(app.outcome("").await.err(), Some(RejectionKind::InvalidRequest));
    let expired = with(provider.claims(), json!({"exp": 1_799_000_000}));
    assert_eq!(app.outcome(&provider.sign(&expired)).await, Err(invalid(CheckFailure::Expired)));
}
