use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::identifier::ResourceUrl;
use crate::jose::Algorithm;
use crate::testing::{TestDpopKey, TestProof};

pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const MAX_AGE: u64 = 60;
pub(super) const URL: &str = "https://rs.example.com/mcp";
pub(super) const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
pub(super) const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

static KEY: LazyLock<TestDpopKey> = LazyLock::new(TestDpopKey::new);

pub(super) fn proof() -> TestProof {
    KEY.proof("POST", URL).access_token(TOKEN).issued_at(NOW.try_into().unwrap()).claim("jti", "a")
}

pub(super) fn rules() -> ProofRules {
    ProofRules {
        algorithms: AllowedAlgorithms::supported(),
        max_age: Duration::from_secs(MAX_AGE),
        target: ProofTarget::new(&ResourceUrl::new(URL).unwrap(), None),
    }
}

pub(super) fn check_at(proof: &[u8], now: Duration, nonces: Option<&Nonces>) -> Result<Proof, ProofError> {
    let request = ProofRequest {
        method: &Method::POST,
        path: "/mcp",
        token: TOKEN.as_bytes(),
        now,
        nonces,
        nonce_required: nonces.is_some(),
    };
    rules().check(proof, &request)
}

pub(super) fn check(proof: impl AsRef<[u8]>) -> Result<Proof, ProofFailure> {
    check_at(proof.as_ref(), Duration::from_secs(NOW), None).map_err(|error| error.failure)
}

pub(super) fn detail(proof: impl AsRef<[u8]>) -> String {
    let error = check_at(proof.as_ref(), Duration::from_secs(NOW), None).unwrap_err();
    error.detail.map(|detail| detail.to_string()).unwrap_or_default()
}

#[test]
fn a_valid_proof_is_accepted() {
    let expected = Proof {
        key: KEY.thumbprint(),
        id: sha256(b"a").unwrap(),
        expires_at: Duration::from_secs(NOW + MAX_AGE),
        nonce_made_at: None,
    };
    assert_eq!(check(proof().sign()), Ok(expected));
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_supported()) {
        let key = TestDpopKey::with_algorithm(algorithm);
        let proof = key.proof("POST", URL).access_token(TOKEN).issued_at(NOW.try_into().unwrap()).sign();
        assert_eq!(check(proof).unwrap().key, key.thumbprint(), "{algorithm}");
    }
}

#[test]
fn a_request_has_one_proof() {
    let found = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("DPoP", HeaderValue::from_static(value));
        }
        find_proof(&headers).map(|proof| proof.map(<[u8]>::to_vec))
    };
    assert_eq!(found(&[]), Ok(None));
    assert_eq!(found(&["a.b.c"]), Ok(Some(b"a.b.c".to_vec())));
    assert_eq!(found(&[""]), Ok(Some(Vec::new())));
    for several in [&["a.b.c", "a.b.c"][..], &["a.b.c", ""], &["", ""], &["a.b.c, a.b.c"], &["a.b.c,"], &[","]] {
        assert_eq!(found(several), Err(ProofFailure::Several), "{several:?}");
    }
}

#[test]
fn a_proof_has_the_form_of_a_jwt() {
    let valid = proof().sign();
    let [header, payload, signature] = <[&str; 3]>::try_from(valid.split('.').collect::<Vec<_>>()).unwrap();
    for malformed in [
        String::new(),
        ".".into(),
        "..".into(),
        "opaque".into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.x"),
        format!("{header}.a.b.{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!(" {valid}"),
        format!("{valid} "),
        format!("DPoP {valid}"),
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string(),
    ] {
        assert_eq!(check(&malformed), Err(ProofFailure::Malformed), "{malformed}");
    }
}

#[test]
fn sizes_are_bounded() {
    let long = |length: usize| "A".repeat(length);
    for proof in [
        long(100 * 1024),
        long(2 << 20),
        long(MAX_PROOF + 1),
        proof().claim("x", long(100 * 1024)).sign(),
        proof().header("x", long(5 * 1024)).sign(),
        proof().claim("jti", long(1 << 20)).sign(),
    ] {
        assert_eq!(check(&proof), Err(ProofFailure::TooLong), "{} bytes", proof.len());
    }
    assert!(check(proof().claim("x", long(4 * 1024)).sign()).is_ok());
}

#[test]
fn names_are_unique_and_claims_have_their_types() {
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public_jwk() }).to_string();
    let claims = json!({ "jti": "a", "htm": "POST", "htu": URL, "iat": NOW, "ath": ATH }).to_string();
    let with = |json: &str, members: &str| format!("{{{members},{}", json.strip_prefix('{').unwrap());
    assert!(check(KEY.sign_raw(&header, &claims)).is_ok());
    for repeated in [
        with(&header, r#""alg":"ES256""#),
        with(&header, r#""typ":"dpop+jwt""#),
        with(&header, r#""jwk":{}"#),
        with(&header, "\"a\\u006cg\":\"ES256\""),
        with(&header, r#""x":{"y":1,"y":1}"#),
        header.replace(r#""kty""#, r#""kty":"EC","kty""#),
        header.replace('}', ""),
        format!("[{header}]"),
        "null".into(),
        String::from("1"),
    ] {
        assert_eq!(check(KEY.sign_raw(&repeated, &claims)), Err(ProofFailure::Malformed), "{repeated}");
    }
    for repeated in [
        with(&claims, r#""jti":"a""#),
        with(&claims, r#""htm":"GET""#),
        with(&claims, "\"ht\\u0075\":\"https://evil.example\""),
        with(&claims, r#""x":[{"y":1,"y":1}]"#),
        with(&claims, r#""exp":true"#),
        format!("{claims}{{}}"),
        format!("[{claims}]"),
        "\"jwt\"".into(),
        "\u{feff}{}".into(),
    ] {
        assert_eq!(check(KEY.sign_raw(&header, &repeated)), Err(ProofFailure::Malformed), "{repeated}");
    }
    for name in ["jti", "htm", "htu", "ath"] {
        for value in [json!(1), json!(true), json!(["a"]), json!({ "a": 1 })] {
            let proof = proof().claim(name, value.clone()).sign();
            assert_eq!(check(&proof), Err(ProofFailure::Malformed), "{name}: {value}");
            assert_eq!(detail(&proof), format!("the claim \"{name}\" is missing or has a wrong type"));
        }
    }
    for name in ["iat", "exp", "nbf"] {
        for value in [json!("1"), json!(true), json!([NOW]), json!(-1), json!(1e300), json!(NOW * 1_000_000)] {
            let proof = proof().claim(name, value.clone()).sign();
            assert_eq!(check(&proof), Err(ProofFailure::Malformed), "{name}: {value}");
            assert_eq!(detail(&proof), format!("the claim \"{name}\" is missing or has a wrong type"));
        }
    }
    let expected = "the claims are not a JSON object with unique names";
    assert_eq!(detail(KEY.sign_raw(&header, "{")), expected);
}

#[test]
fn null_is_an_absent_claim() {
    for (name, failure) in [
        ("jti", ProofFailure::Id),
        ("htm", ProofFailure::Method),
        ("htu", ProofFailure::Target),
        ("iat", ProofFailure::Time),
        ("ath", ProofFailure::TokenHash),
    ] {
        assert_eq!(check(proof().claim(name, Value::Null).sign()), Err(failure), "{name}");
        assert_eq!(check(proof().without(name).sign()), Err(failure), "{name}");
    }
    assert!(check(proof().claim("exp", Value::Null).claim("nbf", Value::Null).sign()).is_ok());
}

#[test]
fn only_the_type_of_a_proof_is_accepted() {
    for typ in ["dpop+jwt", "DPOP+JWT", "dPoP+jwt", "application/dpop+jwt", "Application/DPoP+JWT"] {
        assert!(check(proof().header("typ", typ).sign()).is_ok(), "{typ}");
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "at+jwt",
        "dpop",
        "dpop+jwt ",
        "dpop+jwt;x=1",
        "text/dpop+jwt",
        "application/",
        "dpop+jw\u{74}\u{301}",
    ] {
        assert_eq!(check(proof().header("typ", typ).sign()), Err(ProofFailure::Type), "{typ:?}");
    }
    assert_eq!(check(proof().without_header("typ").sign()), Err(ProofFailure::Type));
    assert_eq!(check(proof().header("typ", Value::Null).sign()), Err(ProofFailure::Type));
    assert_eq!(check(proof().header("typ", json!(["dpop+jwt"])).sign()), Err(ProofFailure::Malformed));
    assert_eq!(detail(proof().header("typ", "JWT").sign()), "expected \"dpop+jwt\", found \"JWT\"");
}

#[test]
fn only_accepted_asymmetric_algorithms_are_used() {
    for alg in ["none", "None", "HS256", "HS512", "es256", "ES256K", "RSA1_5", "A128KW", ""] {
        assert_eq!(check(proof().header("alg", alg).sign()), Err(ProofFailure::Algorithm), "{alg}");
    }
    assert_eq!(check(proof().without_header("alg").sign()), Err(ProofFailure::Malformed));
    // The signature and the key are of a symmetric algorithm.
    let oct = proof().header("alg", "HS256").header("jwk", json!({ "kty": "oct", "k": "AAAA" })).sign();
    assert_eq!(check(oct), Err(ProofFailure::Algorithm));
    // The algorithm is not one of the configured ones.
    let rules = ProofRules { algorithms: AllowedAlgorithms::from_iter([Algorithm::EdDSA]), ..rules() };
    let (method, now) = (Method::POST, Duration::from_secs(NOW));
    let request = ProofRequest {
        method: &method,
        path: "/mcp",
        token: TOKEN.as_bytes(),
        now,
        nonces: None,
        nonce_required: false,
    };
    let error = rules.check(proof().sign().as_bytes(), &request).unwrap_err();
    assert_eq!(error.failure, ProofFailure::Algorithm);
    assert_eq!(error.detail.unwrap().to_string(), "expected \"EdDSA\", found \"ES256\"");
}

#[test]
fn no_extension_is_critical() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("b64", json!(true)),
        ("b64", json!(false)),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
    ] {
        assert_eq!(check(proof().header(name, value.clone()).sign()), Err(ProofFailure::Malformed), "{name}: {value}");
    }
    // Names of keys in the header are not used.
    let named = proof().header("kid", "k").header("jku", "https://evil.example").header("x5c", json!(["AAAA"])).sign();
    assert!(check(named).is_ok());
}

#[test]
fn the_method_is_compared_byte_by_byte() {
    for htm in ["", "post", "Post", "POST ", " POST", "GET", "POST\0", "POST,GET", "*"] {
        assert_eq!(check(proof().claim("htm", htm).sign()), Err(ProofFailure::Method), "{htm:?}");
    }
    assert_eq!(detail(proof().claim("htm", "post").sign()), "expected \"POST\", found \"post\"");
}

#[test]
fn the_url_must_be_that_of_the_request() {
    let found = |htu: &str| check(proof().claim("htu", htu).sign());
    assert!(found("HTTPS://RS.example.com:443/mcp?x#y").is_ok());
    assert_eq!(found("https://rs.example.com/mcp/"), Err(ProofFailure::Target));
    assert_eq!(
        detail(proof().claim("htu", "https://evil.example/\u{1b}[31m?secret=1").sign()),
        "expected \"https://rs.example.com/mcp\", found \"https://evil.example/\\\\u{1b}[31m\""
    );
    let long = detail(proof().claim("htu", "x".repeat(4_000)).sign());
    assert!(long.len() < 300, "{long}");
}

#[test]
fn the_signature_is_checked_last() {
    let other = TestDpopKey::new();
    assert_eq!(check(proof().signed_by(&other).sign()), Err(ProofFailure::Signature));
    let signed = proof().sign();
    let (input, signature) = signed.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let longer = URL_SAFE_NO_PAD.encode([bytes.as_slice(), &[0]].concat());
    let shorter = URL_SAFE_NO_PAD.encode(bytes.split_last().unwrap().1);
    for signature in ["AA", &"A".repeat(86), &shorter, &longer] {
        assert_eq!(check(format!("{input}.{signature}")), Err(ProofFailure::Signature), "{signature}");
    }
    for (proof, failure) in [
        (proof().header("typ", "JWT"), ProofFailure::Type),
        (proof().header("alg", "none"), ProofFailure::Algorithm),
        (proof().header("jwk", json!({})), ProofFailure::Key),
        (proof().claim("htm", "GET"), ProofFailure::Method),
        (proof().claim("htu", "x"), ProofFailure::Target),
        (proof().claim("iat", 1), ProofFailure::Time),
        (proof().claim("jti", ""), ProofFailure::Id),
        (proof().claim("ath", ""), ProofFailure::TokenHash),
    ] {
        assert_eq!(check(proof.signed_by(&other).sign()), Err(failure));
    }
}

#[test]
fn the_log_gets_no_secret() {
    let secrets = ["jti-secret", "nonce-secret", TOKEN];
    let signer = TestDpopKey::new();
    let proof = || proof().claim("jti", secrets[0]).claim("nonce", secrets[1]);
    for proof in [
        proof().signed_by(&signer).sign(),
        proof().claim("ath", TOKEN).sign(),
        proof().claim("iat", secrets[0]).sign(),
        proof().claim("jti", secrets[0].repeat(100)).sign(),
        proof().claim("htu", format!("{URL}/x?{TOKEN}")).sign(),
        proof().header("jwk", json!({ "kty": secrets[0], "d": secrets[1] })).sign(),
    ] {
        let error = check_at(proof.as_bytes(), Duration::from_secs(NOW), None).unwrap_err();
        let shown = format!("{error:?}");
        assert!(secrets.iter().all(|secret| !shown.contains(secret)) && !shown.contains(&proof), "{shown}");
    }
}
