//! The results that replicas share.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Introspector, Lookup};
use crate::events::{CacheKind, Event, VerificationPurpose};
use crate::introspection::shared_results::{NewResult, RequestTime, SharedResults, SharedToken};
use crate::introspection::{TokenStatus, call};

/// The answer of the store about a token, for this replica.
pub(super) enum SharedLookup {
    /// The result of another replica, which can be used.
    Found(TokenStatus),
    /// No result that can be used.
    Missing {
        /// When the store was asked. The result of an introspection that begins now is not older.
        asked_at: RequestTime,
        /// Whether the store has an older result.
        has_entry: bool,
    },
    /// Results are not shared, or the store does not answer.
    Unknown,
}

impl Introspector {
    /// Shares the results with other replicas. `false` if that has no effect: the results are those of the application's code, or are
    /// used for one request only.
    ///
    /// An issuer that several servers have shares them through the first one.
    pub(crate) fn share_results(&self, shared: &Arc<dyn SharedResults>, revocation_check: Option<Duration>) -> bool {
        let is_cached = !self.cache.positive_lifetime().is_zero() || revocation_check.is_some();
        if self.asks_application() || !is_cached {
            return false;
        }
        self.shared.get_or_init(|| Arc::clone(shared));
        true
    }

    /// The longest time that the store takes for an introspection, before and after it.
    pub(super) fn time_of_store(&self) -> Duration {
        self.shared.get().map(|shared| shared.time_limit().saturating_mul(2)).unwrap_or_default()
    }

    pub(super) async fn find_shared(&self, lookup: &Lookup) -> SharedLookup {
        let Some((shared, token)) = self.shared_token(lookup) else { return SharedLookup::Unknown };
        // Before the store is asked, so that a result does not seem newer than it is.
        let (asked_at, now) = (Instant::now(), lookup.clock.since_epoch());
        let Some(answer) = shared.find(&token).await else { return SharedLookup::Unknown };
        let has_entry = answer.found.is_some();
        let status = answer.found.and_then(|found| {
            // The replicas that use one result must not all introspect the token at the same moment, when it is too old.
            let age = found.age.saturating_add(self.lifetime(lookup).mul_f64(fastrand::f64() * MAX_JITTER));
            let pending = self.cache.begin_at(lookup.fingerprint, asked_at.checked_sub(age)?)?;
            let status = call::read(StatusCode::OK, &found.response, &self.events.issuer).ok()?;
            let lifetime = lookup.expiry(&status).map(|at| at.saturating_sub(now).saturating_add(age));
            self.cache.insert(pending, &status, lifetime);
            // `None` if the result is older than what this replica accepts.
            self.cache.get(&lookup.fingerprint, lookup.max_age)
        });
        let Some(status) = status else {
            let asked_at = RequestTime { by_store: answer.time, by_replica: now };
            return SharedLookup::Missing { asked_at, has_entry };
        };
        if lookup.purpose == VerificationPurpose::Request {
            self.events.emit(&Event::CacheHit(CacheKind::SharedIntrospection));
        }
        self.events.introspection_results(|| self.cache.len());
        SharedLookup::Found(status)
    }

    /// Shares the result for an active token that was cached here, and removes the shared one of any other.
    pub(super) async fn share(&self, lookup: &Lookup, before: SharedLookup, status: &TokenStatus, is_cached: bool) {
        let SharedLookup::Missing { asked_at: requested_at, has_entry } = before else { return };
        let Some((shared, token)) = self.shared_token(lookup) else { return };
        match status {
            TokenStatus::Active(claims) if is_cached => {
                let of_token = lookup.expiry(status).map(|at| at.saturating_sub(requested_at.by_replica));
                let lifetime = self.lifetime(lookup).min(of_token.unwrap_or(Duration::MAX));
                shared.store(&token, NewResult { response: claims.json(), requested_at, lifetime }).await;
            }
            // The token was forgotten meanwhile, or a later result is cached.
            TokenStatus::Active(_) => {}
            // Results of other tokens are not stored, because anybody could fill the store with them.
            _ if has_entry || lookup.was_active => shared.remove(&token).await,
            _ => {}
        }
    }

    fn shared_token<'a>(&'a self, lookup: &'a Lookup) -> Option<(&'a dyn SharedResults, SharedToken<'a>)> {
        let (shared, client) = (self.shared.get()?, self.endpoint()?);
        if self.lifetime(lookup).is_zero() {
            return None;
        }
        let token = SharedToken {
            issuer: &self.events.issuer,
            client_id: client.credentials.client_id(),
            token: &lookup.token,
        };
        Some((&**shared, token))
    }

    /// How long the result is fresh if the token is active.
    fn lifetime(&self, lookup: &Lookup) -> Duration {
        lookup.max_age.unwrap_or_else(|| self.cache.positive_lifetime())
    }
}

/// A shared result is used for up to this part of its lifetime less than the own result.
const MAX_JITTER: f64 = 0.1;
