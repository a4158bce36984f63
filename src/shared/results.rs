//! Introspection results in Redis: one key for each active token, with an expiry and an encrypted value.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::{Instant, timeout};

use super::connection::RedisReply;
use super::result_key::ResultKey;
use super::store::RedisStore;
use crate::crypto::{Hmac, SealingKey};
use crate::introspection::{FoundResult, NewResult, SharedResults, SharedToken, StoreFuture};
use crate::sender::REPLICA_CLOCK_DIFFERENCE;

/// The introspection results of a Redis server.
pub(crate) struct RedisResults {
    store: Arc<RedisStore>,
    /// Makes the names of entries.
    names: Hmac,
    /// Makes the key of each entry from its name.
    keys: Hmac,
    /// No command is sent until then, because the last one failed.
    paused_until: Mutex<Option<Instant>>,
}

/// The place of a result.
struct ResultEntry {
    name: String,
    key: SealingKey,
}

impl RedisResults {
    /// `None` in a build without a cryptography backend.
    pub(crate) fn new(store: Arc<RedisStore>, key: &ResultKey) -> Option<Self> {
        let derive = |purpose: &[u8]| Hmac::with_key(&key.0.derive(purpose)?);
        let (names, keys) = (derive(NAME_PURPOSE)?, derive(KEY_PURPOSE)?);
        Some(Self { store, names, keys, paused_until: Mutex::new(None) })
    }

    /// The entry of a token. Each has its own key. So the value of one token is never the value of another, and a random nonce never
    /// repeats under one key.
    fn entry(&self, token: &SharedToken<'_>) -> Option<ResultEntry> {
        let SharedToken { issuer, client_id, token } = token;
        let mut described = Vec::new();
        for part in [issuer, client_id, token] {
            described.extend_from_slice(&u64::try_from(part.len()).ok()?.to_be_bytes());
            described.extend_from_slice(part.as_bytes());
        }
        let name = self.names.sign(&described);
        let key = SealingKey::new(&self.keys.sign(&name))?;
        let name = format!("{}introspection:{}", self.store.key_prefix, BASE64_URL_SAFE_NO_PAD.encode(name));
        Some(ResultEntry { name, key })
    }

    /// Sends commands in one round trip, unless the last one failed just now. `None` without a reply in time.
    async fn call(&self, commands: &[Vec<&[u8]>]) -> Option<Vec<RedisReply>> {
        if self.lock().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let call = self.store.call(commands, |_| Ok(()), |replies| Ok(replies.to_vec()));
        let replies = match timeout(TIME_LIMIT, call).await {
            // The store has logged an error.
            Ok(result) => result.ok(),
            Err(_) => {
                // The connection may be dead.
                self.store.disconnect();
                self.store.log_slow_results(TIME_LIMIT);
                None
            }
        };
        *self.lock() = if replies.is_some() { None } else { Instant::now().checked_add(PAUSE) };
        replies
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_entry(&self, token: &SharedToken<'_>) -> Option<FoundResult> {
        let ResultEntry { name, key } = self.entry(token)?;
        let commands = [vec![b"GET".as_slice(), name.as_bytes()], vec![b"PTTL", name.as_bytes()]];
        let replies: [RedisReply; 2] = self.call(&commands).await?.try_into().ok()?;
        let [RedisReply::Text(value), RedisReply::Integer(time_left)] = replies else { return None };
        let Some(stored) = key.open(value).and_then(StoredResult::from_bytes) else {
            self.store.log_forged_result();
            return None;
        };
        // Negative if the entry expired just now, or never expires, as none that a replica wrote.
        let time_left = Duration::from_millis(u64::try_from(time_left).ok()?);
        let age = stored.age(time_left, self.store.clock.since_epoch());
        (age < stored.lifetime).then_some(FoundResult { response: stored.response, age })
    }

    async fn store_entry(&self, token: &SharedToken<'_>, result: NewResult<'_>) -> Option<()> {
        let NewResult { response, requested_at, lifetime } = result;
        if response.len() > MAX_RESPONSE {
            return None;
        }
        let elapsed = self.store.clock.since_epoch().saturating_sub(requested_at);
        // The command may arrive late, and the entry must not outlive its lifetime.
        let time_left = lifetime.checked_sub(elapsed.saturating_add(TIME_LIMIT))?;
        let time_left = u64::try_from(time_left.as_millis()).ok().filter(|milliseconds| *milliseconds > 0)?.to_string();
        let ResultEntry { name, key } = self.entry(token)?;
        let value = key.seal(StoredResult { requested_at, lifetime, response: response.into() }.to_bytes()?)?;
        self.call(&[vec![b"SET", name.as_bytes(), &value, b"PX", time_left.as_bytes()]]).await.map(drop)
    }

    async fn remove_entry(&self, token: &SharedToken<'_>) -> Option<()> {
        let ResultEntry { name, .. } = self.entry(token)?;
        self.call(&[vec![b"DEL", name.as_bytes()]]).await.map(drop)
    }
}

impl SharedResults for RedisResults {
    fn find<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, Option<FoundResult>> {
        Box::pin(self.find_entry(token))
    }

    fn store<'a>(&'a self, token: &'a SharedToken<'a>, result: NewResult<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { _ = self.store_entry(token, result).await })
    }

    fn remove<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { _ = self.remove_entry(token).await })
    }

    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

/// The content of an entry. Replicas with different versions of the crate read it, so it changes only with [`NAME_PURPOSE`].
struct StoredResult {
    /// The time since 1970, by the clock of the replica that wrote the entry.
    requested_at: Duration,
    lifetime: Duration,
    response: Vec<u8>,
}

impl StoredResult {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let milliseconds = |time: Duration| Some(u64::try_from(time.as_millis()).ok()?.to_be_bytes());
        Some([&milliseconds(self.requested_at)?[..], &milliseconds(self.lifetime)?, &self.response].concat())
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (requested_at, rest) = bytes.split_first_chunk()?;
        let (lifetime, response) = rest.split_first_chunk()?;
        let time = |milliseconds: &[u8; 8]| Duration::from_millis(u64::from_be_bytes(*milliseconds));
        Some(Self { requested_at: time(requested_at), lifetime: time(lifetime), response: response.into() })
    }

    /// How long ago the result was requested. `time_left` is the time until Redis removes the entry.
    ///
    /// Redis measures the time for all replicas, so that their clocks may differ. But somebody who writes to Redis can store an old
    /// entry again. So the age is not much less than by the clocks of the replicas.
    fn age(&self, time_left: Duration, now: Duration) -> Duration {
        let by_clocks = now.saturating_sub(self.requested_at).saturating_sub(REPLICA_CLOCK_DIFFERENCE);
        self.lifetime.saturating_sub(time_left).max(by_clocks)
    }
}

impl fmt::Debug for RedisResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisResults").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Domain separation of the keys that are derived from a [`ResultKey`]. The number is the version of the content.
const NAME_PURPOSE: &[u8] = b"mcp_bearer introspection result 1 name";
const KEY_PURPOSE: &[u8] = b"mcp_bearer introspection result 1 key";
/// The time limit of a command. An introspection does not take much longer.
const TIME_LIMIT: Duration = Duration::from_millis(200);
/// How long no command is sent after one failed, so that an outage costs a request in five seconds its time limit.
const PAUSE: Duration = Duration::from_secs(5);
/// Longer responses are not shared, in bytes. Most have 1 KiB.
const MAX_RESPONSE: usize = 8 * 1024;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
