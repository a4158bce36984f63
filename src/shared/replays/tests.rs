#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests know their data")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use futures_util::future::join_all;

use super::*;
use crate::jose::Thumbprint;
use crate::shared::fake_redis::{FakeRedis, FakeReply, NOW, SetClock, bulk, bytes, facts};

const MAX_AGE: u64 = 60;
const CLOCK_DIFFERENCE: u64 = REPLICA_CLOCK_DIFFERENCE.as_secs();
/// Long enough for a busy machine, and never reached if the server answers.
const LONG: Duration = Duration::from_secs(10);

/// A proof that a client made at this time.
fn proof(made_at: u64, id: u8) -> UsedProof {
    let expires_at = UNIX_EPOCH + Duration::from_secs(made_at + MAX_AGE + CLOCK_DIFFERENCE);
    UsedProof::new(Thumbprint::from_bytes([1; 32]), [id; 32], expires_at)
}

fn replays(fake: &FakeRedis, timeout: Duration) -> (RedisReplays, SetClock) {
    let (store, clock) = fake.store(timeout);
    (RedisReplays::new(store, Duration::from_secs(MAX_AGE)), clock)
}

/// `SET` with `NX`, and `GET`.
fn redis() -> impl FnMut(&[Vec<u8>]) -> FakeReply + Send {
    let mut entries = HashMap::new();
    move |command| match command {
        [set, key, value, nx, px, lifetime] if set == b"SET" => {
            assert_eq!([&**nx, &**px], [b"NX", b"PX"]);
            assert!(std::str::from_utf8(lifetime).unwrap().parse::<u64>().unwrap() > 0);
            if entries.contains_key(key) {
                return bytes("_\r\n");
            }
            entries.insert(key.clone(), value.clone());
            bytes("+OK\r\n")
        }
        [get, key] if get == b"GET" => entries.get(key).map_or_else(|| bytes("_\r\n"), |found| bytes(bulk(found))),
        _ => panic!("{command:?}"),
    }
}

async fn error(replays: &RedisReplays, proof: &UsedProof) -> String {
    replays.record(proof).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_proof_is_new_once() {
    let fake = FakeRedis::start(redis()).await;
    let (replays, _) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::Replayed);
    assert_eq!(replays.record(&proof(NOW, 2)).await.unwrap(), ReplayOutcome::New);
    let other_key = UsedProof::new(Thumbprint::from_bytes([2; 32]), [1; 32], proof(NOW, 1).expires_at());
    assert_eq!(replays.record(&other_key).await.unwrap(), ReplayOutcome::New);
    assert!(replays.is_shared());
    let commands = fake.commands.lock().unwrap();
    let key = std::str::from_utf8(&commands[0][1]).unwrap();
    assert!(key.starts_with("mcp-bearer:proof:") && key.len() == 17 + 43, "{key}");
    // For as long as a replica with any `max_age` accepts the proof.
    assert_eq!(commands[0][5], ((300 + CLOCK_DIFFERENCE) * 1000 + 1).to_string().as_bytes());
}

#[tokio::test]
async fn an_expired_proof_is_not_sent_to_redis() {
    let fake = FakeRedis::start(redis()).await;
    let (replays, _) = replays(&fake, LONG);
    let expired = proof(NOW - MAX_AGE - CLOCK_DIFFERENCE - 1, 1);
    assert_eq!(replays.record(&expired).await.unwrap(), ReplayOutcome::Expired);
    assert_eq!(fake.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_connection() {
    let fake = FakeRedis::start(redis()).await;
    let (replays, _) = replays(&fake, LONG);
    let outcomes = join_all((0..100).map(|id| {
        let replays = &replays;
        async move { replays.record(&proof(NOW, id % 50)).await.unwrap() }
    }));
    let outcomes = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ReplayOutcome::New).count(), 50);
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lost_reply_does_not_make_a_proof_replayed() {
    let (mut redis, mut is_first) = (redis(), true);
    let fake = FakeRedis::start(move |command| {
        let reply = redis(command);
        if std::mem::take(&mut is_first) { FakeReply::Close } else { reply }
    });
    let fake = fake.await;
    let (replays, _) = replays(&fake, LONG);
    // The first attempt has written the entry. The second one finds it.
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
    assert_eq!(fake.count("SET"), 2);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::Replayed);
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_two_time_limits() {
    let limit = Duration::from_millis(100);
    let fake = FakeRedis::start(|_| FakeReply::Silence).await;
    let (replays, _) = replays(&fake, limit);
    let started_at = std::time::Instant::now();
    assert_eq!(error(&replays, &proof(NOW, 1)).await, "Redis did not answer within 0.1 s");
    assert!(started_at.elapsed() >= 2 * limit && started_at.elapsed() < 50 * limit);
    // The connection may be dead, so each attempt uses another one.
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

/// Only the value of the request means that a proof is new.
#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    let other = bulk([7; 16]);
    let answers: &[&[u8]] = &[
        b"+OK\r\n",
        b"+QUEUED\r\n",
        b":1\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"_\r\n",
        b"$-1\r\n",
        b"$-5\r\n",
        b"$0\r\n\r\n",
        b"$15\r\n123456789012345\r\n",
        b"*0\r\n",
        b"*1\r\n_\r\n",
        b"*-1\r\n_\r\n",
        b"%0\r\n",
        b"~1\r\n_\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x00\x00\x00\x00\r\n",
        b"-ERR syntax error\r\n",
        b"-NOPERM this user has no permissions\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        &other,
    ];
    let pairs = answers.iter().flat_map(|answer| [(*answer, &*other), (b"+OK\r\n", *answer), (b"_\r\n", *answer)]);
    for (set, get) in pairs.map(|(set, get)| (set.to_vec(), get.to_vec())) {
        let shown = format!("{:?}", [&set, &get].map(|answer| String::from_utf8_lossy(answer).into_owned()));
        let is_replayed = set == b"_\r\n" && get == other;
        let fake = FakeRedis::start(move |command| bytes(if command[0] == b"SET" { &set } else { &get })).await;
        let (replays, _) = replays(&fake, Duration::from_millis(100));
        match replays.record(&proof(NOW, 1)).await {
            Ok(ReplayOutcome::Replayed) => assert!(is_replayed || shown.starts_with("[\"$-"), "{shown}"),
            Ok(outcome) => panic!("{shown}: {outcome:?}"),
            Err(_) => assert!(!is_replayed, "{shown}"),
        }
    }
}

#[tokio::test]
async fn a_connection_that_made_no_sense_is_not_used_again() {
    let (mut redis, mut is_first) = (redis(), true);
    let script = move |command: &[Vec<u8>]| {
        if std::mem::take(&mut is_first) { bytes(":7\r\n") } else { redis(command) }
    };
    let fake = FakeRedis::start(script).await;
    let (replays, _) = replays(&fake, LONG);
    assert!(error(&replays, &proof(NOW, 1)).await.contains("cannot be understood"));
    assert_eq!(replays.record(&proof(NOW, 2)).await.unwrap(), ReplayOutcome::New);
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn redis_without_memory_is_full() {
    let fake = FakeRedis::start(|_| bytes("-OOM command not allowed when used memory > 'maxmemory'.\r\n")).await;
    let (replays, _) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::Full { retry_after: MEMORY_PAUSE });
}

#[tokio::test]
async fn a_former_primary_is_left() {
    let (mut redis, mut is_first) = (redis(), true);
    let script = move |command: &[Vec<u8>]| {
        if std::mem::take(&mut is_first) {
            bytes("-READONLY You can't write against a read only replica.\r\n")
        } else {
            redis(command)
        }
    };
    let fake = FakeRedis::start(script).await;
    let (replays, _) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_an_error_with_a_repair() {
    for (facts, repair) in [
        (facts("a", 1).replace("7.0.15", "6.2.14"), "use Redis 7.0 or later"),
        (facts("a", 1).replace("standalone", "cluster"), "without cluster mode"),
        (facts("a", 1).replace("role:master", "role:slave"), "use the address of the primary"),
        (facts("a", 1).replace("maxmemory:0", "maxmemory:9").replace("noeviction", "volatile-lru"), "noeviction`"),
        (String::new(), "check that the address is that of a Redis server"),
    ] {
        let fake = FakeRedis::start(|_| panic!("a command")).await;
        fake.set_facts(&facts);
        let (replays, _) = replays(&fake, LONG);
        let error = error(&replays, &proof(NOW, 1)).await;
        assert!(error.contains(repair), "{error}");
    }
}

#[tokio::test]
async fn nothing_listens_on_the_port() {
    let mut fake = FakeRedis::start(redis()).await;
    fake.port = 1;
    let (replays, _) = replays(&fake, LONG);
    let error = error(&replays, &proof(NOW, 1)).await;
    assert!(error.starts_with("Redis cannot be reached") && error.contains("refused"), "{error}");
}

/// A server that loses everything when it restarts, and closes its connections.
async fn restarting() -> (FakeRedis, impl Fn(&str, u64)) {
    let closes = Arc::new(AtomicBool::new(false));
    let (mut redis_now, closing) =
        (Box::new(redis()) as Box<dyn FnMut(&[Vec<u8>]) -> FakeReply + Send>, closes.clone());
    let fake = FakeRedis::start(move |command| {
        if closing.swap(false, Ordering::SeqCst) {
            redis_now = Box::new(redis());
            return FakeReply::Close;
        }
        redis_now(command)
    });
    let fake = fake.await;
    let this = fake.clone();
    let restart = move |run: &str, uptime| {
        this.set_process(run, uptime);
        closes.store(true, Ordering::SeqCst);
    };
    (fake, restart)
}

#[tokio::test]
async fn a_proof_that_a_restart_may_have_lost_is_not_accepted() {
    let (fake, restart) = restarting().await;
    let (replays, clock) = replays(&fake, LONG);
    // As far in the future as it may be for a replica whose clock is ahead. Its nonce is from a replica whose clock is ahead too.
    let used = proof(NOW + MAX_AGE + CLOCK_DIFFERENCE, 1);
    let used_nonce = used.with_nonce_made_at(UNIX_EPOCH + Duration::from_secs(NOW + CLOCK_DIFFERENCE));
    assert_eq!(replays.record(&used_nonce).await.unwrap(), ReplayOutcome::New);
    restart("other", 0);
    let last = 2 * (MAX_AGE + CLOCK_DIFFERENCE);
    for second in 0..=last + 1 {
        clock.set(NOW + second);
        let made_now = proof(NOW + second, 2);
        let id = u8::try_from(second).unwrap();
        let with_nonce = proof(NOW + second, id).with_nonce_made_at(UNIX_EPOCH + Duration::from_secs(NOW + second));
        for (used, what) in [(used, "no nonce"), (used_nonce, "nonce")] {
            let outcome = replays.record(&used).await;
            match second {
                0..=CLOCK_DIFFERENCE => assert!(outcome.is_err(), "{second} s, {what}: {outcome:?}"),
                _ if second > last => assert_eq!(outcome.unwrap(), ReplayOutcome::Expired, "{what}"),
                _ => assert_eq!(outcome.unwrap(), ReplayOutcome::NonceNeeded, "{second} s, {what}"),
            }
        }
        let (without, with) = (replays.record(&made_now).await, replays.record(&with_nonce).await);
        if second <= CLOCK_DIFFERENCE {
            assert!(without.is_err() && with.is_err(), "{second} s: {without:?} {with:?}");
            continue;
        }
        assert_eq!(with.unwrap(), ReplayOutcome::New, "{second} s");
        assert_eq!(without.unwrap(), ReplayOutcome::NonceNeeded, "{second} s");
    }
    // A replica with the greatest `max_age` may have accepted a proof from the future.
    let in_doubt = 300 + CLOCK_DIFFERENCE;
    for (second, expected) in [(in_doubt, ReplayOutcome::NonceNeeded), (in_doubt + 1, ReplayOutcome::New)] {
        clock.set(NOW + second);
        assert_eq!(replays.record(&proof(NOW + second, 3)).await.unwrap(), expected, "{second} s");
    }
}

#[tokio::test]
async fn a_new_replica_learns_of_a_restart_from_the_uptime() {
    let needed = Some(ReplayOutcome::NonceNeeded);
    for (uptime, expected) in [(0, None), (12, None), (13, needed), (312, needed), (313, Some(ReplayOutcome::New))] {
        let fake = FakeRedis::start(redis()).await;
        fake.set_process("a", uptime);
        let (replays, _) = replays(&fake, LONG);
        assert_eq!(replays.record(&proof(NOW, 1)).await.ok(), expected, "{uptime} s");
    }
}

#[tokio::test]
async fn another_server_with_a_long_uptime_is_not_trusted_at_once() {
    let (fake, restart) = restarting().await;
    let (replays, clock) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
    restart("promoted", 1_000_000);
    assert!(error(&replays, &proof(NOW, 1)).await.contains("may have lost used proofs"));
    clock.set(NOW + 311);
    assert_eq!(replays.record(&proof(NOW + 311, 2)).await.unwrap(), ReplayOutcome::New);
}

#[tokio::test]
async fn a_promoted_server_with_a_long_uptime_is_not_trusted_by_a_new_replica() {
    let fake = FakeRedis::start(redis()).await;
    fake.set_facts(&facts("promoted", 1_000_000).replace("master_replid2:00", "master_replid2:7f"));
    let (replays, clock) = replays(&fake, LONG);
    assert!(error(&replays, &proof(NOW, 1)).await.contains("may have lost used proofs"));
    clock.set(NOW + 311);
    assert_eq!(replays.record(&proof(NOW + 311, 1)).await.unwrap(), ReplayOutcome::New);
}

/// The server quotes the arguments of `HELLO`, as Redis 7 does after `rename-command HELLO ""`.
#[tokio::test]
async fn the_password_is_not_in_the_error_of_a_connection() {
    for (reply, shown) in [
        (
            "-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'mcp' 's3cretpassword'",
            "the error ERR at",
        ),
        (
            "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `mcp`, `s3cretpassword`",
            "at the start",
        ),
        ("-WRONGPASS s3cretpassword", "the credentials: WRONGPASS; correct"),
        ("-NOAUTH s3cretpassword", "the credentials: NOAUTH; correct"),
        ("-NOPERM s3cretpassword", "a command: NOPERM; allow"),
        ("-READONLY s3cretpassword", "READONLY"),
        ("-s3cretpassword", "the error (unknown code) at"),
        ("-ERR s3cretpassword", "check that it has the database of the URL"),
        ("+s3cretpassword", ""),
        ("$14\r\ns3cretpassword", ""),
        ("s3cretpassword", ""),
    ] {
        let fake = FakeRedis::start(redis()).await;
        fake.set_hello(&format!("{reply}\r\n"));
        let (replays, _) = replays(&fake, Duration::from_millis(500));
        let error = replays.record(&proof(NOW, 1)).await.map_err(|error| format!("{error} {error:?}"));
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        assert!(shown.is_empty() || error.as_ref().is_err_and(|error| error.contains(shown)), "{reply}: {error:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_to_the_same_process_loses_nothing() {
    let (fake, restart) = restarting().await;
    let (replays, _) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
    restart("a", 1_000_001);
    assert_eq!(replays.record(&proof(NOW, 2)).await.unwrap(), ReplayOutcome::New);
}

/// The reply to `SET` comes with the one to `GET`: a client that waits for it times out.
#[tokio::test]
async fn both_commands_are_sent_in_one_round_trip() {
    let mut written = Vec::new();
    let fake = FakeRedis::start(move |command| match command {
        [set, _, value, ..] if set == b"SET" => {
            written = value.clone();
            bytes("")
        }
        [get, _] if get == b"GET" => {
            let mut replies = b"+OK\r\n".to_vec();
            replies.extend(bulk(&written));
            bytes(replies)
        }
        _ => panic!("{command:?}"),
    });
    let fake = fake.await;
    let (replays, _) = replays(&fake, LONG);
    assert_eq!(replays.record(&proof(NOW, 1)).await.unwrap(), ReplayOutcome::New);
}
