//! D: JOSE header parameters (RFC 7515, section 4; RFC 8725, sections 3.10 to 3.12).

use mcp_bearer::jose::Algorithm;
use serde_json::{Value, json};

use super::trial::{self, Trial, base64url, own_key, with};

#[tokio::test]
async fn a_key_in_the_header_is_never_used() {
    let trial = Trial::warm().await;
    let real = trial.fixture.issuer.key_id();
    let claims = trial.claims();
    let jwk = own_key::jwk(&real);
    for (id, header) in [
        ("D01", json!({"alg": "EdDSA", "jwk": jwk, "kid": real})),
        ("D01", json!({"alg": "EdDSA", "jwk": jwk, "kid": "unknown"})),
        ("D01", json!({"alg": "EdDSA", "jwk": jwk})),
        ("D02", json!({"alg": "EdDSA", "jku": "https://canary.example.com/jwks", "kid": "unknown"})),
        ("D02", json!({"alg": "EdDSA", "jku": "https://auth.example.com/redirect?to=https://canary.example.com"})),
        ("D02", json!({"alg": "EdDSA", "jku": "https://auth.example.com@canary.example.com/jwks", "kid": real})),
        ("D02", json!({"alg": "EdDSA", "x5u": "https://canary.example.com/chain.pem", "kid": real})),
        ("D02", json!({"alg": "EdDSA", "x5c": ["MIIB"], "kid": real})),
    ] {
        let answer = trial.token(id, &header.to_string(), &own_key::sign(&header, &claims), "R401").await;
        assert!(answer.error().is_some(), "{id}");
        // An unknown key id may cause a fetch of the issuer's own key set, and of nothing else.
        assert_eq!(trial.requests().1, 0, "{id} {header}: another server received a request");
    }
    // With a valid signature, these members are ignored.
    for (id, member) in [("D01", json!({"jwk": jwk})), ("D02", json!({"jku": "https://canary", "x5u": 1, "x5c": {}}))] {
        let header = with(trial.header(), member);
        trial.token(id, &header.to_string(), &trial.with_header(header.to_string()), "OK").await;
    }
}

#[tokio::test]
async fn a_header_that_requires_an_extension_is_rejected() {
    let trial = Trial::cold();
    let valid = trial.header();
    for (id, members) in [
        ("D04", json!({"crit": ["foo"], "foo": "1"})),
        ("D04", json!({"crit": ["foo"]})),
        ("D04", json!({"crit": ["exp"]})),
        ("D04", json!({"crit": ["exp"], "exp": 9999999999_u64})),
        ("D04", json!({"crit": ["http://x/y"], "http://x/y": true})),
        ("D05", json!({"crit": []})),
        ("D05", json!({"crit": "b64"})),
        ("D05", json!({"crit": [1]})),
        ("D05", json!({"crit": {}})),
        ("D05", json!({"crit": ["foo", "foo"], "foo": 1})),
        ("D05", json!({"crit": ["alg"]})),
        ("D06", json!({"crit": ["b64"], "b64": false})),
        ("D06", json!({"b64": false})),
        ("D06", json!({"crit": ["b64"], "b64": true})),
        ("D13", json!({"enc": "A256GCM"})),
        ("D13", json!({"zip": "DEF"})),
        ("D13", json!({"enc": "A256GCM", "zip": "DEF"})),
    ] {
        let header = with(valid.clone(), members);
        trial.reject(id, &header.to_string(), &trial.with_header(header.to_string())).await;
    }
    let null = valid.to_string().replacen('{', "{\"crit\":null,", 1);
    trial.reject("D05", &null, &trial.with_header(&null)).await;
    // RFC 7797: the payload is signed without base64url encoding.
    let header = base64url(with(valid, json!({"crit": ["b64"], "b64": false})).to_string());
    let [_, payload, signature] = ["", &trial.claims().to_string(), "AAAA"].map(base64url);
    trial.reject("D06", "unencoded", &format!("{header}.{payload}.{signature}")).await;
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn a_token_with_the_type_of_another_token_is_rejected() {
    let lenient = Trial::cold();
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer().require_at_jwt();
    let strict = Trial::of(issuer, clock, |server| server.issuer(accepted));
    for (id, typ) in [
        ("D08", json!("dpop+jwt")),
        ("D08", json!("token-introspection+jwt")),
        ("D08", json!("logout+jwt")),
        ("D08", json!("secevent+jwt")),
        ("D08", json!("client-authentication+jwt")),
        ("D08", json!("id_token+jwt")),
        ("D08", json!("oauth-id-jag+jwt")),
        ("D08", json!("text/at+jwt")),
        ("D08", json!("at+jwt;x=1")),
        ("D08", json!("at+jwt ")),
        ("D08", json!("")),
        ("D08", json!(["at+jwt"])),
        ("D08", json!({"at+jwt": 1})),
        ("D08", json!(1)),
        ("D08", json!(true)),
    ] {
        for trial in [&lenient, &strict] {
            let header = with(trial.header(), json!({"typ": typ}));
            trial.reject(id, &header.to_string(), &trial.with_header(header.to_string())).await;
        }
    }
    let null = |trial: &Trial| trial.header().to_string().replacen("\"at+jwt\"", "null", 1);
    // `null` means that the member is absent.
    lenient.token("D08", "null", &lenient.with_header(null(&lenient)), "OK").await;
    strict.reject("D08", "null", &strict.with_header(null(&strict))).await;
    for (id, typ) in
        [("D08", json!("JWT")), ("D08", json!("jwt")), ("D08", json!("application/jwt")), ("D08", Value::Null)]
    {
        let header = |trial: &Trial| with(trial.header(), json!({"typ": typ})).to_string();
        strict.reject(id, &typ.to_string(), &strict.with_header(header(&strict))).await;
        lenient.token(id, &typ.to_string(), &lenient.with_header(header(&lenient)), "OK").await;
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = with(strict.header(), json!({"typ": typ})).to_string();
        strict.token("D08", typ, &strict.with_header(header), "OK").await;
    }
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_exactly_one_suitable_key() {
    // A server could try one key after the other. This crate never does.
    for (id, others, verdict) in [
        ("D09", &[][..], "OK"),
        ("D09", &[Algorithm::ES384, Algorithm::EdDSA], "OK"),
        ("D09", &[Algorithm::ES256], "R401"),
        ("D09", &[Algorithm::ES256, Algorithm::ES256, Algorithm::EdDSA], "R401"),
    ] {
        let trial = Trial::cold();
        let kid = trial.fixture.issuer.key_id();
        others.iter().for_each(|algorithm| drop(trial.fixture.issuer.add_key(*algorithm)));
        trial.fixture.server.warm_up().await.unwrap();
        let before = trial.requests();
        let header = with(trial.header(), json!({"kid": null}));
        let token = trial.fixture.issuer.sign_raw(&kid, header.to_string(), trial.claims().to_string());
        trial.token(id, &format!("{others:?}"), &token, verdict).await;
        assert_eq!(trial.requests(), before, "{id} {others:?}");
    }
    // The key set does not contain a key for this algorithm.
    let trial = Trial::warm().await;
    let token = own_key::sign(&json!({"alg": "EdDSA"}), &trial.claims());
    trial.token("D09", "none", &token, "R401").await;
}

#[tokio::test]
async fn a_key_id_is_a_string_or_absent() {
    let trial = Trial::cold();
    for (id, kid) in
        [("D10", json!(1)), ("D10", json!([])), ("D10", json!({})), ("D10", json!(true)), ("D10", json!(["es256-1"]))]
    {
        let header = with(trial.header(), json!({"kid": kid}));
        trial.reject(id, &header.to_string(), &trial.with_header(header.to_string())).await;
    }
    let kid = format!("\"{}\"", trial.fixture.issuer.key_id());
    let null = trial.header().to_string().replacen(&kid, "null", 1);
    // `null` means that the member is absent. The key set has one key, so `kid` is not needed.
    trial.token("D10", &null, &trial.with_header(&null), "OK").await;
    trial.accept_a_valid_token().await;
    let trial = Trial::cold();
    trial.fixture.issuer.add_key(Algorithm::ES256);
    trial.token("D10", &null, &trial.with_header(&null), "R401").await;
}

#[tokio::test]
async fn key_ids_are_compared_byte_by_byte() {
    let trial = Trial::cold();
    let keys = [own_key::jwk("Key-\u{e9}"), own_key::jwk("1"), trial.fixture.issuer.jwk_set()["keys"][0].clone()];
    trial.fixture.issuer.publish_key_set(json!({"keys": keys}));
    trial.fixture.server.warm_up().await.unwrap();
    for (id, kid, verdict) in [
        ("control", "Key-\u{e9}", "OK"),
        ("control", "1", "OK"),
        ("D12", "key-\u{e9}", "R401"),
        ("D12", "Key-e\u{301}", "R401"),
        ("D12", "Key-\u{e9} ", "R401"),
        ("D12", " Key-\u{e9}", "R401"),
        ("D12", "Key-", "R401"),
        ("D12", "Key-\u{e9}\0", "R401"),
        ("D12", "001", "R401"),
        ("D12", "1.0", "R401"),
        ("D12", "", "R401"),
    ] {
        let token = own_key::sign(&json!({"alg": "EdDSA", "kid": kid}), &trial.claims());
        trial.token(id, kid, &token, verdict).await;
    }
}

#[tokio::test]
async fn claims_in_the_header_must_agree_with_the_payload() {
    let trial = Trial::cold();
    for (id, members) in [
        ("D14", json!({"iss": "https://evil.example.com"})),
        ("D14", json!({"aud": "https://evil.example.com"})),
        ("D14", json!({"sub": "mallory"})),
        ("D14", json!({"sub": 1})),
        ("D14", json!({"aud": ["https://mcp.example.com/mcp"]})),
    ] {
        let header = with(trial.header(), members);
        trial.reject(id, &header.to_string(), &trial.with_header(header.to_string())).await;
    }
    // The payload counts. A claim that is only in the header is ignored.
    let header = with(trial.header(), json!({"iss": trial.claims()["iss"]})).to_string();
    trial
        .reject("D14", "only there", &trial.sign(&header, with(trial.claims(), json!({"iss": null})).to_string()))
        .await;
    trial.token("D14", "the same", &trial.with_header(&header), "OK").await;
}

#[tokio::test]
async fn a_header_with_too_many_members_is_rejected() {
    let trial = Trial::cold();
    let valid = trial.header().to_string();
    for (id, count) in [("D16", 1_000), ("D16", 10_000)] {
        let members: Vec<String> = (0..count).map(|number| format!("\"m{number}\":0")).collect();
        let header = format!("{{{},{}", members.join(","), &valid[1..]);
        trial.reject(id, &count.to_string(), &trial.with_header(header)).await;
    }
    for (id, length) in [("D16", 3_100), ("D16", 60 << 10)] {
        let header = format!("{{\"x\":\"{}\",{}", "x".repeat(length), &valid[1..]);
        let answer = trial.reject(id, &length.to_string(), &trial.with_header(header)).await;
        assert_eq!(answer.parameter("error_description").as_deref(), Some("The access token is too long"));
    }
    trial.accept_a_valid_token().await;
}
