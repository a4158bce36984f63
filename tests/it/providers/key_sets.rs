//! Key sets of real servers. Keycloak publishes an encryption key beside the others and forbids all caching. The keys
//! of Entra contain no algorithm. New servers use the name Ed25519 (RFC 9864).
//!
//! `hostile::key_sets` tests invalid entries and the use of keys. `hostile::fetching` tests all cache headers.

use std::time::Duration;

use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::provider::{Provider, TestApp, build, invalid, with};
use crate::support::{ALGORITHMS, ISSUER, RESOURCE};

/// A provider whose only key is published with these changes.
fn publishing(algorithm: Algorithm, changes: Value) -> Provider {
    let provider = Provider::signing_with(ISSUER, algorithm);
    let key = with(provider.issuer.jwk_set()["keys"][0].clone(), changes);
    provider.issuer.publish_key_set(json!({"keys": [key]}));
    provider
}

#[tokio::test(start_paused = true)]
async fn a_key_without_alg_is_used_for_the_algorithms_of_its_type() {
    for algorithm in ALGORITHMS.into_iter().filter(|algorithm| algorithm.is_supported()) {
        let provider = publishing(algorithm, json!({"alg": null}));
        let app = provider.trusted_as(provider.by_default());
        assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK", "{algorithm}");
        for named in ALGORITHMS.into_iter().filter(|named| named.is_supported() && *named != algorithm) {
            let token = provider.sign_with(&json!({"typ": "JWT", "alg": named.name()}), &provider.claims());
            let is_rsa = |algorithm: Algorithm| algorithm.name().starts_with(['R', 'P']);
            // An RSA key fits six algorithms, and the signature uses one of them. Any other key fits one algorithm.
            let reached = is_rsa(algorithm) && is_rsa(named);
            let failure = if reached { CheckFailure::Signature } else { CheckFailure::UnknownKey };
            assert_eq!(app.outcome(&token).await, Err(invalid(failure)), "{algorithm} named {named}");
        }
        // The type of the key does not extend the list of accepted algorithms.
        let other = if algorithm == Algorithm::RS256 { Algorithm::PS256 } else { Algorithm::RS256 };
        let short = provider.trusted_as(provider.by_default().algorithms([other]));
        let outcome = short.outcome(&provider.sign(&provider.claims())).await;
        assert_eq!(outcome, Err(invalid(CheckFailure::Algorithm)), "{algorithm}");
    }
}

#[tokio::test(start_paused = true)]
async fn ed25519_is_accepted_by_its_old_and_its_new_name() {
    for published in [json!("EdDSA"), json!("Ed25519"), Value::Null] {
        let provider = publishing(Algorithm::EdDSA, json!({"alg": published}));
        let app = provider.trusted_as(provider.by_default().algorithms([Algorithm::EdDSA]));
        for (named, is_valid) in [("EdDSA", true), ("Ed25519", true), ("ed25519", false), ("Ed448", false)] {
            let token = provider.sign_with(&json!({"typ": "at+jwt", "alg": named}), &provider.claims());
            let failure = app.outcome(&token).await.err();
            assert_eq!(failure, (!is_valid).then_some(invalid(CheckFailure::Algorithm)), "{named} by {published}");
        }
    }
    let provider = publishing(Algorithm::EdDSA, json!({"alg": "Ed448"}));
    let app = provider.trusted_as(provider.by_default());
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "R503", "no key is usable");
}

#[tokio::test(start_paused = true)]
async fn only_the_signature_keys_of_a_mixed_key_set_are_used() {
    let provider = Provider::signing_with(ISSUER, Algorithm::RS256);
    let own = provider.issuer.jwk_set()["keys"][0].clone();
    let kid = own["kid"].clone();
    let foreign = Provider::signing_with("https://other.example.com", Algorithm::RS256);
    let foreign = foreign.issuer.jwk_set()["keys"][0].clone();
    let keys = json!([
        // The encryption key of Keycloak, once with its own key id and once with that of the signature key.
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
    let app = TestApp::new(&server);
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(server.health().issuers()[0].key_count(), 1);
    // A token without a key id is accepted, since only one key is suitable.
    let without = provider.sign_with(&json!({"typ": "JWT", "kid": null}), &provider.claims());
    assert_eq!(app.verdict(&without).await, "OK");
}

#[tokio::test(start_paused = true)]
async fn a_key_set_is_cached_for_a_minimum_time_despite_its_headers() {
    // The minimum lifetime is a minute, minus up to a tenth. A refresh is due after 80 % of it.
    const LIFETIME: u64 = 43;
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
        let app = provider.trusted_as(provider.by_default());
        let long = provider.sign(&with(provider.claims(), json!({"exp": 1_800_086_400})));
        for second in 0..LIFETIME {
            assert_eq!(app.verdict(&long).await, "OK", "{cache_control} {second}");
            assert_eq!(provider.issuer.requests(Endpoint::KeySet), 1, "{cache_control} after {second} s");
            advance(Duration::from_secs(1)).await;
        }
        // The key set is never used for longer than without these headers.
        for _ in 0..10 {
            advance(Duration::from_secs(30)).await;
            assert_eq!(app.verdict(&long).await, "OK", "{cache_control}");
        }
        assert!(provider.issuer.requests(Endpoint::KeySet) >= 2, "{cache_control}: the key set was never refreshed");
    }
}

/// How long a withdrawn key is accepted: with a request each second, and by one request after a time without any.
async fn accepted_after_withdrawal(cache_control: &str, lifetime: Option<u64>, last_pause: u64) -> (u64, u64) {
    let world = || {
        let provider = Provider::new(ISSUER);
        provider.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", cache_control)]));
        let issuer = provider.by_default();
        let issuer = lifetime.map_or(issuer.clone(), |lifetime| issuer.key_set_lifetime(Duration::from_secs(lifetime)));
        let app = provider.trusted_as(issuer);
        let long = provider.sign(&with(provider.claims(), json!({"exp": 1_800_086_400})));
        (provider, app, long)
    };

    let (provider, app, long) = world();
    assert_eq!(app.verdict(&long).await, "OK");
    provider.issuer.rotate();
    let mut steady = 0;
    while app.verdict(&long).await == "OK" {
        advance(Duration::from_secs(1)).await;
        steady += 1;
    }

    let mut longest = 0;
    for pause in (0..=last_pause).step_by(usize::try_from(last_pause / 40).unwrap()) {
        let (provider, app, long) = world();
        assert_eq!(app.verdict(&long).await, "OK");
        provider.issuer.rotate();
        advance(Duration::from_secs(pause)).await;
        if app.verdict(&long).await == "OK" {
            longest = pause;
        }
    }
    (steady, longest)
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_accepted_for_four_minutes_in_steady_use_and_for_five_and_a_half_at_most() {
    for (cache_control, lifetime, steady, longest) in [
        // Keycloak, Hydra, Spring Authorization Server and Logto.
        ("no-cache", None, 240, 330),
        ("private, no-cache, no-store, must-revalidate", None, 240, 330),
        ("no-cache, no-store, max-age=0", None, 240, 330),
        ("no-cache, max-age=0, must-revalidate", None, 240, 330),
        ("no-cache", Some(60), 48, 90),
        // Without `no-cache`, the minimum of one minute applies.
        ("max-age=0", None, 48, 90),
        ("max-age=86400", None, 2_880, 3_630),
    ] {
        let found = accepted_after_withdrawal(cache_control, lifetime, longest * 4 / 3).await;
        // Jitter shortens the lifetime by up to a tenth. A request in steady use starts the fetch, and a later one uses the result.
        assert!((steady * 9 / 10..=steady + 1).contains(&found.0), "{cache_control} {lifetime:?}: {found:?}");
        assert!((longest * 8 / 10..=longest).contains(&found.1), "{cache_control} {lifetime:?}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_noticed_before_the_key_set_expires() {
    let provider = Provider::new(ISSUER);
    provider.issuer.fault(Endpoint::KeySet, Fault::headers([("cache-control", "no-cache")]));
    let app = provider.trusted_as(provider.by_default());
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK");
    provider.issuer.rotate();
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK");
    assert_eq!(provider.issuer.requests(Endpoint::KeySet), 2);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_algorithm_needs_a_key_in_the_key_set() {
    // Logto signs with ES384. The key set contains another key too.
    let provider = Provider::signing_with(ISSUER, Algorithm::ES384);
    provider.issuer.add_key(Algorithm::ES256);
    for (accepted, is_valid) in [(Algorithm::ES384, true), (Algorithm::ES256, false)] {
        let app = provider.trusted_as(provider.by_default().algorithms([accepted]));
        let failure = app.outcome(&provider.sign(&provider.claims())).await.err();
        assert_eq!(failure, (!is_valid).then_some(invalid(CheckFailure::Algorithm)), "{accepted}");
    }
    let named = |alg: &str| provider.sign_with(&json!({"typ": "JWT", "alg": alg}), &provider.claims());
    let app = provider.trusted_as(Issuer::discover(ISSUER).http_client(provider.issuer.http_client()));
    assert_eq!(app.outcome(&named("ES256")).await, Err(invalid(CheckFailure::UnknownKey)));
}
