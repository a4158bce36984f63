//! Point 6: metadata documents differ, and lack what is needed. django-oauth-toolkit names its introspection endpoint only
//! in the document of RFC 8414, glewlwyd has only the one of OpenID Connect, and some servers have neither.
//!
//! That the three places are tried in order is tested in `discovery`.

use std::time::Duration;

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::provider::{Configure, Door, Provider, build, credentials, invalid, with};
use crate::support::RESOURCE;

const URL: &str = "https://as.example.com/o";
const KEYS: &str = "https://as.example.com/o/jwks";
const INTROSPECT: &str = "https://as.example.com/o/introspect";
/// In the order in which they are tried.
const PLACES: [Endpoint; 3] = [Endpoint::OauthMetadata, Endpoint::OidcMetadataInserted, Endpoint::OidcMetadata];

/// A provider whose documents have these members beside the issuer's name.
fn publishing(documents: [&Value; 3]) -> Provider {
    let provider = Provider::new(URL);
    publish(&provider, documents);
    provider
}

/// Publishes other documents from now on. What is no object is not there.
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

/// JWTs are checked here, and the issuer is asked about all others.
fn mixed(issuer: Issuer) -> Issuer {
    issuer.introspect_opaque(credentials())
}

/// What becomes of a JWT, and of an opaque token.
async fn judge(provider: &Provider, door: &Door) -> [String; 2] {
    let claims = provider.claims();
    [door.verdict(&provider.sign(&claims)).await, door.verdict(&provider.opaque(&claims)).await]
}

/// How many documents were asked for.
fn asked(provider: &Provider) -> usize {
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
                let door = provider.trusted_as(mixed(provider.by_default()));
                assert_eq!(judge(&provider, &door).await, ["OK", "OK"], "{documents:?}");
                // No further than needed, and once for both.
                assert_eq!(asked(&provider), keys_at.max(endpoint_at) + 1, "{documents:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_may_be_missing() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let both = with(keys.clone(), endpoint.clone());
    let unusable = with(keys.clone(), json!({"introspection_endpoint": "http://as.example.com/introspect"}));
    let here: Configure = |issuer| issuer;
    let asking: Configure = |issuer| issuer.introspect_all(credentials());
    for (configure, document, is_enough) in [
        (here, &keys, true),
        (here, &unusable, true),
        (asking, &endpoint, true),
        (asking, &both, true),
        (here, &endpoint, false),
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
        assert_eq!(asked(&provider), if is_enough { 1 } else { 3 }, "{document}");
    }
}

#[tokio::test(start_paused = true)]
async fn documents_that_disagree_are_never_merged() {
    let elsewhere = |name: &str| format!("https://as.example.com/elsewhere/{name}");
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let both = with(keys.clone(), endpoint.clone());
    let other_keys = with(endpoint.clone(), json!({"jwks_uri": elsewhere("jwks")}));
    let other_endpoint = with(keys.clone(), json!({"introspection_endpoint": elsewhere("introspect")}));
    let stranger = with(both.clone(), json!({"issuer": "https://as.example.com/other"}));
    let nothing = json!(404);
    for (documents, verdicts) in [
        ([&keys, &other_keys, &nothing], ["OK", "R503"]),
        ([&keys, &nothing, &other_keys], ["OK", "R503"]),
        ([&endpoint, &other_endpoint, &nothing], ["R503", "OK"]),
        // The third agrees with the first.
        ([&keys, &other_keys, &both], ["OK", "OK"]),
        ([&keys, &other_keys, &endpoint], ["OK", "OK"]),
        ([&endpoint, &other_endpoint, &keys], ["OK", "OK"]),
        // What names another issuer is nobody's document.
        ([&keys, &stranger, &nothing], ["OK", "R503"]),
        ([&stranger, &keys, &endpoint], ["OK", "OK"]),
    ] {
        let provider = publishing(documents);
        let door = provider.trusted_as(mixed(provider.by_default()));
        assert_eq!(judge(&provider, &door).await, verdicts, "{documents:?}");
        let places = asked(&provider);
        assert_eq!(provider.issuer.requests(Endpoint::Unknown), 0, "{documents:?}: it went elsewhere");
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
        // What is written down counts, whatever a document says.
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
        let door = provider.trusted_as(configure(provider.by_default()));
        assert_eq!(judge(&provider, &door).await, ["OK", "OK"], "{document}");
        assert_eq!((asked(&provider), provider.issuer.requests(Endpoint::Unknown)), (documents, 0), "{document}");
    }
    // Where every token is asked about, the endpoint is all that is needed.
    let provider = publishing([&nothing, &nothing, &nothing]);
    let door = provider.trusted_as(provider.asked().introspection_endpoint(INTROSPECT));
    assert_eq!(judge(&provider, &door).await, ["OK", "OK"]);
    assert_eq!(provider.issuer.total_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_looked_for_again_after_a_minute() {
    let (keys, endpoint) = (json!({"jwks_uri": KEYS}), json!({"introspection_endpoint": INTROSPECT}));
    let (both, nothing) = (with(keys.clone(), endpoint.clone()), json!({}));
    for (first, missing) in [(&keys, "opaque"), (&endpoint, "JWT")] {
        let provider = publishing([first, &nothing, &nothing]);
        let door = provider.trusted_as(mixed(provider.by_default()));
        // What is there serves at once.
        let verdicts = if missing == "opaque" { ["OK", "R503"] } else { ["R503", "OK"] };
        assert_eq!(judge(&provider, &door).await, verdicts, "{missing}");
        assert_eq!(asked(&provider), 3, "{missing}");
        publish(&provider, [&nothing, &both, &nothing]);
        // A minute, of which chance takes or adds a tenth.
        advance(Duration::from_secs(53)).await;
        assert_eq!(judge(&provider, &door).await, verdicts, "{missing}");
        assert_eq!(asked(&provider), 3, "{missing}: it was asked again too soon");
        advance(Duration::from_secs(14)).await;
        judge(&provider, &door).await;
        // An attempt that failed may have to be waited for before the next; what was missing is known by now.
        advance(Duration::from_secs(60)).await;
        assert_eq!(judge(&provider, &door).await, ["OK", "OK"], "{missing}");
        assert_eq!(asked(&provider), 5, "{missing}: two documents, and then there was all");
        // Complete, it is good for an hour.
        for _ in 0..50 {
            advance(Duration::from_secs(60)).await;
            judge(&provider, &door).await;
        }
        assert_eq!(asked(&provider), 5, "{missing}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_goes_on_in_vain_is_made_once_a_minute() {
    let nothing = json!({});
    let provider = publishing([&json!({"jwks_uri": KEYS}), &nothing, &nothing]);
    let door = provider.trusted_as(mixed(provider.by_default()));
    for _ in 0..600 {
        let judged = door.judge(&provider.opaque(&provider.claims())).await;
        assert!(matches!(judged, Err(RejectionKind::Unavailable { .. })), "{judged:?}");
        advance(Duration::from_secs(1)).await;
    }
    // Three documents each time.
    let searches = asked(&provider) / 3;
    assert!((5..=12).contains(&searches), "{searches} in ten minutes");
    // Who needs no more than there is does not notice.
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(door.judge("").await.err(), Some(RejectionKind::InvalidRequest));
    let expired = with(provider.claims(), json!({"exp": 1_799_000_000}));
    assert_eq!(door.judge(&provider.sign(&expired)).await, Err(invalid(CheckFailure::Expired)));
}
