//! Whether an endpoint can introspect tokens: discovery of the endpoint, and a check of the client credentials with a made-up
//! token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Introspector, Sent, TokenStatus};
use crate::clock::Clock;
use crate::crypto::random;
use crate::events::{Event, Failed, Severity, VerificationPurpose};
use crate::http_client::{BackOff, FetchError, FetchErrorKind, SingleFlight};
use crate::introspection::breaker::Outcome;
use crate::introspection::call::{CallError, IntrospectionClient};
use crate::introspection::endpoint_problem::endpoint_problem;
use crate::log::Cause;

/// Whether an issuer's tokens can be introspected; see [`IssuerHealth::introspection`](crate::server::IssuerHealth::introspection).
///
/// Serialised, it is the name of the variant in snake case, for example `"credentials_rejected"`.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntrospectionState {
    /// The issuer's tokens are not introspected, and its [`TokenVerifier`](crate::verify::TokenVerifier) has no
    /// [limits](crate::Issuer::verifier_limits).
    NotUsed,
    /// The endpoint is not discovered yet. Not ready.
    EndpointUnknown,
    /// The endpoint is known. Whether it accepts the client credentials is not known: no token was introspected yet, or the
    /// response to a made-up token shows nothing. If its URL is configured, the log says what came. Ready.
    Unconfirmed,
    /// The endpoint has introspected a token, so it accepts the client credentials. Ready.
    Ready,
    /// The circuit breaker is open after failures of the endpoint, so no request is sent for some seconds. Not ready.
    Suspended,
    /// The endpoint rejects the client credentials with `invalid_client` or `unauthorized_client`, or this server does not have
    /// them: a function or a file gives no secret. Not ready.
    CredentialsRejected,
}

impl IntrospectionState {
    /// Whether tokens can be introspected, as far as that is known.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::NotUsed | Self::Unconfirmed | Self::Ready)
    }
}

/// The checks of the client credentials and of the endpoint.
pub(super) struct CredentialChecks {
    flights: SingleFlight<(), Result<(), Arc<FetchError>>>,
    progress: Mutex<CheckProgress>,
}

#[derive(Default)]
struct CheckProgress {
    /// Whether a made-up token was sent.
    is_sent: bool,
    /// Whether the log has the warning about a response that shows nothing.
    has_warned: bool,
    /// The pause before the next check in the background.
    back_off: BackOff,
}

impl CredentialChecks {
    pub(super) fn new() -> Self {
        Self { flights: SingleFlight::new(), progress: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, CheckProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Introspector {
    /// Discovers the endpoint and checks the client credentials, and waits for both. An error means that the endpoint is not
    /// known, that it rejects the credentials, or that a configured URL does not introspect. Code of the application needs none of
    /// this.
    pub(crate) async fn warm_up(self: &Arc<Self>, clock: &Arc<dyn Clock>) -> Result<(), Arc<FetchError>> {
        let Some(client) = self.endpoint() else { return Ok(()) };
        client.find_endpoint().await?;
        let mut checked = Ok(());
        if self.state() != IntrospectionState::Ready {
            let limit = self.limits.max_wait.saturating_add(self.limits.time_limit).saturating_add(CHECK_MARGIN);
            let check = || Arc::clone(self).check_credentials(Arc::clone(clock));
            // If the check does not end, it shows nothing.
            checked = self.checks.flights.join((), limit, check).await.unwrap_or(Ok(()));
        }
        match self.state() {
            IntrospectionState::CredentialsRejected => self.last_error().map_or(Ok(()), Err),
            // Another token may have been introspected during the check.
            IntrospectionState::Ready => Ok(()),
            _ => checked,
        }
    }

    /// How long until a server without traffic has to call [`warm_up`](Self::warm_up). `None` if it need not.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.endpoint()?;
        let now = Instant::now().into_std();
        let progress = self.checks.lock();
        match self.state() {
            IntrospectionState::EndpointUnknown => Some(self.retry_in()),
            IntrospectionState::CredentialsRejected => Some(self.retry_in().max(progress.back_off.time_left(now))),
            IntrospectionState::Unconfirmed if !progress.is_sent => Some(self.retry_in()),
            _ => None,
        }
    }

    /// If the client secret has changed since the endpoint rejected it, allows the next request at once. Returns whether it has.
    pub(crate) async fn notice_new_secret(&self) -> bool {
        let Some(client) = self.endpoint() else { return false };
        let is_new = client.has_new_secret().await;
        if is_new {
            self.queue.retry_now();
            self.checks.lock().back_off = BackOff::default();
        }
        is_new
    }

    pub(crate) fn state(&self) -> IntrospectionState {
        if self.endpoint().is_some_and(|client| !client.knows_endpoint()) {
            IntrospectionState::EndpointUnknown
        } else if self.queue.rejects_credentials() {
            IntrospectionState::CredentialsRejected
        } else if !self.queue.retry_in().is_zero() {
            IntrospectionState::Suspended
        } else if self.queue.has_introspected() {
            IntrospectionState::Ready
        } else {
            IntrospectionState::Unconfirmed
        }
    }

    /// Introspects a made-up token. It is random, so that no cache responds. An error means that a configured URL does not
    /// introspect.
    ///
    /// A failure is not reported to the circuit breaker: the token may be its cause, as it may be for made-up tokens of others.
    async fn check_credentials(self: Arc<Self>, clock: Arc<dyn Clock>) -> Result<(), Arc<FetchError>> {
        let (Some(client), Some(random)) = (self.endpoint(), random()) else { return Ok(()) };
        let Ok(endpoint) = client.find_endpoint().await else { return Ok(()) };
        let token = format!("{MADE_UP}{:032x}", u128::from_ne_bytes(random));
        let now = Instant::now();
        let deadline = now.checked_add(self.limits.max_wait).unwrap_or(now);
        // While the circuit breaker is open, nothing is sent.
        let Ok(permit) = self.queue.acquire(false, deadline).await else { return Ok(()) };
        let sent_at = Instant::now();
        let result = client.call(&endpoint, &token, self.limits.time_limit, clock.as_ref()).await;
        let is_sent = !matches!(&result, Err(failed) if failed.error.kind() == FetchErrorKind::Unsendable);
        self.checks.lock().is_sent |= is_sent;
        let issuer = &*self.events.issuer;
        match result {
            Ok(status) => {
                permit.end(sent_at, Outcome::NotActive);
                if matches!(status, TokenStatus::Active(_)) {
                    tracing::warn!(target: "mcp_bearer::introspection", issuer,
                        "the authorization server says that a made-up token is active: check the introspection endpoint");
                }
                let sent =
                    Sent { token: self.fingerprint(token.as_bytes()), was_active: false, at: sent_at.into_std() };
                self.report(&sent, &Ok(TokenStatus::Inactive), VerificationPurpose::Request);
                self.checks.lock().back_off = BackOff::default();
                Ok(())
            }
            Err(failed) => {
                drop(permit);
                self.check_failed(failed, sent_at)
            }
        }
    }

    fn check_failed(&self, failed: CallError, sent_at: Instant) -> Result<(), Arc<FetchError>> {
        let (issuer, error) = (&*self.events.issuer, failed.error);
        let is_configured = self.endpoint().is_some_and(IntrospectionClient::has_configured_endpoint);
        match error.kind() {
            FetchErrorKind::CredentialsRejected(_) | FetchErrorKind::Unsendable => {
                self.credentials_rejected(&error, sent_at);
                Ok(())
            }
            _ if !is_configured => {
                tracing::debug!(target: "mcp_bearer::introspection", issuer, cause = %Cause(&error),
                    "the response to a made-up token does not show whether the client credentials are accepted");
                Ok(())
            }
            // Some endpoints respond so to every token that they do not know.
            kind if failed.token_may_be_cause || matches!(kind, FetchErrorKind::Status(401 | 403 | 404)) => {
                if !std::mem::replace(&mut self.checks.lock().has_warned, true) {
                    tracing::warn!(target: "mcp_bearer::introspection", issuer, cause = %Cause(&error),
                        "the introspection endpoint rejects a made-up token with an error, which confirms neither its URL nor the \
                         client credentials: check both if valid tokens get 503");
                }
                Ok(())
            }
            _ => {
                let problem = endpoint_problem(issuer, &error);
                tracing::error!(target: "mcp_bearer::introspection", issuer, problem,
                    "the configured introspection endpoint cannot be used");
                Err(error)
            }
        }
    }

    fn credentials_rejected(&self, error: &Arc<FetchError>, sent_at: Instant) {
        let now = Instant::now().into_std();
        self.checks.lock().back_off.fail(error.retry_after(), fastrand::f64(), now);
        if self.queue.reject_credentials(error) {
            let issuer = &*self.events.issuer;
            let (severity, duration) = (Severity::Misconfiguration, sent_at.elapsed());
            let failed = Failed { issuer, error, severity, duration, is_reported: false };
            self.events.emit(&Event::IntrospectionFailed(failed));
        }
    }
}

/// The check ends by its own limits before this time is over.
const CHECK_MARGIN: Duration = Duration::from_secs(1);
/// The start of a made-up token. It shows an operator of the authorization server where the token comes from.
const MADE_UP: &str = concat!(env!("CARGO_PKG_NAME"), "-check-");
