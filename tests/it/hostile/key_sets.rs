//! C and G: keys that must not be used, and invalid key sets (RFC 7517, sections 4 and 5).

use std::time::Duration;

use mcp_bearer::jose::Algorithm;
use serde_json::{Value, json};

use super::canned::{Canned, KEYS, Page};
use super::rsa_vectors::{N, SIGNATURES, signing_input};
use super::trial::{Trial, base64url, from_base64url, hmac, own_key, with};

/// A key whose private half is known, and a token signed with it.
struct Specimen {
    jwk: Value,
    token: String,
}

impl Specimen {
    fn okp(trial: &Trial) -> Self {
        let token = own_key::sign(&json!({"alg": "EdDSA", "kid": "okp", "typ": "at+jwt"}), &trial.claims());
        Self { jwk: own_key::jwk("okp"), token }
    }

    /// The x coordinate begins with a zero byte, which some rows remove.
    fn ec(trial: &Trial) -> Self {
        let issuer = &trial.fixture.issuer;
        let jwk = loop {
            issuer.add_key(Algorithm::ES256);
            let jwk = issuer.jwk_set()["keys"].as_array_mut().unwrap().pop().unwrap();
            if octets(&jwk, "x")[0] == 0 {
                break jwk;
            }
            issuer.remove_key(jwk["kid"].as_str().unwrap());
        };
        let header = with(trial.header(), json!({"kid": jwk["kid"]}));
        let token = issuer.sign_raw(jwk["kid"].as_str().unwrap(), header.to_string(), trial.claims().to_string());
        Self { jwk, token }
    }

    fn rsa() -> Self {
        let signature = SIGNATURES[0].3;
        let jwk = json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": N, "e": "AQAB"});
        Self { jwk, token: format!("{}.{signature}", signing_input("RS256")) }
    }
}

fn octets(jwk: &Value, name: &str) -> Vec<u8> {
    from_base64url(jwk[name].as_str().unwrap())
}

#[tokio::test]
async fn a_key_is_used_only_for_its_declared_purpose() {
    let trial = Trial::cold();
    let (okp, ec, rsa) = (Specimen::okp(&trial), Specimen::ec(&trial), Specimen::rsa());
    let valid = trial.fixture.issuer.jwk_set()["keys"][0].clone();
    let (x, y) = (octets(&ec.jwk, "x"), octets(&ec.jwk, "y"));
    let off_curve = [&y[..31], &[y[31] ^ 1]].concat();
    let own = from_base64url(own_key::X);
    let giant = |bits: usize| base64url([vec![0x80], vec![0; bits / 8 - 2], vec![1]].concat());
    let many: serde_json::Map<String, Value> = (0..100).map(|number| (format!("x-{number}"), json!(1))).collect();
    let rows: Vec<(&str, &Specimen, Value, &str)> = vec![
        ("control", &okp, json!({}), "OK"),
        ("control", &ec, json!({}), "OK"),
        ("control", &rsa, json!({}), "OK"),
        // The key is for signatures but cannot be used. The server cannot tell whether the token is valid, so the
        // response is 503.
        ("C12", &ec, json!({"alg": "ES521"}), "R503"),
        ("C12", &ec, json!({"alg": "ES224"}), "R503"),
        ("C12", &ec, json!({"alg": "A256GCM"}), "R503"),
        ("C12", &ec, json!({"alg": "ES384"}), "R503"),
        ("C12", &ec, json!({"alg": "es256"}), "R503"),
        ("C17", &okp, json!({"crv": "Ed448"}), "R503"),
        ("C17", &okp, json!({"crv": "X25519"}), "R503"),
        ("C17", &okp, json!({"crv": "X448"}), "R503"),
        ("C17", &okp, json!({"crv": "P-256"}), "R503"),
        ("C17", &okp, json!({"crv": null}), "R503"),
        ("C17", &okp, json!({"x": base64url(&own[..31])}), "R503"),
        ("C17", &okp, json!({"x": base64url([&own[..], &[0]].concat())}), "R503"),
        ("C17", &okp, json!({"x": base64url([&own[..], &[0; 25]].concat())}), "R503"),
        ("C20", &rsa, json!({"n": giant(16_384)}), "R503"),
        ("C20", &rsa, json!({"n": giant(65_536)}), "R503"),
        ("C20", &rsa, json!({"e": giant(2_048)}), "R503"),
        ("C20", &rsa, json!({"e": "AQ"}), "R503"),
        ("C24", &okp, json!({"use": "enc"}), "R401"),
        ("C24", &okp, json!({"use": "SIG"}), "R401"),
        ("C24", &okp, json!({"key_ops": ["encrypt"]}), "R401"),
        ("C24", &okp, json!({"key_ops": ["sign"]}), "R401"),
        ("C24", &okp, json!({"key_ops": []}), "R401"),
        ("C24", &okp, json!({"use": "sig", "key_ops": ["verify"]}), "OK"),
        ("G04", &okp, json!({"d": own_key::X}), "R503"),
        ("G04", &okp, json!({"priv": "AA"}), "R503"),
        ("G04", &ec, json!({"d": own_key::X}), "R503"),
        ("G04", &rsa, json!({"d": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"p": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"q": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"dp": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"dq": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"qi": "AQAB"}), "R503"),
        ("G04", &rsa, json!({"oth": []}), "R503"),
        ("G06", &ec, json!({"y": base64url(off_curve)}), "R503"),
        ("G06", &ec, json!({"x": null}), "R503"),
        ("G06", &ec, json!({"y": null}), "R503"),
        // Concatenated, the coordinates are the same bytes.
        ("G06", &ec, json!({"x": base64url(&x[..31]), "y": base64url([&x[31..], &y].concat())}), "R503"),
        ("G06", &ec, json!({"x": base64url(&x[1..])}), "R503"),
        ("G06", &ec, json!({"x": base64url([0; 32]), "y": base64url([0; 32])}), "R503"),
        ("G06", &ec, json!({"x": ec.jwk["y"], "y": ec.jwk["x"]}), "R503"),
        ("G12", &okp, json!({"alg": ["EdDSA"]}), "R503"),
        ("G12", &okp, json!({"use": ["sig"]}), "R503"),
        ("G12", &okp, json!({"key_ops": "verify"}), "R503"),
        ("G12", &okp, json!({"key_ops": ["verify", "verify"]}), "R503"),
        ("G12", &okp, json!({"use": "sig", "key_ops": ["encrypt"]}), "R401"),
        ("G12", &okp, json!({"kty": ["OKP"]}), "R503"),
        ("G12", &okp, json!({"kid": ["okp"]}), "R401"),
        ("G13", &okp, json!({"ext": true, "nbf": 9999999999_u64, "exp": 1, "x5c": ["garbage"], "x5t": 1}), "OK"),
        ("G13", &okp, Value::Object(many), "OK"),
        // A key without a key id does not match a token that has one.
        ("G14", &okp, json!({"kid": null}), "R401"),
    ];
    for (id, specimen, changes, verdict) in rows {
        let changed = with(specimen.jwk.clone(), changes.clone());
        let canned = Canned::default();
        canned.set(KEYS, Page::ok(json!({"keys": [valid, changed]}).to_string()));
        let server = canned.trial();
        server.fixture.server.warm_up().await.unwrap();
        let usable = server.fixture.server.health().issuers()[0].key_count();
        // The key without a key id is valid, but it does not match this token.
        assert_eq!(usable, 1 + usize::from(verdict == "OK" || id == "G14"), "{id} {changes}");
        let unusable = server.fixture.server.health().issuers()[0].unusable_key_count();
        let is_unusable = verdict == "R503" || changes["kid"].is_array();
        assert_eq!(unusable, usize::from(is_unusable), "{id} {changes}");
        server.token(id, &changes.to_string(), &specimen.token, verdict).await;
        let still_valid = trial.fixture.token();
        server.token(id, "the other key of the set", &still_valid, "OK").await;
    }
}

#[tokio::test]
async fn a_signature_under_a_key_of_small_order_is_rejected() {
    // Under such a key, the signature with R = identity and S = 0 is valid for every message, or for every eighth.
    let forged = base64url([&[1][..], &[0; 63]].concat());
    for (id, first, middle, last) in
        [("C17", 1, 0, 0), ("C17", 0, 0, 0), ("C17", 0xec, 0xff, 0x7f), ("C17", 0xed, 0xff, 0x7f)]
    {
        let point = [vec![first], vec![middle; 30], vec![last]].concat();
        let trial = Trial::cold();
        let jwk = with(own_key::jwk("weak"), json!({"x": base64url(&point)}));
        let valid = trial.fixture.issuer.jwk_set()["keys"][0].clone();
        trial.fixture.issuer.publish_key_set(json!({"keys": [jwk, valid]}));
        trial.fixture.server.warm_up().await.unwrap();
        for number in 0..16 {
            let claims = with(trial.claims(), json!({"jti": number}));
            let header = json!({"alg": "EdDSA", "kid": "weak", "typ": "at+jwt"});
            let token = format!("{}.{}.{forged}", base64url(header.to_string()), base64url(claims.to_string()));
            trial.token(id, &format!("{point:?}"), &token, "R503").await;
        }
    }
}

#[tokio::test]
async fn one_invalid_entry_does_not_affect_the_other_keys() {
    for (id, invalid) in [
        ("G02", Value::Null),
        ("G02", json!(1)),
        ("G02", json!("x")),
        ("G02", json!([])),
        ("G02", json!({})),
        ("G02", json!({"kid": "es256-1"})),
        ("G02", json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"})),
        ("G02", json!({"kty": "OKP", "crv": "X25519", "x": own_key::X})),
        ("G02", json!({"kty": "OKP", "crv": "Ed448", "x": own_key::X})),
        ("G02", json!({"kty": "EC", "crv": "secp256k1", "x": own_key::X, "y": own_key::X})),
        ("G02", with(own_key::jwk(""), json!({"kid": 1}))),
        ("G02", with(own_key::jwk("x"), json!({"x": "%%%"}))),
        ("G02", json!({"kty": "RSA", "e": "AQAB"})),
        ("G05", json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "es256-1"})),
    ] {
        let trial = Trial::cold();
        let valid = trial.fixture.issuer.jwk_set()["keys"][0].clone();
        for keys in [[invalid.clone(), valid.clone()], [valid, invalid.clone()]] {
            trial.fixture.issuer.publish_key_set(json!({"keys": keys}));
            trial.token(id, &invalid.to_string(), &trial.fixture.token(), "OK").await;
        }
    }
}

#[tokio::test]
async fn a_symmetric_key_in_a_key_set_is_ignored() {
    for (id, beside, verdict) in [("G05", false, "R503"), ("G05", true, "OK")] {
        let trial = Trial::cold();
        let mut keys = vec![json!({"kty": "oct", "k": base64url("secret"), "alg": "HS256", "kid": "oct"})];
        keys.extend(beside.then(|| trial.fixture.issuer.jwk_set()["keys"][0].clone()));
        trial.fixture.issuer.publish_key_set(json!({"keys": keys}));
        let header = json!({"alg": "HS256", "kid": "oct", "typ": "at+jwt"});
        trial.reject(id, "HS256", &hmac(&header, &trial.claims(), b"secret")).await;
        trial.token(id, "a valid token", &trial.fixture.token(), verdict).await;
    }
}

#[tokio::test]
async fn the_number_of_keys_is_bounded() {
    let keys = |count: usize| -> Vec<Value> { (0..count).map(|number| own_key::jwk(&number.to_string())).collect() };
    let trial = Trial::cold();
    trial.fixture.issuer.publish_key_set(json!({"keys": keys(300)}));
    trial.fixture.server.warm_up().await.unwrap();
    assert_eq!(trial.fixture.server.health().issuers()[0].key_count(), 100, "G08");
    // Several keys are suitable, so none is tried.
    let token = own_key::sign(&json!({"alg": "EdDSA", "typ": "at+jwt"}), &trial.claims());
    trial.reject("G08", "no key id", &token).await;
    for (kid, verdict) in [("99", "OK"), ("100", "R503")] {
        let token = own_key::sign(&json!({"alg": "EdDSA", "kid": kid, "typ": "at+jwt"}), &trial.claims());
        trial.token("G08", kid, &token, verdict).await;
    }
    // 10,000 keys take more than 256 KiB, so the document is rejected.
    let trial = Trial::cold();
    trial.fixture.issuer.publish_key_set(json!({"keys": keys(10_000)}));
    trial.token("G08", "10 000 keys", &trial.fixture.token(), "R503").await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_key_set_is_a_failed_fetch() {
    let valid = |trial: &Trial| trial.fixture.issuer.jwk_set().to_string();
    type Corrupt = fn(&str) -> Vec<u8>;
    let rows: [(&str, Corrupt); 20] = [
        ("G01", |_| br#"{"keys":[]}"#.to_vec()),
        ("G01", |_| b"{}".to_vec()),
        ("G01", |_| br#"{"keys":null}"#.to_vec()),
        ("G01", |_| br#"{"keys":{}}"#.to_vec()),
        ("G01", |_| b"[]".to_vec()),
        ("G01", |_| br#""x""#.to_vec()),
        ("G01", |_| b"null".to_vec()),
        ("G01", |set| set.replacen("keys", "Keys", 1).into_bytes()),
        ("G01", |set| format!("{{\"keys\":[],{}", &set[1..]).into_bytes()),
        ("G10", |_| b"<!doctype html><title>Sign in</title>".to_vec()),
        ("G10", |_| Vec::new()),
        ("G10", |set| set[..set.len() / 2].into()),
        ("G10", |set| set[..set.len() - 1].into()),
        ("G10", |set| format!("\u{feff}{set}").into_bytes()),
        ("G10", |set| set.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("G10", |set| format!("{set}x").into_bytes()),
        ("G10", |set| format!("{set}{set}").into_bytes()),
        ("G10", |set| format!("{set}\0").into_bytes()),
        ("G10", |set| [b"{\"\xff\":1,", &set.as_bytes()[1..]].concat()),
        ("G09", |set| format!("{}{set}", " ".repeat(5 << 20)).into_bytes()),
    ];
    for (id, corrupt) in rows {
        let canned = Canned::default();
        let trial = canned.trial();
        let what =
            format!("{:?}", String::from_utf8_lossy(&corrupt(&valid(&trial))).chars().take(40).collect::<String>());
        canned.set(KEYS, Page::ok(corrupt(&valid(&trial))));
        trial.token(id, &what, &trial.fixture.token(), "R503").await;
        let error = trial.fixture.server.health().issuers()[0].last_error().unwrap().to_string();
        assert!(!error.contains("Sign in"), "{id} {what}: the error contains the document: {error}");

        let trial = canned.trial();
        canned.set(KEYS, Page::ok(valid(&trial)));
        trial.token(id, "before", &trial.fixture.token(), "OK").await;
        canned.set(KEYS, Page::ok(corrupt(&valid(&trial))));
        tokio::time::advance(Duration::from_secs(1200)).await;
        let before = canned.urls().len();
        trial.token(id, &format!("after {what}"), &trial.fixture.token(), "OK").await;
        assert!(canned.urls().len() > before, "{id} {what}: the key set was not fetched");
        // The cached keys are used for one hour after they expire.
        tokio::time::advance(Duration::from_secs(3600)).await;
        trial.token(id, &format!("too late {what}"), &trial.fixture.token(), "R503").await;
    }
}
