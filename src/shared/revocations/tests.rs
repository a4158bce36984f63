#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use super::*;
use crate::revocation::{RevocationKind, SharedListState};
use crate::shared::fake_redis::{FakeRedis, FakeReply, NOW, bulk, bytes};

const CHANNEL: &str = "mcp-bearer:revocations:new:0";
/// Longer than any test.
const LONG: Duration = Duration::from_secs(10);

fn entry(id: u8) -> RevocationEntry {
    let until = Duration::from_secs(NOW + 3600);
    RevocationEntry { kind: RevocationKind::Token, digest: [id; 32], until, issued_before: None }
}

fn push(message: &[u8]) -> Vec<u8> {
    [b">3\r\n".to_vec(), bulk("message"), bulk(CHANNEL), bulk(message)].concat()
}

/// The replies of a server whose sorted set has these members with their scores, and this next cursor.
fn redis(cursor: &'static str, members: Vec<(String, u64)>) -> impl FnMut(&[Vec<u8>]) -> FakeReply + Send {
    move |command| match command[0].as_slice() {
        b"TIME" => bytes([b"*2\r\n".to_vec(), bulk(NOW.to_string()), bulk("0")].concat()),
        b"SUBSCRIBE" => bytes([b">3\r\n".to_vec(), bulk("subscribe"), bulk(&command[1]), b":1\r\n".to_vec()].concat()),
        b"ZSCAN" => {
            let page = members.iter().flat_map(|(member, score)| [bulk(member), bulk(score.to_string())].concat());
            let page = [format!("*{}\r\n", 2 * members.len()).into_bytes(), page.collect()].concat();
            bytes([b"*2\r\n".to_vec(), bulk(cursor), page].concat())
        }
        b"PING" => bytes("+PONG\r\n"),
        _ => bytes(":0\r\n"),
    }
}

/// A list that follows a server, and a task that ends with it.
fn follow(fake: &FakeRedis) -> Arc<RevocationList> {
    let (store, _) = fake.store(LONG);
    let list = Arc::new(RevocationList::new(SharedListState::NotShared));
    tokio::spawn(RedisRevocations::new(store).follow(Arc::downgrade(&list)));
    list
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn is_current(list: &RevocationList) -> bool {
    matches!(list.shared_state(), SharedListState::Current)
}

/// The clock is paused, and does not advance while a task is ready.
#[tokio::test(start_paused = true)]
async fn constant_messages_do_not_prevent_tests_and_cleaning() {
    let busy = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let fake = FakeRedis::start(redis("0", Vec::new())).await;
    let list = follow(&fake);
    until(|| is_current(&list)).await;
    assert_eq!((fake.count("ZREMRANGEBYSCORE"), fake.count("PING")), (1, 0));
    for id in 1..=200 {
        tokio::time::advance(Duration::from_secs(4)).await;
        fake.pushes.send(push(to_message(&entry(id)).as_bytes())).unwrap();
        until(|| list.len() == usize::from(id)).await;
    }
    assert_eq!(fake.count("ZREMRANGEBYSCORE"), 2);
    assert!((90..=110).contains(&fake.count("PING")), "{}", fake.count("PING"));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
    busy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_without_end_is_incomplete() {
    let fake = FakeRedis::start(redis("7", vec![(to_member(&entry(1)), NOW + 3600)])).await;
    let list = follow(&fake);
    until(|| matches!(list.shared_state(), SharedListState::Outdated { .. })).await;
    let SharedListState::Outdated { error, .. } = list.shared_state() else { panic!("current") };
    assert_eq!(error.unwrap().to_string(), RedisError::Incomplete.to_string());
    assert_eq!((fake.count("ZSCAN"), list.len()), (MAX_PAGES, 1));
}

#[tokio::test]
async fn an_end_in_the_far_future_is_moved_to_the_latest_one() {
    let member = (to_member(&entry(1)), 999_999_999_999);
    let fake = FakeRedis::start(redis("0", vec![member])).await;
    let list = follow(&fake);
    until(|| is_current(&list)).await;
    let latest = Duration::from_secs(NOW) + MAX_AHEAD;
    assert_eq!(list.entries(Duration::from_secs(NOW))[0].until, latest);
    fake.pushes.send(push(to_message(&RevocationEntry { until: Duration::MAX, ..entry(2) }).as_bytes())).unwrap();
    until(|| list.len() == 2).await;
    assert!(list.entries(Duration::from_secs(NOW)).iter().all(|entry| entry.until == latest));
    // It is not written again.
    assert_eq!(fake.count("ZADD"), 0);
}

#[tokio::test]
async fn entries_that_redis_has_lost_are_written_with_one_message() {
    let fake = FakeRedis::start(redis("0", Vec::new())).await;
    let (store, _) = fake.store(LONG);
    let list = Arc::new(RevocationList::new(SharedListState::NotShared));
    for id in 1..=200 {
        list.add(&entry(id), Duration::from_secs(NOW)).unwrap();
    }
    tokio::spawn(RedisRevocations::new(store).follow(Arc::downgrade(&list)));
    until(|| is_current(&list)).await;
    assert_eq!((fake.count("ZADD"), fake.count("PUBLISH")), (200, 1));
    let last = fake.commands.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last[1..], [CHANNEL.as_bytes(), READ_AGAIN]);
    // The message makes each replica read all entries, and write none.
    fake.pushes.send(push(READ_AGAIN)).unwrap();
    until(|| fake.count("ZSCAN") == 2).await;
    fake.pushes.send(push(to_message(&entry(201)).as_bytes())).unwrap();
    until(|| list.len() == 201).await;
    assert_eq!((fake.count("ZADD"), fake.count("PUBLISH")), (200, 1));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_revocation_is_stored_and_published() {
    let fake = FakeRedis::start(redis("0", Vec::new())).await;
    let (store, _) = fake.store(LONG);
    RedisRevocations::new(store).publish(entry(1)).await.unwrap();
    assert_eq!((fake.count("ZADD"), fake.count("PUBLISH")), (1, 1));
}
