//! Introspection results in Redis: one key for each active token, with an expiry and an encrypted value.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connection::RedisReply;
use super::error::RedisError;
use super::result_key::ResultKey;
use super::store::RedisStore;
use crate::crypto::{Hmac, SealingKey};
use crate::introspection::{FoundResult, NewResult, RequestTime, SharedResults, SharedToken, StoreAnswer, StoreFuture};
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
    places: Semaphore,
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
        Some(Self { store, names, keys, paused_until: Mutex::new(None), places: Semaphore::new(MAX_CALLS) })
    }

    /// The entry of a token. Each has its own key. So the value of one token is never the value of another, and a random nonce never
    /// repeats under one key.
    fn entry(&self, token: &SharedToken<'_>) -> Option<ResultEntry> {
        let SharedToken { issuer, client_id, token } = token;
        let mut described = Vec::new();
        for part in [&*self.store.key_prefix, issuer, client_id, token] {
            described.extend_from_slice(&u64::try_from(part.len()).ok()?.to_be_bytes());
            described.extend_from_slice(part.as_bytes());
        }
        let name = self.names.sign(&described);
        let key = SealingKey::new(&self.keys.sign(&name))?;
        let name = format!("{}introspection:{}", self.store.key_prefix, BASE64_URL_SAFE_NO_PAD.encode(name));
        Some(ResultEntry { name, key })
    }

    /// Sends commands in one round trip. `None` if Redis fails, if it failed just now, or if it has too many commands to answer.
    async fn call<T>(
        &self,
        commands: &[Vec<&[u8]>],
        read: impl Fn(&[RedisReply]) -> Result<T, RedisError>,
    ) -> Option<T> {
        // Strangers can cause these commands, and proofs need the same connection.
        let _place = self.places.try_acquire().ok()?;
        if self.is_paused() {
            return None;
        }
        // A server that does not answer in time does not get the commands again: the token is introspected instead.
        let is_closed = |error: &RedisError| matches!(error, RedisError::Connection(_));
        let result = self.store.execute(commands, |_| Ok(()), is_closed, read).await;
        match &result {
            Ok(_) => self.store.log_success(),
            // Proofs and revocations fail too.
            Err(error) if error.ends_connection() => self.store.log_failure(error),
            Err(error) => self.store.log_results_not_shared(error),
        }
        *self.lock() = if result.is_ok() { None } else { Instant::now().checked_add(PAUSE) };
        result.ok()
    }

    /// Whether commands failed just now. After the pause, one call finds out whether they still do.
    fn is_paused(&self) -> bool {
        let (mut paused_until, now) = (self.lock(), Instant::now());
        let Some(until) = *paused_until else { return false };
        if until <= now {
            *paused_until = now.checked_add(PAUSE);
        }
        until > now
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_entry(&self, token: &SharedToken<'_>) -> Option<StoreAnswer> {
        let ResultEntry { name, key } = self.entry(token)?;
        // A longer value is not a result, so it is not read to its end.
        let end = MAX_SEALED.to_string();
        let commands = [vec![b"TIME".as_slice()], vec![b"GETRANGE", name.as_bytes(), b"0", end.as_bytes()]];
        let (time, value) = self.call(&commands, read_answer).await?;
        if value.is_empty() {
            return Some(StoreAnswer { time, found: None });
        }
        let stored = key.open(value).and_then(|text| StoredResult::from_bytes(&text));
        if stored.is_none() {
            self.store.log_forged_result();
        }
        let found = stored.and_then(|stored| {
            let age = stored.age(time, self.store.clock.since_epoch());
            (age < stored.lifetime).then_some(FoundResult { response: stored.response, age })
        });
        Some(StoreAnswer { time, found })
    }

    async fn store_entry(&self, token: &SharedToken<'_>, result: NewResult<'_>) -> Option<()> {
        let NewResult { response, requested_at, lifetime } = result;
        let expiry = u64::try_from(lifetime.as_millis()).ok().filter(|milliseconds| *milliseconds > 0)?.to_string();
        if response.len() > MAX_RESPONSE {
            return None;
        }
        let ResultEntry { name, key } = self.entry(token)?;
        let value = key.seal(StoredResult { requested_at, lifetime, response: response.into() }.to_bytes()?)?;
        self.call(&[vec![b"SET", name.as_bytes(), &value, b"PX", expiry.as_bytes()]], |_| Ok(())).await
    }

    async fn remove_entry(&self, token: &SharedToken<'_>) -> Option<()> {
        let ResultEntry { name, .. } = self.entry(token)?;
        self.call(&[vec![b"DEL", name.as_bytes()]], |_| Ok(())).await
    }
}

/// Reads the replies to `TIME` and to `GETRANGE`, which is empty if the entry is missing.
fn read_answer(replies: &[RedisReply]) -> Result<(Duration, Vec<u8>), RedisError> {
    let nonsense = || RedisError::Nonsense("`TIME` and `GETRANGE`");
    let [RedisReply::List(time), RedisReply::Text(value)] = replies else { return Err(nonsense()) };
    let [RedisReply::Text(seconds), RedisReply::Text(microseconds)] = &**time else { return Err(nonsense()) };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let time = number(seconds).map(Duration::from_secs).zip(number(microseconds).map(Duration::from_micros));
    let (seconds, rest) = time.ok_or_else(nonsense)?;
    Ok((seconds.saturating_add(rest), value.clone()))
}

impl SharedResults for RedisResults {
    fn find<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, Option<StoreAnswer>> {
        Box::pin(self.find_entry(token))
    }

    fn store<'a>(&'a self, token: &'a SharedToken<'a>, result: NewResult<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { _ = self.store_entry(token, result).await })
    }

    fn remove<'a>(&'a self, token: &'a SharedToken<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async { _ = self.remove_entry(token).await })
    }

    /// The connection that is closed, a new one, and the reply.
    fn time_limit(&self) -> Duration {
        self.store.timeout.saturating_mul(3)
    }
}

/// The content of an entry. Replicas with different versions of the crate read it, so it changes only with [`NAME_PURPOSE`].
struct StoredResult {
    requested_at: RequestTime,
    lifetime: Duration,
    response: Vec<u8>,
}

impl StoredResult {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let milliseconds = |time: Duration| Some(u64::try_from(time.as_millis()).ok()?.to_be_bytes());
        let RequestTime { by_store, by_replica } = self.requested_at;
        let [by_store, by_replica, lifetime] = [by_store, by_replica, self.lifetime].map(milliseconds);
        Some([&by_store?[..], &by_replica?, &lifetime?, &self.response].concat())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (by_store, rest) = bytes.split_first_chunk()?;
        let (by_replica, rest) = rest.split_first_chunk()?;
        let (lifetime, response) = rest.split_first_chunk()?;
        let time = |milliseconds: &[u8; 8]| Duration::from_millis(u64::from_be_bytes(*milliseconds));
        let requested_at = RequestTime { by_store: time(by_store), by_replica: time(by_replica) };
        Some(Self { requested_at, lifetime: time(lifetime), response: response.into() })
    }

    /// How long ago the result was requested, at these times of the store and of this replica.
    ///
    /// Redis measures the time for all replicas, so that their clocks may differ, and a command may arrive late. If the clock of Redis
    /// is set back, or it is replaced, the clocks of the replicas limit the error.
    fn age(&self, time_of_store: Duration, now: Duration) -> Duration {
        let by_replicas = now.saturating_sub(self.requested_at.by_replica).saturating_sub(REPLICA_CLOCK_DIFFERENCE);
        time_of_store.saturating_sub(self.requested_at.by_store).max(by_replicas)
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
/// How long no command is sent after one failed. During an outage, one request in this time waits for Redis.
const PAUSE: Duration = Duration::from_secs(5);
/// Commands at the same time. A quarter of the limit of the connection, because proofs use it too.
const MAX_CALLS: usize = 256;
/// Longer responses are not shared, in bytes. Most have 1 KiB.
const MAX_RESPONSE: usize = 8 * 1024;
/// The longest value of an entry: three times, the response, and what encryption adds.
const MAX_SEALED: usize = MAX_RESPONSE + 64;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests;
