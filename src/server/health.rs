use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::escape::Escaped;
use crate::http_client::FetchError;
use crate::introspection::IntrospectionState;
use crate::jose::{UnusableEntry, UnusableKey};
use crate::keys::Keys;
use crate::log::Cause;
use crate::revocation::{RevocationList, SharedListState};
use crate::verify::IssuerVerifier;

/// Whether a resource server can verify tokens; see [`ResourceServer::health`](crate::ResourceServer::health).
///
/// It can be serialised, for the response to a readiness probe. More members may be added:
///
/// ```json
/// {
///   "ready": false,
///   "issuers": [
///     {
///       "issuer": "https://auth.example.com",
///       "ready": false,
///       "key_count": 2,
///       "seeded": false,
///       "fetched_at": 1800000000,
///       "fresh_until": 1800000300,
///       "unusable_key_count": 1,
///       "unusable_keys": [{ "name": "2019-key", "reason": "its modulus or exponent has a size that is not accepted" }],
///       "introspection": "credentials_rejected",
///       "last_error": "https://auth.example.com/introspect rejects the client credentials of this server with status 401",
///       "retry_in": 5
///     }
///   ],
///   "revocations": { "entry_count": 0, "shared": false, "current": true, "outdated_since": null, "last_error": null }
/// }
/// ```
///
/// Times are in seconds since 1970, and `null` before the first fetched key set. `retry_in` is in seconds, rounded up. `last_error` is
/// `null` if the last attempt succeeded. `introspection` is an [`IntrospectionState`]. The document has URLs of your authorization
/// servers, so do not serve it to the public.
#[derive(Debug, Clone)]
pub struct Health {
    pub(super) issuers: Vec<IssuerHealth>,
    pub(super) revocations: RevocationHealth,
}

/// The state of the [revocation list](crate::revocation).
#[derive(Debug, Clone, Serialize)]
pub struct RevocationHealth {
    entry_count: usize,
    shared: bool,
    current: bool,
    #[serde(serialize_with = "as_unix_time")]
    outdated_since: Option<SystemTime>,
    last_error: Option<Box<str>>,
}

/// Whether the tokens of one issuer can be verified.
#[derive(Debug, Clone, Serialize)]
pub struct IssuerHealth {
    issuer: Box<str>,
    ready: bool,
    key_count: usize,
    seeded: bool,
    #[serde(serialize_with = "as_unix_time")]
    fetched_at: Option<SystemTime>,
    #[serde(serialize_with = "as_unix_time")]
    fresh_until: Option<SystemTime>,
    unusable_key_count: usize,
    unusable_keys: Vec<UnusableKeyHealth>,
    introspection: IntrospectionState,
    #[serde(serialize_with = "as_text")]
    last_error: Option<Arc<FetchError>>,
    #[serde(serialize_with = "as_whole_seconds")]
    retry_in: Duration,
}

/// A published key for signatures that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnusableKeyHealth {
    name: Option<Box<str>>,
    #[serde(serialize_with = "as_display")]
    reason: UnusableKey,
}

impl Health {
    /// Whether the tokens of all issuers can be verified: the answer to a readiness probe.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.ready)
    }

    /// The health of each issuer, in the order of the configuration.
    #[must_use]
    pub fn issuers(&self) -> &[IssuerHealth] {
        &self.issuers
    }

    /// The state of the revocation list. It does not affect [`is_ready`](Self::is_ready): without the shared store, the server
    /// judges tokens by the revocations that it knows.
    #[must_use]
    pub const fn revocations(&self) -> &RevocationHealth {
        &self.revocations
    }
}

impl RevocationHealth {
    pub(super) fn new(list: &RevocationList) -> Self {
        let state = list.shared_state();
        let (outdated_since, error) = match &state {
            SharedListState::Outdated { since, error } => (Some(*since), error.as_ref()),
            SharedListState::NotShared | SharedListState::Current => (None, None),
        };
        Self {
            entry_count: list.len(),
            shared: !matches!(state, SharedListState::NotShared),
            current: outdated_since.is_none(),
            outdated_since,
            last_error: error.map(|error| Cause(&***error).to_string().into()),
        }
    }

    /// How many entries the list has.
    #[must_use]
    pub const fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// Whether replicas share the list.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether the list has the revocations of all replicas. Always `true` if it is not shared.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.current
    }

    /// Since when revocations of other replicas may be missing, by the server's [clock](crate::ResourceServerBuilder::clock). `None`
    /// if the list is current.
    #[must_use]
    pub const fn outdated_since(&self) -> Option<SystemTime> {
        self.outdated_since
    }

    /// The last error of the shared store. `None` if the list is current, and before the first attempt to read the store.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

impl IssuerHealth {
    /// `now` is the time of the server's clock.
    pub(super) fn new(verifier: &IssuerVerifier, now: SystemTime) -> Self {
        let mut health = Self {
            issuer: verifier.issuer.clone(),
            ready: true,
            key_count: 0,
            seeded: false,
            fetched_at: None,
            fresh_until: None,
            unusable_key_count: 0,
            unusable_keys: Vec::new(),
            introspection: IntrospectionState::NotUsed,
            last_error: None,
            retry_in: Duration::ZERO,
        };
        match verifier.keys() {
            Some(Keys::Remote(remote)) => {
                health.ready = remote.is_usable();
                health.key_count = remote.key_count();
                health.seeded = remote.is_seeded();
                if let Some((fetched_at, fresh_until)) = remote.times() {
                    health.fetched_at = wall_time(fetched_at, now);
                    health.fresh_until = wall_time(fresh_until, now);
                }
                let (unusable, count) = remote.unusable_keys(MAX_UNUSABLE);
                health.set_unusable(&unusable, count);
                health.last_error = remote.last_error();
                health.retry_in = remote.back_off();
            }
            Some(Keys::Fixed(set)) => {
                health.key_count = set.keys().len();
                health.set_unusable(set.unusable(), set.unusable_count());
            }
            Some(Keys::Custom(_)) | None => {}
        }
        if let Some(introspector) = verifier.introspector() {
            health.introspection = introspector.state();
            health.ready &= health.introspection.is_ready();
            health.last_error = health.last_error.or_else(|| introspector.last_error());
            health.retry_in = health.retry_in.max(introspector.retry_in());
        }
        health
    }

    fn set_unusable(&mut self, keys: &[UnusableEntry], count: usize) {
        self.unusable_keys = keys.iter().take(MAX_UNUSABLE).map(UnusableKeyHealth::new).collect();
        self.unusable_key_count = count;
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether tokens of this issuer can be verified. As far as each is needed, a key set is available and not too old, and
    /// introspection is [ready](IntrospectionState::is_ready): its endpoint is known, is not suspended after failures, and does
    /// not reject the client credentials. Always `true` for a custom key source, and for a
    /// verifier without [limits](crate::Issuer::verifier_limits).
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// How many keys are available. Zero for a custom key source.
    #[must_use]
    pub const fn key_count(&self) -> usize {
        self.key_count
    }

    /// Whether the keys come from [`jwks_file`](crate::Issuer::jwks_file) or [`jwks_seed`](crate::Issuer::jwks_seed), because no
    /// fetch has succeeded yet. Then a key that the issuer has withdrawn may still be accepted.
    #[must_use]
    pub const fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// When the key set was fetched or confirmed, by the server's [clock](crate::ResourceServerBuilder::clock). `None` before the
    /// first fetch, and for keys that are not fetched.
    #[must_use]
    pub const fn fetched_at(&self) -> Option<SystemTime> {
        self.fetched_at
    }

    /// Until when the key set is fresh, by the server's clock. Afterwards it is still used while the issuer cannot be reached, for
    /// the time of [`last_known_good`](crate::Issuer::last_known_good). `None` as for [`fetched_at`](Self::fetched_at).
    #[must_use]
    pub const fn fresh_until(&self) -> Option<SystemTime> {
        self.fresh_until
    }

    /// How many published signature keys cannot be used. A token that names such a key gets 503. Zero for a custom key source.
    #[must_use]
    pub const fn unusable_key_count(&self) -> usize {
        self.unusable_key_count
    }

    /// The published signature keys that cannot be used, the first 16 of them.
    #[must_use]
    pub fn unusable_keys(&self) -> &[UnusableKeyHealth] {
        &self.unusable_keys
    }

    /// Whether tokens can be introspected.
    #[must_use]
    pub const fn introspection(&self) -> IntrospectionState {
        self.introspection
    }

    /// The error of the last fetch or of the last introspection, if it failed.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_deref()
    }

    /// The time until the next request to the authorization server is allowed. Zero if it is allowed now.
    #[must_use]
    pub const fn retry_in(&self) -> Duration {
        self.retry_in
    }
}

impl UnusableKeyHealth {
    fn new(entry: &UnusableEntry) -> Self {
        let name = [&entry.name.kid, &entry.name.x5t_s256, &entry.name.x5t].into_iter().find_map(Option::as_deref);
        Self { name: name.map(|name| Escaped(name, MAX_NAME).to_string().into()), reason: entry.reason }
    }

    /// The `kid` of the key, or else a thumbprint of its certificate (`x5t#S256` or `x5t`), escaped and cut to 64 characters.
    /// `None` if it has neither.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Why the key cannot be used.
    #[must_use]
    pub const fn reason(&self) -> UnusableKey {
        self.reason
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut health = serializer.serialize_struct("Health", 3)?;
        health.serialize_field("ready", &self.is_ready())?;
        health.serialize_field("issuers", &self.issuers)?;
        health.serialize_field("revocations", &self.revocations)?;
        health.end()
    }
}

/// The time of a wall clock that shows `now` now, at an instant of tokio's clock.
fn wall_time(at: Instant, now: SystemTime) -> Option<SystemTime> {
    let instant = Instant::now();
    if at > instant { now.checked_add(at.duration_since(instant)) } else { now.checked_sub(instant.duration_since(at)) }
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn as_unix_time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since_1970 = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since_1970.map(|time| time.as_secs()).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn as_text<S: Serializer>(error: &Option<Arc<FetchError>>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(|error| Cause(error).to_string()).serialize(serializer)
}

fn as_whole_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

fn as_display<S: Serializer>(reason: &UnusableKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reason)
}

/// The most unusable keys in one report. An issuer chooses how many it publishes.
const MAX_UNUSABLE: usize = 16;
/// The most characters of the name of a key, as in the log.
const MAX_NAME: usize = 64;
