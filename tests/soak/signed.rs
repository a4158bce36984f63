//! JWTs of an issuer that rotates its keys every five seconds.
//!
//! | second | what happens |
//! |---|---|
//! | 2 + 5n | the n-th key begins to sign; the one before is shown for 5 s more, and published for 8 s more |
//! | 2 | keys 1 to 7 are published in the moment when the first of them signs: one fetch for an unknown key |
//! | 37 | the same with keys 8 to 22: another |
//! | 2 + 5n, after that | key n + 15 is published: 75 s ahead, and a scheduled fetch comes after 48 s at the latest |
//! | 3.5 to 5, then in every period of 20 s | the issuer is gone |
//!
//! Two fetches for unknown keys at once, and one more each half minute, is what the server is allowed: the two surprises
//! and one stranger in the first outage are all that it has before second 62, so that none of the good tokens may ever be
//! refused. A key that is removed is noticed by the next fetch: the second surprise at the latest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use mcp_bearer::Issuer;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, TestIssuer};
use tokio::time::{Instant, sleep_until};

use super::ledger::Wrong;
use super::load::{Answer, Judge, Shown, accepted_in_the_end};
use super::outages::Outages;
use super::{RESOURCE, SCOPE};

const ROTATION: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(2);
const STILL_SHOWN: Duration = Duration::from_secs(5);
const STILL_PUBLISHED: Duration = Duration::from_secs(8);
/// Rotations to keys that nobody has heard of: by number.
const SURPRISES: [(usize, usize); 2] = [(0, 7), (7, 22)];
const AHEAD: usize = 15;
const OUTAGES: Outages =
    Outages { every: Duration::from_secs(20), from: Duration::from_millis(3500), to: Duration::from_secs(5) };

pub struct Signed {
    issuer: TestIssuer,
    begun: OnceLock<Instant>,
    keys: RwLock<Keys>,
    /// Whether the server has a set from after the first keys were removed.
    has_seen_removals: AtomicBool,
    always_bad: Vec<(&'static str, u16, Arc<str>)>,
    strange: Arc<str>,
}

/// Keys in the order in which they sign.
#[derive(Default)]
struct Keys {
    tokens: Vec<(String, Arc<str>)>,
    /// The number of the one that signs, counted from 1; 0 is the one from before.
    current: usize,
    rotated_at: Option<Instant>,
    /// So many are published no longer.
    removed: usize,
}

/// What a token must come to.
pub enum About {
    /// Good, by the key of this number.
    Good(usize),
    /// Never anything but this.
    Always(u16),
    /// Of a key that never was, or is published no longer and the server has heard of that.
    Strange,
}

impl Signed {
    pub fn new() -> Self {
        let issuer = TestIssuer::serve().unwrap();
        let foreign = TestIssuer::new("https://foreign.example.com");
        // Published for ever, so that what it signs is refused for one reason only.
        let (first, spare) = (issuer.key_id(), issuer.add_key(Algorithm::ES256));
        let good = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).scope(SCOPE).sign();
        let token = || issuer.token().audience(RESOURCE).scope(SCOPE).key(&spare).expires_in(HOUR);
        let forged = foreign.token().audience(RESOURCE).scope(SCOPE).claim("iss", issuer.url()).expires_in(HOUR);
        let always_bad = [
            ("expired", 401, token().expired().sign()),
            ("foreign", 401, good(&foreign)),
            ("forged", 401, forged.header("kid", &*spare).sign()),
            ("other audience", 401, issuer.token().audience("https://other.example.com").key(&spare).sign()),
            ("no scope", 403, token().scope("other").sign()),
            ("garbage", 401, "garbage".to_owned()),
        ];
        let always_bad = always_bad.map(|(kind, status, token)| (kind, status, Arc::from(token))).to_vec();
        let strange = token().header("kid", "stranger").sign().into();
        let keys = Keys { tokens: vec![signed(&issuer, first)], ..Keys::default() };
        let (keys, has_seen_removals) = (RwLock::new(keys), AtomicBool::new(false));
        Self { issuer, begun: OnceLock::new(), keys, has_seen_removals, always_bad, strange }
    }

    /// The load begins.
    pub fn begin(&self, at: Instant) {
        self.begun.set(at).unwrap();
    }

    fn begun(&self) -> Instant {
        *self.begun.get().unwrap()
    }

    pub fn trusted(&self) -> Issuer {
        Issuer::discover(self.issuer.url()).key_set_lifetime(Duration::from_secs(60))
    }

    /// Rotates keys, and goes away and comes back, until `end`.
    pub async fn drive(self: Arc<Self>, end: Instant) {
        let until = |at: Duration| sleep_until((self.begun() + at).min(end));
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
        tokio::join!(rotations, OUTAGES.drive(&self.issuer, self.begun(), end));
    }

    fn rotate(&self, number: usize) {
        let last = SURPRISES.iter().find(|(at, _)| *at == number).map(|(_, last)| *last);
        let last = last.unwrap_or(if number > SURPRISES[1].0 { number + AHEAD } else { 0 });
        let published = self.keys.read().unwrap().tokens.len();
        // Signing takes time: it is done before anybody can see the keys.
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

    /// Two and one more each half minute for unknown keys, one at the start and one each 43 s; each may be repeated.
    pub fn judge_fetches(&self, elapsed: Duration) {
        let periods = |seconds: u64| usize::try_from(elapsed.as_secs() / seconds).unwrap();
        let most = 2 * (2 + periods(30) + 1 + periods(43));
        assert!(self.issuer.requests(Endpoint::KeySet) <= most, "{} of {most}", self.fetches());
    }

    pub async fn recover(&self, client: &reqwest::Client, url: &str) {
        let token = self.keys.read().unwrap().tokens.last().unwrap().1.clone();
        accepted_in_the_end(client, url, &token).await;
    }
}

impl Judge for Signed {
    type Token = About;

    fn draw(&self) -> Shown<About> {
        let shown = |kind, token: &Arc<str>, about| Shown { kind, token: Some(Arc::clone(token)), about };
        let since = self.begun().elapsed();
        let in_outage = OUTAGES.in_period(since);
        let is_away = in_outage > OUTAGES.from + MARGIN && in_outage < OUTAGES.to - MARGIN;
        let keys = self.keys.read().unwrap();
        match fastrand::u32(0..20) {
            0 => Shown { kind: "nothing", token: None, about: About::Always(401) },
            1..=5 => {
                let (kind, status, token) = &self.always_bad[fastrand::usize(0..self.always_bad.len())];
                shown(kind, token, About::Always(*status))
            }
            6 if is_away => shown("stranger", &self.strange, About::Strange),
            // Once for the second surprise is over: before it, such a token would have its permit.
            7 if keys.removed > 0 && self.has_seen_removals.load(Ordering::SeqCst) => {
                shown("removed", &keys.tokens[0].1, About::Strange)
            }
            8..=10 if keys.current > 0 && keys.rotated_at.is_some_and(|at| at.elapsed() + MARGIN < STILL_SHOWN) => {
                let previous = keys.current - 1;
                shown("previous key", &keys.tokens[previous].1, About::Good(previous))
            }
            _ => shown("current key", &keys.tokens[keys.current].1, About::Good(keys.current)),
        }
    }

    fn judge(&self, about: &About, answer: &Answer) -> Result<(), Wrong> {
        let status = answer.status;
        match about {
            About::Good(number) => {
                if status == 200 && *number > SURPRISES[1].0 {
                    // Such a key is in no set from before the second surprise, and some were removed by then.
                    self.has_seen_removals.store(true, Ordering::SeqCst);
                }
                // A token that was shown long ago may have lost its key while a slow machine thought about it.
                let is_overdue = answer.answered.duration_since(answer.sent) > STILL_PUBLISHED - STILL_SHOWN;
                let is_right = status == 200 || is_overdue;
                is_right.then_some(()).ok_or_else(|| Wrong::Refuse(format!("key {number}: {answer:?}")))
            }
            About::Always(expected) if status == 200 => Err(Wrong::Accept(format!("not {expected}: {answer:?}"))),
            About::Always(expected) if status == *expected => Ok(()),
            About::Always(expected) => Err(Wrong::Refuse(format!("not {expected}: {answer:?}"))),
            About::Strange if matches!(status, 401 | 503) => Ok(()),
            About::Strange => Err(Wrong::Accept(format!("no such key: {answer:?}"))),
        }
    }
}

fn signed(issuer: &TestIssuer, kid: String) -> (String, Arc<str>) {
    let token = issuer.token().audience(RESOURCE).scope(SCOPE).key(&kid).expires_in(HOUR).sign();
    (kid, token.into())
}

/// Between what two clocks of one machine call now.
const MARGIN: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);
