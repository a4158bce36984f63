use std::sync::Arc;

use super::issuer_verifier::{Accepted, Step};
use super::{CheckRecorder, TokenCheck, Verification, VerifyError};
use crate::api_key::{ApiKeyTable, KeyLookUp};
use crate::clock::Clock;
use crate::failure::CheckFailure;
use crate::introspection::TokenStatus;

/// Verifies an API key: now, or after a read of the file that is overdue, or a look-up in the store of the application.
pub(super) fn verify_api_key(
    key: &[u8],
    keys: &Arc<ApiKeyTable>,
    clock: &Arc<dyn Clock>,
    progress: &CheckRecorder,
) -> Step {
    progress.begin(TokenCheck::ApiKey);
    let step = match keys.refresh() {
        None => look_up(key, keys, clock, progress),
        Some(read) => {
            let (key, keys, clock, progress) = (key.to_vec(), Arc::clone(keys), Arc::clone(clock), progress.clone());
            Ok(Verification::Pending(Box::pin(async move {
                read.await;
                look_up(&key, &keys, &clock, &progress)?.finish().await
            })))
        }
    };
    match step {
        Ok(Verification::Pending(pending)) => {
            let key = key.to_vec();
            Ok(Verification::Pending(Box::pin(async move { pending.await.map_err(|error| error.about_api_key(&key)) })))
        }
        Ok(Verification::Done(Err(error))) | Err(error) => Err(error.about_api_key(key)),
        accepted => accepted,
    }
}

fn look_up(key: &[u8], keys: &ApiKeyTable, clock: &Arc<dyn Clock>, progress: &CheckRecorder) -> Step {
    let store = match keys.verify(key, clock.since_epoch())? {
        KeyLookUp::Found(claims) => return Ok(Verification::Done(Ok(Accepted { claims, signature: None }))),
        KeyLookUp::NotHere(store) => store,
    };
    let (fingerprint, purpose) = (store.fingerprint(key), progress.purpose());
    if let Some(status) = store.cached(&fingerprint, None, purpose) {
        return Ok(Verification::Done(conclude(status, clock)));
    }
    // A key that has passed the check of its form is ASCII, so nothing is replaced.
    let (store, clock, key) = (Arc::clone(store), Arc::clone(clock), String::from_utf8_lossy(key).into());
    Ok(Verification::Pending(Box::pin(async move {
        let status = store.introspect(fingerprint, key, (None, None), Arc::clone(&clock), purpose).await?;
        conclude(status, &clock)
    })))
}

/// A cached result passes the check of the expiry with every request.
fn conclude(status: TokenStatus, clock: &Arc<dyn Clock>) -> Result<Accepted, VerifyError> {
    match status {
        TokenStatus::Active(claims) if claims.exp().is_some_and(|expiry| clock.since_epoch() >= expiry) => {
            Err(CheckFailure::ApiKeyExpired.into())
        }
        TokenStatus::Active(claims) => Ok(Accepted { claims, signature: None }),
        TokenStatus::Rejected(failure) => Err(failure.into()),
        TokenStatus::Inactive | TokenStatus::Unsupported => Err(CheckFailure::ApiKeyUnknown.into()),
    }
}
