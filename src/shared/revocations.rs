//! Revocations that replicas share: a sorted set with all of them, and a channel with each new one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{PushSender, RedisConnection, RedisPush, RedisReply};
use super::entry_text::{READ_AGAIN, from_member, from_message, to_member, to_message, until_seconds};
use super::error::RedisError;
use super::store::RedisStore;
use crate::error::{BuildError, BuildErrorKind};
use crate::http_client::BackOff;
use crate::revocation::{
    MAX_AHEAD, RevocationEntry, RevocationList, SharedFuture, SharedRevocations, SharedStateError,
};

/// The revocations of a Redis server.
#[derive(Debug)]
pub(crate) struct RedisRevocations {
    store: Arc<RedisStore>,
}

/// The keys of the revocations.
struct RevocationKeys {
    /// A sorted set. The score is the end of the entry.
    set: String,
    channel: String,
}

/// A subscription.
struct Subscription {
    connection: RedisConnection,
    pushes: mpsc::Receiver<RedisPush>,
    is_incomplete: Arc<AtomicBool>,
}

impl RedisRevocations {
    pub(crate) const fn new(store: Arc<RedisStore>) -> Self {
        Self { store }
    }
}

impl SharedRevocations for RedisRevocations {
    fn connect(&self) -> SharedFuture<'_, Result<(), BuildError>> {
        Box::pin(async move {
            self.store.check().await.map_err(|error| {
                let kind = match error {
                    RedisError::Credentials(_) => BuildErrorKind::Credentials,
                    _ => BuildErrorKind::Unreachable,
                };
                let message = format!("the shared state at {} cannot be used", self.store.address);
                BuildError::new(kind, message).with_source(error)
            })
        })
    }

    fn publish(&self, entry: RevocationEntry) -> SharedFuture<'_, Result<(), SharedStateError>> {
        Box::pin(async move {
            let published = PublishedEntries::new(&self.store, &[entry]);
            Ok(self.store.call(&published.commands_with_messages(), |_| Ok(()), check_numbers).await?)
        })
    }

    fn follow(&self, list: Weak<RevocationList>) -> SharedFuture<'static, ()> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let mut back_off = BackOff::default();
            while list.strong_count() > 0 {
                let started_at = Instant::now();
                let Err(error) = follow_once(&store, &list).await else { return };
                store.log_failure(&error);
                if let Some(list) = list.upgrade() {
                    list.set_outdated(Box::new(error), store.clock.now());
                }
                if started_at.elapsed() > STABLE_AFTER {
                    back_off = BackOff::default();
                }
                back_off.fail(None, fastrand::f64(), Instant::now().into_std());
                wait(back_off.time_left(Instant::now().into_std()).min(MAX_PAUSE), &list).await;
            }
        })
    }
}

/// Keeps the list current until the connection fails. `Ok` when the list is dropped.
async fn follow_once(store: &RedisStore, list: &Weak<RevocationList>) -> Result<(), RedisError> {
    let keys = RevocationKeys::new(store);
    let mut subscription = Subscription::start(store, &keys).await?;
    // After the subscription, so that no entry is missed between the two.
    let mut is_complete = load(store, &subscription.connection, &keys, list).await?;
    store.log_success();
    let (mut tested_at, mut cleaned_at) = (Instant::now(), Instant::now());
    loop {
        // By the time that has passed, so that messages do not prevent it.
        if tested_at.elapsed() >= PING_INTERVAL {
            if cleaned_at.elapsed() >= CLEANING_INTERVAL {
                remove_expired(&subscription.connection, &keys).await?;
                cleaned_at = Instant::now();
            } else {
                subscription.connection.call(&[b"PING"]).await?;
            }
            tested_at = Instant::now();
        }
        let Some(current) = list.upgrade() else { return Ok(()) };
        if is_complete {
            current.set_current();
        } else {
            current.set_outdated(Box::new(RedisError::Incomplete), store.clock.now());
        }
        drop(current);
        let left = PING_INTERVAL.saturating_sub(tested_at.elapsed());
        let next = timeout(left, subscription.pushes.recv()).await;
        if subscription.is_incomplete.load(Ordering::SeqCst) {
            return Err(RedisError::Connection("too many revocations at once".into()));
        }
        match next {
            Err(_) => {}
            Ok(Some(RedisPush::Message { channel, message })) if channel == keys.channel.as_bytes() => {
                if message == READ_AGAIN {
                    is_complete = read_all(store, &subscription.connection, &keys, list).await?.is_complete;
                    continue;
                }
                // After a message that is not valid, the whole list is read again.
                let mut entry = from_message(&message).ok_or(RedisError::Nonsense("`SUBSCRIBE`"))?;
                let Some(list) = list.upgrade() else { return Ok(()) };
                is_complete &= add(&list, &mut entry, store);
            }
            Ok(Some(RedisPush::Message { .. } | RedisPush::Nonsense)) => {
                return Err(RedisError::Nonsense("`SUBSCRIBE`"));
            }
            Ok(Some(RedisPush::Closed) | None) => {
                return Err(RedisError::Connection("the connection was closed".into()));
            }
        }
    }
}

impl Subscription {
    async fn start(store: &RedisStore, keys: &RevocationKeys) -> Result<Self, RedisError> {
        let (queue, pushes) = mpsc::channel(MAX_WAITING);
        let is_incomplete = Arc::new(AtomicBool::new(false));
        let sender = PushSender { queue, is_incomplete: Arc::clone(&is_incomplete) };
        let connection = store.connect(Some(sender)).await?.connection;
        connection.subscribe(keys.channel.as_bytes()).await?;
        Ok(Self { connection, pushes, is_incomplete })
    }
}

/// Adds all entries of the store to the list, and those of the list to the store, which may have lost them in a restart. `false`
/// if an entry of the store could not be read or added.
async fn load(
    store: &RedisStore,
    connection: &RedisConnection,
    keys: &RevocationKeys,
    list: &Weak<RevocationList>,
) -> Result<bool, RedisError> {
    remove_expired(connection, keys).await?;
    let FoundEntries { entries: found, is_complete } = read_all(store, connection, keys, list).await?;
    let Some(list) = list.upgrade() else { return Ok(true) };
    let mut missing = list.entries(store.clock.since_epoch());
    drop(list);
    missing.retain(|entry| !found.contains(&(to_member(entry), until_seconds(entry))));
    for some in missing.chunks(BATCH) {
        let published = PublishedEntries::new(store, some);
        check_numbers(&connection.call_all(&published.commands()).await?)?;
    }
    // One message for all entries. Many would fill the queue of each replica, which would connect again.
    if !missing.is_empty() {
        connection.call(&[b"PUBLISH", keys.channel.as_bytes(), READ_AGAIN]).await?;
    }
    Ok(is_complete)
}

/// The entries of the store, as far as they were read.
struct FoundEntries {
    /// Members with their ends.
    entries: HashSet<(String, u64)>,
    /// Whether all of them were read, and added to the list.
    is_complete: bool,
}

/// Adds all entries of the store to the list.
async fn read_all(
    store: &RedisStore,
    connection: &RedisConnection,
    keys: &RevocationKeys,
    list: &Weak<RevocationList>,
) -> Result<FoundEntries, RedisError> {
    let mut found = FoundEntries { entries: HashSet::new(), is_complete: true };
    let mut cursor = b"0".to_vec();
    for _ in 0..MAX_PAGES {
        let reply = connection.call(&[b"ZSCAN", keys.set.as_bytes(), &cursor, b"COUNT", PAGE]).await?;
        let (next, page) = to_page(reply).ok_or(RedisError::Nonsense("`ZSCAN`"))?;
        let Some(list) = list.upgrade() else { return Ok(found) };
        for (member, score) in page {
            // A later version of the crate may write other entries.
            let Some(mut entry) = from_member(&member, &score) else {
                found.is_complete = false;
                continue;
            };
            found.is_complete &= add(&list, &mut entry, store);
            found.entries.insert((to_member(&entry), until_seconds(&entry)));
        }
        if next == b"0" {
            return Ok(found);
        }
        if found.entries.len() > MAX_FOUND {
            break;
        }
        cursor = next;
    }
    found.is_complete = false;
    Ok(found)
}

/// Adds an entry of the store, with the latest end that an entry can have. `false` if the list is full.
fn add(list: &RevocationList, entry: &mut RevocationEntry, store: &RedisStore) -> bool {
    let now = store.clock.since_epoch();
    entry.until = entry.until.min(now.saturating_add(MAX_AHEAD));
    list.add(entry, now).is_ok()
}

/// A part of the sorted set: members with their scores.
type SetPage = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads a reply to `ZSCAN`: the next cursor, and a part of the set.
fn to_page(reply: RedisReply) -> Option<(Vec<u8>, SetPage)> {
    let RedisReply::List(reply) = reply else { return None };
    let [RedisReply::Text(next), RedisReply::List(page)] = <[RedisReply; 2]>::try_from(reply).ok()? else {
        return None;
    };
    let mut texts = page.into_iter().map(|reply| match reply {
        RedisReply::Text(text) => Some(text),
        _ => None,
    });
    let mut members = Vec::new();
    while let Some(member) = texts.next() {
        members.push((member?, texts.next()??));
    }
    Some((next, members))
}

/// Removes the entries that have ended by the clock of Redis. A replica whose clock is wrong would remove entries that others
/// need.
async fn remove_expired(connection: &RedisConnection, keys: &RevocationKeys) -> Result<(), RedisError> {
    let nonsense = RedisError::Nonsense("`TIME`");
    let RedisReply::List(time) = connection.call(&[b"TIME"]).await? else { return Err(nonsense) };
    let Some(RedisReply::Text(seconds)) = time.first() else { return Err(nonsense) };
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse::<u64>().ok()).ok_or(nonsense)?;
    let ended = seconds.saturating_sub(CLOCK_MARGIN).to_string();
    connection.call(&[b"ZREMRANGEBYSCORE", keys.set.as_bytes(), b"-inf", ended.as_bytes()]).await.map(drop)
}

/// Waits, but not longer than needed after the list is dropped.
async fn wait(mut left: Duration, list: &Weak<RevocationList>) {
    while !left.is_zero() && list.strong_count() > 0 {
        let part = left.min(LOOK);
        sleep(part).await;
        left = left.saturating_sub(part);
    }
}

/// Entries that are written to the store, as arguments of commands.
struct PublishedEntries {
    keys: RevocationKeys,
    /// Scores, members and messages.
    entries: Vec<(String, String, String)>,
    /// When the sorted set is removed, in seconds since 1970.
    removed_at: String,
}

impl PublishedEntries {
    fn new(store: &RedisStore, entries: &[RevocationEntry]) -> Self {
        let text = |entry: &RevocationEntry| (until_seconds(entry).to_string(), to_member(entry), to_message(entry));
        let last = entries.iter().map(until_seconds).max().unwrap_or_default();
        Self {
            keys: RevocationKeys::new(store),
            entries: entries.iter().map(text).collect(),
            removed_at: last.saturating_add(CLOCK_MARGIN).to_string(),
        }
    }

    /// The commands that store the entries. Executing them twice does no harm.
    fn commands(&self) -> Vec<Vec<&[u8]>> {
        let (set, removed_at) = (self.keys.set.as_bytes(), self.removed_at.as_bytes());
        let mut commands = Vec::new();
        for (score, member, _) in &self.entries {
            // The end of an entry is never moved to an earlier time.
            commands.push(vec![b"ZADD".as_slice(), set, b"GT", score.as_bytes(), member.as_bytes()]);
        }
        // `GT` has no effect on a key without a lifetime, and `NX` has none on a key with one.
        for condition in [b"NX", b"GT"] {
            commands.push(vec![b"EXPIREAT", set, removed_at, condition]);
        }
        commands
    }

    /// The commands that store and publish the entries. Executing them twice does no harm.
    fn commands_with_messages(&self) -> Vec<Vec<&[u8]>> {
        let mut commands = self.commands();
        for (_, _, message) in &self.entries {
            commands.push(vec![b"PUBLISH", self.keys.channel.as_bytes(), message.as_bytes()]);
        }
        commands
    }
}

/// Checks the replies to the commands of [`PublishedEntries`].
fn check_numbers(replies: &[RedisReply]) -> Result<(), RedisError> {
    let all_numbers = replies.iter().all(|reply| matches!(reply, RedisReply::Integer(0..)));
    all_numbers.then_some(()).ok_or(RedisError::Nonsense("`ZADD`"))
}

impl RevocationKeys {
    /// All databases of a server have the same channels.
    fn new(store: &RedisStore) -> Self {
        let RedisStore { key_prefix, database, .. } = store;
        Self { set: format!("{key_prefix}revocations"), channel: format!("{key_prefix}revocations:new:{database}") }
    }
}

/// How often the subscription is tested. A connection that is lost without notice is found within this time and the time limit.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a pause looks whether it is still needed.
const LOOK: Duration = Duration::from_secs(2);
/// The longest pause between two attempts. One connection in this time is little load.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A connection that lasted for this long starts the pauses again with the shortest.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// The most messages that wait to be read. If there are more, the whole list is read again.
const MAX_WAITING: usize = 4_096;
/// How many entries Redis is asked for at once: less than a millisecond of its time.
const PAGE: &[u8] = b"1000";
/// The most pages that are read: four times as many as the list needs at most.
const MAX_PAGES: usize = 4_000;
/// The most entries that are read: twice as many as the list can have, because some may have ended.
const MAX_FOUND: usize = 2_000_000;
/// How many entries are written at once.
const BATCH: usize = 500;
/// How far the clocks of replicas and of Redis may differ, in seconds. An entry is not removed while it has an effect by the clock
/// of any replica.
const CLOCK_MARGIN: u64 = 60;
/// How often entries that have ended are removed.
const CLEANING_INTERVAL: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
