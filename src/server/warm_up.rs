//! Fetches the keys and the introspection endpoint of an issuer before its first token arrives.

use std::sync::Arc;

use crate::clock::Clock;
use crate::http_client::FetchError;
use crate::keys::{KeyError, Keys, RemoteKeys};
use crate::verify::IssuerVerifier;

/// Waits until the keys and the introspection endpoint of an issuer are available and the client credentials are checked, or
/// until one attempt fails.
pub(super) async fn warm_up(issuer: &IssuerVerifier, clock: &Arc<dyn Clock>) -> Result<(), Option<Arc<FetchError>>> {
    if let Some(keys) = remote_keys(issuer) {
        keys.warm_up().await.map_err(|error| match error {
            KeyError::Unavailable { source, .. } => source,
            KeyError::Unknown | KeyError::Unusable => None,
        })?;
    }
    match issuer.introspector() {
        Some(introspector) => introspector.warm_up(clock).await.map_err(Some),
        None => Ok(()),
    }
}

pub(super) fn remote_keys(issuer: &IssuerVerifier) -> Option<&RemoteKeys> {
    match issuer.keys() {
        Some(Keys::Remote(keys)) => Some(keys),
        _ => None,
    }
}
