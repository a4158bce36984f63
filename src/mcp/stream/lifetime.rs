use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::bearer::Guard;
use crate::claims::Claims;
use crate::clock::Clock;
use crate::events::{Event, ServerEvents, StreamEndReason};
use crate::mcp::scopes::{RequiredRules, Rules};
use crate::revocation::{RevocationDigests, RevocationList};
use crate::verify::{CheckFailure, OwnedCredential, PendingVerification, Verifier, VerifyErrorKind, VerifyResult};

/// Ready when the token of a response ends. The mutex is never locked. It only makes the body `Sync`, which some servers
/// require.
pub(in crate::mcp) struct TokenEnd(Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>);

/// How long a response may continue: as long as its access token is valid.
pub(in crate::mcp) struct TokenLifetime {
    pub(in crate::mcp) clock: Arc<dyn Clock>,
    pub(in crate::mcp) skew: Duration,
    /// When the token expires, since the Unix epoch; `None` if it does not say, or if responses may outlive it.
    pub(in crate::mcp) expires_at: Option<Duration>,
    pub(in crate::mcp) revalidation: Option<Revalidation>,
    /// `None` for a caller without a credential.
    pub(in crate::mcp) revocation: Option<RevocationWatch>,
    pub(in crate::mcp) events: Arc<ServerEvents>,
}

/// Compares a credential with the revocation list whenever the list changes.
pub(in crate::mcp) struct RevocationWatch {
    pub(in crate::mcp) list: Arc<RevocationList>,
    pub(in crate::mcp) credential: OwnedCredential,
    pub(in crate::mcp) claims: Claims,
}

/// Verifies a token again at an interval.
pub(in crate::mcp) struct Revalidation {
    interval: Duration,
    verifier: Arc<Verifier>,
    credential: OwnedCredential,
    guard: Arc<Guard>,
    rules: Arc<Rules>,
    required: RequiredRules,
    due: Instant,
    last_valid: Instant,
}

impl TokenEnd {
    pub(super) fn new(end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(end)))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl TokenLifetime {
    /// `None` if nothing can end the response.
    pub(in crate::mcp) fn end(mut self) -> Option<TokenEnd> {
        let can_end = self.expires_at.is_some() || self.revalidation.is_some() || self.revocation.is_some();
        can_end.then(|| {
            TokenEnd::new(async move {
                let (events, clock) = (Arc::clone(&self.events), Arc::clone(&self.clock));
                let mut revoked = pin!(self.revocation.take().map(|watch| watch.wait(clock)));
                let mut ended = pin!(self.wait());
                let reason = poll_fn(|cx| match revoked.as_mut().as_pin_mut().map(|revoked| revoked.poll(cx)) {
                    Some(Poll::Ready(())) => Poll::Ready(StreamEndReason::Revoked),
                    _ => ended.as_mut().poll(cx),
                });
                events.emit(&Event::StreamEnded(reason.await));
            })
        })
    }

    /// Waits until the token has expired, is invalid, or could not be verified for too long. Not until it is revoked.
    async fn wait(mut self) -> StreamEndReason {
        let mut pending: Option<PendingVerification> = None;
        loop {
            let outage_left = self.revalidation.as_ref().map_or(Duration::MAX, Revalidation::outage_left);
            if self.time_left().is_zero() {
                return StreamEndReason::Expired;
            }
            if outage_left.is_zero() {
                return StreamEndReason::Unverified;
            }
            let mut due_in = Duration::MAX;
            if let (Some(revalidation), None) = (&self.revalidation, &pending) {
                due_in = revalidation.due.saturating_duration_since(Instant::now());
                if due_in.is_zero() {
                    let verification = revalidation.verifier.verify(revalidation.credential.borrow());
                    pending = Some(Box::pin(verification.finish()));
                }
            }
            let time = self.time_left().min(outage_left).min(MAX_SLEEP);
            match &mut pending {
                None => sleep(time.min(due_in)).await,
                Some(verification) => {
                    let Ok(verified) = timeout(time, verification).await else { continue };
                    pending = None;
                    if let Err(reason) = self.may_continue(verified) {
                        return reason;
                    }
                }
            }
        }
    }

    /// Until the expiry plus the clock skew, as for a request.
    fn time_left(&self) -> Duration {
        let Some(expires_at) = self.expires_at else { return Duration::MAX };
        expires_at.saturating_add(self.skew).saturating_sub(self.clock.since_epoch())
    }

    /// Whether the result of a revalidation lets the response continue, and if not, why.
    fn may_continue(&mut self, verified: VerifyResult) -> Result<(), StreamEndReason> {
        let Some(revalidation) = &mut self.revalidation else { return Ok(()) };
        revalidation.schedule();
        let claims = match verified.map_err(|error| error.kind()) {
            Ok(claims) => claims,
            Err(VerifyErrorKind::Invalid(CheckFailure::Revoked)) => return Err(StreamEndReason::Revoked),
            Err(VerifyErrorKind::Invalid(_)) => return Err(StreamEndReason::Rejected),
            // The token could not be verified, which does not make it invalid.
            Err(VerifyErrorKind::Unavailable { .. } | VerifyErrorKind::Misconfigured) => return Ok(()),
        };
        let (scopes, guard) = (claims.scopes(), &revalidation.guard);
        if !guard.is_satisfied_by(scopes)
            || !revalidation.rules.are_met(&revalidation.required, scopes, &guard.hierarchy)
        {
            return Err(StreamEndReason::ScopeMissing);
        }
        revalidation.last_valid = Instant::now();
        // A response that may outlive its token keeps no expiry.
        if let (Some(expires_at), Some(later)) = (&mut self.expires_at, claims.exp()) {
            *expires_at = later;
        }
        Ok(())
    }
}

impl RevocationWatch {
    /// Waits until the credential is revoked. It does not poll: a new entry of the list wakes it. It waits a moment before it
    /// looks again, so that many revocations do not occupy a server with many streams.
    async fn wait(self, clock: Arc<dyn Clock>) {
        let Self { list, credential, claims } = self;
        // Before the first look, so that no entry is missed.
        let mut changes = list.subscribe();
        let mut digests = None;
        loop {
            if !list.is_empty() {
                let digests =
                    digests.get_or_insert_with(|| RevocationDigests::new(credential.borrow().as_bytes(), &claims));
                if list.has(digests, clock.since_epoch()) {
                    return;
                }
                sleep(REVOCATION_PAUSE).await;
            }
            if changes.changed().await.is_err() {
                // The list is gone, and with it all revocations.
                return pending().await;
            }
        }
    }
}

impl Revalidation {
    pub(in crate::mcp) fn new(
        interval: Duration,
        verifier: &Arc<Verifier>,
        credential: OwnedCredential,
        guard: &Arc<Guard>,
        rules: &Arc<Rules>,
        required: RequiredRules,
    ) -> Self {
        let now = Instant::now();
        let (verifier, guard, rules) = (Arc::clone(verifier), Arc::clone(guard), Arc::clone(rules));
        let mut revalidation =
            Self { interval, verifier, credential, guard, rules, required, due: now, last_valid: now };
        revalidation.schedule();
        revalidation
    }

    /// The time until a token that cannot be verified ends its response.
    fn outage_left(&self) -> Duration {
        self.interval.saturating_add(MAX_OUTAGE).saturating_sub(self.last_valid.elapsed())
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
/// The time between two looks into the revocation list, during a series of revocations. With 10,000 streams, they take some 5 %
/// of a core.
const REVOCATION_PAUSE: Duration = Duration::from_millis(100);
/// Spreads the streams that were opened at the same time.
const JITTER: f64 = 0.1;
