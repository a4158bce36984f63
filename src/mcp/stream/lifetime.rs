use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::bearer::{AuthInfo, BearerToken};
use crate::clock::Clock;
use crate::mcp::scopes::{RequiredRules, Rules};
use crate::verify::{PendingVerification, Verification, Verified, Verifier, VerifyErrorKind};

/// For how long an answer may go on: as long as the token that it was given for.
pub(in crate::mcp) struct TokenLifetime {
    clock: Arc<dyn Clock>,
    skew: Duration,
    /// When the token expires; `None` if nobody says.
    expires_at: Option<Duration>,
    revalidation: Option<Revalidation>,
    /// Set when the body is first waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Asks again and again whether a token is still good, with the verifier that let it in.
pub(in crate::mcp) struct Revalidation {
    interval: Duration,
    verifier: Arc<Verifier>,
    token: BearerToken,
    auth: AuthInfo,
    rules: Arc<Rules>,
    needs: RequiredRules,
    due: Instant,
    /// When the token was last found good.
    judged_at: Instant,
    /// Locked by nobody: behind a lock it can be shared, which bodies often must.
    pending: Option<Mutex<PendingVerification>>,
}

impl TokenLifetime {
    /// `None` if there is nothing that could end it.
    pub(in crate::mcp) fn new(
        clock: &Arc<dyn Clock>,
        skew: Duration,
        expires_at: Option<Duration>,
        revalidation: Option<Revalidation>,
    ) -> Option<Self> {
        let ends = expires_at.is_some() || revalidation.is_some();
        ends.then(|| Self { clock: Arc::clone(clock), skew, expires_at, revalidation, alarm: None })
    }

    /// Ready when it is over. Between two alarms nothing is looked at.
    pub(in crate::mcp) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(Poll::Ready(verdict)) = self.revalidation.as_mut().and_then(|asked| asked.poll_answer(cx)) {
                if self.is_ended_by(verdict) {
                    return Poll::Ready(());
                }
                self.set_alarm();
            }
            let Some(alarm) = &mut self.alarm else {
                // It may be over already.
                self.alarm = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
                continue;
            };
            ready!(alarm.as_mut().poll(cx));
            if self.time_left().is_some_and(|left| left.is_zero()) {
                return Poll::Ready(());
            }
            if self.revalidation.as_ref().is_some_and(Revalidation::is_overdue) {
                tracing::debug!(target: "mcp_bearer", "the token of a stream could not be judged for too long");
                return Poll::Ready(());
            }
            if let Some(verdict) = self.revalidation.as_mut().and_then(Revalidation::ask_if_due)
                && self.is_ended_by(verdict)
            {
                return Poll::Ready(());
            }
            self.set_alarm();
        }
    }

    fn is_ended_by(&mut self, verdict: Verdict) -> bool {
        // One that may outlive its token has no expiry to be put off.
        if let (Verdict::Good { expires_at: Some(later) }, Some(expires_at)) = (&verdict, &mut self.expires_at) {
            *expires_at = *later;
        }
        matches!(verdict, Verdict::Ended)
    }

    /// As for a request: the token is good until `exp` plus skew.
    fn time_left(&self) -> Option<Duration> {
        let end = self.expires_at?.saturating_add(self.skew);
        Some(end.saturating_sub(self.clock.since_epoch()))
    }

    /// For the next moment at which something may be over. The wall clock may be set and the machine may sleep, so that
    /// the time that is left is looked at every now and then.
    fn set_alarm(&mut self) {
        let now = Instant::now();
        let expiry = self.time_left().map(|left| left.min(LONGEST_NAP));
        let question = self.revalidation.as_ref().filter(|asked| asked.pending.is_none());
        let question = question.map(|asked| asked.due.saturating_duration_since(now));
        let overdue = self.revalidation.as_ref().map(|asked| asked.overdue_at().saturating_duration_since(now));
        let nap = expiry.into_iter().chain(question).chain(overdue).min().unwrap_or(LONGEST_NAP);
        if let Some(alarm) = &mut self.alarm {
            alarm.as_mut().reset(now.checked_add(nap).unwrap_or(now));
        }
    }
}

enum Verdict {
    Good {
        expires_at: Option<Duration>,
    },
    Ended,
    /// An outage, which is never mistaken for a bad token.
    Unknown,
}

impl Revalidation {
    pub(in crate::mcp) fn new(
        interval: Duration,
        verifier: &Arc<Verifier>,
        token: BearerToken,
        auth: &AuthInfo,
        rules: &Arc<Rules>,
        needs: RequiredRules,
    ) -> Self {
        let mut revalidation = Self {
            interval,
            verifier: Arc::clone(verifier),
            token,
            auth: auth.clone(),
            rules: Arc::clone(rules),
            needs,
            due: Instant::now(),
            judged_at: Instant::now(),
            pending: None,
        };
        revalidation.put_off();
        revalidation
    }

    /// Asks if it is time to; `None` if the answer is not at hand.
    fn ask_if_due(&mut self) -> Option<Verdict> {
        if self.pending.is_some() || Instant::now() < self.due {
            return None;
        }
        match self.verifier.verify(self.token.as_bytes()) {
            Verification::Done(verified) => Some(self.judge(verified)),
            Verification::Pending(verification) => {
                self.pending = Some(Mutex::new(verification));
                None
            }
        }
    }

    /// The answer to what was asked; `None` if nothing was.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Option<Poll<Verdict>> {
        let pending = self.pending.as_mut()?.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Poll::Ready(verified) = pending.as_mut().poll(cx) else { return Some(Poll::Pending) };
        self.pending = None;
        Some(Poll::Ready(self.judge(verified)))
    }

    fn judge(&mut self, verified: Verified) -> Verdict {
        self.put_off();
        let claims = match verified {
            Ok(claims) => claims,
            Err(error) => {
                return match error.kind() {
                    VerifyErrorKind::Invalid(_) => Verdict::Ended,
                    VerifyErrorKind::Unavailable { .. } | VerifyErrorKind::Misconfigured => Verdict::Unknown,
                };
            }
        };
        let auth = AuthInfo::new(claims, Arc::clone(self.auth.guard()));
        let (scopes, guard) = (auth.scopes(), auth.guard());
        let is_enough = guard.required.is_met(scopes, &guard.hierarchy)
            && self.rules.are_met(&self.needs, scopes, &guard.hierarchy);
        if !is_enough {
            return Verdict::Ended;
        }
        self.judged_at = Instant::now();
        Verdict::Good { expires_at: auth.expires_since_epoch() }
    }

    /// When a token that nobody could judge counts as one that is not good any more.
    fn overdue_at(&self) -> Instant {
        let longest = self.interval.saturating_add(LONGEST_OUTAGE);
        self.judged_at.checked_add(longest).unwrap_or(self.judged_at)
    }

    fn is_overdue(&self) -> bool {
        Instant::now() >= self.overdue_at()
    }

    /// Up to a tenth earlier than asked for, so that many streams do not ask at once.
    fn put_off(&mut self) {
        let interval = self.interval.mul_f64(1.0 - fastrand::f64() * JITTER);
        self.due = Instant::now().checked_add(interval).unwrap_or(self.due);
    }
}

/// How late an end may come on a machine whose clock was set or that slept: as much as clocks may differ anyway.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// For how long, beyond the interval, a stream continues while its token cannot be judged: as long as keys serve in an outage.
const LONGEST_OUTAGE: Duration = Duration::from_secs(3_600);
/// Enough to spread what was opened at once, little enough to keep to what was asked for.
const JITTER: f64 = 0.1;
