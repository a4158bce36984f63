//! A proof gets the result that an independent reading of RFC 9449, section 4.3 gives, check by check. The first line of the
//! input is the path of the request, the second the header, and the rest the claims. They are signed by one key, whose public
//! part an accepted header must have.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::{ProofServer, has_unique_names, sign};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::ProofFailure;
use mcp_bearer_fuzz::base64url::{decode, encode};
use mcp_bearer_fuzz::http_uri::{is_same_url, normal_path};
use mcp_bearer_fuzz::token::NOW;
use serde_json::{Map, Value};
use url::Url;

fuzz_target!(|input: &[u8]| {
    // A proof that is not signed is never accepted.
    assert!(check(input, "/mcp", false).is_err());
    let Some((path, rest)) = line(input) else { return };
    let (Ok(path), Some((header, claims))) = (std::str::from_utf8(path), line(rest)) else { return };
    let unsigned = format!("{}.{}", encode(header), encode(claims));
    // The signature takes most of the time, so that only proofs that may be valid get one.
    let is_signed = read(path, header, claims, false) == Err(ProofFailure::Signature);
    let signature = is_signed.then(|| sign(Algorithm::ES256, include_str!("../proof_key.pem"), unsigned.as_bytes()));
    let signature = signature.flatten().unwrap_or_else(|| vec![1; 64]);
    let proof = format!("{unsigned}.{}", encode(&signature));
    for requires_nonce in [false, true] {
        let expected = match read(path, header, claims, requires_nonce) {
            Err(ProofFailure::Signature) if is_signed && is_own_key(header) => Ok(()),
            expected => expected,
        };
        let found = check(proof.as_bytes(), path, requires_nonce);
        if found == Err(ProofFailure::Key) && expected != found.as_ref().map(|_| ()).map_err(|failure| *failure) {
            // Only a point that is not on its curve, or a modulus that the backend rejects.
            assert!(!is_own_key(header) && comes_after_key(expected), "{expected:?}");
            continue;
        }
        assert_eq!(found.as_ref().map(|_| ()).map_err(|failure| *failure), expected, "{requires_nonce}");
        if let Ok(accepted) = found {
            accept(&accepted, path, claims);
        }
    }
});

type Accepted = (String, Duration);

fn check(proof: &[u8], path: &str, requires_nonce: bool) -> Result<Accepted, ProofFailure> {
    let mut headers = HeaderMap::new();
    headers.insert("dpop", HeaderValue::from_bytes(proof).map_err(|_| ProofFailure::Malformed)?);
    SERVER.check(&headers, path, requires_nonce).map(|(key, _, expires_at)| (key.to_string(), expires_at))
}

/// The facts that must be true of an accepted proof, by parsers that no part of the crate uses for it.
fn accept((thumbprint, expires_at): &Accepted, path: &str, claims: &[u8]) {
    // RFC 7638, computed by another program for the key of RFC 7515, appendix A.3.
    assert_eq!(thumbprint, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    let now = Duration::from_secs(NOW);
    assert!(*expires_at > now && *expires_at <= now + 2 * MAX_AGE);
    let claims: Value = serde_json::from_slice(claims).expect("the claims are JSON");
    let htu = Url::parse(claims["htu"].as_str().expect("htu is a string")).expect("htu is a URL");
    assert_eq!(htu.origin().ascii_serialization(), ORIGIN);
    assert!(htu.username().is_empty() && htu.password().is_none());
    let request = format!("{ORIGIN}{path}");
    let request = Url::parse(&request).expect("the path of the request is a path");
    assert_eq!(normal_path(htu.path()), normal_path(request.path()));
}

/// The result of all checks before the signature. `Err(Signature)` if all of them pass.
fn read(path: &str, header: &[u8], claims: &[u8], requires_nonce: bool) -> Result<(), ProofFailure> {
    let (encoded_header, encoded_claims) = (encode(header).len(), encode(claims).len());
    let fails = |fails: bool, failure: ProofFailure| if fails { Err(failure) } else { Ok(()) };
    fails(encoded_header + encoded_claims + "..".len() + encode(&[1; 64]).len() > 8 * 1024, ProofFailure::TooLong)?;
    fails(header.is_empty() || claims.is_empty(), ProofFailure::Malformed)?;
    fails(encoded_header > 4 * 1024, ProofFailure::TooLong)?;

    let header = object(header).ok_or(ProofFailure::Malformed)?;
    let names = ["alg", "kid", "typ", "x5t", "x5t#S256"];
    fails(!names.iter().all(|name| has_type(&header, name, Value::is_string)), ProofFailure::Malformed)?;
    let claims = object(claims).ok_or(ProofFailure::Malformed)?;
    let names = ["jti", "htm", "htu", "ath"];
    fails(!names.iter().all(|name| has_type(&claims, name, Value::is_string)), ProofFailure::Malformed)?;
    let dates = ["iat", "exp", "nbf"];
    fails(!dates.iter().all(|name| has_type(&claims, name, |date| seconds(date).is_some())), ProofFailure::Malformed)?;

    let text = |object: &Map<String, Value>, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let typ = text(&header, "typ").unwrap_or_default().to_ascii_lowercase();
    fails(typ != "dpop+jwt" && typ != "application/dpop+jwt", ProofFailure::Type)?;
    let alg = text(&header, "alg").ok_or(ProofFailure::Malformed)?;
    fails(!KEY_TYPES.iter().any(|(name, ..)| *name == alg), ProofFailure::Algorithm)?;
    let is_critical =
        header.contains_key("crit") || ["b64", "enc", "zip"].iter().any(|name| stated(&header, name).is_some());
    fails(is_critical, ProofFailure::Malformed)?;
    let key_names = if text(&header, "kid").is_some() { &["kid"][..] } else { &["x5t", "x5t#S256"] };
    let is_long = key_names.iter().any(|name| text(&header, name).is_some_and(|name| name.len() > 512));
    fails(is_long, ProofFailure::Malformed)?;
    fails(!may_be_key(stated(&header, "jwk"), &alg), ProofFailure::Key)?;

    fails(text(&claims, "htm").as_deref() != Some("POST"), ProofFailure::Method)?;
    let is_target = text(&claims, "htu").is_some_and(|htu| is_same_url(&htu, ORIGIN, path));
    fails(!is_target, ProofFailure::Target)?;
    let date = |name: &str| stated(&claims, name).and_then(seconds);
    let (now, iat) = (Duration::from_secs(NOW), date("iat").ok_or(ProofFailure::Time)?);
    fails(iat + MAX_AGE <= now || iat > now + MAX_AGE, ProofFailure::Time)?;
    fails(date("exp").is_some_and(|exp| exp <= now), ProofFailure::Time)?;
    fails(date("nbf").is_some_and(|nbf| nbf > now && nbf > iat), ProofFailure::Time)?;
    fails(!text(&claims, "jti").is_some_and(|jti| (1..=256).contains(&jti.len())), ProofFailure::Id)?;
    fails(text(&claims, "ath").as_deref() != Some(TOKEN_DIGEST), ProofFailure::TokenHash)?;
    if requires_nonce {
        let nonce = stated(&claims, "nonce").ok_or(ProofFailure::NoNonce)?;
        fails(!nonce.as_str().is_some_and(|nonce| NONCES.iter().any(|known| known == nonce)), ProofFailure::Nonce)?;
    }
    Err(ProofFailure::Signature)
}

/// The checks that follow the check of the key.
fn comes_after_key(result: Result<(), ProofFailure>) -> bool {
    let order = |failure| ProofFailure::ALL.iter().position(|known| *known == failure);
    result.err().is_none_or(|failure| order(failure) > order(ProofFailure::Key))
}

/// Whether a header has the public part of the key that signs.
fn is_own_key(header: &[u8]) -> bool {
    let Some(jwk) = object(header).and_then(|header| header.get("jwk").cloned()) else { return false };
    jwk["kty"] == "EC" && jwk["crv"] == "P-256" && jwk["x"] == OWN_X && jwk["y"] == OWN_Y
}

/// Whether a value may be a public key for this algorithm. Whether its point is on the curve is not checked.
fn may_be_key(jwk: Option<&Value>, alg: &str) -> bool {
    let Some(jwk) = jwk.and_then(Value::as_object) else { return false };
    let text = |name: &str| stated(jwk, name).map(|value| value.as_str().unwrap_or("\0").to_owned());
    let octets = |name: &str| text(name).and_then(|text| decode(&text));
    let has_length = |name: &str, length: usize| octets(name).is_some_and(|octets| octets.len() == length);
    let is_private =
        ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| stated(jwk, name).is_some());
    let is_for_signatures = match stated(jwk, "key_ops") {
        None => true,
        Some(Value::Array(operations)) => {
            let are_distinct = (1..operations.len()).all(|at| !operations[..at].contains(&operations[at]));
            operations.iter().all(Value::is_string) && are_distinct && operations.iter().any(|name| name == "verify")
        }
        Some(_) => false,
    };
    let Some((_, kty, crv, length)) = KEY_TYPES.iter().find(|(name, ..)| *name == alg) else { return false };
    let is_named = |name: &str| name == alg || [name, alg].iter().all(|name| ["EdDSA", "Ed25519"].contains(name));
    let has_numbers = match *kty {
        "RSA" => {
            let (n, e) = (octets("n").unwrap_or_default(), octets("e").unwrap_or_default());
            let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
            let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
            (2048..=4096).contains(&bits)
                && n[0] != 0
                && is_odd(&n)
                && (1..=4).contains(&e.len())
                && e[0] != 0
                && is_odd(&e)
                && e != [1]
        }
        "EC" => has_length("x", *length) && has_length("y", *length),
        _ => has_length("x", *length),
    };
    !is_private
        && is_for_signatures
        && text("use").is_none_or(|usage| usage == "sig")
        && text("kty").as_deref() == Some(kty)
        && (*kty == "RSA" || text("crv").as_deref() == Some(crv))
        && text("alg").is_none_or(|name| is_named(&name))
        && has_numbers
}

fn object(json: &[u8]) -> Option<Map<String, Value>> {
    // The targets `header` and `claims` test this function.
    let [is_unique, _] = has_unique_names(json);
    is_unique.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// A member that is not `null`.
fn stated<'m>(object: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn has_type(object: &Map<String, Value>, name: &str, is_type: impl Fn(&Value) -> bool) -> bool {
    stated(object, name).is_none_or(is_type)
}

/// A date of RFC 7519, section 2, at most in the year 9999.
fn seconds(value: &Value) -> Option<Duration> {
    let date = match value.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok()?,
    };
    (date < Duration::from_secs(253_402_300_800)).then_some(date)
}

/// Splits at the first line break.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = input.iter().position(|byte| *byte == b'\n')?;
    Some((&input[..at], &input[at + 1..]))
}

static SERVER: LazyLock<ProofServer> = LazyLock::new(|| {
    let resource = format!("{ORIGIN}/mcp");
    ProofServer::new(&resource, TOKEN, MAX_AGE, Duration::from_secs(NOW)).expect("the server can be built")
});

/// All nonces that the server accepts now: of the last five minutes, and of replicas whose clocks are up to 10 s ahead.
static NONCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let seconds = NOW - 300..=NOW + 10;
    seconds.map(|second| SERVER.nonce(Duration::from_secs(second))).collect()
});

const ORIGIN: &str = "https://rs.example.com";
const MAX_AGE: Duration = Duration::from_secs(60);
/// The access token of RFC 9449, section 7.1, and its digest as the example has it.
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const TOKEN_DIGEST: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
/// The public key of RFC 7515, appendix A.3. `proof_key.pem` is its private key.
const OWN_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const OWN_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
/// `alg`, `kty` and `crv`, and the length of a coordinate in bytes.
const KEY_TYPES: [(&str, &str, &str, usize); 10] = [
    ("RS256", "RSA", "", 0),
    ("RS384", "RSA", "", 0),
    ("RS512", "RSA", "", 0),
    ("PS256", "RSA", "", 0),
    ("PS384", "RSA", "", 0),
    ("PS512", "RSA", "", 0),
    ("ES256", "EC", "P-256", 32),
    ("ES384", "EC", "P-384", 48),
    ("EdDSA", "OKP", "Ed25519", 32),
    ("Ed25519", "OKP", "Ed25519", 32),
];
