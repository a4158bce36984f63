//! Published keys that cannot be used. The log names them, and `health` counts them. A token under such a key id gets
//! 503 and causes no request. Keys for other uses than signatures are not among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcp_bearer::jose::{Algorithm, JwkSet};
use mcp_bearer::keys::{KeySetFuture, KeySource};
use mcp_bearer::testing::Endpoint;
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;
use tracing::Level;

use super::provider::{Provider, TestApp, build, invalid, with};
use crate::capture::Capture;
use crate::support::{ISSUER, RESOURCE, unavailable};

/// A provider with a key `n1` beside its signing key, and this key as published.
fn provider_with_new_key(algorithm: Algorithm) -> (Provider, Value, Value) {
    let provider = Provider::signing_with(ISSUER, algorithm);
    let valid = provider.issuer.jwk_set()["keys"][0].clone();
    let kid = provider.issuer.add_key(algorithm);
    let new = provider.issuer.jwk_set()["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).cloned();
    (provider, valid, new.unwrap())
}

/// A token signed with this key, with these header members beside `alg`.
fn signed_by(provider: &Provider, kid: &str, header: Value) -> String {
    let alg = provider.issuer.jwk_set()["keys"][0]["alg"].clone();
    let header = with(json!({"alg": alg, "typ": "at+jwt"}), header);
    provider.issuer.sign_raw(kid, header.to_string(), provider.claims().to_string())
}

fn server(provider: &Provider, issuer: Issuer) -> ResourceServer {
    build(ResourceServer::builder(RESOURCE).issuer(issuer).clock(provider.clock.clone())).unwrap()
}

fn warnings(capture: &Capture) -> Vec<String> {
    let lines = capture.take().into_iter();
    lines.filter(|(level, line)| *level == Level::WARN && line.contains("::keys")).map(|(_, line)| line).collect()
}

fn padded(key: &Value) -> Value {
    with(key.clone(), json!({"n": format!("{}==", key["n"].as_str().unwrap())}))
}

#[tokio::test(start_paused = true)]
async fn a_rotation_to_an_unusable_key_is_logged_and_gets_503() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (provider, valid, new) = provider_with_new_key(Algorithm::RS256);
    let kid = new["kid"].as_str().unwrap().to_owned();
    let unpadded = new["n"].as_str().unwrap().to_owned();
    provider.issuer.publish_key_set(json!({"keys": [valid]}));
    let server = server(&provider, provider.by_default());
    let app = TestApp::new(&server);
    let signed = |key: &Value| {
        let kid = key["kid"].as_str().unwrap();
        signed_by(&provider, kid, json!({"kid": kid}))
    };
    let token = signed(&new);
    assert_eq!(app.verdict(&signed(&valid)).await, "OK");
    assert!(warnings(&capture).is_empty());
    // The key rotation.
    provider.issuer.publish_key_set(json!({"keys": [valid, padded(&new)]}));
    assert_eq!(app.outcome(&token).await, Err(unavailable()));
    let lines = warnings(&capture);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for part in [ISSUER, &format!("kid=\"{kid}\""), "base64url without padding"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains(&unpadded), "the line contains data of the document: {line}");
    let health = server.health();
    let health = &health.issuers()[0];
    assert_eq!((health.is_ready(), health.key_count(), health.unusable_key_count()), (true, 1, 1));
    // Further tokens cause no requests and no log lines, whatever their signature.
    let before = provider.issuer.total_requests();
    for number in 0..50 {
        let (rest, _) = token.rsplit_once('.').unwrap();
        assert_eq!(app.outcome(&token).await, Err(unavailable()));
        assert_eq!(app.outcome(&format!("{rest}.{number:04}")).await, Err(unavailable()));
    }
    assert_eq!(provider.issuer.total_requests(), before);
    assert_eq!(app.verdict(&signed(&valid)).await, "OK");
    // The next fetches of the same key set cause no log lines.
    for _ in 0..3 {
        advance(Duration::from_secs(290)).await;
        assert_eq!(app.verdict(&signed(&valid)).await, "OK");
        tokio::task::yield_now().await;
    }
    assert!(provider.issuer.total_requests() > before);
    assert_eq!(warnings(&capture), Vec::<String>::new());
    // After a repair, the key is used from the next refresh on, like any change of a known key.
    provider.issuer.publish_key_set(json!({"keys": [valid, new]}));
    advance(Duration::from_secs(400)).await;
    assert_eq!(app.verdict(&signed(&new)).await, "OK");
    assert_eq!(server.health().issuers()[0].unusable_key_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_unusable_signature_key_is_named_in_the_log() {
    for (algorithm, changes, reason) in [
        (Algorithm::RS256, json!({"n": "AQAB"}), "size"),
        (Algorithm::RS256, json!({"e": "AQAB="}), "base64url"),
        (Algorithm::RS256, json!({"n": "a+b/"}), "base64url"),
        (Algorithm::RS256, json!({"alg": "RSA-OAEP-256"}), "does not fit"),
        (Algorithm::RS256, json!({"d": "AQAB"}), "private"),
        (Algorithm::RS256, json!({"use": ""}), "wrong type"),
        (Algorithm::RS256, json!({"alg": ""}), "does not fit"),
        (Algorithm::RS256, json!({"use": null, "key_ops": "verify"}), "wrong type"),
        (Algorithm::RS256, json!({"pad": "x".repeat(9_000)}), "8 KiB"),
        (Algorithm::ES256, json!({"x": "a5pmVGc3QkOrCzjC4G2UuPb8Vq9wAXlEIirywexJ-Q"}), "wrong length"),
        (Algorithm::ES256, json!({"x": "AOLYpxhTxF1VF6Q0WRybPDWzMyhpTb-npGbOtDpA3YfN"}), "wrong length"),
        (Algorithm::ES256, json!({"alg": "ES521"}), "does not fit"),
        (Algorithm::ES256, json!({"alg": "A256GCM"}), "does not fit"),
        (Algorithm::ES256, json!({"crv": "secp256k1"}), "does not fit"),
        (Algorithm::ES256, json!({"kty": "AKP"}), "does not fit"),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let (provider, valid, new) = provider_with_new_key(algorithm);
        let kid = new["kid"].as_str().unwrap();
        provider.issuer.publish_key_set(json!({"keys": [valid, with(new.clone(), changes.clone())]}));
        let app = provider.trusted_as(provider.by_default());
        let token = signed_by(&provider, kid, json!({"kid": kid}));
        assert_eq!(app.outcome(&token).await, Err(unavailable()), "{changes}");
        let lines = warnings(&capture);
        assert!(lines.len() == 1 && lines[0].contains(reason) && lines[0].contains(kid), "{changes:.80}: {lines:?}");
        // A key set with only this key is rejected, and the log names the key.
        provider.issuer.publish_key_set(json!({"keys": [with(new.clone(), changes.clone())]}));
        let server = server(&provider, provider.by_default());
        assert_eq!(TestApp::new(&server).verdict(&token).await, "R503");
        let lines = warnings(&capture);
        assert!(lines[0].contains(reason) && lines[0].contains(kid), "{changes:.80}: {lines:?}");
        let health = server.health();
        let health = &health.issuers()[0];
        assert_eq!(
            (health.is_ready(), health.key_count(), health.unusable_key_count()),
            (false, 0, 1),
            "{changes:.80}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_for_signatures_is_skipped_without_a_warning() {
    for changes in [
        json!({"use": "enc"}),
        json!({"use": "enc", "alg": "RSA-OAEP"}),
        json!({"use": "enc", "n": "AQAB=="}),
        json!({"use": null, "key_ops": ["encrypt", "wrapKey"]}),
        json!({"use": null, "key_ops": []}),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "use": null, "alg": null}),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let (provider, valid, new) = provider_with_new_key(Algorithm::RS256);
        let kid = new["kid"].as_str().unwrap();
        provider.issuer.publish_key_set(json!({"keys": [valid, with(new.clone(), changes.clone())]}));
        let server = server(&provider, provider.by_default());
        server.warm_up().await.unwrap();
        let app = TestApp::new(&server);
        let token = signed_by(&provider, kid, json!({"kid": kid}));
        let before = provider.issuer.requests(Endpoint::KeySet);
        assert_eq!(app.outcome(&token).await, Err(invalid(CheckFailure::UnknownKey)), "{changes}");
        assert_eq!(provider.issuer.requests(Endpoint::KeySet), before, "{changes}: the key set was fetched again");
        let lines = capture.take();
        assert!(lines.iter().any(|(_, line)| line.contains("keys=1 unusable=0 skipped=1")), "{changes}: {lines:?}");
        assert!(lines.iter().all(|(level, _)| *level > Level::WARN), "{changes}: {lines:?}");
        assert_eq!(server.health().issuers()[0].unusable_key_count(), 0, "{changes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_usable_key_is_used_beside_an_unusable_one_with_the_same_key_id() {
    let (provider, valid, new) = provider_with_new_key(Algorithm::RS256);
    let (first, second) = (valid["kid"].as_str().unwrap(), new["kid"].as_str().unwrap());
    let third = provider.issuer.add_key(Algorithm::RS256);
    let same = |key: &Value| with(key.clone(), json!({"kid": "same"}));
    for keys in [[same(&valid), padded(&same(&new))], [padded(&same(&new)), same(&valid)]] {
        provider.issuer.publish_key_set(json!({"keys": keys}));
        let app = provider.trusted_as(provider.by_default());
        assert_eq!(app.verdict(&signed_by(&provider, first, json!({"kid": "same"}))).await, "OK");
        // One of the two keys may be valid, and the server cannot tell which.
        for signer in [second, &third] {
            assert_eq!(app.outcome(&signed_by(&provider, signer, json!({"kid": "same"}))).await, Err(unavailable()));
            assert_eq!(app.outcome(&signed_by(&provider, signer, json!({}))).await, Err(unavailable()));
        }
        assert_eq!(app.verdict(&signed_by(&provider, first, json!({}))).await, "OK");
    }
    // A key for another use cannot have made the signature.
    provider.issuer.publish_key_set(json!({"keys": [same(&valid), with(same(&new), json!({"use": "enc"}))]}));
    let app = provider.trusted_as(provider.by_default());
    for header in [json!({"kid": "same"}), json!({})] {
        let token = signed_by(&provider, second, header);
        assert_eq!(app.outcome(&token).await, Err(invalid(CheckFailure::Signature)));
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_four_keys_with_one_key_id_are_tried() {
    let provider = Provider::signing_with(ISSUER, Algorithm::ES256);
    for _ in 1..6 {
        provider.issuer.add_key(Algorithm::ES256);
    }
    let keys = provider.issuer.jwk_set()["keys"].as_array().unwrap().clone();
    let same: Vec<Value> = keys.iter().map(|key| with(key.clone(), json!({"kid": "same"}))).collect();
    provider.issuer.publish_key_set(json!({"keys": same}));
    let server = server(&provider, provider.by_default());
    let app = TestApp::new(&server);
    for (number, key) in keys.iter().enumerate() {
        let token = signed_by(&provider, key["kid"].as_str().unwrap(), json!({"kid": "same"}));
        let expected = if number < 4 { "OK" } else { "R503" };
        assert_eq!(app.verdict(&token).await, expected, "key {number}");
    }
    let health = server.health();
    assert_eq!((health.issuers()[0].key_count(), health.issuers()[0].unusable_key_count()), (4, 2));
    // If all keys with this key id are tried, a forged signature is invalid.
    provider.issuer.publish_key_set(json!({"keys": same[..3]}));
    let app = provider.trusted_as(provider.by_default());
    let forged = signed_by(&provider, keys[5]["kid"].as_str().unwrap(), json!({"kid": "same"}));
    assert_eq!(app.outcome(&forged).await, Err(invalid(CheckFailure::Signature)));
}

#[tokio::test(start_paused = true)]
async fn a_thumbprint_selects_a_key_if_there_is_no_key_id() {
    let (provider, valid, new) = provider_with_new_key(Algorithm::RS256);
    let (first, second) = (valid["kid"].as_str().unwrap(), new["kid"].as_str().unwrap());
    for name in ["x5t", "x5t#S256"] {
        let marked = |key: &Value, thumbprint: &str| with(key.clone(), json!({name: thumbprint}));
        provider.issuer.publish_key_set(json!({"keys": [marked(&valid, "UtTPYQs5"), marked(&new, "Zz1")]}));
        let server = server(&provider, provider.by_default());
        server.warm_up().await.unwrap();
        let app = TestApp::new(&server);
        for (signer, header, expected) in [
            (first, json!({name: "UtTPYQs5"}), None),
            (second, json!({name: "Zz1"}), None),
            (second, json!({name: "UtTPYQs5"}), Some(CheckFailure::Signature)),
            // A key id takes precedence.
            (second, json!({name: "UtTPYQs5", "kid": second}), None),
            (second, json!({name: "Zz1", "kid": "unknown"}), Some(CheckFailure::UnknownKey)),
            (first, json!({}), Some(CheckFailure::UnknownKey)),
        ] {
            let token = signed_by(&provider, signer, header.clone());
            assert_eq!(app.outcome(&token).await.err(), expected.map(invalid), "{header}");
        }
        // An unknown thumbprint causes a fetch and is cached, like an unknown key id.
        let token = signed_by(&provider, first, json!({name: "uttpyqs5"}));
        for fetches in [1, 0, 0] {
            let before = provider.issuer.requests(Endpoint::KeySet);
            assert_eq!(app.outcome(&token).await.err(), Some(invalid(CheckFailure::UnknownKey)));
            assert_eq!(provider.issuer.requests(Endpoint::KeySet) - before, fetches);
        }
        // After a key rotation, this fetch finds the new thumbprint.
        advance(Duration::from_secs(60)).await;
        provider.issuer.publish_key_set(json!({"keys": [marked(&valid, "new"), marked(&new, "Zz1")]}));
        assert_eq!(app.verdict(&signed_by(&provider, first, json!({name: "new"}))).await, "OK");
        assert_eq!(
            app.outcome(&signed_by(&provider, first, json!({name: 1}))).await,
            Err(invalid(CheckFailure::Header))
        );
        let long = signed_by(&provider, first, json!({name: "x".repeat(513)}));
        assert_eq!(app.outcome(&long).await, Err(invalid(CheckFailure::Header)));
    }
}

#[tokio::test(start_paused = true)]
async fn null_members_and_long_certificate_chains_are_accepted() {
    for (algorithm, changes) in [
        (Algorithm::EdDSA, json!({"alg": null, "n": null, "e": null, "y": null, "d": null, "key_ops": null})),
        (Algorithm::RS256, json!({"x5c": ["x".repeat(10_600), "y".repeat(5_000)]})),
        (Algorithm::RS256, json!({"x5c": null, "x5t": null, "use": null, "oth": null, "k": null})),
        (Algorithm::RS256, json!({"e": "AAEAAQ"})),
    ] {
        let provider = Provider::signing_with(ISSUER, algorithm);
        let mut key = provider.issuer.jwk_set()["keys"][0].clone();
        // Here, `null` is a value.
        key.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        for keys in [json!([key]), json!([key, null]), json!([null, key])] {
            provider.issuer.publish_key_set(json!({"keys": keys}));
            let capture = Capture::default();
            let _guard = tracing::subscriber::set_default(capture.clone());
            let app = provider.trusted_as(provider.by_default());
            assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "OK", "{changes:.80}");
            assert_eq!(warnings(&capture), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_and_the_size_of_keys_are_configurable() {
    let (provider, valid, new) = provider_with_new_key(Algorithm::ES256);
    let (first, second) = (valid["kid"].as_str().unwrap(), new["kid"].as_str().unwrap());
    let other = |number: usize| with(valid.clone(), json!({"kid": format!("other-{number}"), "use": null}));
    let many: Vec<Value> = (0..119).map(other).chain([with(new.clone(), json!({"use": "sig"}))]).collect();
    let last = "other-118";
    let encryption = (0..300).map(|number| with(other(number), json!({"kid": format!("enc-{number}"), "use": "enc"})));
    let many: Vec<Value> = encryption.chain(many).collect();
    provider.issuer.publish_key_set(json!({"keys": many}));
    let by_default = provider.by_default();
    for (issuer, keys, unusable, verdicts) in [
        (by_default.clone(), 100, 20, ["OK", "R503"]),
        (by_default.clone().max_keys(120), 120, 0, ["OK", "OK"]),
        (by_default.clone().max_keys(1), 1, 119, ["OK", "R503"]),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let server = server(&provider, issuer);
        server.warm_up().await.unwrap();
        let health = server.health();
        assert_eq!((health.issuers()[0].key_count(), health.issuers()[0].unusable_key_count()), (keys, unusable));
        // One line for the first key, and one for all others.
        let lines = warnings(&capture);
        assert_eq!(lines.len(), if unusable == 0 { 0 } else { 2 }, "{lines:?}");
        let app = TestApp::new(&server);
        // The key with `"use": "sig"` takes precedence, although it comes last.
        for ((signer, kid), expected) in [(second, second), (first, last)].into_iter().zip(verdicts) {
            assert_eq!(app.verdict(&signed_by(&provider, signer, json!({"kid": kid}))).await, expected, "{kid}");
        }
    }
    let long = with(valid.clone(), json!({"x5c": ["x".repeat(300_000)]}));
    provider.issuer.publish_key_set(json!({"keys": [long]}));
    let token = signed_by(&provider, first, json!({"kid": first}));
    for (issuer, verdict) in [(by_default.clone(), "R503"), (by_default.max_key_set_size(400_000), "OK")] {
        assert_eq!(provider.trusted_as(issuer).verdict(&token).await, verdict);
    }
}

#[test]
fn limits_of_a_key_set_are_bounded() {
    for (issuer, part) in [
        (Issuer::discover(ISSUER).max_keys(0), "`max_keys` is 0; use between 1 and 1000"),
        (Issuer::discover(ISSUER).max_keys(1_001), "`max_keys` is 1001"),
        (Issuer::discover(ISSUER).max_key_set_size(1_023), "`max_key_set_size` is 1023; use between 1024 and 4194304"),
        (Issuer::discover(ISSUER).max_key_set_size(4_194_305), "`max_key_set_size` is 4194305"),
        (
            Issuer::discover(ISSUER).introspect_all(super::provider::credentials()).max_keys(5),
            "`max_keys` has no effect",
        ),
    ] {
        let error = build(ResourceServer::builder(RESOURCE).issuer(issuer)).unwrap_err();
        assert!(error.kind() == BuildErrorKind::Setting && error.to_string().contains(part), "{error}");
    }
    for issuer in [
        Issuer::discover(ISSUER).max_keys(1).max_key_set_size(1_024),
        Issuer::discover(ISSUER).max_keys(1_000).max_key_set_size(4 << 20),
    ] {
        assert!(build(ResourceServer::builder(RESOURCE).issuer(issuer)).is_ok());
    }
}

/// A key source that returns the same key set each time, in a new allocation.
struct OwnSource(String, Arc<AtomicUsize>);

impl KeySource for OwnSource {
    fn key_set<'a>(&'a self, _: Option<&'a str>) -> KeySetFuture<'a> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Arc::new(JwkSet::from_json(&self.0).unwrap())) })
    }
}

#[tokio::test(start_paused = true)]
async fn unusable_keys_of_fixed_key_sets_and_of_own_sources_are_logged_once() {
    let (provider, valid, new) = provider_with_new_key(Algorithm::RS256);
    let (first, second) = (valid["kid"].as_str().unwrap(), new["kid"].as_str().unwrap());
    let document = json!({"keys": [valid, padded(&new)]}).to_string();
    let calls = Arc::new(AtomicUsize::new(0));
    for (issuer, counted) in [
        (Issuer::with_jwks(ISSUER, JwkSet::from_json(&document).unwrap()), 1),
        (Issuer::with_key_source(ISSUER, OwnSource(document, Arc::clone(&calls))), 0),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(provider.clock.clone());
        let server = builder.build_lazy().unwrap();
        let app = TestApp::new(&server);
        for _ in 0..10 {
            assert_eq!(app.verdict(&signed_by(&provider, first, json!({"kid": first}))).await, "OK");
            let token = signed_by(&provider, second, json!({"kid": second}));
            assert_eq!(app.outcome(&token).await, Err(unavailable()));
        }
        let lines = warnings(&capture);
        assert!(lines.len() == 1 && lines[0].contains(second), "{lines:?}");
        assert_eq!(server.health().issuers()[0].unusable_key_count(), counted);
    }
    // The key id of an unusable key is known, so the source is not asked for a newer key set.
    assert_eq!(calls.load(Ordering::SeqCst), 20);
}
