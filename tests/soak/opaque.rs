//! Opaque tokens of an issuer that is asked about them: some are revoked, and it dies and comes back.
//!
//! "Active" holds for one second here. A request to the issuer takes at most three, and who asks meanwhile shares it: a
//! token may be accepted for so long after it was revoked, and no longer. While the issuer is gone, and until the pause
//! after it is over, a good token may be 503; it may never be 401.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use mcp_bearer::Issuer;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::testing::{Endpoint, TestIssuer};
use tokio::time::{Instant, sleep_until};

use super::ledger::{Ledger, Wrong};
use super::load::{Answer, Judge, Shown, accepted_in_the_end};
use super::outages::Outages;
use super::{RESOURCE, SCOPE};

const TOKENS: usize = 40;
const LOGGED: usize = 1_000;
const REVOCATION: Duration = Duration::from_millis(500);
const POSITIVE: Duration = Duration::from_secs(1);
/// The longest request, and a little for threads that wait for their turn.
const LONGEST: Duration = Duration::from_secs(4);
const OUTAGES: Outages =
    Outages { every: Duration::from_secs(20), from: Duration::from_secs(3), to: Duration::from_secs(5) };
/// After an outage that is shorter than the first pause of 5 s: that pause, the probe after it, and some grace.
const RECOVERED: Duration = Duration::from_secs(3 + 5 + 3 + 3);

pub struct Opaque {
    issuer: TestIssuer,
    begun: OnceLock<Instant>,
    tokens: RwLock<Tokens>,
}

#[derive(Default)]
struct Tokens {
    good: Vec<Arc<str>>,
    /// The last of them, and when they ceased to be good.
    revoked: Vec<(Arc<str>, Instant)>,
    revocations: usize,
}

/// What a token must come to.
pub enum About {
    Good,
    /// Good until then.
    Revoked(Instant),
    /// Never anything but refused.
    Bad,
}

impl Opaque {
    pub fn new() -> Self {
        let issuer = TestIssuer::builder("http://127.0.0.1:0").introspection_client("soak", "secret").serve().unwrap();
        let good = (0..TOKENS).map(|_| token(&issuer)).collect();
        let tokens = RwLock::new(Tokens { good, ..Tokens::default() });
        Self { issuer, begun: OnceLock::new(), tokens }
    }

    /// The load begins.
    pub fn begin(&self, at: Instant) {
        self.begun.set(at).unwrap();
    }

    fn begun(&self) -> Instant {
        *self.begun.get().unwrap()
    }

    pub fn trusted(&self) -> Issuer {
        let introspection = Introspection::new(ClientCredentials::basic("soak", "secret")).positive_cache(POSITIVE);
        Issuer::discover(self.issuer.url()).introspection(introspection)
    }

    /// Asks so often that the issuer's log, which keeps the last thousand requests, grows no longer.
    pub async fn fill_log(&self, client: &reqwest::Client) {
        let url = format!("{}/introspect", self.issuer.url());
        for _ in 0..LOGGED {
            let request = client.post(&url).basic_auth("soak", Some("secret")).form(&[("token", "unknown")]);
            drop(request.send().await.unwrap().bytes().await.unwrap());
        }
    }

    /// Revokes tokens, and goes away and comes back, until `end`.
    pub async fn drive(self: Arc<Self>, end: Instant) {
        let until = |at: Duration| sleep_until((self.begun() + at).min(end));
        let revocations = async {
            for number in 1.. {
                until(REVOCATION * number).await;
                if Instant::now() >= end {
                    break;
                }
                self.revoke_one();
            }
        };
        tokio::join!(revocations, OUTAGES.drive(&self.issuer, self.begun(), end));
    }

    fn revoke_one(&self) {
        let new = token(&self.issuer);
        let mut tokens = self.tokens.write().unwrap();
        let old = std::mem::replace(&mut tokens.good[fastrand::usize(0..TOKENS)], new);
        // Said after it is so: until then it may be accepted.
        self.issuer.revoke(&old);
        tokens.revoked.push((old, Instant::now()));
        tokens.revocations += 1;
        if tokens.revoked.len() > TOKENS {
            tokens.revoked.remove(0);
        }
    }

    pub fn calls(&self) -> String {
        let revocations = self.tokens.read().unwrap().revocations;
        let calls = self.issuer.requests(Endpoint::Introspection) - LOGGED;
        format!("{calls} introspections, {revocations} revocations")
    }

    /// Once a period for each token, once for each that is made up, and a few repetitions and probes.
    pub fn judge_calls(&self, ledger: &Ledger, elapsed: Duration) {
        let periods = usize::try_from(elapsed.as_secs()).unwrap() + 2;
        let revocations = self.tokens.read().unwrap().revocations;
        let most = TOKENS * periods + 2 * revocations + periods * TOKENS / 10 + ledger.shown("garbage") + 100;
        let calls = self.issuer.requests(Endpoint::Introspection) - LOGGED;
        assert!(calls <= most, "{calls} of {most} introspections");
    }

    pub async fn recover(&self, client: &reqwest::Client, url: &str) {
        let token = self.tokens.read().unwrap().good[0].clone();
        accepted_in_the_end(client, url, &token).await;
    }

    /// Whether the issuer was gone, or the pause for it lasted, at some moment of a request.
    fn was_away(&self, answer: &Answer) -> bool {
        let in_period = |at: Instant| {
            let since = at.saturating_duration_since(self.begun());
            OUTAGES.in_period(since)
        };
        let is_in = |at: Instant| (OUTAGES.from..OUTAGES.to + RECOVERED).contains(&in_period(at));
        is_in(answer.sent) || is_in(answer.answered)
    }
}

impl Judge for Opaque {
    type Token = About;

    fn draw(&self) -> Shown<About> {
        let shown = |kind, token: Arc<str>, about| Shown { kind, token: Some(token), about };
        let tokens = self.tokens.read().unwrap();
        match fastrand::u32(0..40) {
            0 => shown("garbage", format!("{:032x}", fastrand::u128(..)).into(), About::Bad),
            1 => Shown { kind: "nothing", token: None, about: About::Bad },
            2..=10 if !tokens.revoked.is_empty() => {
                let (token, at) = &tokens.revoked[fastrand::usize(0..tokens.revoked.len())];
                shown("revoked", Arc::clone(token), About::Revoked(*at))
            }
            _ => shown("active", tokens.good[fastrand::usize(0..TOKENS)].clone(), About::Good),
        }
    }

    fn judge(&self, about: &About, answer: &Answer) -> Result<(), Wrong> {
        let status = answer.status;
        let may_be_503 = answer.is_slow() || self.was_away(answer);
        match (about, status) {
            (About::Good, 200) | (About::Revoked(_) | About::Bad, 401) => Ok(()),
            (_, 503) if may_be_503 => Ok(()),
            (_, 503) => Err(Wrong::Refuse(format!("503 while the issuer is well: {answer:?}"))),
            // It may have been revoked since it was drawn.
            (About::Good, 401) if self.is_good_no_longer(answer) => Ok(()),
            (About::Good, _) => Err(Wrong::Refuse(format!("an active token: {answer:?}"))),
            (About::Revoked(at), 200) if answer.sent < *at + LONGEST.max(POSITIVE) => Ok(()),
            (About::Revoked(at), _) => {
                Err(Wrong::Accept(format!("revoked {:?} before: {answer:?}", answer.sent.duration_since(*at))))
            }
            (About::Bad, _) => Err(Wrong::Accept(format!("made up: {answer:?}"))),
        }
    }
}

impl Opaque {
    /// Whether some token was revoked while the request was under way: then it may have been this one.
    fn is_good_no_longer(&self, answer: &Answer) -> bool {
        self.tokens.read().unwrap().revoked.iter().any(|(_, at)| (answer.sent - MARGIN..=answer.answered).contains(at))
    }
}

fn token(issuer: &TestIssuer) -> Arc<str> {
    issuer.token().audience(RESOURCE).scope(SCOPE).expires_in(Duration::from_secs(3600)).opaque().into()
}

/// From when a token is drawn to when it is sent.
const MARGIN: Duration = Duration::from_millis(100);
