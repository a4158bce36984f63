//! JWTs of an issuer that rotates its keys every five seconds.
//!
//! | second | what happens |
//! |---|---|
//! | 2 + 5n | the n-th key starts to sign; the previous key stays in use for 5 s and published for 8 s |
//! | 2 | keys 1 to 7 are published when the first of them starts to sign: one fetch for an unknown key |
//! | 37 | the same with keys 8 to 22: another fetch |
//! | 2 + 5n, after that | key n + 15 is published, 75 s early; the scheduled fetches are at most 48 s apart |
//! | 3.5 to 5, then in every period of 20 s | the issuer is down |
//!
//! The rate limit for unknown keys allows two fetches at once, and one more each 30 s. Before second 62, only the two
//! unannounced rotations and one token with an unknown key id in the first outage use it. So a valid token is never
//! rejected. The server notices a removed key with the next fetch, at the latest with the second unannounced rotation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use mcp_bearer::Issuer;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, TestIssuer};
use tokio::time::{Instant, sleep_until};

use super::ledger::Wrong;
use super::load::{Answer, Drawn, Judge, accepted_eventually};
use super::outages::Outages;
use super::{RESOURCE, SCOPE};

const ROTATION: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(2);
const STILL_SENT: Duration = Duration::from_secs(5);
const STILL_PUBLISHED: Duration = Duration::from_secs(8);
/// The rotations to keys that were not published before: the number of the rotation, and the last new key.
const UNANNOUNCED: [(usize, usize); 2] = [(0, 7), (7, 22)];
const AHEAD: usize = 15;
const OUTAGES: Outages =
    Outages { every: Duration::from_secs(20), from: Duration::from_millis(3500), to: Duration::from_secs(5) };

pub struct Signed {
    issuer: TestIssuer,
    started: OnceLock<Instant>,
    keys: RwLock<Keys>,
    /// Whether the server has fetched a key set without the first keys.
    has_seen_removals: AtomicBool,
    always_invalid: Vec<(&'static str, u16, Arc<str>)>,
    unknown_key: Arc<str>,
}

/// Keys in the order in which they sign.
#[derive(Default)]
struct Keys {
    tokens: Vec<(String, Arc<str>)>,
    /// The number of the key that signs, counted from 1. Number 0 is the key before the first rotation.
    current: usize,
    rotated_at: Option<Instant>,
    /// How many keys are no longer published.
    removed: usize,
}

/// The expected result for a token.
pub enum Expected {
    /// The token is valid and signed by the key of this number.
    Valid(usize),
    /// The response always has this status.
    Always(u16),
    /// The key never existed, or the server has fetched a key set without it.
    UnknownKey,
}

impl Signed {
    pub fn new() -> Self {
        let issuer = TestIssuer::serve().unwrap();
        let foreign = TestIssuer::new("https://foreign.example.com");
        // The spare key is always published, so that its invalid tokens are rejected for one reason only.
        let (first, spare) = (issuer.key_id(), issuer.add_key(Algorithm::ES256));
        let token = || issuer.token().audience(RESOURCE).scope(SCOPE).key(&spare).expires_in(HOUR);
        let forged = foreign.token().audience(RESOURCE).scope(SCOPE).claim("iss", issuer.url()).expires_in(HOUR);
        let always_invalid = [
            ("expired", 401, token().expired().sign()),
            ("foreign", 401, foreign.token().audience(RESOURCE).scope(SCOPE).sign()),
            ("forged", 401, forged.header("kid", &*spare).sign()),
            ("other audience", 401, issuer.token().audience("https://other.example.com").key(&spare).sign()),
            ("no scope", 403, token().scope("other").sign()),
            ("garbage", 401, "garbage".to_owned()),
        ];
        let always_invalid = always_invalid.map(|(kind, status, token)| (kind, status, Arc::from(token))).to_vec();
        let unknown_key = token().header("kid", "unknown").sign().into();
        let keys = Keys { tokens: vec![signed(&issuer, first)], ..Keys::default() };
        let (keys, has_seen_removals) = (RwLock::new(keys), AtomicBool::new(false));
        Self { issuer, started: OnceLock::new(), keys, has_seen_removals, always_invalid, unknown_key }
    }

    /// Sets the start of the load.
    pub fn begin(&self, at: Instant) {
        self.started.set(at).unwrap();
    }

    fn started(&self) -> Instant {
        *self.started.get().unwrap()
    }

    pub fn trusted(&self) -> Issuer {
        Issuer::discover(self.issuer.url()).key_set_lifetime(Duration::from_secs(60))
    }

    /// Rotates keys, and stops and restarts the issuer, until `end`.
    pub async fn drive(self: Arc<Self>, end: Instant) {
        let until = |at: Duration| sleep_until((self.started() + at).min(end));
        let rotations = async {
            for number in 0.. {
                let at = FIRST + ROTATION * number;
                until(at).await;
                if Instant::now() >= end {
                    break;
                }
                self.rotate(number.try_into().unwrap());
                until(at + STILL_PUBLISHED - ROTATION).await;
                if number > 0 && Instant::now() < end {
                    self.remove_oldest();
                }
            }
        };
        tokio::join!(rotations, OUTAGES.drive(&self.issuer, self.started(), end));
    }

    fn rotate(&self, number: usize) {
        let last = UNANNOUNCED.iter().find(|(at, _)| *at == number).map(|(_, last)| *last);
        let last = last.unwrap_or(if number > UNANNOUNCED[1].0 { number + AHEAD } else { 0 });
        let published = self.keys.read().unwrap().tokens.len();
        // Signing takes time, so the tokens are signed before a sender can choose the keys.
        let new: Vec<_> =
            (published..=last).map(|_| signed(&self.issuer, self.issuer.add_key(Algorithm::ES256))).collect();
        let mut keys = self.keys.write().unwrap();
        keys.tokens.extend(new);
        keys.current = number + 1;
        keys.rotated_at = Some(Instant::now());
    }

    fn remove_oldest(&self) {
        let kid = {
            let mut keys = self.keys.write().unwrap();
            keys.removed += 1;
            keys.tokens[keys.removed - 1].0.clone()
        };
        self.issuer.remove_key(&kid);
    }

    pub fn fetches(&self) -> String {
        format!("{} fetches of the key set", self.issuer.requests(Endpoint::KeySet))
    }

    /// The limit is two fetches and one more each 30 s for unknown keys, one at the start, and one each 43 s. The
    /// server may retry each once.
    pub fn judge_fetches(&self, elapsed: Duration) {
        let periods = |seconds: u64| usize::try_from(elapsed.as_secs() / seconds).unwrap();
        let most = 2 * (2 + periods(30) + 1 + periods(43));
        assert!(self.issuer.requests(Endpoint::KeySet) <= most, "{}, but at most {most} are allowed", self.fetches());
    }

    pub async fn recover(&self, client: &reqwest::Client, url: &str) {
        let token = self.keys.read().unwrap().tokens.last().unwrap().1.clone();
        accepted_eventually(client, url, &token).await;
    }
}

impl Judge for Signed {
    type Token = Expected;

    fn draw(&self) -> Drawn<Expected> {
        let drawn = |kind, token: &Arc<str>, expected| Drawn { kind, token: Some(Arc::clone(token)), expected };
        let since = self.started().elapsed();
        let in_outage = OUTAGES.in_period(since);
        let is_down = in_outage > OUTAGES.from + MARGIN && in_outage < OUTAGES.to - MARGIN;
        let keys = self.keys.read().unwrap();
        match fastrand::u32(0..20) {
            0 => Drawn { kind: "no token", token: None, expected: Expected::Always(401) },
            1..=5 => {
                let (kind, status, token) = &self.always_invalid[fastrand::usize(0..self.always_invalid.len())];
                drawn(kind, token, Expected::Always(*status))
            }
            6 if is_down => drawn("unknown key", &self.unknown_key, Expected::UnknownKey),
            // Such tokens are sent only after the second unannounced rotation. Before it, they would use up its fetch.
            7 if keys.removed > 0 && self.has_seen_removals.load(Ordering::SeqCst) => {
                drawn("removed key", &keys.tokens[0].1, Expected::UnknownKey)
            }
            8..=10 if keys.current > 0 && keys.rotated_at.is_some_and(|at| at.elapsed() + MARGIN < STILL_SENT) => {
                let previous = keys.current - 1;
                drawn("previous key", &keys.tokens[previous].1, Expected::Valid(previous))
            }
            _ => drawn("current key", &keys.tokens[keys.current].1, Expected::Valid(keys.current)),
        }
    }

    fn judge(&self, expected: &Expected, answer: &Answer) -> Result<(), Wrong> {
        let status = answer.status;
        match expected {
            Expected::Valid(number) => {
                if status == 200 && *number > UNANNOUNCED[1].0 {
                    // Only key sets from after the second unannounced rotation contain this key, and some keys were
                    // removed by then.
                    self.has_seen_removals.store(true, Ordering::SeqCst);
                }
                // A slow machine may verify a token so late that its key is no longer published.
                let is_overdue = answer.answered.duration_since(answer.sent) > STILL_PUBLISHED - STILL_SENT;
                let is_right = status == 200 || is_overdue;
                is_right.then_some(()).ok_or_else(|| Wrong::Reject(format!("key {number}: {answer:?}")))
            }
            Expected::Always(expected) if status == 200 => Err(Wrong::Accept(format!("not {expected}: {answer:?}"))),
            Expected::Always(expected) if status == *expected => Ok(()),
            Expected::Always(expected) => Err(Wrong::Reject(format!("not {expected}: {answer:?}"))),
            Expected::UnknownKey if matches!(status, 401 | 503) => Ok(()),
            Expected::UnknownKey => Err(Wrong::Accept(format!("the key is not published: {answer:?}"))),
        }
    }
}

fn signed(issuer: &TestIssuer, kid: String) -> (String, Arc<str>) {
    let token = issuer.token().audience(RESOURCE).scope(SCOPE).key(&kid).expires_in(HOUR).sign();
    (kid, token.into())
}

/// The difference between two readings of the clock.
const MARGIN: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);
