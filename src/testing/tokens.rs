use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::key_ring::KeyRing;
use super::signing_key::random_text;
use crate::jose::Compact;

/// The tokens that an issuer has issued or revoked.
#[derive(Default)]
pub(super) struct Tokens {
    known: HashMap<String, Known>,
    // Expired tokens are removed at this number.
    sweep_at: usize,
}

enum Known {
    Claims(Map<String, Value>),
    Revoked(Map<String, Value>),
    // This response replaces the regular one.
    Answer(Value),
}

impl Tokens {
    /// Issues an opaque token.
    pub(super) fn register(&mut self, claims: Map<String, Value>, now: Duration) -> String {
        let token = random_text();
        self.keep(&token, Known::Claims(claims), now);
        token
    }

    pub(super) fn answer_with(&mut self, token: &str, answer: Value) {
        self.known.insert(token.to_owned(), Known::Answer(answer));
    }

    /// Makes a token inactive. A token that was never valid is not stored, so that guesses do not fill the memory.
    pub(super) fn revoke(&mut self, token: &str, ring: &KeyRing, now: Duration) {
        self.known.remove(token);
        if let Some(claims) = signed_claims(token, ring) {
            self.keep(token, Known::Revoked(claims), now);
        }
    }

    /// RFC 7662, section 2.2.
    pub(super) fn introspect(&self, token: &str, ring: &KeyRing, now: Duration) -> Value {
        let claims = match self.known.get(token) {
            Some(Known::Answer(answer)) => return answer.clone(),
            Some(Known::Claims(claims)) => Some(claims.clone()),
            Some(Known::Revoked(_)) => None,
            None => signed_claims(token, ring),
        };
        let mut answer = Map::new();
        let claims = claims.filter(|claims| !is_expired(claims, now));
        answer.insert("active".into(), claims.is_some().into());
        if let Some(claims) = claims {
            // A token that is bound to the key of a proof has its own type (RFC 9449, section 6.2).
            let is_bound = claims.get("cnf").is_some_and(|binding| binding.get("jkt").is_some());
            answer.insert("token_type".into(), if is_bound { "DPoP" } else { "Bearer" }.into());
            answer.extend(claims);
        }
        Value::Object(answer)
    }

    fn keep(&mut self, token: &str, known: Known, now: Duration) {
        if self.known.len() >= self.sweep_at {
            // An expired token is inactive, like an unknown one.
            self.known.retain(|_, known| !known.is_expired(now));
            self.sweep_at = self.known.len().saturating_mul(2).max(FIRST_SWEEP);
        }
        self.known.insert(token.to_owned(), known);
    }
}

impl Known {
    fn is_expired(&self, now: Duration) -> bool {
        match self {
            Self::Claims(claims) | Self::Revoked(claims) => is_expired(claims, now),
            Self::Answer(_) => false,
        }
    }
}

/// The claims of a token with a signature by a published key, whatever its header says.
fn signed_claims(token: &str, ring: &KeyRing) -> Option<Map<String, Value>> {
    let token = Compact::parse(token.as_bytes()).ok()?;
    let is_ours = ring.signed(token.signing_input, &token.signature().ok()?);
    is_ours.then(|| serde_json::from_slice(&token.payload().ok()?).ok())?
}

/// RFC 7519, section 4.1.4. An `exp` that is not a number is left to the resource server.
fn is_expired(claims: &Map<String, Value>, now: Duration) -> bool {
    claims.get("exp").and_then(Value::as_f64).is_some_and(|expires| now.as_secs_f64() >= expires)
}

/// More tokens than a test issues.
const FIRST_SWEEP: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::Algorithm;

    #[test]
    fn expired_tokens_are_removed() {
        let (mut tokens, ring) = (Tokens::default(), KeyRing::new(Algorithm::ES256));
        let claims = |expires: u64| Map::from_iter([("exp".to_owned(), expires.into())]);
        let first = tokens.register(claims(u64::MAX), Duration::ZERO);
        for second in 0..20_000 {
            tokens.register(claims(second + 10), Duration::from_secs(second));
        }
        assert!(tokens.known.len() <= FIRST_SWEEP, "{}", tokens.known.len());
        assert_eq!(tokens.introspect(&first, &ring, Duration::from_secs(20_000))["active"], true);
    }

    #[test]
    fn an_unknown_token_is_not_stored() {
        let (mut tokens, ring) = (Tokens::default(), KeyRing::new(Algorithm::ES256));
        for token in ["guess", "a.b.c"] {
            tokens.revoke(token, &ring, Duration::ZERO);
        }
        assert!(tokens.known.is_empty());
    }
}
