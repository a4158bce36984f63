//! The events of an introspection.

use tokio::time::Instant;

use super::{Introspector, outcome};
use crate::events::{
    Event, Failed, IntrospectionDone, IntrospectionResult, IntrospectionResumed, IntrospectionSuspended, Severity,
    VerificationPurpose,
};
use crate::http_client::{FetchError, FetchErrorKind};
use crate::introspection::TokenStatus;
use crate::introspection::breaker::{Outcome, Sent, Transition};
use crate::introspection::call::CallError;
use crate::log::Cause;

impl Introspector {
    /// Updates the circuit breaker after an introspection, and logs a failure or a change of the circuit breaker. If the
    /// failure shows that the endpoint may have moved, the next request discovers it again.
    ///
    /// A log line never has a token, a secret, or a byte of a response.
    pub(super) fn report(
        &self,
        sent: &Sent,
        result: &Result<TokenStatus, CallError>,
        purpose: VerificationPurpose,
    ) -> Transition {
        let outcome = outcome(result);
        if let Outcome::RateLimited { retry_after: Some(time) } = outcome {
            self.cache.hold_back(sent.token, time);
        }
        let error = result.as_ref().err().map(|failed| &failed.error);
        let transition = self.queue.report(sent, outcome, error);
        let issuer = &*self.events.issuer;
        if purpose == VerificationPurpose::Request {
            self.emit_result(sent, result, transition);
        }
        match transition {
            Transition::None | Transition::Suspected | Transition::Counted => {}
            Transition::Opened(pause) => {
                self.events.emit(&Event::IntrospectionSuspended(IntrospectionSuspended { issuer, pause }));
            }
            Transition::Closed => self.events.emit(&Event::IntrospectionResumed(IntrospectionResumed { issuer })),
        }
        match error.map(|error| (error.kind(), Cause(error))) {
            Some((FetchErrorKind::Status(401 | 403), cause)) if self.queue.should_report_credentials() => {
                tracing::error!(target: "mcp_bearer::introspection", issuer, %cause,
                    "introspection is rejected, and no token was confirmed as active yet: check the client credentials");
            }
            // These statuses mean that the endpoint may have moved. It has not moved if it recently confirmed another
            // token as active.
            Some((FetchErrorKind::Status(404 | 405 | 410), _)) if !self.queue.has_confirmed_another(sent) => {
                if let Some(client) = self.endpoint() {
                    client.suspect_endpoint();
                }
            }
            _ => {}
        }
        transition
    }

    fn emit_result(&self, sent: &Sent, result: &Result<TokenStatus, CallError>, transition: Transition) {
        let issuer = &*self.events.issuer;
        let duration = Instant::now().into_std().saturating_duration_since(sent.at);
        self.events.emit(&match result {
            Ok(status) => Event::IntrospectionDone(IntrospectionDone { issuer, result: status.into(), duration }),
            Err(CallError { error, .. }) => {
                let severity = severity(error, transition);
                Event::IntrospectionFailed(Failed { issuer, error, severity, duration, is_reported: false })
            }
        });
    }
}

fn severity(error: &FetchError, transition: Transition) -> Severity {
    match (error.kind(), transition) {
        (
            FetchErrorKind::CredentialsRejected(_),
            Transition::Opened(_) | Transition::Counted | Transition::Suspected,
        )
        | (
            FetchErrorKind::Unsendable | FetchErrorKind::VerifierMisconfigured | FetchErrorKind::KeyStoreMisconfigured,
            _,
        ) => Severity::Misconfiguration,
        (_, Transition::None | Transition::Suspected | Transition::Closed) => Severity::Token,
        (_, Transition::Counted | Transition::Opened(_)) => Severity::Outage,
    }
}

impl From<&TokenStatus> for IntrospectionResult {
    fn from(status: &TokenStatus) -> Self {
        match status {
            TokenStatus::Active(_) => Self::Active,
            TokenStatus::Inactive | TokenStatus::Rejected(_) => Self::Inactive,
            TokenStatus::Unsupported => Self::Unsupported,
        }
    }
}
