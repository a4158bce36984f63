//! When metadata is fetched again: a pure state machine. Time and chance are arguments, and it never fetches anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::AuthorizationServerMetadata;
use crate::http_client::{BackOff, FetchError};

/// The cached metadata of one issuer, and the result of the last fetch.
#[derive(Default)]
pub(super) struct MetadataCache {
    known: Option<CachedMetadata>,
    /// The error of the last fetch, if it failed.
    error: Option<Arc<FetchError>>,
    back_off: BackOff,
}

struct CachedMetadata {
    metadata: AuthorizationServerMetadata,
    /// When the last fetch ended, whether it succeeded or failed.
    tried_at: Instant,
    fresh_until: Instant,
    /// An endpoint in it responds as if it had moved.
    is_suspect: bool,
}

/// What a caller that needs the metadata does.
pub(super) enum NextStep {
    Use {
        metadata: AuthorizationServerMetadata,
        /// Fetch it again in the background.
        refresh: bool,
    },
    /// Fetch it. If that fails, use the fallback.
    Fetch {
        fallback: Option<AuthorizationServerMetadata>,
    },
    /// Wait, and then call [`MetadataCache::after_pause`].
    Pause {
        time: Duration,
        error: Arc<FetchError>,
    },
    Fail(Arc<FetchError>),
}

impl MetadataCache {
    /// The step for a caller that is not a request: it may wait for a fetch, and has a back-off of its own.
    pub(super) fn for_background(&self, now: Instant) -> NextStep {
        match &self.known {
            Some(known) if now < known.fresh_until => {
                NextStep::Use { metadata: known.metadata.clone(), refresh: false }
            }
            known => NextStep::Fetch { fallback: known.as_ref().map(|known| known.metadata.clone()) },
        }
    }

    /// The step for a request: it waits only if nothing is known, or if what is known is suspect.
    pub(super) fn for_request(&self, now: Instant) -> NextStep {
        let may_fetch = self.back_off.time_left(now).is_zero();
        match (&self.known, &self.error) {
            (Some(known), _) if known.is_suspect && may_fetch => {
                NextStep::Fetch { fallback: Some(known.metadata.clone()) }
            }
            (Some(known), _) => {
                NextStep::Use { metadata: known.metadata.clone(), refresh: may_fetch && now >= known.fresh_until }
            }
            (None, Some(error)) if !may_fetch => match self.back_off.time_left_for_request(now) {
                Some(time) => NextStep::Pause { time, error: Arc::clone(error) },
                None => NextStep::Fail(Arc::clone(error)),
            },
            (None, _) => NextStep::Fetch { fallback: None },
        }
    }

    /// The step after a pause that began when `error` was the result of the last fetch.
    pub(super) fn after_pause(&self, error: &Arc<FetchError>) -> NextStep {
        match (&self.known, &self.error) {
            (Some(known), _) => NextStep::Use { metadata: known.metadata.clone(), refresh: false },
            // Another request has fetched during the pause.
            (None, Some(latest)) if !Arc::ptr_eq(latest, error) => NextStep::Fail(Arc::clone(latest)),
            (None, _) => NextStep::Fetch { fallback: None },
        }
    }

    /// The metadata of the last successful fetch.
    pub(super) fn known(&self) -> Option<&AuthorizationServerMetadata> {
        self.known.as_ref().map(|known| &known.metadata)
    }

    /// The error of the last fetch, if it failed, and how long no fetch may start in the background.
    pub(super) fn last_error(&self, now: Instant) -> Option<(Arc<FetchError>, Duration)> {
        self.error.clone().map(|error| (error, self.back_off.time_left(now)))
    }

    /// A fetch succeeded. If the metadata is incomplete, the missing members are taken from the metadata of the last fetch
    /// for a while. `jitter` is between 0 and 1.
    pub(super) fn succeeded(
        &mut self,
        metadata: AuthorizationServerMetadata,
        is_complete: bool,
        jitter: f64,
        now: Instant,
    ) -> AuthorizationServerMetadata {
        let metadata = match &self.known {
            Some(known) if !is_complete => metadata.with_missing_members_of(&known.metadata).unwrap_or(metadata),
            _ => metadata,
        };
        let lifetime = if is_complete { LIFETIME } else { RETRY };
        let lifetime = lifetime.mul_f64(1.0 + JITTER * (2.0 * jitter - 1.0));
        let fresh_until = now.checked_add(lifetime).unwrap_or(now);
        let known = CachedMetadata { metadata: metadata.clone(), tried_at: now, fresh_until, is_suspect: false };
        *self = Self { known: Some(known), error: None, back_off: BackOff::default() };
        metadata
    }

    /// A fetch failed. Known metadata stays in use. `jitter` is between 0 and 1.
    pub(super) fn failed(&mut self, error: Arc<FetchError>, jitter: f64, now: Instant) {
        self.back_off.fail(error.retry_after(), jitter, now);
        self.error = Some(error);
        if let Some(known) = &mut self.known {
            (known.tried_at, known.is_suspect) = (now, false);
            known.fresh_until = now.checked_add(RETRY).unwrap_or(now);
        }
    }

    /// An endpoint in the metadata responds as if it had moved. The next request fetches the metadata again, unless that has
    /// just been tried.
    pub(super) fn suspect(&mut self, now: Instant) {
        if let Some(known) = &mut self.known
            && now.saturating_duration_since(known.tried_at) >= RETRY
        {
            (known.fresh_until, known.is_suspect) = (now, true);
        }
    }
}

/// How long metadata is fresh: it changes only when a server moves.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long metadata is fresh after a fetch that failed or was incomplete. A server that hangs must not delay every fetch of
/// its key set.
const RETRY: Duration = Duration::from_secs(60);
/// The largest part of a lifetime that the jitter adds or removes.
const JITTER: f64 = 0.1;
