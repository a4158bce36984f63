//! Points 5 and 8: key sets as they are. Keycloak publishes an encryption key beside the others and forbids to keep any of
//! it; Entra's keys name no algorithm; new servers name Ed25519 by itself (RFC 9864).
//!
//! That one bad entry spoils no other, and what a key may be used for, is tested in `hostile::key_sets`; all that cache
//! headers say, in `hostile::fetching`.

use std::time::Duration;

use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::provider::{Door, Provider, build, invalid, with};
use crate::support::{ALGORITHMS, ISSUER, RESOURCE};

/// A provider whose only key is published with these members changed.
fn publishing(algorithm: Algorithm, changes: Value) -> Provider {
    let provider = Provider::signing_with(ISSUER, algorithm);
    let key = with(provider.issuer.jwk_set()["keys"][0].clone(), changes);
    provider.issuer.publish_key_set(json!({"keys": [key]}));
    provider
}

#[tokio::test(start_paused = true)]
async fn a_key_that_names_no_algorithm_serves_those_of_its_type() {
    for algorithm in ALGORITHMS.into_iter().filter(|algorithm| algorithm.is_supported()) {
        let provider = publishing(algorithm, json!({"alg": null}));
        let door = provider.trusted_as(provider.by_default());
        assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK", "{algorithm}");
        for named in ALGORITHMS.into_iter().filter(|named| named.is_supported() && *named != algorithm) {
            let token = provider.sign_with(&json!({"typ": "JWT", "alg": named.name()}), &provider.claims());
            let is_rsa = |algorithm: Algorithm| algorithm.name().starts_with(['R', 'P']);
            // One RSA key can be for six algorithms, of which one made the signature; any other key is for one.
            let reached = is_rsa(algorithm) && is_rsa(named);
            let failure = if reached { CheckFailure::Signature } else { CheckFailure::UnknownKey };
            assert_eq!(door.judge(&token).await, Err(invalid(failure)), "{algorithm} named {named}");
        }
        // Where the list of accepted algorithms is short, the key's type does not lengthen it.
        let other = if algorithm == Algorithm::RS256 { Algorithm::PS256 } else { Algorithm::RS256 };
        let short = provider.trusted_as(provider.by_default().algorithms([other]));
        let judged = short.judge(&provider.sign(&provider.claims())).await;
        assert_eq!(judged, Err(invalid(CheckFailure::Algorithm)), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn ed25519_goes_by_its_old_name_and_by_its_new_one() {
    for published in [json!("EdDSA"), json!("Ed25519"), Value::Null] {
        let provider = publishing(Algorithm::EdDSA, json!({"alg": published}));
        let door = provider.trusted_as(provider.by_default().algorithms([Algorithm::EdDSA]));
        for (named, is_good) in [("EdDSA", true), ("Ed25519", true), ("ed25519", false), ("Ed448", false)] {
            let token = provider.sign_with(&json!({"typ": "at+jwt", "alg": named}), &provider.claims());
            let failure = door.judge(&token).await.err();
            assert_eq!(failure, (!is_good).then_some(invalid(CheckFailure::Algorithm)), "{named} by {published}");
        }
    }
    let provider = publishing(Algorithm::EdDSA, json!({"alg": "Ed448"}));
    let door = provider.trusted_as(provider.by_default());
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "R503", "no key can be used");
}

#[tokio::test(start_paused = true)]
async fn a_set_of_keys_for_everything_serves_with_those_for_signatures() {
    let provider = Provider::signing_with(ISSUER, Algorithm::RS256);
    let own = provider.issuer.jwk_set()["keys"][0].clone();
    let kid = own["kid"].clone();
    let foreign = Provider::signing_with("https://other.example.com", Algorithm::RS256);
    let foreign = foreign.issuer.jwk_set()["keys"][0].clone();
    let keys = json!([
        // Keycloak's, under an id of its own, and under that of the key for signatures.
        with(foreign.clone(), json!({"kid": "enc", "use": "enc", "alg": "RSA-OAEP", "x5c": ["MIIC"], "x5t": "x"})),
        with(foreign.clone(), json!({"use": "enc", "alg": "RSA-OAEP", "kid": kid})),
        with(foreign, json!({"use": null, "alg": null, "kid": kid, "key_ops": ["wrapKey"]})),
        {"kty": "AKP", "alg": "ML-DSA-65", "kid": kid, "pub": "AA"},
        {"kty": "OKP", "crv": "X25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty": "oct", "kid": kid, "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "future"},
        with(own, json!({"alg": null, "use": null, "x5c": ["MIIC"], "issuer": "https://login.example.com/{tenantid}/v2.0"})),
    ]);
    provider.issuer.publish_key_set(json!({"keys": keys}));
    let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone()).issuer(provider.by_default());
    let server = build(server).unwrap();
    let door = Door::new(&server);
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(server.health().issuers()[0].key_count(), 1);
    // The only key that fits needs no id.
    let without = provider.sign_with(&json!({"typ": "JWT", "kid": null}), &provider.claims());
    assert_eq!(door.verdict(&without).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_key_set_is_kept_for_a_while_whatever_its_headers_forbid() {
    // The least that is kept is a minute, of which chance takes a tenth, and after four fifths of that the next is fetched.
    const KEPT: u64 = 43;
    for cache_control in [
        "no-cache",
        "no-cache, must-revalidate, no-transform, no-store",
        "no-store",
        "private",
        "private, max-age=0",
        "max-age=0",
        "max-age=15",
        "public, max-age=1, must-revalidate",
    ] {
        let provider = Provider::new(ISSUER);
        provider.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", cache_control)]));
        let door = provider.trusted_as(provider.by_default());
        let long = provider.sign(&with(provider.claims(), json!({"exp": 1_800_086_400})));
        for second in 0..KEPT {
            assert_eq!(door.verdict(&long).await, "OK", "{cache_control} {second}");
            assert_eq!(provider.issuer.requests(Endpoint::KeySet), 1, "{cache_control} after {second} s");
            advance(Duration::from_secs(1)).await;
        }
        // And never for longer than if nothing were said.
        for _ in 0..10 {
            advance(Duration::from_secs(30)).await;
            assert_eq!(door.verdict(&long).await, "OK", "{cache_control}");
        }
        assert!(provider.issuer.requests(Endpoint::KeySet) >= 2, "{cache_control}: it was kept for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_followed_within_the_time_that_a_set_is_kept() {
    let provider = Provider::new(ISSUER);
    provider.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "no-cache")]));
    let door = provider.trusted_as(provider.by_default());
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK");
    provider.issuer.rotate();
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(provider.issuer.requests(Endpoint::KeySet), 2);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_algorithm_needs_its_key_and_not_only_its_name() {
    // Logto signs with ES384: a set with that key serves whoever accepts it, beside what else is in it.
    let provider = Provider::signing_with(ISSUER, Algorithm::ES384);
    provider.issuer.add_key(Algorithm::ES256);
    for (accepted, is_good) in [(Algorithm::ES384, true), (Algorithm::ES256, false)] {
        let door = provider.trusted_as(provider.by_default().algorithms([accepted]));
        let failure = door.judge(&provider.sign(&provider.claims())).await.err();
        assert_eq!(failure, (!is_good).then_some(invalid(CheckFailure::Algorithm)), "{accepted}");
    }
    let named = |alg: &str| provider.sign_with(&json!({"typ": "JWT", "alg": alg}), &provider.claims());
    let door = provider.trusted_as(Issuer::discover(ISSUER).http_client(provider.issuer.http_client()));
    assert_eq!(door.judge(&named("ES256")).await, Err(invalid(CheckFailure::UnknownKey)));
}
