//! How a token whose payload is no claim set is judged by a layer that reads claims before it looks at a signature.
//!
//! The payloads of JOSE vectors are texts such as `foo`, so the layer refuses every one of their tokens; the question is
//! where. Its order of checks (`verify/mod.rs`) makes the refusal an answer: whatever is wrong with the shape, the encoding
//! of any of the three parts or the header is refused as that, and only a token with none of it reaches its claims. A token
//! refused for its *claims* has thus passed all that comes before; what is left of a JWS is the choice of a key and the
//! signature, and those are then checked by `JwkSet` and `VerificationKey` over the bytes of the token.

use axum::body::Body;
use http::{HeaderValue, Request, header};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::jose::{Algorithm, JwkSet};
use mcp_bearer::verify::CheckFailure;
use serde_json::{Value, json};

use crate::ledger::Outcome;
use crate::trial::{self, Trial, from_base64url, parts};

/// A server whose issuer publishes these keys and one of its own. It has fetched nothing yet: a token that gets as far as a
/// search for its key shows as a request.
pub fn court(keys: &[Value]) -> Trial {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let own = issuer.jwk_set()["keys"][0].clone();
    let keys: Vec<Value> = keys.iter().cloned().chain([own]).collect();
    issuer.publish_key_set(json!({"keys": keys}));
    let accepted = issuer.issuer();
    Trial::of(issuer, clock, |server| server.issuer(accepted))
}

/// The keys as we read them, by themselves.
pub fn key_set(keys: &[Value]) -> Option<JwkSet> {
    JwkSet::from_json(json!({"keys": keys}).to_string()).ok()
}

/// Sends the token through the whole layer, which must refuse it without asking anybody, and tells whether it is a JWS by
/// one of the keys.
pub async fn judge(trial: &Trial, keys: Option<&JwkSet>, what: &str, token: &str) -> Outcome {
    let passed = match refusal(trial, what, token).await {
        // A payload that is a claim set by chance is refused one step later.
        Some(RejectionKind::InvalidToken(CheckFailure::Claims | CheckFailure::Issuer)) => true,
        Some(RejectionKind::InvalidToken(failure)) => {
            assert_ne!(failure, CheckFailure::Signature, "{what}: a signature was checked before the claims");
            false
        }
        Some(RejectionKind::InvalidRequest) | None => false,
        other => panic!("{what}: {other:?}"),
    };
    Outcome::accepted_if(passed && keys.is_some_and(|keys| is_signed(keys, token)))
}

/// What the layer refuses the token as; `None` if it cannot stand in a header at all.
pub async fn refusal(trial: &Trial, what: &str, token: &str) -> Option<RejectionKind> {
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    let request = Request::get("/mcp").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
    let verdict = if is_token68(token) || token.len() > 16 * 1024 { "R401" } else { "R400" };
    let before = trial.requests();
    let answer = trial.judge("vector", what, request, verdict).await;
    assert_eq!(trial.requests(), before, "{what}: the token caused a request");
    Some(answer.rejection.unwrap().kind())
}

/// Steps 9 and 10 of the order of checks: the keys that fit `kid` and `alg`, and the signature over the bytes as received.
fn is_signed(keys: &JwkSet, token: &str) -> bool {
    let [header, _, signature] = parts(token);
    let header: Value = serde_json::from_slice(&from_base64url(header)).unwrap();
    let algorithm = Algorithm::from_name(header["alg"].as_str().unwrap()).unwrap();
    let kid = header["kid"].as_str();
    let fits = |key: &&mcp_bearer::jose::VerificationKey| {
        kid.is_none_or(|kid| key.kid() == Some(kid)) && key.algorithms().contains(algorithm)
    };
    let fitting: Vec<_> = keys.keys().filter(fits).collect();
    // Without a key id, only one may fit.
    if kid.is_none() && fitting.len() > 1 {
        return false;
    }
    let signed = token.rsplit_once('.').unwrap().0.as_bytes();
    fitting.iter().take(2).any(|key| key.verifies(algorithm, signed, &from_base64url(signature)))
}

/// RFC 9110, section 11.2.
fn is_token68(token: &str) -> bool {
    let characters = token.trim_end_matches('=');
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !characters.is_empty() && characters.bytes().all(is_one)
}
