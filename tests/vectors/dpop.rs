//! The examples of RFC 9449. A sender-constrained token is not accepted as a bearer token, and a DPoP proof is not
//! accepted as an access token. A server that accepts proofs accepts the example request at its time, once.

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{ProofFailure, SenderConstraint};
use mcp_bearer::testing::TestClock;
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{AuthInfo, Issuer, Rejection, ResourceServer};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

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

/// RFC 9449, section 7.1: `DPoP` is a separate authentication scheme. A server without `sender_constraint` does not accept it.
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

/// RFC 9449, sections 6.2 and 7.1: the example request, with the introspection response of its token. Its `iat` is the time.
#[tokio::test(start_paused = true)]
async fn the_example_request_is_accepted_at_its_time_once() {
    let Some(examples) = examples() else { return };
    let example = &examples["resource_request"];
    let (method, url) = (example["method"].as_str().unwrap(), example["url"].as_str().unwrap());
    let proof = example["dpop"].as_str().unwrap();
    let time = example["now_for_iat_window"].as_u64().unwrap();
    let expected = examples["jkt"].as_str().unwrap().to_owned();
    let token_request_proof = examples["proofs"][0]["proof"].as_str().unwrap();
    let invalid = |failure| Err(RejectionKind::InvalidProof(failure));

    let server = Server::new(&examples, url, time);
    assert_eq!(server.send(method, url, proof).await, Ok(expected.clone()));
    assert_eq!(server.send(method, url, proof).await, invalid(ProofFailure::Replayed));
    for (at, method, url, proof, failure) in [
        (time - 61, method, url, proof, ProofFailure::Time),
        (time + 60, method, url, proof, ProofFailure::Time),
        (time, "POST", url, proof, ProofFailure::Method),
        (time, method, "https://resource.example.org/", proof, ProofFailure::Target),
        // A proof for a token request is not one for another URL.
        (time, "POST", url, token_request_proof, ProofFailure::Target),
    ] {
        assert_eq!(Server::new(&examples, url, at).send(method, url, proof).await, invalid(failure), "{failure}");
    }
    let last_second = Server::new(&examples, url, time + 59);
    assert_eq!(last_second.send(method, url, proof).await, Ok(expected));
}

/// The resource server of the examples.
struct Server {
    server: ResourceServer,
    authorization: String,
}

impl Server {
    fn new(examples: &Value, resource: &str, time: u64) -> Self {
        let published = &examples["introspection_response"];
        let canned = Canned::default();
        // The published response names no audience.
        canned.set(INTROSPECT, Page::ok(with(published.clone(), json!({"aud": resource})).to_string()));
        let issuer = Issuer::discover(published["iss"].as_str().unwrap()).introspection_endpoint(INTROSPECT);
        let issuer = issuer.introspect_opaque(credentials()).http_client(canned);
        let builder = ResourceServer::builder(resource).issuer(issuer).clock(TestClock::at(time));
        let builder = builder.sender_constraint(SenderConstraint::Dpop);
        let server = std::thread::spawn(move || builder.build_lazy()).join().unwrap().unwrap();
        Self { server, authorization: examples["resource_request"]["authorization"].as_str().unwrap().to_owned() }
    }

    /// The thumbprint of the key that the sender proved, or the reason of the rejection.
    async fn send(&self, method: &str, url: &str, proof: &str) -> Result<String, RejectionKind> {
        let handler = service_fn(async |request: Request<Body>| {
            let sender = request.extensions().get::<AuthInfo>().unwrap().sender();
            let key = sender.dpop_key().map(|key| key.to_string());
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(key.unwrap_or_default())))
        });
        let request = Request::builder().method(method).uri(url).header(header::AUTHORIZATION, &self.authorization);
        let request = request.header("dpop", proof).body(Body::empty()).unwrap();
        let response = self.server.bearer_layer().layer(handler).oneshot(request).await.unwrap();
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            return Err(rejection.kind());
        }
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(Body::new(response.into_body()), 1024).await.unwrap();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }
}

fn examples() -> Option<Value> {
    collection::json("rfc9449-dpop/examples.json")
}
