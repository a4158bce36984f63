use std::time::Duration;

use serde_json::{Map, Value};

use crate::claims::{Claims, CredentialKind};
use crate::crypto::{digests_equal, sha256};
use crate::escape::{Escaped, MAX_SHOWN};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::scope::Scopes;

/// A stored key that was checked.
pub(super) struct KeyEntry {
    name: Box<str>,
    digest: [u8; 32],
    expires_at: Option<Duration>,
    claims: Claims,
}

impl KeyEntry {
    /// `expires_at` is a Unix time. `None` if the claims cannot be made.
    pub(super) fn new(
        name: &str,
        digest: [u8; 32],
        identity: &str,
        scopes: &Scopes,
        expires_at: Option<Duration>,
    ) -> Option<Self> {
        let mut members = Map::new();
        members.insert("sub".to_owned(), identity.into());
        members.insert("scope".to_owned(), scopes.as_str().into());
        members.insert(Claims::API_KEY_NAME.to_owned(), name.into());
        if let Some(expires_at) = expires_at {
            members.insert("exp".to_owned(), Value::from(expires_at.as_secs()));
        }
        let claims = Claims::from_credential(CredentialKind::ApiKey, None, members).ok()?;
        Some(Self { name: name.into(), digest, expires_at, claims })
    }

    /// Rows 4 and 5 of the table in the [module's documentation](super).
    pub(super) fn verify(&self, key: &[u8], now: Duration) -> Result<Claims, CheckError> {
        if !sha256(key).is_some_and(|digest| digests_equal(&digest, &self.digest)) {
            let note = "the id is that of a stored key, but the digest is another one";
            return Err(CheckFailure::ApiKeyUnknown.with(Box::new(Detail::Note(note))));
        }
        match self.expires_at {
            Some(expires_at) if now >= expires_at => {
                let name = Escaped(&self.name, MAX_SHOWN).to_string().into();
                let ago = now.saturating_sub(expires_at);
                Err(CheckFailure::ApiKeyExpired.with(Box::new(Detail::ExpiredKey { name, ago })))
            }
            _ => Ok(self.claims.clone()),
        }
    }
}
