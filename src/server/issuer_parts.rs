use std::sync::Arc;
use std::time::Duration;

use crate::http_client::FetchError;
use crate::introspection::Introspector;
use crate::keys::{KeyError, Keys};
use crate::verify::Verifier;

/// What a server has of one issuer that may have to be fetched.
#[derive(Clone)]
pub(super) struct IssuerParts {
    pub(super) issuer: Box<str>,
    pub(super) keys: Option<Keys>,
    pub(super) introspector: Option<Arc<Introspector>>,
}

impl IssuerParts {
    pub(super) fn of(issuer: &str, verifier: &Verifier) -> Self {
        Self {
            issuer: issuer.into(),
            keys: verifier.jwt.as_ref().map(|jwt| jwt.keys.clone()),
            introspector: verifier.introspector().cloned(),
        }
    }

    /// Whether anything of it has to be fetched before it serves.
    pub(super) const fn is_remote(&self) -> bool {
        matches!(self.keys, Some(Keys::Remote(_))) || self.introspector.is_some()
    }

    /// Waits until all of it is at hand, or one attempt failed; then says of what, if that is known.
    pub(super) async fn warm_up(&self) -> Result<(), Option<Arc<FetchError>>> {
        if let Some(Keys::Remote(keys)) = &self.keys {
            keys.warm_up().await.map_err(|error| match error {
                KeyError::Unavailable { source, .. } => source,
                KeyError::Unknown | KeyError::Unusable => None,
            })?;
        }
        match &self.introspector {
            Some(introspector) => introspector.warm_up().await.map_err(Some),
            None => Ok(()),
        }
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&self) -> Duration {
        let keys = match &self.keys {
            Some(Keys::Remote(keys)) => keys.back_off(),
            _ => Duration::ZERO,
        };
        let introspection = self.introspector.as_ref().map(|introspector| introspector.retry_in());
        keys.max(introspection.unwrap_or_default()).max(MIN_PAUSE)
    }
}

/// So that no loop runs free, whatever its parts say.
const MIN_PAUSE: Duration = Duration::from_millis(250);
