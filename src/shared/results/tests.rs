#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::*;
use crate::shared::fake_redis::{FakeRedis, FakeReply, NOW, SetClock, bulk, bytes};

/// Entries with their lifetimes in milliseconds. No time passes.
type Entries = Arc<Mutex<HashMap<Vec<u8>, (Vec<u8>, i64)>>>;

const RESPONSE: &str = r#"{"active":true,"sub":"alice"}"#;
const LIFETIME: Duration = Duration::from_secs(30);

/// `GET`, `PTTL`, `SET` with `PX`, and `DEL`.
fn redis(entries: &Entries) -> impl FnMut(&[Vec<u8>]) -> FakeReply + Send + use<> {
    let entries = Arc::clone(entries);
    move |command| {
        let mut entries = entries.lock().unwrap();
        match command {
            [get, key] if get == b"GET" => {
                entries.get(key).map_or_else(|| bytes("_\r\n"), |(value, _)| bytes(bulk(value)))
            }
            [pttl, key] if pttl == b"PTTL" => {
                bytes(format!(":{}\r\n", entries.get(key).map_or(-2, |(_, lifetime)| *lifetime)))
            }
            [del, key] if del == b"DEL" => bytes(format!(":{}\r\n", u8::from(entries.remove(key).is_some()))),
            [set, key, value, px, lifetime] if set == b"SET" && px == b"PX" => {
                let lifetime = std::str::from_utf8(lifetime).unwrap().parse().unwrap();
                entries.insert(key.clone(), (value.clone(), lifetime));
                bytes("+OK\r\n")
            }
            _ => panic!("{command:?}"),
        }
    }
}

fn results(fake: &FakeRedis, key: u8) -> (RedisResults, SetClock) {
    let (store, clock) = fake.store(Duration::from_secs(10));
    (RedisResults::new(store, &ResultKey::new([key; 32])).unwrap(), clock)
}

fn token(token: &str) -> SharedToken<'_> {
    SharedToken { issuer: "https://auth.example.com", client_id: "mcp-server", token }
}

fn result(lifetime: Duration) -> NewResult<'static> {
    NewResult { response: RESPONSE, requested_at: Duration::from_secs(NOW), lifetime }
}

#[tokio::test]
async fn another_replica_finds_the_result_with_its_age() {
    let entries = Entries::default();
    let fake = FakeRedis::start(redis(&entries)).await;
    let ((one, clock), (other, _)) = (results(&fake, 1), results(&fake, 1));
    assert!(other.find(&token("a")).await.is_none());
    clock.set(NOW + 2);
    one.store(&token("a"), result(LIFETIME)).await;
    let found = other.find(&token("a")).await.unwrap();
    assert_eq!(found.response, RESPONSE.as_bytes());
    // The command may have been on its way for 200 ms.
    assert_eq!(found.age, Duration::from_millis(2_200));
    one.remove(&token("a")).await;
    assert!(other.find(&token("a")).await.is_none());
}

#[tokio::test]
async fn a_result_belongs_to_one_key_issuer_client_and_token() {
    let entries = Entries::default();
    let fake = FakeRedis::start(redis(&entries)).await;
    let (results, other_key) = (results(&fake, 1).0, self::results(&fake, 2).0);
    results.store(&token("a"), result(LIFETIME)).await;
    assert!(other_key.find(&token("a")).await.is_none());
    for (issuer, client_id, token) in [
        ("https://auth.example.com", "mcp-server", "b"),
        ("https://auth.example.com", "other", "a"),
        ("https://other.example.com", "mcp-server", "a"),
        ("https://auth.example.com", "mcp-serve", "ra"),
        ("https://auth.example.commcp-server", "", "a"),
    ] {
        assert!(
            results.find(&SharedToken { issuer, client_id, token }).await.is_none(),
            "{issuer} {client_id} {token}"
        );
    }
    let (name, (value, _)) = entries.lock().unwrap().clone().into_iter().next().unwrap();
    let name = String::from_utf8(name).unwrap();
    assert!(name.starts_with("mcp-bearer:introspection:") && name.len() == 25 + 43, "{name}");
    let shows = |text: &[u8]| value.windows(text.len()).any(|window| window == text);
    assert!(!shows(b"alice") && !shows(b"active"));
}

#[tokio::test]
async fn somebody_who_writes_to_redis_cannot_change_exchange_or_prolong_a_result() {
    let entries = Entries::default();
    let fake = FakeRedis::start(redis(&entries)).await;
    let (results, clock) = results(&fake, 1);
    results.store(&token("a"), result(LIFETIME)).await;
    results.store(&token("b"), result(LIFETIME)).await;
    let [one, other] = ["a", "b"].map(|text| results.entry(&token(text)).unwrap().name.into_bytes());
    let stored = |name: &[u8]| entries.lock().unwrap().get(name).unwrap().clone();
    let (value, lifetime) = stored(&one);
    let put = |value: Vec<u8>, lifetime: i64| _ = entries.lock().unwrap().insert(one.clone(), (value, lifetime));
    put(stored(&other).0, lifetime);
    assert!(results.find(&token("a")).await.is_none());
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        put(changed, lifetime);
        assert!(results.find(&token("a")).await.is_none(), "byte {at}");
    }
    for forged in [RESPONSE.as_bytes(), b"", &value[1..]] {
        put(forged.to_vec(), lifetime);
        assert!(results.find(&token("a")).await.is_none(), "{forged:?}");
    }
    // The entry never expires, or for long: it is used for as long as a replica with a clock that differs by 10 s uses it.
    put(value.clone(), -1);
    assert!(results.find(&token("a")).await.is_none());
    put(value, 1_000_000_000);
    for (passed, age) in [(0, Some(0)), (10, Some(0)), (39, Some(29)), (40, None), (3_600, None)] {
        clock.set(NOW + passed);
        assert_eq!(results.find(&token("a")).await.map(|found| found.age.as_secs()), age, "{passed} s");
    }
}

#[tokio::test]
async fn a_result_that_is_long_or_expires_at_once_is_not_stored() {
    let entries = Entries::default();
    let fake = FakeRedis::start(redis(&entries)).await;
    let (results, clock) = results(&fake, 1);
    for lifetime in [Duration::ZERO, Duration::from_millis(200)] {
        results.store(&token("a"), result(lifetime)).await;
    }
    clock.set(NOW + 30);
    results.store(&token("a"), result(LIFETIME)).await;
    clock.set(NOW);
    let long = " ".repeat(MAX_RESPONSE + 1);
    results.store(&token("a"), NewResult { response: &long, ..result(LIFETIME) }).await;
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
    results.store(&token("a"), NewResult { response: &" ".repeat(MAX_RESPONSE), ..result(LIFETIME) }).await;
    assert_eq!(results.find(&token("a")).await.unwrap().response.len(), MAX_RESPONSE);
}

#[tokio::test]
async fn replies_that_make_no_sense_are_not_a_result() {
    for reply in
        ["+OK\r\n", ":1\r\n", "_\r\n", "*0\r\n", "$0\r\n\r\n", "-ERR\r\n", "-NOPERM no\r\n", "HTTP/1.1 200 OK\r\n"]
    {
        let fake = FakeRedis::start(move |_| bytes(reply)).await;
        assert!(results(&fake, 1).0.find(&token("a")).await.is_none(), "{reply:?}");
    }
}

/// An outage costs one request its time limit, and the next ones nothing.
#[tokio::test]
async fn after_a_failure_no_command_is_sent_for_a_while() {
    let fake = FakeRedis::start(|_| FakeReply::Silence).await;
    let (results, _) = results(&fake, 1);
    for _ in 0..3 {
        assert!(results.find(&token("a")).await.is_none());
        results.store(&token("a"), result(LIFETIME)).await;
    }
    assert_eq!((fake.count("GET"), fake.count("SET")), (1, 0));
    let until = results.lock().take().unwrap();
    assert!(until > Instant::now() && until <= Instant::now() + PAUSE);
    // The first connection may be dead.
    results.store(&token("a"), result(LIFETIME)).await;
    assert_eq!((fake.count("SET"), fake.connections.load(Ordering::SeqCst)), (1, 2));
}
