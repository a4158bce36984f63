//! Decides whether the crate accepts the signature of a token whose payload is not a set of claims.
//!
//! The payloads of JOSE vectors are texts such as `foo`, so the layer rejects all their tokens. The reason of the
//! rejection shows how far a token came in the order of the checks (`verify/mod.rs`). The layer checks the shape, the
//! encoding of the three parts and the header before the claims, and the claims before the signature. So a token that
//! is rejected for its *claims* has passed all earlier checks. For such a token, this module then chooses a key
//! and checks the signature with `JwkSet` and `VerificationKey`.

use axum::body::Body;
use http::{HeaderValue, Request, header};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::{Algorithm, JwkSet};
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use crate::ledger::Outcome;
use crate::trial::{self, Trial, from_base64url, parts};

/// Creates a server whose issuer publishes these keys and one more key. The server has not fetched the keys yet: if
/// it looks up a key for a token, the test sees a request.
pub fn trial_with_keys(keys: &[Value]) -> Trial {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let own = issuer.jwk_set()["keys"][0].clone();
    let keys: Vec<Value> = keys.iter().cloned().chain([own]).collect();
    issuer.publish_key_set(json!({"keys": keys}));
    let accepted = issuer.issuer();
    Trial::of(issuer, clock, |server| server.issuer(accepted))
}

/// Parses the keys as a key set.
pub fn key_set(keys: &[Value]) -> Option<JwkSet> {
    JwkSet::from_json(json!({"keys": keys}).to_string()).ok()
}

/// Sends the token through the whole layer, which must reject it without a request to the issuer. Returns whether the
/// token is a JWS that one of the keys verifies.
pub async fn judge(trial: &Trial, keys: Option<&JwkSet>, what: &str, token: &str) -> Outcome {
    let reaches_claims = match rejection(trial, what, token).await {
        // If the payload happens to be a set of claims, the next check rejects the token.
        Some(RejectionKind::InvalidToken(CheckFailure::Claims | CheckFailure::Issuer)) => true,
        Some(RejectionKind::InvalidToken(failure)) => {
            assert_ne!(failure, CheckFailure::Signature, "{what}: a signature was checked before the claims");
            false
        }
        Some(RejectionKind::InvalidRequest) | None => false,
        other => panic!("{what}: {other:?}"),
    };
    Outcome::accepted_if(reaches_claims && keys.is_some_and(|keys| is_signed(keys, token)))
}

/// Returns the kind of the rejection, or `None` if the token is not a valid header value.
pub async fn rejection(trial: &Trial, what: &str, token: &str) -> Option<RejectionKind> {
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    let request = Request::get("/mcp").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
    let verdict = if is_token68(token) || token.len() > 16 * 1024 { "R401" } else { "R400" };
    let before = trial.requests();
    let answer = trial.request("vector", what, request, verdict).await;
    assert_eq!(trial.requests(), before, "{what}: the token caused a request");
    Some(answer.rejection.unwrap().kind())
}

/// Performs steps 9 and 10 of the order of checks: chooses the keys that fit `kid` and `alg`, and checks the signature
/// over the bytes as received.
fn is_signed(keys: &JwkSet, token: &str) -> bool {
    let [header, _, signature] = parts(token);
    let header: Value = serde_json::from_slice(&from_base64url(header)).unwrap();
    let algorithm = Algorithm::from_name(header["alg"].as_str().unwrap()).unwrap();
    let kid = header["kid"].as_str();
    let fits = |key: &&mcp_bearer::jose::VerificationKey| {
        kid.is_none_or(|kid| key.kid() == Some(kid)) && key.algorithms().contains(algorithm)
    };
    let fitting: Vec<_> = keys.keys().filter(fits).collect();
    // Without a key id, the choice of the key must be unambiguous.
    if kid.is_none() && fitting.len() > 1 {
        return false;
    }
    let signed = token.rsplit_once('.').unwrap().0.as_bytes();
    fitting.iter().take(2).any(|key| key.verifies(algorithm, signed, &from_base64url(signature)))
}

/// RFC 9110, section 11.2.
fn is_token68(token: &str) -> bool {
    let characters = token.trim_end_matches('=');
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !characters.is_empty() && characters.bytes().all(is_allowed)
}
