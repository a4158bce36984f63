//! Opaque tokens, which the server introspects. Some tokens are revoked, and the issuer fails and recovers.
//!
//! The server caches an active result for one second, and a request to the issuer takes three seconds at most.
//! Concurrent requests with the same token share one introspection. So a revoked token may still be accepted for a few
//! seconds, and no longer. While the issuer is down, and during the back-off after that, a valid token may get 503, but
//! never 401.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use mcp_bearer::Issuer;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::testing::{Endpoint, TestIssuer};
use tokio::time::{Instant, sleep_until};

use super::ledger::{Ledger, Wrong};
use super::load::{Answer, Drawn, Judge, accepted_eventually};
use super::outages::Outages;
use super::{RESOURCE, SCOPE};

const TOKENS: usize = 40;
const LOG_CAPACITY: usize = 1_000;
const REVOCATION: Duration = Duration::from_millis(500);
const POSITIVE: Duration = Duration::from_secs(1);
/// The longest introspection, and some time for threads that the machine runs late.
const LONGEST: Duration = Duration::from_secs(4);
const OUTAGES: Outages =
    Outages { every: Duration::from_secs(20), from: Duration::from_secs(3), to: Duration::from_secs(5) };
/// The first pause of the circuit breaker (5 s) is longer than an outage. The server recovers after that pause, one
/// probe, and some grace.
const RECOVERY: Duration = Duration::from_secs(3 + 5 + 3 + 3);

pub struct Opaque {
    issuer: TestIssuer,
    started: OnceLock<Instant>,
    tokens: RwLock<Tokens>,
}

#[derive(Default)]
struct Tokens {
    active: Vec<Arc<str>>,
    /// The tokens that were revoked last, and when.
    revoked: Vec<(Arc<str>, Instant)>,
    revocations: usize,
}

/// The expected result for a token.
pub enum Expected {
    Active,
    /// The issuer revoked the token at this time.
    Revoked(Instant),
    /// The token was never active.
    Inactive,
}

impl Opaque {
    pub fn new() -> Self {
        let issuer = TestIssuer::builder("http://127.0.0.1:0").introspection_client("soak", "secret").serve().unwrap();
        let active = (0..TOKENS).map(|_| token(&issuer)).collect();
        let tokens = RwLock::new(Tokens { active, ..Tokens::default() });
        Self { issuer, started: OnceLock::new(), tokens }
    }

    /// Sets the start of the load.
    pub fn begin(&self, at: Instant) {
        self.started.set(at).unwrap();
    }

    fn started(&self) -> Instant {
        *self.started.get().unwrap()
    }

    pub fn trusted(&self) -> Issuer {
        let introspection = Introspection::new(ClientCredentials::basic("soak", "secret")).positive_cache(POSITIVE);
        Issuer::discover(self.issuer.url()).introspect_all(introspection)
    }

    /// Fills the log of the test issuer, which keeps the last thousand requests, so that it does not grow later.
    pub async fn fill_log(&self, client: &reqwest::Client) {
        let url = format!("{}/introspect", self.issuer.url());
        for _ in 0..LOG_CAPACITY {
            let request = client.post(&url).basic_auth("soak", Some("secret")).form(&[("token", "unknown")]);
            drop(request.send().await.unwrap().bytes().await.unwrap());
        }
    }

    /// Revokes tokens, and stops and restarts the issuer, until `end`.
    pub async fn drive(self: Arc<Self>, end: Instant) {
        let until = |at: Duration| sleep_until((self.started() + at).min(end));
        let revocations = async {
            for number in 1.. {
                until(REVOCATION * number).await;
                if Instant::now() >= end {
                    break;
                }
                self.revoke_one();
            }
        };
        tokio::join!(revocations, OUTAGES.drive(&self.issuer, self.started(), end));
    }

    fn revoke_one(&self) {
        let new = token(&self.issuer);
        let mut tokens = self.tokens.write().unwrap();
        let old = std::mem::replace(&mut tokens.active[fastrand::usize(0..TOKENS)], new);
        // The time is taken after the revocation, because the token may be accepted until then.
        self.issuer.revoke(&old);
        tokens.revoked.push((old, Instant::now()));
        tokens.revocations += 1;
        if tokens.revoked.len() > TOKENS {
            tokens.revoked.remove(0);
        }
    }

    pub fn calls(&self) -> String {
        let revocations = self.tokens.read().unwrap().revocations;
        let calls = self.issuer.requests(Endpoint::Introspection) - LOG_CAPACITY;
        format!("{calls} introspections, {revocations} revocations")
    }

    /// The limit is one introspection per token and second, one for each random token, and a few retries and probes.
    pub fn judge_calls(&self, ledger: &Ledger, elapsed: Duration) {
        let periods = usize::try_from(elapsed.as_secs()).unwrap() + 2;
        let revocations = self.tokens.read().unwrap().revocations;
        let most = TOKENS * periods + 2 * revocations + periods * TOKENS / 10 + ledger.sent("garbage") + 100;
        let calls = self.issuer.requests(Endpoint::Introspection) - LOG_CAPACITY;
        assert!(calls <= most, "{calls} introspections, but at most {most} are allowed");
    }

    pub async fn recover(&self, client: &reqwest::Client, url: &str) {
        let token = self.tokens.read().unwrap().active[0].clone();
        accepted_eventually(client, url, &token).await;
    }

    /// Returns whether the issuer was down, or the circuit breaker was open, at some time of a request.
    fn was_down(&self, answer: &Answer) -> bool {
        let in_period = |at: Instant| {
            let since = at.saturating_duration_since(self.started());
            OUTAGES.in_period(since)
        };
        let is_in = |at: Instant| (OUTAGES.from..OUTAGES.to + RECOVERY).contains(&in_period(at));
        is_in(answer.sent) || is_in(answer.answered)
    }
}

impl Judge for Opaque {
    type Token = Expected;

    fn draw(&self) -> Drawn<Expected> {
        let drawn = |kind, token: Arc<str>, expected| Drawn { kind, token: Some(token), expected };
        let tokens = self.tokens.read().unwrap();
        match fastrand::u32(0..40) {
            0 => drawn("garbage", format!("{:032x}", fastrand::u128(..)).into(), Expected::Inactive),
            1 => Drawn { kind: "no token", token: None, expected: Expected::Inactive },
            2..=10 if !tokens.revoked.is_empty() => {
                let (token, at) = &tokens.revoked[fastrand::usize(0..tokens.revoked.len())];
                drawn("revoked", Arc::clone(token), Expected::Revoked(*at))
            }
            _ => drawn("active", tokens.active[fastrand::usize(0..TOKENS)].clone(), Expected::Active),
        }
    }

    fn judge(&self, expected: &Expected, answer: &Answer) -> Result<(), Wrong> {
        let status = answer.status;
        let may_be_503 = answer.is_slow() || self.was_down(answer);
        match (expected, status) {
            (Expected::Active, 200) | (Expected::Revoked(_) | Expected::Inactive, 401) => Ok(()),
            (_, 503) if may_be_503 => Ok(()),
            (_, 503) => Err(Wrong::Reject(format!("503 while the issuer is available: {answer:?}"))),
            // The token may have been revoked after the sender chose it.
            (Expected::Active, 401) if self.may_be_revoked(answer) => Ok(()),
            (Expected::Active, _) => Err(Wrong::Reject(format!("an active token: {answer:?}"))),
            (Expected::Revoked(at), 200) if answer.sent < *at + LONGEST.max(POSITIVE) => Ok(()),
            (Expected::Revoked(at), _) => Err(Wrong::Accept(format!(
                "revoked {:?} before the request: {answer:?}",
                answer.sent.duration_since(*at)
            ))),
            (Expected::Inactive, _) => Err(Wrong::Accept(format!("a random token: {answer:?}"))),
        }
    }
}

impl Opaque {
    /// Returns whether a token was revoked while the request was in flight. That token may have been the token of this
    /// request.
    fn may_be_revoked(&self, answer: &Answer) -> bool {
        self.tokens.read().unwrap().revoked.iter().any(|(_, at)| (answer.sent - MARGIN..=answer.answered).contains(at))
    }
}

fn token(issuer: &TestIssuer) -> Arc<str> {
    issuer.token().audience(RESOURCE).scope(SCOPE).expires_in(Duration::from_secs(3600)).opaque().into()
}

/// The time from the choice of a token to its request.
const MARGIN: Duration = Duration::from_millis(100);
