use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::dpop::{DEFAULT_NONCE_LIFETIME, NONCE_LIFETIMES, NonceKey, ProxiedPath};
use super::replay::{DEFAULT_MAX_PROOFS, DEFAULT_MAX_PROOFS_PER_KEY, DynReplayStore, ReplayStore};
use crate::error::{BuildError, SetterMistake, check_range};
use crate::jose::{Algorithm, AllowedAlgorithms};

/// The settings of DPoP proofs (RFC 9449), for [`ResourceServerBuilder::dpop`](crate::ResourceServerBuilder::dpop).
///
/// The defaults are right for one server that clients reach without a proxy that changes paths. The setters do not fail: the
/// builder returns an error for a value that is wrong.
///
/// Used proofs are kept in memory, and a restart forgets them: a proof that was copied just before can be used again until it is
/// too old. With [`require_nonces`](Self::require_nonces) and a random key it cannot, because nonces of the process before are not
/// valid. The state in Redis (feature `redis`) survives a restart of the server.
///
/// ```
/// use std::time::Duration;
///
/// use mcp_bearer::ResourceServer;
/// use mcp_bearer::jose::Algorithm;
/// use mcp_bearer::sender::{Dpop, SenderConstraint};
///
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
///     .sender_constraint(SenderConstraint::Dpop)
///     .dpop(Dpop::new().algorithms([Algorithm::ES256, Algorithm::EdDSA]).max_age(Duration::from_secs(30)));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Dpop {
    pub(crate) algorithms: AllowedAlgorithms,
    pub(crate) max_age: Duration,
    pub(crate) nonces_required: bool,
    pub(crate) nonce_key: Option<NonceKey>,
    pub(crate) nonce_lifetime: Duration,
    pub(crate) max_proofs_per_key: usize,
    pub(crate) max_proofs: usize,
    pub(crate) replay_store: Option<Arc<dyn DynReplayStore>>,
    pub(crate) path_behind_proxy: Option<(Box<str>, Box<str>)>,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            algorithms: AllowedAlgorithms::supported(),
            max_age: DEFAULT_MAX_AGE,
            nonces_required: false,
            nonce_key: None,
            nonce_lifetime: DEFAULT_NONCE_LIFETIME,
            max_proofs_per_key: DEFAULT_MAX_PROOFS_PER_KEY,
            max_proofs: DEFAULT_MAX_PROOFS,
            replay_store: None,
            path_behind_proxy: None,
        }
    }
}

impl Dpop {
    /// The default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The accepted signature algorithms of proofs, which challenges (RFC 9449, section 7.1) and the metadata (RFC 9728, section 2)
    /// name. Default: all asymmetric algorithms that this build supports. At least one is needed.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How far the time of a proof (`iat`) may be in the past or in the future: 10 s to 5 min, 60 s by default.
    ///
    /// A copied proof of a request that never arrived can be used for this long. Each used proof is kept in memory for up to
    /// twice this time.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Requires a nonce of this server in each proof (RFC 9449, section 9). Off by default.
    ///
    /// An attacker who can sign with the client's key for a short time can make proofs for later. Nonces limit these proofs to
    /// the [lifetime of a nonce](Self::nonce_lifetime). A client without a valid nonce gets one with a 401 response and tries
    /// again, and each later response has a fresh one. To require nonces on some routes only, call
    /// [`BearerAuthLayer::require_dpop_nonce`](crate::BearerAuthLayer::require_dpop_nonce).
    pub const fn require_nonces(mut self) -> Self {
        self.nonces_required = true;
        self
    }

    /// The key of nonces (RFC 9449, section 8), which all replicas share. Default: a random key, which is right for one server.
    /// [`ResourceServer::rotate_nonce_key`](crate::ResourceServer::rotate_nonce_key) replaces it at run time.
    pub fn nonce_key(mut self, key: NonceKey) -> Self {
        self.nonce_key = Some(key);
        self
    }

    /// How long a nonce is valid: 1 min to 1 h, 5 min by default. A client that was idle for longer repeats its next request.
    pub const fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonce_lifetime = lifetime;
        self
    }

    /// How many used proofs of one key are kept in memory: 10 to 1,000,000, 10,000 by default, and at most
    /// [`max_proofs`](Self::max_proofs). Further requests with this key get 503 with `Retry-After`, because a used proof is never
    /// forgotten before its time. It has no effect with a [`replay_store`](Self::replay_store).
    pub const fn max_proofs_per_key(mut self, count: usize) -> Self {
        self.max_proofs_per_key = count;
        self
    }

    /// How many used proofs of all keys are kept in memory: 100 to 10,000,000, 100,000 by default. These take 18 MiB with 10,000 keys,
    /// and up to 34 MiB with 100,000 keys.
    ///
    /// A key has at most as many proofs as there are free places, but always 16 while the store is not full. So a few busy keys leave places
    /// for all others. Each key needs its own token of the authorization server. About 25 tokens with different keys can fill all
    /// places, so limit the rate in front of the server. It has no effect with a [`replay_store`](Self::replay_store).
    pub const fn max_proofs(mut self, count: usize) -> Self {
        self.max_proofs = count;
        self
    }

    /// Keeps used proofs in this store, such as a database that replicas share, and not in memory.
    ///
    /// [`ReplayStore`] has an example. `ResourceServerBuilder::shared_state`, with the feature `redis`, keeps them in Redis.
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        self.replay_store = Some(Arc::new(store));
        self
    }

    /// For a proxy that replaces the path prefix `external` by `internal`. By default, paths are not changed.
    ///
    /// A proof names the URL that the client called (`htu`; RFC 9449, section 4.3). With `path_behind_proxy("/api/v1", "/")`, the
    /// client calls `/api/v1/notes`, and the proxy requests `/notes` here. Scheme, host and port are those of the resource
    /// identifier, whatever the headers `Host` and `Forwarded` say.
    ///
    /// Each prefix is a path such as `/api`, without a slash at its end; `/` is the empty prefix. A request whose path does not
    /// begin with `internal` matches no proof.
    ///
    /// ```
    /// use mcp_bearer::sender::Dpop;
    ///
    /// let dpop = Dpop::new().path_behind_proxy("/api/v1", "/");
    /// ```
    pub fn path_behind_proxy(mut self, external: impl Into<Box<str>>, internal: impl Into<Box<str>>) -> Self {
        self.path_behind_proxy = Some((external.into(), internal.into()));
        self
    }

    pub(crate) fn proxied_path(&self) -> Result<Option<ProxiedPath>, BuildError> {
        let prefixes = self.path_behind_proxy.as_ref();
        prefixes.map(|(external, internal)| ProxiedPath::new(external, internal)).transpose()
    }

    /// Whether used proofs are in a store that replicas share.
    pub(crate) fn shares_proofs(&self) -> bool {
        self.replay_store.as_ref().is_some_and(|store| store.is_shared())
    }

    /// The values that are wrong in themselves, each with its setter.
    pub(crate) fn value_mistakes(&self) -> Vec<SetterMistake> {
        let checked = [
            ("max_age", check_range("max_age", self.max_age, MAX_AGE)),
            ("nonce_lifetime", check_range("nonce_lifetime", self.nonce_lifetime, NONCE_LIFETIMES)),
            ("max_proofs_per_key", check_range("max_proofs_per_key", self.max_proofs_per_key, PROOFS_PER_KEY)),
            ("max_proofs", check_range("max_proofs", self.max_proofs, PROOFS)),
            ("path_behind_proxy", self.proxied_path().map(drop)),
        ];
        let mut mistakes: Vec<SetterMistake> =
            checked.into_iter().filter_map(|(setter, checked)| Some((setter, checked.err()?))).collect();
        if mistakes.is_empty() && self.max_proofs_per_key > self.max_proofs {
            let message = format!(
                "`max_proofs_per_key` is {}, more than `max_proofs`, which is {}; lower the first or raise the second",
                self.max_proofs_per_key, self.max_proofs
            );
            mistakes.push(("max_proofs_per_key", BuildError::setting(message)));
        }
        if let Some(unsupported) = self.algorithms.iter().find(|algorithm| !algorithm.is_supported()) {
            let message =
                format!("`Dpop::algorithms` names {unsupported}, which this build does not support; remove it");
            mistakes.push(("algorithms", BuildError::setting(message)));
        } else if self.algorithms.is_empty() {
            let message =
                "`Dpop::algorithms` is empty, so that each proof is rejected; name at least one, such as ES256";
            mistakes.push(("algorithms", BuildError::setting(message)));
        }
        mistakes
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("algorithms", &self.algorithms)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// Room for a slow connection and for clocks that are a little apart.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60);
/// Less than 10 s rejects clients with a slow connection. With more than 5 min, a copied proof is useful for too long.
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(10)..=MAX_PROOF_AGE;
/// The greatest `max_age` that any server can have.
pub(crate) const MAX_PROOF_AGE: Duration = Duration::from_secs(300);
const PROOFS_PER_KEY: RangeInclusive<usize> = 10..=1_000_000;
const PROOFS: RangeInclusive<usize> = 100..=10_000_000;
