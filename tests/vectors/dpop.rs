//! The examples of RFC 9449. A sender-constrained token is not accepted as a bearer token, and a DPoP proof is not
//! accepted as an access token.

use axum::body::Body;
use http::{Request, header};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use crate::canned::{Canned, INTROSPECT, Page};
use crate::collection;
use crate::judge::{key_set, rejection, trial_with_keys};
use crate::support::RESOURCE;
use crate::trial::{Trial, credentials, from_base64url, with};

/// RFC 9449, section 4.2: the header `typ` marks a DPoP proof, and a valid signature does not make it an access token.
#[tokio::test]
async fn a_dpop_proof_is_not_accepted_as_an_access_token() {
    let Some(examples) = examples() else { return };
    let keys = key_set(&[examples["jwk"].clone()]).unwrap();
    let key = keys.keys().next().unwrap();
    // The issuer publishes the key of the proofs, so that the type is the only reason for the rejection.
    let trial = trial_with_keys(&[examples["jwk"].clone()]);
    let proofs = examples["proofs"].as_array().unwrap();
    assert_eq!(proofs.len(), 2);
    for proof in proofs {
        let (what, token) = (proof["name"].as_str().unwrap(), proof["proof"].as_str().unwrap());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(proof["signature_valid"], true, "{what}");
        assert!(key.verifies(Algorithm::ES256, signed.as_bytes(), &from_base64url(signature)), "{what}");
        let rejected = rejection(&trial, what, token).await;
        assert_eq!(rejected, Some(RejectionKind::InvalidToken(CheckFailure::TokenType)), "{what}");
        // The issuer itself signs the proof with all claims of an access token. It is still a proof.
        let claims = with(proof["claims"].clone(), trial.claims());
        let token = trial
            .sign(with(proof["header"].clone(), json!({"kid": trial.header()["kid"]})).to_string(), claims.to_string());
        let rejected = rejection(&trial, what, &token).await;
        assert_eq!(
            rejected,
            Some(RejectionKind::InvalidToken(CheckFailure::TokenType)),
            "{what}, signed by the issuer"
        );
    }
    trial.accept_a_valid_token().await;
}

/// RFC 9449, section 7.1: `DPoP` is a separate authentication scheme, which this server does not support.
#[tokio::test]
async fn a_request_with_the_dpop_scheme_has_no_bearer_token() {
    let Some(examples) = examples() else { return };
    let (trial, example) = (Trial::cold(), &examples["resource_request"]);
    let request = |authorization: &str| {
        let request = Request::get("/mcp").header(header::AUTHORIZATION, authorization);
        request.header("dpop", example["dpop"].as_str().unwrap()).body(Body::empty()).unwrap()
    };
    let authorization = example["authorization"].as_str().unwrap();
    trial.request("RFC 9449", "DPoP", request(authorization), "R401N").await;
    let bearer = authorization.replacen("DPoP", "Bearer", 1);
    trial.request("RFC 9449", "the same token under the Bearer scheme", request(&bearer), "R401").await;
    assert_eq!(trial.requests(), (0, 0));
}

/// RFC 9449, section 7.2: a token with a `cnf` claim must not be accepted under the `Bearer` scheme.
#[tokio::test]
async fn a_sender_constrained_jwt_is_rejected() {
    let Some(examples) = examples() else { return };
    let example = &examples["jwt_access_token_with_cnf_jkt"];
    let trial = Trial::cold();
    let rejected = rejection(&trial, "as published", example["token"].as_str().unwrap()).await;
    assert_eq!(rejected, Some(RejectionKind::InvalidToken(CheckFailure::Issuer)));
    let cnf = json!({"cnf": example["claims"]["cnf"]});
    let token = trial.with_payload(with(trial.claims(), cnf).to_string());
    let rejected = rejection(&trial, "signed by an accepted issuer", &token).await;
    assert_eq!(rejected, Some(RejectionKind::InvalidToken(CheckFailure::SenderConstrained)));
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn a_sender_constrained_opaque_token_is_rejected() {
    let Some(examples) = examples() else { return };
    let token = examples["resource_request"]["access_token"].as_str().unwrap();
    let published = &examples["introspection_response"];
    let introspected_as = async |changes: Value| {
        let canned = Canned::default();
        let trial = canned.introspecting(credentials());
        let answer = with(published.clone(), trial.claims());
        canned.set(INTROSPECT, Page::ok(with(answer, changes).to_string()));
        trial.app.with_token(token).await
    };
    assert_eq!(introspected_as(json!({"cnf": null, "aud": RESOURCE})).await.verdict(), "OK");
    let rejected = introspected_as(json!({})).await;
    assert_eq!(rejected.verdict(), "R401");
    assert_eq!(rejected.rejection.unwrap().kind(), RejectionKind::InvalidToken(CheckFailure::SenderConstrained));
}

fn examples() -> Option<Value> {
    collection::json("rfc9449-dpop/examples.json")
}
