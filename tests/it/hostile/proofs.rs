//! M: DPoP proofs (RFC 9449), at a server that accepts them. [`super::bound`] has the same cases at a server that does
//! not. The proofs are made here, without the test kit of the crate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http::{Method, Request, header};
use mcp_bearer::ResourceServerBuilder;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{Dpop, SenderConstraint};
use serde_json::{Value, json};

use super::trial::{Trial, base64url, issuer, own_key, with};
use crate::support::RESOURCE;

/// The thumbprint of [`own_key`] (RFC 8037, appendix A.3).
pub const JKT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

/// Numbers the proofs, so that each has its own `jti`.
static PROOFS: AtomicU64 = AtomicU64::new(0);

/// A server that accepts bearer tokens and bound tokens, with its keys fetched.
pub async fn accepting(configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Trial {
    let (issuer, clock) = issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    let trial = Trial::of(issuer, clock, |server| {
        configure(server.issuer(accepted).sender_constraint(SenderConstraint::Optional))
    });
    trial.fixture.server.warm_up().await.unwrap();
    trial.offering_dpop()
}

/// A valid token with this `cnf`.
pub fn bound_to(trial: &Trial, cnf: Value) -> String {
    trial.with_payload(with(trial.claims(), json!({"cnf": cnf})).to_string())
}

/// A token that is bound to [`own_key`], and the proofs for it.
pub struct Bound {
    pub token: String,
    now: u64,
}

impl Bound {
    pub fn new(trial: &Trial) -> Self {
        Self::with(trial, json!({"jkt": JKT}))
    }

    /// A token with this `cnf`.
    pub fn with(trial: &Trial, cnf: Value) -> Self {
        Self { token: bound_to(trial, cnf), now: trial.fixture.clock.since_epoch().as_secs() }
    }

    /// A proof for a GET request with this token, with some members changed. `null` removes a member.
    pub fn proof(&self, header: Value, claims: Value) -> String {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": own_key::X});
        let valid_header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
        let number = PROOFS.fetch_add(1, Ordering::Relaxed);
        let valid_claims = json!({"jti": format!("proof-{number}"), "htm": "GET", "htu": RESOURCE, "iat": self.now,
            "ath": base64url(sha256(&self.token))});
        own_key::sign(&with(valid_header, header), &with(valid_claims, claims))
    }

    /// A valid proof.
    pub fn valid(&self) -> String {
        self.proof(json!({}), json!({}))
    }

    /// A valid proof but for its claims.
    pub fn claims(&self, claims: Value) -> String {
        self.proof(json!({}), claims)
    }

    /// A valid proof but for its header.
    pub fn header(&self, header: Value) -> String {
        self.proof(header, json!({}))
    }

    /// A valid proof, but of another key.
    fn by_another_key(&self) -> String {
        let key = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key())});
        let proof = self.header(json!({"jwk": jwk}));
        let (text, _) = proof.rsplit_once('.').unwrap();
        format!("{text}.{}", base64url(key.sign(text.as_bytes())))
    }

    /// A valid proof but for its key.
    fn jwk(&self, changes: Value) -> String {
        self.header(json!({"jwk": with(json!({"kty": "OKP", "crv": "Ed25519", "x": own_key::X}), changes)}))
    }
}

pub fn request(scheme: &str, token: &str, proofs: &[String]) -> Request<Body> {
    let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("{scheme} {token}"));
    let request = proofs.iter().fold(request, |request, proof| request.header("dpop", proof));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_bound_token_needs_exactly_one_valid_proof() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    let unbound = trial.fixture.token();
    let before = trial.requests();
    let joined = [bound.valid(), bound.valid()].join(", ");
    let oct = json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}});
    let rsa = json!({"alg": "RS256"});
    let encrypted = format!("{}.b.c.d.e", base64url(r#"{"alg":"RSA-OAEP","enc":"A256GCM","typ":"dpop+jwt"}"#));
    for (id, what, proofs, verdict) in [
        ("control", "a proof", vec![bound.valid()], "OK"),
        ("M01", "no proof", vec![], "P401"),
        ("M01", "an empty proof", vec![String::new()], "P401"),
        ("M02", "two proofs", vec![bound.valid(), bound.valid()], "P401"),
        ("M02", "joined proofs", vec![joined], "P401"),
        ("M05", "typ JWT", vec![bound.header(json!({"typ": "JWT"}))], "P401"),
        ("M05", "no typ", vec![bound.header(json!({"typ": null}))], "P401"),
        ("M05", "typ at+jwt", vec![bound.header(json!({"typ": "at+jwt"}))], "P401"),
        // A media type is compared without case (RFC 7515, section 4.1.9).
        ("M05", "typ in capitals", vec![bound.header(json!({"typ": "DPOP+JWT"}))], "OK"),
        ("M05", "a whole media type", vec![bound.header(json!({"typ": "application/dpop+jwt"}))], "OK"),
        ("M06", "alg none", vec![bound.header(json!({"alg": "none"}))], "P401"),
        ("M06", "alg HS256", vec![bound.header(oct)], "P401"),
        ("M06", "alg for another type of key", vec![bound.header(rsa)], "P401"),
        ("M06", "alg for another curve", vec![bound.header(json!({"alg": "ES256"}))], "P401"),
        ("M06", "an unknown alg", vec![bound.header(json!({"alg": "X"}))], "P401"),
        ("M08", "kid", vec![bound.jwk(json!({"kid": "k"}))], "OK"),
        ("M08", "x5c", vec![bound.jwk(json!({"x5c": ["AA=="]}))], "OK"),
        ("M08", "use sig", vec![bound.jwk(json!({"use": "sig", "key_ops": ["verify"]}))], "OK"),
        ("M08", "use enc", vec![bound.jwk(json!({"use": "enc"}))], "P401"),
        ("M08", "key_ops sign", vec![bound.jwk(json!({"key_ops": ["sign"]}))], "P401"),
        ("M08", "a private key", vec![bound.jwk(json!({"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}))], "P401"),
        ("M10", "htm in small letters", vec![bound.claims(json!({"htm": "get"}))], "P401"),
        ("M10", "htm with a space", vec![bound.claims(json!({"htm": "GET "}))], "P401"),
        ("M10", "another htm", vec![bound.claims(json!({"htm": "POST"}))], "P401"),
        ("M10", "no htm", vec![bound.claims(json!({"htm": null}))], "P401"),
        ("M10", "a number as htm", vec![bound.claims(json!({"htm": 1}))], "P401"),
        ("M17", "no jti", vec![bound.claims(json!({"jti": null}))], "P401"),
        ("M17", "an empty jti", vec![bound.claims(json!({"jti": ""}))], "P401"),
        ("M17", "a number as jti", vec![bound.claims(json!({"jti": 1}))], "P401"),
        ("M17", "a jti of 1 MiB", vec![bound.claims(json!({"jti": "j".repeat(1 << 20)}))], "P401"),
        ("M21", "an encrypted proof", vec![encrypted], "P401"),
        ("M21", "JSON", vec![r#"{"payload":"","signatures":[]}"#.to_owned()], "P401"),
        ("M21", "a proof of 2 MiB", vec!["A".repeat(2 << 20)], "P401"),
        ("M22", "an expired proof", vec![bound.claims(json!({"exp": 1}))], "P401"),
        ("M22", "a proof that is not yet valid", vec![bound.claims(json!({"nbf": bound.now + 3_600}))], "P401"),
        ("M22", "a proof that expires later", vec![bound.claims(json!({"exp": bound.now + 60}))], "OK"),
    ] {
        trial.request(id, what, request("DPoP", &bound.token, &proofs), verdict).await;
    }
    // The scheme of a bound token is DPoP, with or without a proof (RFC 9449, section 7.2).
    trial.request("M01", "as Bearer", request("Bearer", &bound.token, &[]), "R401").await;
    trial.request("M01", "as Bearer, with a proof", request("Bearer", &bound.token, &[bound.valid()]), "P401").await;
    // A client that makes proofs expects a protection that this token does not have.
    let proof = bound.claims(json!({"ath": base64url(sha256(&unbound))}));
    trial.request("M04", "not bound, as DPoP", request("DPoP", &unbound, std::slice::from_ref(&proof)), "R401").await;
    trial.request("M04", "not bound, as Bearer", request("Bearer", &unbound, &[proof]), "P401").await;
    trial.request("control", "not bound", request("Bearer", &unbound, &[]), "OK").await;
    assert_eq!(trial.requests(), before);
}

#[tokio::test]
async fn a_proof_is_for_the_configured_url() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    for (id, htu, verdict) in [
        ("M12", "https://evil.example.com/mcp", "P401"),
        ("M12", "https://mcp.example.com.evil.example/mcp", "P401"),
        ("M12", "https://mcp.example.com/other", "P401"),
        ("M12", "https://mcp.example.com/mcp/", "P401"),
        ("M12", "https://mcp.example.com/mcp/..", "P401"),
        ("M12", "https://mcp.example.com/MCP", "P401"),
        ("M12", "https://mcp.example.com", "P401"),
        ("M12", "http://mcp.example.com/mcp", "P401"),
        ("M12", "https://mcp.example.com:8443/mcp", "P401"),
        ("M12", "https://user@mcp.example.com/mcp", "P401"),
        ("M12", "https://mcp.example.com@evil.example.com/mcp", "P401"),
        ("M12", "https://mcp.example.com//evil/mcp", "P401"),
        ("M12", "https://mcp.example.com//mcp", "P401"),
        ("M12", "//mcp.example.com/mcp", "P401"),
        ("M12", "/mcp", "P401"),
        ("M12", "", "P401"),
        ("M12", "https:\\\\mcp.example.com\\mcp", "P401"),
        ("M12", "https://mcp.example.com\\mcp", "P401"),
        ("M12", "https://mcp.example.com/%2Fmcp", "P401"),
        ("M12", "https://mcp.example.com%2Fmcp", "P401"),
        ("M12", "https://mcp.example.com/mcp%00", "P401"),
        ("M12", " https://mcp.example.com/mcp", "P401"),
        ("M12", "https://mcp.example.com/mcp ", "P401"),
        ("M12", "https://mcp.example.com/m\u{441}p", "P401"),
        // The same URL by the rules of RFC 3986, sections 6.2.2 and 6.2.3 (RFC 9449, section 4.3).
        ("M12", "HTTPS://MCP.example.COM/mcp", "OK"),
        ("M12", "https://mcp.example.com:443/mcp", "OK"),
        ("M12", "https://mcp.example.com/%6Dcp", "OK"),
        ("M12", "https://mcp.example.com/x/../mcp", "OK"),
        // Query and fragment are not compared.
        ("M12", "https://mcp.example.com/mcp?a=b#c", "OK"),
    ] {
        let proof = bound.claims(json!({"htu": htu}));
        trial.request(id, htu, request("DPoP", &bound.token, &[proof]), verdict).await;
    }
    for (id, what, htu) in
        [("M12", "a number", json!(1)), ("M12", "no htu", json!(null)), ("M12", "a list", json!([RESOURCE]))]
    {
        let proof = bound.claims(json!({"htu": htu}));
        trial.request(id, what, request("DPoP", &bound.token, &[proof]), "P401").await;
    }
}

#[tokio::test]
async fn headers_of_a_proxy_do_not_change_the_url_of_a_proof() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    for (id, name, value, htu) in [
        ("M13", "host", "evil.example.com", "https://evil.example.com/mcp"),
        ("M13", "x-forwarded-host", "evil.example.com", "https://evil.example.com/mcp"),
        ("M13", "forwarded", "host=evil.example.com;proto=https", "https://evil.example.com/mcp"),
        ("M13", "x-forwarded-proto", "http", "http://mcp.example.com/mcp"),
        ("M13", "x-forwarded-port", "8443", "https://mcp.example.com:8443/mcp"),
        ("M13", "x-forwarded-prefix", "/api", "https://mcp.example.com/api/mcp"),
        ("M13", "x-original-url", "/api/mcp", "https://mcp.example.com/api/mcp"),
    ] {
        for (htu, verdict) in [(htu, "P401"), (RESOURCE, "OK")] {
            let mut request = request("DPoP", &bound.token, &[bound.claims(json!({"htu": htu}))]);
            request.headers_mut().insert(name, value.parse().unwrap());
            trial.request(id, &format!("{name}: {value}, {htu}"), request, verdict).await;
        }
    }
}

#[tokio::test]
async fn a_proof_is_for_the_path_before_the_proxy_that_changes_it() {
    let trial = accepting(|server| server.dpop(Dpop::new().path_behind_proxy("/api", "/"))).await;
    let bound = Bound::new(&trial);
    for (id, htu, verdict) in [
        ("M13", "https://mcp.example.com/api/mcp", "OK"),
        ("M13", "https://mcp.example.com/mcp", "P401"),
        ("M13", "https://mcp.example.com/api/api/mcp", "P401"),
        ("M13", "https://mcp.example.com/apimcp", "P401"),
    ] {
        let proof = bound.claims(json!({"htu": htu}));
        trial.request(id, htu, request("DPoP", &bound.token, &[proof]), verdict).await;
    }
}

#[tokio::test]
async fn a_proof_has_an_algorithm_of_the_list() {
    let trial = accepting(|server| server.dpop(Dpop::new().algorithms([Algorithm::ES256]))).await;
    let bound = Bound::new(&trial);
    let answer = trial.request("M06", "not in the list", request("DPoP", &bound.token, &[bound.valid()]), "P401").await;
    assert_eq!(answer.dpop_parameter("algs").as_deref(), Some("ES256"));
}

#[tokio::test]
async fn a_proof_is_for_one_token() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    let digest = base64url(sha256(&bound.token));
    let sha1 = base64url(&sha256(&bound.token)[..20]);
    let other = base64url(sha256(&trial.fixture.token()));
    for (id, what, ath) in [
        ("M14", "no ath", json!(null)),
        ("M14", "a number", json!(1)),
        ("M14", "an empty ath", json!("")),
        ("M14", "padded", json!(format!("{digest}="))),
        ("M14", "in base64 with padding", json!(URL_SAFE.encode(sha256(&bound.token)))),
        ("M14", "in hexadecimal", json!(hex(&sha256(&bound.token)))),
        ("M14", "of another token", json!(other)),
        ("M14", "twenty bytes, as of SHA-1", json!(sha1)),
        ("M14", "of the scheme and the token", json!(base64url(sha256(&format!("DPoP {}", bound.token))))),
    ] {
        trial.request(id, what, request("DPoP", &bound.token, &[bound.claims(json!({"ath": ath}))]), "P401").await;
    }
}

#[tokio::test]
async fn the_key_of_a_proof_is_the_key_of_the_token() {
    let trial = accepting(|server| server).await;
    for (id, what, jkt) in [
        ("M09", "of another key", json!("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")),
        ("M09", "padded", json!(format!("{JKT}="))),
        ("M09", "in capitals", json!(JKT.to_uppercase())),
        ("M09", "in hexadecimal", json!("90facafea9b1556698540f70c0117a22ea37bd5cf3ed3c47093c170728a4b892")),
        ("M09", "SHA-1", json!("2jmj7l5rSw0yVb_vlWAYkK_YBwk")),
        ("M09", "a number", json!(1)),
        ("M09", "null", json!(null)),
        ("M09", "a list", json!([JKT])),
        ("M09", "empty", json!("")),
    ] {
        let bound = Bound::with(&trial, json!({"jkt": jkt}));
        trial.request(id, what, request("DPoP", &bound.token, &[bound.valid()]), "R401").await;
    }
    for (id, cnf) in [
        ("M09", json!({"JKT": JKT})),
        ("M09", json!({"jkt": JKT, "kid": "k"})),
        ("M09", json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": own_key::X}})),
        ("M09", json!({})),
        ("M09", json!([JKT])),
        ("M09", json!(JKT)),
    ] {
        let bound = Bound::with(&trial, cnf.clone());
        trial.request(id, &cnf.to_string(), request("DPoP", &bound.token, &[bound.valid()]), "R401").await;
    }
}

#[tokio::test]
async fn a_proof_is_checked_for_each_request_with_a_cached_token() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    for round in ["verified", "cached", "cached"] {
        trial.request("L06", round, request("DPoP", &bound.token, &[bound.valid()]), "OK").await;
        trial.request("L06", "no proof", request("DPoP", &bound.token, &[]), "P401").await;
        trial.request("L06", "as Bearer", request("Bearer", &bound.token, &[]), "R401").await;
        let forged = bound.claims(json!({"htm": "POST"}));
        trial.request("L06", "another proof", request("DPoP", &bound.token, &[forged]), "P401").await;
        let other = bound.by_another_key();
        trial.request("L06", "a proof of another key", request("DPoP", &bound.token, &[other]), "R401").await;
    }
}

#[tokio::test]
async fn a_proof_is_accepted_once() {
    let trial = accepting(|server| server).await;
    let bound = Bound::new(&trial);
    let proof = bound.valid();
    trial.request("M16", "the first time", request("DPoP", &bound.token, std::slice::from_ref(&proof)), "OK").await;
    trial.request("M16", "again", request("DPoP", &bound.token, std::slice::from_ref(&proof)), "P401").await;
    // The same `jti` at another URL, or with another method, is a replay too.
    let post = bound.claims(json!({"jti": "used", "htm": "POST"}));
    let mut request_with_post = request("DPoP", &bound.token, &[post]);
    *request_with_post.method_mut() = Method::POST;
    trial.request("M16", "a POST request", request_with_post, "OK").await;
    let get = bound.claims(json!({"jti": "used"}));
    trial.request("M16", "the same jti with another method", request("DPoP", &bound.token, &[get]), "P401").await;
    let query = bound.claims(json!({"jti": "used", "htu": format!("{RESOURCE}?a=b")}));
    trial.request("M16", "the same jti with another URL", request("DPoP", &bound.token, &[query]), "P401").await;
    // After the time in which the proof is valid, the proof itself has expired, and a new one may have its `jti`.
    trial.fixture.clock.advance(Duration::from_secs(121));
    trial.request("M16", "after its time", request("DPoP", &bound.token, &[proof]), "P401").await;
    let later = Bound { token: bound.token, now: bound.now + 121 };
    let proof = later.claims(json!({"jti": "used"}));
    trial.request("M16", "a new proof after that time", request("DPoP", &later.token, &[proof]), "OK").await;
}

#[tokio::test]
async fn a_flood_of_proofs_evicts_no_proof_and_does_not_affect_other_keys() {
    let trial = accepting(|server| server.dpop(Dpop::new().max_proofs_per_key(20))).await;
    let bound = Bound::new(&trial);
    let first = bound.valid();
    trial.request("M17", "the first", request("DPoP", &bound.token, std::slice::from_ref(&first)), "OK").await;
    // A proof with an invalid token is not recorded, because the token is verified first.
    for _ in 0..50 {
        let forged = format!("{}x", bound.token);
        let proof = bound.claims(json!({"ath": base64url(sha256(&forged))}));
        trial.request("M17", "an invalid token", request("DPoP", &forged, &[proof]), "R401").await;
    }
    for _ in 1..20 {
        trial.request("M17", "below the limit", request("DPoP", &bound.token, &[bound.valid()]), "OK").await;
    }
    for _ in 0..100 {
        let answer =
            trial.request("M17", "over the limit", request("DPoP", &bound.token, &[bound.valid()]), "R503").await;
        assert!(answer.header("retry-after").is_some());
    }
    trial.request("M17", "the first again", request("DPoP", &bound.token, &[first]), "P401").await;
    trial.request("M17", "a bearer token", request("Bearer", &trial.fixture.token(), &[]), "OK").await;
    trial.fixture.clock.advance(Duration::from_secs(121));
    let later = Bound { token: bound.token, now: bound.now + 121 };
    trial.request("M17", "after its time", request("DPoP", &later.token, &[later.valid()]), "OK").await;
}

#[tokio::test]
async fn a_nonce_is_required_if_configured() {
    let trial = accepting(|server| server.dpop(Dpop::new().require_nonces())).await;
    let bound = Bound::new(&trial);
    let answer = trial.request("M18", "no nonce", request("DPoP", &bound.token, &[bound.valid()]), "N401").await;
    // `header` asserts that there is exactly one.
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    for (id, what, wrong) in [
        ("M18", "null", json!(null)),
        ("M18", "an empty nonce", json!("")),
        ("M18", "a number", json!(1)),
        ("M18", "a list", json!([nonce])),
        ("M18", "of the authorization server", json!("eyJ7S_zG.eyJH0-Z.HX4w-7v")),
        ("M18", "with one more character", json!(format!("{nonce}A"))),
        ("M18", "with one character less", json!(nonce[..nonce.len() - 1])),
        ("M18", "in capitals", json!(nonce.to_uppercase())),
    ] {
        let proof = bound.claims(json!({"nonce": wrong}));
        let answer = trial.request(id, what, request("DPoP", &bound.token, &[proof]), "N401").await;
        assert!(answer.header("dpop-nonce").is_some(), "{id} {what}");
    }
    let proof = bound.claims(json!({"nonce": nonce}));
    let answer = trial.request("M18", "with the nonce", request("DPoP", &bound.token, &[proof]), "OK").await;
    assert!(answer.header("dpop-nonce").is_some());
    trial.fixture.clock.advance(Duration::from_secs(301));
    let later = Bound { token: bound.token, now: bound.now + 301 };
    let proof = later.claims(json!({"nonce": nonce}));
    trial.request("M18", "with an expired nonce", request("DPoP", &later.token, &[proof]), "N401").await;
}

#[tokio::test]
async fn the_challenge_offers_dpop_after_bearer() {
    let trial = accepting(|server| server).await;
    for (id, scheme) in [("M20", None), ("M20", Some("Basic YTpi"))] {
        let mut request = Request::get("/mcp");
        if let Some(credentials) = scheme {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        let answer = trial.request(id, "no token", request.body(Body::empty()).unwrap(), "R401N").await;
        let algorithms = answer.dpop_parameter("algs").unwrap();
        assert!(algorithms.split(' ').any(|name| name == "ES256"), "{algorithms}");
        assert_eq!(answer.dpop_parameter("error"), None);
    }
}

fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
