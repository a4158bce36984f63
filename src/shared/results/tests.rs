#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::*;
use crate::shared::fake_redis::{FakeRedis, FakeReply, NOW, SetClock, bulk, bytes};

/// The clock of Redis is a minute ahead.
const AHEAD: u64 = 60;
const RESPONSE: &str = r#"{"active":true,"sub":"alice"}"#;
const LIFETIME: Duration = Duration::from_secs(30);

/// A server whose content a test can change.
#[derive(Clone, Default)]
struct Redis {
    entries: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
    /// Seconds since `NOW`, by the clock of Redis.
    passed: Arc<Mutex<u64>>,
}

impl Redis {
    fn reply(&self, command: &[Vec<u8>]) -> FakeReply {
        let mut entries = self.entries.lock().unwrap();
        match command {
            [time] if time == b"TIME" => {
                let seconds = (NOW + AHEAD + *self.passed.lock().unwrap()).to_string();
                bytes([b"*2\r\n", &*bulk(seconds), &bulk("250000")].concat())
            }
            [getrange, key, start, end] if getrange == b"GETRANGE" && start == b"0" => {
                let end = std::str::from_utf8(end).unwrap().parse::<usize>().unwrap();
                let value = entries.get(key).map_or(&[][..], Vec::as_slice);
                bytes(bulk(value.get(..=end).unwrap_or(value)))
            }
            [del, key] if del == b"DEL" => bytes(format!(":{}\r\n", u8::from(entries.remove(key).is_some()))),
            [set, key, value, px, lifetime] if set == b"SET" && px == b"PX" => {
                assert!(std::str::from_utf8(lifetime).unwrap().parse::<u64>().unwrap() > 0);
                entries.insert(key.clone(), value.clone());
                bytes("+OK\r\n")
            }
            _ => panic!("{command:?}"),
        }
    }

    async fn start(&self) -> FakeRedis {
        let this = self.clone();
        FakeRedis::start(move |command| this.reply(command)).await
    }
}

/// Longer than a busy machine needs.
const LONG: Duration = Duration::from_secs(10);

fn results(fake: &FakeRedis, key: u8, limit: Duration) -> (RedisResults, SetClock) {
    let (store, clock) = fake.store(limit);
    (RedisResults::new(store, &ResultKey::new([key; 32])).unwrap(), clock)
}

fn token(token: &str) -> SharedToken<'_> {
    SharedToken { issuer: "https://auth.example.com", client_id: "mcp-server", token }
}

fn result(lifetime: Duration) -> NewResult<'static> {
    let requested_at = RequestTime { by_store: Duration::from_secs(NOW + AHEAD), by_replica: Duration::from_secs(NOW) };
    NewResult { response: RESPONSE, requested_at, lifetime }
}

async fn found(results: &RedisResults, of: &str) -> Option<FoundResult> {
    results.find(&token(of)).await.unwrap().found
}

#[tokio::test]
async fn another_replica_finds_the_result_with_its_age() {
    let redis = Redis::default();
    let fake = redis.start().await;
    let ((one, _), (other, clock)) = (results(&fake, 1, LONG), results(&fake, 1, LONG));
    let answer = other.find(&token("a")).await.unwrap();
    assert!(answer.found.is_none());
    assert_eq!(answer.time, Duration::from_millis((NOW + AHEAD) * 1_000 + 250));
    one.store(&token("a"), result(LIFETIME)).await;
    // By the clock of Redis, whatever that of the replica is.
    for (passed, clock_of_replica, age) in [(0, 0, Some(0)), (2, 5, Some(2)), (29, 29, Some(29)), (30, 30, None)] {
        *redis.passed.lock().unwrap() = passed;
        clock.set(NOW + clock_of_replica);
        let found = found(&other, "a").await;
        assert_eq!(found.as_ref().map(|found| found.age.as_secs()), age, "{passed}");
        assert!(found.is_none_or(|found| found.response == RESPONSE.as_bytes()));
    }
    *redis.passed.lock().unwrap() = 0;
    clock.set(NOW);
    one.remove(&token("a")).await;
    assert!(found(&other, "a").await.is_none());
}

#[tokio::test]
async fn a_result_belongs_to_one_key_prefix_issuer_client_and_token() {
    let redis = Redis::default();
    let fake = redis.start().await;
    let (results, other_key) = (results(&fake, 1, LONG).0, self::results(&fake, 2, LONG).0);
    results.store(&token("a"), result(LIFETIME)).await;
    assert!(found(&other_key, "a").await.is_none());
    for (issuer, client_id, token) in [
        ("https://auth.example.com", "mcp-server", "b"),
        ("https://auth.example.com", "other", "a"),
        ("https://other.example.com", "mcp-server", "a"),
        ("https://auth.example.com", "mcp-serve", "ra"),
        ("https://auth.example.commcp-server", "", "a"),
    ] {
        let answer = results.find(&SharedToken { issuer, client_id, token }).await.unwrap();
        assert!(answer.found.is_none(), "{issuer} {client_id} {token}");
    }
    let (name, value) = redis.entries.lock().unwrap().clone().into_iter().next().unwrap();
    let name = String::from_utf8(name).unwrap();
    assert!(name.starts_with("mcp-bearer:introspection:") && name.len() == 25 + 43, "{name}");
    let shows = |text: &[u8]| value.windows(text.len()).any(|window| window == text);
    assert!(!shows(b"alice") && !shows(b"active"));
    // The name depends on the prefix, so that a value of another prefix cannot be copied.
    let state = crate::shared::RedisState::new(format!("redis://127.0.0.1:{}", fake.port)).key_prefix("other:");
    let clock: Arc<dyn crate::clock::Clock> = Arc::new(crate::clock::SystemClock);
    let other = RedisResults::new(state.store(&clock).unwrap(), &ResultKey::new([1; 32])).unwrap();
    let other = other.entry(&token("a")).unwrap().name;
    assert_ne!(name.strip_prefix("mcp-bearer:"), other.strip_prefix("other:"));
}

#[tokio::test]
async fn somebody_who_writes_to_redis_cannot_change_exchange_or_prolong_a_result() {
    let redis = Redis::default();
    let fake = redis.start().await;
    let (results, clock) = results(&fake, 1, LONG);
    results.store(&token("a"), result(LIFETIME)).await;
    results.store(&token("b"), result(LIFETIME)).await;
    let [one, other] = ["a", "b"].map(|text| results.entry(&token(text)).unwrap().name.into_bytes());
    let stored = |name: &[u8]| redis.entries.lock().unwrap().get(name).unwrap().clone();
    let value = stored(&one);
    let put = |value: Vec<u8>| _ = redis.entries.lock().unwrap().insert(one.clone(), value);
    put(stored(&other));
    assert!(found(&results, "a").await.is_none());
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        put(changed);
        assert!(found(&results, "a").await.is_none(), "byte {at}");
    }
    for forged in [RESPONSE.as_bytes(), b"x", &value[1..], &[0; 100_000]] {
        put(forged.to_vec());
        assert!(found(&results, "a").await.is_none(), "{} bytes", forged.len());
    }
    // The entry is written again later, and Redis has the wrong time: it is used for at most 10 s longer.
    put(value);
    for (passed, age) in [(0, Some(0)), (10, Some(0)), (39, Some(29)), (40, None), (3_600, None)] {
        clock.set(NOW + passed);
        assert_eq!(found(&results, "a").await.map(|found| found.age.as_secs()), age, "{passed} s");
    }
}

#[tokio::test]
async fn a_result_that_is_too_long_or_has_no_lifetime_is_not_stored() {
    let redis = Redis::default();
    let fake = redis.start().await;
    let (results, _) = results(&fake, 1, LONG);
    let long = " ".repeat(MAX_RESPONSE + 1);
    results.store(&token("a"), result(Duration::ZERO)).await;
    results.store(&token("a"), NewResult { response: &long, ..result(LIFETIME) }).await;
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
    results.store(&token("a"), NewResult { response: &" ".repeat(MAX_RESPONSE), ..result(LIFETIME) }).await;
    assert_eq!(found(&results, "a").await.unwrap().response.len(), MAX_RESPONSE);
}

/// Each reply that makes no sense comes with a valid one.
#[tokio::test]
async fn replies_that_make_no_sense_are_not_a_result() {
    let redis = Redis::default();
    let fake = redis.start().await;
    results(&fake, 1, LONG).0.store(&token("a"), result(LIFETIME)).await;
    let nonsense = [
        "+OK\r\n",
        ":1\r\n",
        "_\r\n",
        "*0\r\n",
        "*1\r\n:1\r\n",
        "*2\r\n$1\r\nx\r\n$1\r\n1\r\n",
        "-ERR\r\n",
        "-NOPERM\r\n",
    ];
    for (name, reply) in nonsense.iter().flat_map(|reply| [("TIME", *reply), ("GETRANGE", *reply)]) {
        let redis = redis.clone();
        let script = move |command: &[Vec<u8>]| {
            if command[0] == name.as_bytes() { bytes(reply) } else { redis.reply(command) }
        };
        let fake = FakeRedis::start(script).await;
        let answer = results(&fake, 1, LONG).0.find(&token("a")).await;
        assert!(answer.is_none_or(|answer| answer.found.is_none()), "{name}: {reply:?}");
    }
}

/// A server that does not answer costs one request its time limit, and the next ones nothing.
#[tokio::test]
async fn after_a_failure_no_command_is_sent_for_a_while() {
    let fake = FakeRedis::start(|_| FakeReply::Silence).await;
    let (results, _) = results(&fake, 1, Duration::from_millis(100));
    for _ in 0..3 {
        assert!(results.find(&token("a")).await.is_none());
        results.store(&token("a"), result(LIFETIME)).await;
    }
    assert_eq!((fake.count("TIME"), fake.count("SET")), (1, 0));
    let until = results.lock().unwrap();
    assert!(until > Instant::now() && until <= Instant::now() + PAUSE);
    // After the pause, one of several requests tries again.
    *results.lock() = Some(Instant::now());
    let tokens = ["a", "b", "c"].map(token);
    let found = join_all(tokens.iter().map(|token| results.find(token))).await;
    assert!(found.iter().all(Option::is_none));
    assert_eq!(fake.count("TIME"), 2);
}

/// A server with an old list of permissions still serves proofs.
#[tokio::test]
async fn a_rejected_command_does_not_end_the_connection() {
    let fake = FakeRedis::start(|_| bytes("-NOPERM this user has no permissions\r\n")).await;
    let (results, _) = results(&fake, 1, LONG);
    assert!(results.find(&token("a")).await.is_none());
    *results.lock() = None;
    assert!(results.find(&token("a")).await.is_none());
    assert_eq!((fake.count("TIME"), fake.connections.load(Ordering::SeqCst)), (2, 1));
}

/// Requests with made-up tokens do not use up the connection.
#[tokio::test]
async fn the_number_of_commands_at_the_same_time_is_limited() {
    let fake = FakeRedis::start(|_| FakeReply::Silence).await;
    let (results, _) = results(&fake, 1, Duration::from_millis(200));
    let token = token("a");
    let found = join_all((0..MAX_CALLS * 2).map(|_| results.find(&token))).await;
    assert!(found.iter().all(Option::is_none));
    assert_eq!(fake.count("TIME"), MAX_CALLS);
}
