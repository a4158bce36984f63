use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::tests::{ATH, MAX_AGE, NOW, TOKEN, check, check_at, detail, proof, rules};
use super::*;
use crate::identifier::ResourceUrl;

#[test]
fn a_proof_is_accepted_around_its_time_only() {
    let at = |iat: Value, now: Duration| check_at(proof().claim("iat", iat).sign().as_bytes(), now, None);
    let seconds = Duration::from_secs;
    let nanosecond = Duration::from_nanos(1);
    let expires_at = seconds(NOW + MAX_AGE);
    for now in [seconds(NOW), seconds(NOW - MAX_AGE), expires_at - nanosecond] {
        assert_eq!(at(json!(NOW), now).unwrap().expires_at, expires_at, "{now:?}");
    }
    for now in [
        seconds(NOW - MAX_AGE) - nanosecond,
        expires_at,
        seconds(NOW * 2),
        Duration::ZERO,
        // A clock before 1970, or after the year 9999.
        Duration::MAX,
        seconds(253_402_300_799 + 61),
    ] {
        assert_eq!(at(json!(NOW), now).unwrap_err().failure, ProofFailure::Time, "{now:?}");
    }
    assert_eq!(at(json!(NOW - MAX_AGE), seconds(NOW)).unwrap_err().failure, ProofFailure::Time);
    assert_eq!(at(json!(253_402_300_799_u64), Duration::MAX).unwrap_err().failure, ProofFailure::Time);
    assert!(at(json!(1_699_999_999.5), seconds(NOW)).is_ok());
    assert!(at(json!(0), seconds(1)).is_ok());
    assert_eq!(detail(proof().claim("iat", NOW - 75).sign()), "the proof was made 75 s ago; `max_age` is 60 s");
    assert_eq!(
        detail(proof().claim("iat", NOW + 75).sign()),
        "`iat` is 75 s ahead of the clock of this machine, which may be behind; `max_age` is 60 s"
    );
}

#[test]
fn exp_and_nbf_are_honoured_if_they_are_present() {
    let found = |claim: &str, at: u64| check(proof().claim(claim, at).sign());
    for at in [0, NOW - 1, NOW] {
        assert_eq!(found("exp", at), Err(ProofFailure::Time), "{at}");
    }
    assert!(found("exp", NOW + 1).is_ok());
    for at in [NOW + 1, NOW + MAX_AGE, NOW * 2] {
        assert_eq!(found("nbf", at), Err(ProofFailure::Time), "{at}");
    }
    assert!(found("nbf", NOW).is_ok() && found("nbf", 0).is_ok());
    // The clock of the client is ahead.
    let ahead = |nbf: u64| check(proof().claim("iat", NOW + 30).claim("nbf", nbf).sign());
    assert!(ahead(NOW + 30).is_ok());
    assert_eq!(ahead(NOW + 31), Err(ProofFailure::Time));
}

#[test]
fn the_identifier_has_1_to_256_bytes() {
    for jti in ["a".to_owned(), "\u{e9}".to_owned(), " ".to_owned(), "j".repeat(MAX_ID)] {
        assert_eq!(check(proof().claim("jti", jti.clone()).sign()).unwrap().id, sha256(jti.as_bytes()).unwrap());
    }
    for jti in [String::new(), "j".repeat(MAX_ID + 1), "\u{e9}".repeat(129)] {
        assert_eq!(check(proof().claim("jti", jti).sign()), Err(ProofFailure::Id));
    }
}

#[test]
fn a_proof_is_for_one_access_token() {
    let digest = sha256(TOKEN.as_bytes()).unwrap();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for ath in [
        String::new(),
        URL_SAFE.encode(digest),
        hex,
        ATH.to_uppercase(),
        URL_SAFE_NO_PAD.encode(sha256(b"another token").unwrap()),
        URL_SAFE_NO_PAD.encode(sha256(&[TOKEN.as_bytes(), b"\n"].concat()).unwrap()),
        // SHA-1 of the token has 20 bytes.
        URL_SAFE_NO_PAD.encode(&digest[..20]),
        // The last character has bits that are left over.
        ATH.replace("QEo", "QEp"),
        format!(" {ATH}"),
        TOKEN.to_owned(),
    ] {
        assert_eq!(check(proof().claim("ath", ath.clone()).sign()), Err(ProofFailure::TokenHash), "{ath}");
    }
    assert_eq!(detail(proof().claim("ath", TOKEN).sign()), "");
}

#[test]
fn a_valid_nonce_says_after_which_time_a_proof_was_made() {
    let now = Duration::from_secs(NOW);
    let (nonces, others) =
        (Nonces::new(None, Duration::from_secs(300)).unwrap(), Nonces::new(None, Duration::from_secs(300)).unwrap());
    let made_at = |nonce: Option<&str>| {
        let proof = nonce.map_or_else(proof, |nonce| proof().nonce(nonce)).sign();
        let request = ProofRequest {
            method: &Method::POST,
            path: "/mcp",
            token: TOKEN.as_bytes(),
            now,
            nonces: Some(&nonces),
            nonce_required: false,
        };
        rules().check(proof.as_bytes(), &request).unwrap().nonce_made_at
    };
    let nonce = |nonces: &Nonces, time: Duration| nonces.fresh(time).to_str().unwrap().to_owned();
    assert_eq!(made_at(Some(&nonce(&nonces, now - Duration::from_secs(20)))), Some(now - Duration::from_secs(20)));
    for ignored in
        [None, Some("x"), Some(&*nonce(&others, now)), Some(&*nonce(&nonces, now - Duration::from_secs(301)))]
    {
        assert_eq!(made_at(ignored), None, "{ignored:?}");
    }
}

#[test]
fn a_nonce_is_needed_only_if_the_server_requires_one() {
    let now = Duration::from_secs(NOW);
    let lifetime = Duration::from_secs(300);
    let (nonces, others) = (Nonces::new(None, lifetime).unwrap(), Nonces::new(None, lifetime).unwrap());
    let fresh = |nonces: &Nonces, age: u64| nonces.fresh(now - Duration::from_secs(age)).to_str().unwrap().to_owned();
    let result = |proof: String, nonces: Option<&Nonces>| {
        check_at(proof.as_bytes(), now, nonces).map(|_| ()).map_err(|error| error.failure)
    };
    let valid = proof().nonce(&fresh(&nonces, 0)).sign();
    assert_eq!(result(valid.clone(), Some(&nonces)), Ok(()));
    assert_eq!(result(proof().nonce(&fresh(&nonces, 299)).sign(), Some(&nonces)), Ok(()));
    for absent in [proof().sign(), proof().claim("nonce", Value::Null).sign()] {
        assert_eq!(result(absent.clone(), Some(&nonces)), Err(ProofFailure::NoNonce));
        assert_eq!(result(absent, None), Ok(()));
    }
    for nonce in [
        json!(fresh(&others, 0)),
        json!(fresh(&nonces, 301)),
        json!(fresh(&nonces, 0) + "="),
        json!(""),
        json!("eyJ7S_zG.eyJH0-Z.HX4w-7v"),
        json!(1),
        json!(true),
        json!([fresh(&nonces, 0)]),
        json!({ "nonce": fresh(&nonces, 0) }),
    ] {
        let proof = proof().claim("nonce", nonce.clone()).sign();
        assert_eq!(result(proof.clone(), Some(&nonces)), Err(ProofFailure::Nonce), "{nonce}");
        assert_eq!(result(proof, None), Ok(()), "{nonce}");
    }
}

/// RFC 9449, section 7.1. The proof of section 5 is for a token request, so it has no `ath`.
#[test]
fn the_examples_of_the_rfc_are_accepted_at_their_time_and_for_their_request() {
    let resource = ResourceUrl::new("https://resource.example.org").unwrap();
    let rules = ProofRules { target: ProofTarget::new(&resource, None), ..rules() };
    let check = |proof: &str, method: Method, path: &str, seconds: u64| {
        let now = Duration::from_secs(seconds);
        let request =
            ProofRequest { method: &method, path, token: TOKEN.as_bytes(), now, nonces: None, nonce_required: false };
        rules.check(proof.as_bytes(), &request).map_err(|error| error.failure)
    };
    let proof = [HEADER, PAYLOAD, SIGNATURE].join(".");
    let accepted = check(&proof, Method::GET, "/protectedresource", 1_562_262_618).unwrap();
    assert_eq!(accepted.key.to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(accepted.id, sha256(b"e1j3V_bKic8-LAEB").unwrap());
    for (method, path, seconds, failure) in [
        (Method::POST, "/protectedresource", 1_562_262_618, ProofFailure::Method),
        (Method::GET, "/protectedresource/", 1_562_262_618, ProofFailure::Target),
        (Method::GET, "/protectedresource", 1_562_262_618 + MAX_AGE, ProofFailure::Time),
        (Method::GET, "/protectedresource", 1_562_262_617 - MAX_AGE, ProofFailure::Time),
    ] {
        assert_eq!(check(&proof, method, path, seconds), Err(failure));
    }
    let other_signature = [HEADER, PAYLOAD, &SIGNATURE.replace("2oW9", "2oW8")].join(".");
    let rejected = check(&other_signature, Method::GET, "/protectedresource", 1_562_262_618);
    assert_eq!(rejected, Err(ProofFailure::Signature));
}

/// The proof of the example request of RFC 9449, section 7.1.
const HEADER: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
const PAYLOAD: &str = "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9";
const SIGNATURE: &str = "2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
