//! The examples of RFC 9449: what is bound to a key is no bearer token, and a proof of a key is no token at all.

use axum::body::Body;
use http::{Request, header};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use crate::canned::{Canned, INTROSPECT, Page};
use crate::collection;
use crate::judge::{court, key_set, refusal};
use crate::support::RESOURCE;
use crate::trial::{Trial, credentials, from_base64url, with};

/// RFC 9449, section 4.2: the `typ` says what it is, and no signature makes anything else of it.
#[tokio::test]
async fn a_proof_is_no_access_token() {
    let Some(examples) = examples() else { return };
    let keys = key_set(&[examples["jwk"].clone()]).unwrap();
    let key = keys.keys().next().unwrap();
    // The issuer publishes the proofs' key: only what they are is left to refuse them for.
    let trial = court(&[examples["jwk"].clone()]);
    let proofs = examples["proofs"].as_array().unwrap();
    assert_eq!(proofs.len(), 2);
    for proof in proofs {
        let (what, token) = (proof["name"].as_str().unwrap(), proof["proof"].as_str().unwrap());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(proof["signature_valid"], true, "{what}");
        assert!(key.verifies(Algorithm::ES256, signed.as_bytes(), &from_base64url(signature)), "{what}");
        let refused = refusal(&trial, what, token).await;
        assert_eq!(refused, Some(RejectionKind::InvalidToken(CheckFailure::TokenType)), "{what}");
        // Signed by the issuer itself, with all that an access token has, it is still a proof.
        let claims = with(proof["claims"].clone(), trial.claims());
        let token = trial
            .sign(with(proof["header"].clone(), json!({"kid": trial.header()["kid"]})).to_string(), claims.to_string());
        let refused = refusal(&trial, what, &token).await;
        assert_eq!(refused, Some(RejectionKind::InvalidToken(CheckFailure::TokenType)), "{what}, signed by the issuer");
    }
    trial.accept_a_good_token().await;
}

/// RFC 9449, section 7.1: `DPoP` is a scheme of its own, of which this server knows nothing.
#[tokio::test]
async fn a_request_by_the_dpop_scheme_has_no_bearer_token() {
    let Some(examples) = examples() else { return };
    let (trial, example) = (Trial::cold(), &examples["resource_request"]);
    let request = |authorization: &str| {
        let request = Request::get("/mcp").header(header::AUTHORIZATION, authorization);
        request.header("dpop", example["dpop"].as_str().unwrap()).body(Body::empty()).unwrap()
    };
    let authorization = example["authorization"].as_str().unwrap();
    trial.judge("RFC 9449", "DPoP", request(authorization), "R401N").await;
    let bearer = authorization.replacen("DPoP", "Bearer", 1);
    trial.judge("RFC 9449", "its token as Bearer", request(&bearer), "R401").await;
    assert_eq!(trial.requests(), (0, 0));
}

/// RFC 9449, section 7.2: whatever has a `cnf` must not pass as Bearer.
#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let Some(examples) = examples() else { return };
    let bound = &examples["jwt_access_token_with_cnf_jkt"];
    let trial = Trial::cold();
    let refused = refusal(&trial, "as published", bound["token"].as_str().unwrap()).await;
    assert_eq!(refused, Some(RejectionKind::InvalidToken(CheckFailure::Issuer)));
    let cnf = json!({"cnf": bound["claims"]["cnf"]});
    let token = trial.with_payload(with(trial.claims(), cnf).to_string());
    let refused = refusal(&trial, "by an issuer that is trusted", &token).await;
    assert_eq!(refused, Some(RejectionKind::InvalidToken(CheckFailure::SenderConstrained)));
    trial.accept_a_good_token().await;
}

#[tokio::test]
async fn an_answer_about_a_bound_token_makes_no_bearer_token_of_it() {
    let Some(examples) = examples() else { return };
    let token = examples["resource_request"]["access_token"].as_str().unwrap();
    let published = &examples["introspection_response"];
    let said = async |changes: Value| {
        let canned = Canned::default();
        let trial = canned.introspecting(credentials());
        let answer = with(published.clone(), trial.claims());
        canned.set(INTROSPECT, Page::ok(with(answer, changes).to_string()));
        trial.app.with_token(token).await
    };
    assert_eq!(said(json!({"cnf": null, "aud": RESOURCE})).await.verdict(), "OK");
    let refused = said(json!({})).await;
    assert_eq!(refused.verdict(), "R401");
    assert_eq!(refused.rejection.unwrap().kind(), RejectionKind::InvalidToken(CheckFailure::SenderConstrained));
}

fn examples() -> Option<Value> {
    collection::json("rfc9449-dpop/examples.json")
}
