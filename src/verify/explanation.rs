use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::progress::CheckRecord;
use super::{CheckRecorder, Credential, TokenCheck, Verifier, VerifyError, VerifyErrorKind};
use crate::log::Cause;

/// Why a token is accepted or rejected: the result of [`ResourceServer::explain`](crate::ResourceServer::explain).
///
/// It contains no part of the token except the values that a check compared, which are escaped and cut. `Display` prints one
/// line for each check.
///
/// Serialised, it is an object with `accepted` (a boolean), `issuer` (a string or null) and `checks` (a list). Each check has
/// `check`, `outcome`, and, if it did not pass, `cause`, `summary`, `expected`, `found`, `detail` and `advice`, which are
/// strings or null.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    accepted: bool,
    issuer: Option<Box<str>>,
    checks: Vec<ExplainedCheck>,
}

/// One check of an [`Explanation`].
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedCheck {
    check: TokenCheck,
    outcome: CheckOutcome,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    problem: Option<FailedCheck>,
}

/// The outcome of a check.
///
/// Serialised, it is the name of the variant in snake case.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// The token passed the check.
    Passed,
    /// The token failed the check, so it is rejected.
    Failed,
    /// The check could not be done, for example because the authorization server does not respond. A request gets 503.
    Undecided,
    /// An earlier check ended the verification.
    NotReached,
    /// The check does not apply to this token and this configuration.
    NotNeeded,
}

/// Why a check did not pass.
#[derive(Debug, Clone, Serialize)]
struct FailedCheck {
    cause: &'static str,
    summary: Box<str>,
    expected: Option<Box<str>>,
    found: Option<Box<str>>,
    detail: Option<Box<str>>,
    advice: Option<&'static str>,
}

impl Verifier {
    /// Runs the checks of a request, and records them.
    pub(crate) async fn explain(self: &Arc<Self>, token: &[u8]) -> Explanation {
        let progress = CheckRecorder::recorded();
        let result = self.verify_with(Credential::Token(token), &progress).finish().await;
        let CheckRecord { reached, current } = progress.take();
        let error = result.as_ref().err();
        let issuer = match &result {
            Ok(claims) => claims.issuer(),
            Err(error) => error.issuer.as_deref(),
        };
        let is_api_key = reached.contains(&TokenCheck::ApiKey);
        let explained = |check: TokenCheck| {
            let failed = error.filter(|_| current == Some(check));
            let outcome = match failed.map(VerifyError::kind) {
                Some(VerifyErrorKind::Invalid(_)) => CheckOutcome::Failed,
                Some(_) => CheckOutcome::Undecided,
                None if reached.contains(&check) => CheckOutcome::Passed,
                None if error.is_some() && (!is_api_key || check == TokenCheck::RevocationList) => {
                    CheckOutcome::NotReached
                }
                None => CheckOutcome::NotNeeded,
            };
            ExplainedCheck { check, outcome, problem: failed.map(FailedCheck::new) }
        };
        let checks = TokenCheck::ALL.iter().filter(|check| is_api_key || **check != TokenCheck::ApiKey);
        Explanation {
            accepted: result.is_ok(),
            issuer: issuer.map(Box::from),
            checks: checks.map(|check| explained(*check)).collect(),
        }
    }
}

impl Explanation {
    /// Whether a request with this token is accepted, as far as it does not lack scopes.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The issuer that verified the token. `None` if the checks did not reach one.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// All checks, in the order of the table in [`verify`](crate::verify). [`TokenCheck::ApiKey`] is present only for an API key.
    #[must_use]
    pub fn checks(&self) -> &[ExplainedCheck] {
        &self.checks
    }

    /// The check that ended the verification. `None` if the token is accepted.
    #[must_use]
    pub fn failed(&self) -> Option<&ExplainedCheck> {
        self.checks.iter().find(|check| check.problem.is_some())
    }
}

impl ExplainedCheck {
    /// The check.
    #[must_use]
    pub const fn check(&self) -> TokenCheck {
        self.check
    }

    /// The outcome.
    #[must_use]
    pub const fn outcome(&self) -> CheckOutcome {
        self.outcome
    }

    /// The stable label of the cause, as in log lines. `None` if the check passed or was not reached.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        self.problem.as_ref().map(|problem| problem.cause)
    }

    /// The cause in the words of the log line, such as `audience mismatch`. `None` if the check passed or was not reached.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.problem.as_ref().map(|problem| &*problem.summary)
    }

    /// More about the cause: times, lengths, or the error of a fetch.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.problem.as_ref()?.detail.as_deref()
    }

    /// The configured value, if the check compares texts.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.problem.as_ref()?.expected.as_deref()
    }

    /// The value in the token, if the check compares texts.
    #[must_use]
    pub fn found(&self) -> Option<&str> {
        self.problem.as_ref()?.found.as_deref()
    }

    /// The advice for an operator.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        self.problem.as_ref()?.advice
    }
}

impl FailedCheck {
    fn new(error: &VerifyError) -> Self {
        let detail = error.detail.as_deref();
        let (expected, found) = detail.map(|detail| (detail.expected(), detail.found())).unwrap_or_default();
        let source = error.source().map(|source| Cause(source).to_string());
        let note = detail.filter(|detail| detail.expected().is_none()).map(ToString::to_string);
        let (cause, summary, advice) = match error.kind() {
            VerifyErrorKind::Invalid(failure) => (failure.label(), failure.summary().into(), Some(failure.advice())),
            VerifyErrorKind::Misconfigured => ("misconfigured", error.to_string(), None),
            VerifyErrorKind::Unavailable { .. } => ("unavailable", error.to_string(), None),
        };
        Self {
            cause,
            summary: summary.into(),
            expected: expected.map(Box::from),
            found: found.map(Box::from),
            detail: note.or(source).map(Box::from),
            advice,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.accepted { "accepted" } else { "not accepted" };
        write!(f, "the token is {verdict}")?;
        self.checks.iter().try_for_each(|check| write!(f, "\n{check}"))
    }
}

impl fmt::Display for ExplainedCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "failed",
            CheckOutcome::Undecided => "undecided",
            CheckOutcome::NotReached => "not reached",
            CheckOutcome::NotNeeded => "not needed",
        };
        write!(f, "{outcome:<12} {}", self.check.description())?;
        let Some(FailedCheck { summary, expected, found, detail, advice, .. }) = &self.problem else { return Ok(()) };
        write!(f, "\n             {summary}")?;
        if let (Some(expected), Some(found)) = (expected, found) {
            write!(f, "; expected \"{expected}\", found \"{found}\"")?;
        }
        if let Some(detail) = detail {
            write!(f, "; {detail}")?;
        }
        advice.map_or(Ok(()), |advice| write!(f, "\n             repair: {advice}"))
    }
}
