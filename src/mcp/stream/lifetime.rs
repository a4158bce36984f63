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

/// How long a response may continue: as long as its access token is valid.
pub(in crate::mcp) struct TokenLifetime {
    clock: Arc<dyn Clock>,
    skew: Duration,
    /// When the token expires, since the Unix epoch; `None` if it does not say, or if responses may outlive it.
    expires_at: Option<Duration>,
    revalidation: Option<Revalidation>,
    /// Fires when something may have changed. Set when the body is first polled.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Verifies a token again at an interval.
pub(in crate::mcp) struct Revalidation {
    interval: Duration,
    verifier: Arc<Verifier>,
    token: BearerToken,
    auth: AuthInfo,
    rules: Arc<Rules>,
    required: RequiredRules,
    due: Instant,
    last_valid: Instant,
    /// It is never locked. The mutex only makes the body `Sync`, which some servers require.
    pending: Option<Mutex<PendingVerification>>,
}

/// The result of one revalidation.
enum Revalidated {
    Valid {
        expires_at: Option<Duration>,
    },
    Invalid,
    /// The token could not be verified, which does not make it invalid.
    Unknown,
}

impl TokenLifetime {
    /// `None` if nothing can end the response.
    pub(in crate::mcp) fn new(
        clock: &Arc<dyn Clock>,
        skew: Duration,
        expires_at: Option<Duration>,
        revalidation: Option<Revalidation>,
    ) -> Option<Self> {
        let can_end = expires_at.is_some() || revalidation.is_some();
        can_end.then(|| Self { clock: Arc::clone(clock), skew, expires_at, revalidation, timer: None })
    }

    /// Ready once the token has expired, is invalid, or could not be verified for too long.
    pub(in crate::mcp) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(Poll::Ready(result)) = self.revalidation.as_mut().and_then(|asked| asked.poll_pending(cx)) {
                if self.is_ended_by(&result) {
                    return Poll::Ready(());
                }
                self.reset_timer();
            }
            let Some(timer) = &mut self.timer else {
                // The token may have expired before the body was polled.
                self.timer = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
                continue;
            };
            ready!(timer.as_mut().poll(cx));
            if self.time_left().is_some_and(|left| left.is_zero()) {
                return Poll::Ready(());
            }
            if self.revalidation.as_ref().is_some_and(|asked| Instant::now() >= asked.outage_ends_at()) {
                tracing::debug!(target: "mcp_bearer", "a streaming response ends: its token could not be verified for too long");
                return Poll::Ready(());
            }
            if let Some(result) = self.revalidation.as_mut().and_then(Revalidation::start_if_due)
                && self.is_ended_by(&result)
            {
                return Poll::Ready(());
            }
            self.reset_timer();
        }
    }

    fn is_ended_by(&mut self, result: &Revalidated) -> bool {
        // A response that may outlive its token keeps no expiry.
        if let (Revalidated::Valid { expires_at: Some(later) }, Some(expires_at)) = (result, &mut self.expires_at) {
            *expires_at = *later;
        }
        matches!(result, Revalidated::Invalid)
    }

    /// Until `exp` plus the clock skew, as for a request.
    fn time_left(&self) -> Option<Duration> {
        let end = self.expires_at?.saturating_add(self.skew);
        Some(end.saturating_sub(self.clock.since_epoch()))
    }

    /// Sets the timer to the next moment at which the response may end or a revalidation is due.
    fn reset_timer(&mut self) {
        let now = Instant::now();
        let expiry = self.time_left().map(|left| left.min(MAX_SLEEP));
        let due = self.revalidation.as_ref().filter(|asked| asked.pending.is_none());
        let due = due.map(|asked| asked.due.saturating_duration_since(now));
        let outage = self.revalidation.as_ref().map(|asked| asked.outage_ends_at().saturating_duration_since(now));
        let sleep = expiry.into_iter().chain(due).chain(outage).min().unwrap_or(MAX_SLEEP);
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(now.checked_add(sleep).unwrap_or(now));
        }
    }
}

impl Revalidation {
    pub(in crate::mcp) fn new(
        interval: Duration,
        verifier: &Arc<Verifier>,
        token: BearerToken,
        auth: &AuthInfo,
        rules: &Arc<Rules>,
        required: RequiredRules,
    ) -> Self {
        let mut revalidation = Self {
            interval,
            verifier: Arc::clone(verifier),
            token,
            auth: auth.clone(),
            rules: Arc::clone(rules),
            required,
            due: Instant::now(),
            last_valid: Instant::now(),
            pending: None,
        };
        revalidation.schedule();
        revalidation
    }

    /// Starts a verification if it is due; `None` if none is due or its result is not available yet.
    fn start_if_due(&mut self) -> Option<Revalidated> {
        if self.pending.is_some() || Instant::now() < self.due {
            return None;
        }
        match self.verifier.verify(self.token.as_bytes()) {
            Verification::Done(verified) => Some(self.result(verified)),
            Verification::Pending(verification) => {
                self.pending = Some(Mutex::new(verification));
                None
            }
        }
    }

    /// The result of the pending verification; `None` if none is pending.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Option<Poll<Revalidated>> {
        let pending = self.pending.as_mut()?.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Poll::Ready(verified) = pending.as_mut().poll(cx) else { return Some(Poll::Pending) };
        self.pending = None;
        Some(Poll::Ready(self.result(verified)))
    }

    fn result(&mut self, verified: Verified) -> Revalidated {
        self.schedule();
        let claims = match verified.map_err(|error| error.kind()) {
            Ok(claims) => claims,
            Err(VerifyErrorKind::Invalid(_)) => return Revalidated::Invalid,
            Err(VerifyErrorKind::Unavailable { .. } | VerifyErrorKind::Misconfigured) => return Revalidated::Unknown,
        };
        let auth = AuthInfo::new(claims, Arc::clone(self.auth.guard()));
        let (scopes, guard) = (auth.scopes(), auth.guard());
        let is_sufficient = guard.required.is_met(scopes, &guard.hierarchy)
            && self.rules.are_met(&self.required, scopes, &guard.hierarchy);
        if !is_sufficient {
            return Revalidated::Invalid;
        }
        self.last_valid = Instant::now();
        Revalidated::Valid { expires_at: auth.expires_since_epoch() }
    }

    /// When a token that cannot be verified ends its response.
    fn outage_ends_at(&self) -> Instant {
        let longest = self.interval.saturating_add(MAX_OUTAGE);
        self.last_valid.checked_add(longest).unwrap_or(self.last_valid)
    }

    /// Sets the next revalidation, up to a tenth of the interval early, so that streams are spread.
    fn schedule(&mut self) {
        let interval = self.interval.mul_f64(1.0 - fastrand::f64() * JITTER);
        self.due = Instant::now().checked_add(interval).unwrap_or(self.due);
    }
}

/// The longest sleep. The clock may be set and the machine may be suspended, and a response then ends this much late at most.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// How long, beyond the interval, a response continues while its token cannot be verified: as long as a cached key set serves.
const MAX_OUTAGE: Duration = Duration::from_secs(3_600);
/// Spreads the streams that were opened at the same time.
const JITTER: f64 = 0.1;
