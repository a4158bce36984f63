//! M and N: tokens bound to a key or a certificate (RFC 9449, RFC 8705), at a server without the setting for them. It rejects
//! these tokens, whatever the client sends with them, and does not offer the scheme `DPoP`. [`super::proofs`] and
//! [`super::certificates`] have the same cases at a server that accepts them.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use super::trial::{Trial, base64url, bearer, credentials, own_key, with};
use crate::support::RESOURCE;

/// The thumbprint of [`own_key`] (RFC 8037, appendix A.3).
const JKT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

/// A proof that is valid for a token with this hash, with some members changed.
fn proof(header: Value, claims: Value) -> String {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": own_key::X});
    let good_header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
    let good_claims = json!({"jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": RESOURCE, "iat": 1_800_000_000,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"});
    own_key::sign(&with(good_header, header), &with(good_claims, claims))
}

fn with_proofs(scheme: &str, token: &str, proofs: &[String]) -> Request<Body> {
    let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("{scheme} {token}"));
    let request = proofs.iter().fold(request, |request, proof| request.header("dpop", proof));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_sender_constrained_token_is_rejected_with_any_proof() {
    let trial = Trial::warm().await;
    let unbound = trial.fixture.token();
    let bound = trial.with_payload(with(trial.claims(), json!({"cnf": {"jkt": JKT}})).to_string());
    let none = json!({});
    let before = trial.requests();
    for (id, what, proofs) in [
        ("M01", "no proof", vec![]),
        ("M01", "an empty proof", vec![String::new()]),
        ("M02", "two proofs", vec![proof(none.clone(), none.clone()); 2]),
        (
            "M02",
            "joined proofs",
            vec![[proof(none.clone(), none.clone()), proof(none.clone(), none.clone())].join(", ")],
        ),
        ("M05", "typ JWT", vec![proof(json!({"typ": "JWT"}), none.clone())]),
        ("M05", "no typ", vec![proof(json!({"typ": null}), none.clone())]),
        ("M05", "typ at+jwt", vec![proof(json!({"typ": "at+jwt"}), none.clone())]),
        ("M05", "typ in capitals", vec![proof(json!({"typ": "DPOP+JWT"}), none.clone())]),
        ("M06", "alg none", vec![proof(json!({"alg": "none"}), none.clone())]),
        ("M06", "alg HS256", vec![proof(json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}), none.clone())]),
        ("M08", "more members", vec![proof(json!({"jwk": {"kty": "OKP", "kid": "x", "use": "enc"}}), none.clone())]),
        ("M10", "htm in small letters", vec![proof(none.clone(), json!({"htm": "get"}))]),
        ("M10", "another htm", vec![proof(none.clone(), json!({"htm": "POST"}))]),
        ("M12", "another host", vec![proof(none.clone(), json!({"htu": "https://evil.example.com/mcp"}))]),
        ("M12", "another path", vec![proof(none.clone(), json!({"htu": format!("{RESOURCE}/")}))]),
        ("M14", "no ath", vec![proof(none.clone(), json!({"ath": null}))]),
        ("M14", "another ath", vec![proof(none.clone(), json!({"ath": base64url([0; 32])}))]),
        ("M16", "a proof", vec![proof(none.clone(), none.clone())]),
        ("M16", "the same proof again", vec![proof(none.clone(), none.clone())]),
        ("M17", "no jti", vec![proof(none.clone(), json!({"jti": null}))]),
        ("M17", "a long jti", vec![proof(none.clone(), json!({"jti": "j".repeat(100_000)}))]),
        ("M18", "an unknown nonce", vec![proof(none.clone(), json!({"nonce": "n"}))]),
        ("M21", "an encrypted proof", vec!["a.b.c.d.e".to_owned()]),
        ("M21", "a long proof", vec!["A".repeat(200_000)]),
        ("M22", "an expired proof", vec![proof(none.clone(), json!({"exp": 1}))]),
        ("M22", "a proof that is not yet valid", vec![proof(none.clone(), json!({"nbf": 1_900_000_000}))]),
    ] {
        trial.request(id, what, with_proofs("Bearer", &bound, &proofs), "R401").await;
        trial.request(id, &format!("{what}, as DPoP"), with_proofs("DPoP", &bound, &proofs), "R401N").await;
        // An unknown header does not make a valid token invalid.
        trial
            .request(id, &format!("{what}, beside another token"), with_proofs("Bearer", &unbound, &proofs), "OK")
            .await;
    }
    trial
        .request("M04", "not bound, as DPoP", with_proofs("DPoP", &unbound, &[proof(none.clone(), none)]), "R401N")
        .await;
    assert_eq!(trial.requests(), before);
}

#[tokio::test]
async fn client_headers_do_not_prove_possession_of_a_key() {
    let trial = Trial::warm().await;
    let bound = |cnf: Value| trial.with_payload(with(trial.claims(), json!({"cnf": cnf})).to_string());
    for (id, name, value) in [
        ("M13", "x-forwarded-host", "mcp.example.com"),
        ("M13", "forwarded", "proto=https;host=mcp.example.com"),
        ("N01", "x-forwarded-client-cert", "Hash=6f070ad1eb1cdc00820c3db6639fe5112b1713ca3d96d734e4ef3d8dd37e760d"),
        ("N01", "ssl-client-cert", "-----BEGIN CERTIFICATE-----"),
        ("N01", "client-cert", ":AAAA:"),
    ] {
        for cnf in [json!({"jkt": JKT}), json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})] {
            let mut request = with_proofs("Bearer", &bound(cnf.clone()), &[proof(json!({}), json!({}))]);
            request.headers_mut().insert(name, value.parse().unwrap());
            trial.request(id, &format!("{name} {cnf}"), request, "R401").await;
        }
    }
}

#[tokio::test]
async fn a_token_with_a_malformed_cnf_is_sender_constrained() {
    let local = Trial::warm().await;
    let introspecting = Trial::introspecting(credentials());
    for (index, (id, cnf)) in [
        ("M09", json!({"jkt": format!("{JKT}=")})),
        ("M09", json!({"jkt": JKT.to_uppercase()})),
        ("M09", json!({"jkt": "90facafea9b1556698540f70c0117a22ea37bd5cf3ed3c47093c170728a4b892"})),
        ("M09", json!({"jkt": "2jmj7l5rSw0yVb_vlWAYkK_YBwk"})),
        ("M09", json!({"jkt": 1})),
        ("M09", json!({"jkt": null})),
        ("M09", json!({"JKT": JKT})),
        ("N01", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
        ("N02", json!({"x5t#S256": "6f070ad1eb1cdc00820c3db6639fe5112b1713ca3d96d734e4ef3d8dd37e760d"})),
        ("N02", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2="})),
        ("N02", json!({"x5t": "2jmj7l5rSw0yVb_vlWAYkK_YBwk"})),
        ("N04", json!({"jkt": JKT, "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
    ]
    .into_iter()
    .enumerate()
    {
        let claims = with(local.claims(), json!({"cnf": cnf}));
        local.reject(id, &cnf.to_string(), &local.with_payload(claims.to_string())).await;
        let opaque = format!("opaque-{index}");
        let answer = with(claims, json!({"active": true, "token_type": "DPoP"}));
        for answer in [answer.clone(), with(answer, json!({"token_type": "Bearer"}))] {
            introspecting.fixture.issuer.introspection_answer(&opaque, answer);
            introspecting.request(id, &format!("{cnf}, introspected"), bearer(&opaque), "R401").await;
        }
    }
}

#[tokio::test]
async fn the_challenge_does_not_offer_dpop() {
    let trial = Trial::cold();
    for (id, request) in [
        ("M20", Request::get("/mcp").body(Body::empty()).unwrap()),
        ("M20", with_proofs("DPoP", "x", &[])),
        ("M18", with_proofs("DPoP", "x", &[proof(json!({}), json!({"nonce": 1}))])),
    ] {
        // `challenge` asserts that there is exactly one challenge and that its scheme is Bearer.
        let answer = trial.request(id, "no token", request, "R401N").await;
        assert!(answer.challenge().is_some() && answer.header("dpop-nonce").is_none(), "{id}");
    }
}
