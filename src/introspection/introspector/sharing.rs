//! The results that replicas share.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::{Introspector, Lookup};
use crate::events::{CacheKind, Event, VerificationPurpose};
use crate::introspection::TokenStatus;
use crate::introspection::call;
use crate::introspection::shared_results::{NewResult, SharedResults, SharedToken};

impl Introspector {
    /// Shares the results with other replicas. An issuer that several servers have shares them where the first one does. `false` if
    /// the results are those of the application's code.
    pub(crate) fn share_results(&self, shared: &Arc<dyn SharedResults>) -> bool {
        if self.asks_application() {
            return false;
        }
        self.shared.get_or_init(|| Arc::clone(shared));
        true
    }

    /// The result of another replica for an active token.
    pub(super) async fn find_shared(&self, lookup: &Lookup) -> Option<TokenStatus> {
        let (shared, token) = self.shared_token(lookup)?;
        // Before the store is asked, so that the result does not seem newer than it is.
        let (asked_at, now) = (Instant::now(), lookup.clock.since_epoch());
        let found = shared.find(&token).await?;
        let pending = self.cache.begin_at(lookup.fingerprint, asked_at.checked_sub(found.age)?)?;
        let status = call::read(StatusCode::OK, &found.response, &self.events.issuer).ok()?;
        let lifetime = lookup.expiry(&status).map(|at| at.saturating_sub(now).saturating_add(found.age));
        self.cache.insert(pending, &status, lifetime);
        // `None` if the result is older than what this replica accepts.
        let status = self.cache.get(&lookup.fingerprint, lookup.max_age)?;
        if lookup.purpose == VerificationPurpose::Request {
            self.events.emit(&Event::CacheHit(CacheKind::SharedIntrospection));
        }
        self.events.introspection_results(|| self.cache.len());
        Some(status)
    }

    /// Shares the result for an active token, and removes that of any other.
    pub(super) async fn share(&self, lookup: &Lookup, status: &TokenStatus, requested_at: Duration) {
        let Some((shared, token)) = self.shared_token(lookup) else { return };
        // Results for tokens that are not active are not stored, because anybody could fill the store with them.
        let TokenStatus::Active(claims) = status else { return shared.remove(&token).await };
        let lifetime = self.lifetime(lookup);
        let of_token = lookup.expiry(status).map_or(Duration::MAX, |at| at.saturating_sub(requested_at));
        shared
            .store(&token, NewResult { response: claims.json(), requested_at, lifetime: lifetime.min(of_token) })
            .await;
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
