//! Key sets that were saved before the server starts, and are used until the issuer's key set is fetched.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Issuer;
use super::config::SavedKeys;
use crate::claims::MAX_SKEW;
use crate::clock::Clock;
use crate::error::{BuildError, BuildErrorKind, check_range};
use crate::escape::Escaped;
use crate::file::read_file;
use crate::jose::{InvalidJwkSet, JwkSet};
use crate::keys::KeySeed;

impl Issuer {
    /// Begins with the key set in this file, and fetches the issuer's key set later. Use it where a server starts often, and
    /// the first request must not wait for the issuer, as in serverless functions.
    ///
    /// The file has the document of the issuer's `jwks_uri`. It is read when the server is built, and not again. Then
    /// [`build`](crate::ResourceServerBuilder::build) does not wait for the issuer's keys. The fetch starts in the background: at
    /// once inside a tokio runtime, else with the first token. It is repeated with a back-off until it succeeds. After that, the
    /// file is not used any more.
    ///
    /// Until then, a token is accepted if a key in the file verifies it. Any other token waits for the fetch, so no token is
    /// rejected because the file is old. A token gets 503 if that fetch fails.
    ///
    /// A key that the issuer has withdrawn is still accepted until the fetch succeeds. While the issuer cannot be reached, that is
    /// at most for the time of [`last_known_good`](Self::last_known_good) after the start, and at most until the file has the age
    /// of [`max_seed_age`](Self::max_seed_age). The modification time of the file counts. An older file is not used, and neither is
    /// one whose time is more than 5 minutes in the future: the log has a warning, and the server starts as it does without a file.
    ///
    /// ```no_run
    /// use mcp_bearer::{BuildError, Issuer, ResourceServer};
    ///
    /// # async fn build() -> Result<(), BuildError> {
    /// // In the build of the image: curl -fsS -o /app/jwks.json https://auth.example.com/jwks
    /// let issuer = Issuer::discover("https://auth.example.com").jwks_file("/app/jwks.json");
    /// let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(issuer).build().await?;
    /// assert!(server.health().is_ready());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The server is not built if the file cannot be read, is larger than [`max_key_set_size`](Self::max_key_set_size), is not a
    /// key set, does not have a usable key, or has a private key: [`BuildErrorKind::Keys`].
    #[must_use]
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.seed = Some(SavedKeys::File(path.into().into()));
        self.independent()
    }

    /// Begins with this key set, and fetches the issuer's key set later, as [`jwks_file`](Self::jwks_file) does. Use it for a key
    /// set from your own cache. It replaces `jwks_file`.
    ///
    /// `fetched_at` is when the key set was fetched from the issuer.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::jose::{InvalidJwkSet, JwkSet};
    ///
    /// fn issuer(document: &str, fetched_at: SystemTime) -> Result<Issuer, InvalidJwkSet> {
    ///     let keys = JwkSet::from_json(document)?;
    ///     Ok(Issuer::discover("https://auth.example.com")
    ///         .jwks_seed(keys, fetched_at)
    ///         .max_seed_age(Duration::from_secs(24 * 3600)))
    /// }
    /// # assert!(issuer("{}", SystemTime::UNIX_EPOCH).is_err());
    /// ```
    #[must_use]
    pub fn jwks_seed(mut self, keys: JwkSet, fetched_at: SystemTime) -> Self {
        self.seed = Some(SavedKeys::Set(Arc::new(keys), fetched_at));
        self.independent()
    }

    /// The oldest key set of [`jwks_file`](Self::jwks_file) or [`jwks_seed`](Self::jwks_seed) that is used: 1 minute to 365 days,
    /// 30 days by default.
    #[must_use]
    pub fn max_seed_age(mut self, age: Duration) -> Self {
        self.max_seed_age = Some(age);
        self.independent()
    }

    pub(super) fn check_seed_time(&self) -> Result<(), BuildError> {
        if self.seed.is_none() || !self.refresh_policy.last_known_good.is_zero() {
            return Ok(());
        }
        Err(BuildError::setting(
            "`jwks_file` or `jwks_seed` has no effect with `last_known_good` of 0 s, which forbids the use of old keys; use a \
             longer time, or remove one",
        ))
    }

    pub(super) fn check_seed_age(&self) -> Result<(), BuildError> {
        self.max_seed_age.map_or(Ok(()), |age| check_range("max_seed_age", age, MAX_SEED_AGE))
    }

    /// Reads the file, so that its mistakes are found with all others. Only the first server of clones uses it.
    pub(super) fn check_seed_file(&self) -> Result<(), BuildError> {
        match &self.seed {
            Some(SavedKeys::File(path)) if self.method.get().is_none() => self.read_key_set(path).map(drop),
            _ => Ok(()),
        }
    }

    /// The key set to begin with. `None` if there is none, or if it is too old.
    pub(super) fn key_seed(&self, clock: &dyn Clock) -> Result<Option<KeySeed>, BuildError> {
        let (keys, fetched_at) = match &self.seed {
            None => return Ok(None),
            Some(SavedKeys::Set(keys, fetched_at)) => (Arc::clone(keys), *fetched_at),
            Some(SavedKeys::File(path)) => self.read_key_set(path)?,
        };
        // The clocks of two machines may differ. A time far in the future would make the file usable for years.
        let age = match clock.now().duration_since(fetched_at) {
            Err(ahead) if ahead.duration() > MAX_SKEW => Duration::MAX,
            age => age.unwrap_or_default(),
        };
        let (issuer, max_age) = (&*self.url, self.max_seed_age.unwrap_or(DEFAULT_MAX_SEED_AGE));
        let usable_for = max_age.saturating_sub(age).min(self.refresh_policy.last_known_good);
        let (age_seconds, limit_seconds) = (age.as_secs(), max_age.as_secs());
        if age == Duration::MAX {
            tracing::warn!(target: "mcp_bearer::keys", issuer,
                "the time of the saved key set is in the future, so it is not used: save it again, or correct the clock");
            return Ok(None);
        }
        if usable_for.is_zero() {
            tracing::warn!(target: "mcp_bearer::keys", issuer, age_seconds, limit_seconds,
                "the saved key set is too old and is not used: save it again, or raise `max_seed_age`");
            return Ok(None);
        }
        tracing::info!(target: "mcp_bearer::keys", issuer, keys = keys.keys().len(), age_seconds,
            usable_for_seconds = usable_for.as_secs(), "the saved key set is used until the first fetch");
        Ok(Some(KeySeed { keys, usable_for }))
    }

    fn read_key_set(&self, path: &Path) -> Result<(Arc<JwkSet>, SystemTime), BuildError> {
        let wrong = |problem: &str| {
            BuildError::new(
                BuildErrorKind::Keys,
                format!("the key set file {:?} {problem}", path.display().to_string()),
            )
        };
        let mut document = Vec::new();
        let modified_at = read_file(path, self.key_set_limits.bytes, &mut document)
            .map_err(|error| wrong(&format!("{error}; save the document of the issuer's `jwks_uri` there")))?;
        let not_a_set = |invalid: InvalidJwkSet| {
            wrong(&format!("is not usable: {invalid}; save the document of the issuer's `jwks_uri` there"))
        };
        if let Some(kid) = private_key(&document) {
            let kid = kid.map(|kid| format!(" with the key id \"{}\"", Escaped(&kid, MAX_KID)));
            return Err(wrong(&format!(
                "has a private key{}; save the public keys only, and replace this key if others can read the file",
                kid.unwrap_or_default()
            )));
        }
        let keys = JwkSet::from_json_with_max_keys(&document, self.key_set_limits.keys).map_err(not_a_set)?;
        Ok((Arc::new(keys), modified_at))
    }
}

/// The key id of the first private key in a key set.
fn private_key(document: &[u8]) -> Option<Option<String>> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let keys = document.get("keys")?.as_array()?;
    let private = keys.iter().find(|key| PRIVATE_MEMBERS.iter().any(|member| key.get(member).is_some()))?;
    Some(private.get("kid").and_then(Value::as_str).map(str::to_owned))
}

/// The members that every private key of an asymmetric algorithm has one of (RFC 7518, section 6; RFC 8037, section 2).
const PRIVATE_MEMBERS: [&str; 2] = ["d", "priv"];
/// Longer than the usual time between two deployments, and shorter than the usual time between two key rotations.
const DEFAULT_MAX_SEED_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// From a cache of the application to a function that is deployed once a year.
const MAX_SEED_AGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 3600);
/// The most characters of a key id in an error.
const MAX_KID: usize = 64;
