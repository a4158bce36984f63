//! The status of a token from code of the application, in place of an introspection endpoint.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::TokenStatus;
use super::breaker::Outcome;
use super::call::CallError;
use crate::http_client::{FetchError, FetchErrorKind, catch_panic};

/// Code of the application that knows the status of a token.
pub(crate) trait StatusLookup: Send + Sync + 'static {
    fn look_up<'a>(&'a self, token: &'a str) -> LookupFuture<'a>;
}

/// The future that [`StatusLookup::look_up`] returns.
pub(crate) type LookupFuture<'a> = Pin<Box<dyn Future<Output = Result<TokenStatus, LookupError>> + Send + 'a>>;

/// Why the application's code does not have a status for a token.
#[derive(Debug)]
pub(crate) struct LookupError {
    pub(crate) kind: LookupErrorKind,
    pub(crate) source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum LookupErrorKind {
    /// A service that the code needs is not available.
    Unavailable { retry_after: Option<Duration> },
    /// An operator must change something first.
    Misconfigured,
    /// It took longer than the time limit.
    TimedOut,
}

/// The kind of code that is called, for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LookupCode {
    TokenVerifier,
    KeyStore,
}

/// Calls the application's code for one issuer.
pub(super) struct LookupClient {
    pub(super) code: LookupCode,
    /// The name of the issuer, for errors.
    pub(super) issuer: Arc<str>,
    pub(super) lookup: Arc<dyn StatusLookup>,
}

impl LookupClient {
    /// Looks up a token once. A panic is an outage.
    pub(super) async fn call(&self, token: &str, time_limit: Duration) -> Result<TokenStatus, CallError> {
        let looked_up = catch_panic(self.code.name(), async { self.lookup.look_up(token).await });
        let error = match timeout(time_limit, looked_up).await {
            Ok(Ok(Ok(status))) => return Ok(status),
            Ok(Ok(Err(error))) => error,
            Ok(Err(panicked)) => {
                let kind = LookupErrorKind::Unavailable { retry_after: None };
                LookupError { kind, source: Some(panicked.into()) }
            }
            Err(_) => {
                let source = format!("it took longer than {time_limit:?}");
                LookupError { kind: LookupErrorKind::TimedOut, source: Some(source.into()) }
            }
        };
        let (kind, retry_after, outcome) = match error.kind {
            // As status 503 of an endpoint: the token may be the cause, and a time to wait is followed.
            LookupErrorKind::Unavailable { retry_after } => {
                (self.code.failed(), retry_after, Outcome::Overloaded { retry_after })
            }
            LookupErrorKind::Misconfigured => (self.code.misconfigured(), None, Outcome::NotSent),
            LookupErrorKind::TimedOut => (self.code.failed(), None, Outcome::TimedOut),
        };
        let fetch_error = FetchError::new(kind, &self.issuer).with_retry_after(retry_after);
        let error = match error.source {
            Some(source) => fetch_error.with_boxed_source(source),
            None => fetch_error,
        };
        Err(CallError { error: Arc::new(error), outcome, may_be_retried: false, token_may_be_cause: false })
    }
}

impl LookupCode {
    const fn name(self) -> &'static str {
        match self {
            Self::TokenVerifier => "the token verifier",
            Self::KeyStore => "the API key store",
        }
    }

    const fn failed(self) -> FetchErrorKind {
        match self {
            Self::TokenVerifier => FetchErrorKind::VerifierFailed,
            Self::KeyStore => FetchErrorKind::KeyStoreFailed,
        }
    }

    const fn misconfigured(self) -> FetchErrorKind {
        match self {
            Self::TokenVerifier => FetchErrorKind::VerifierMisconfigured,
            Self::KeyStore => FetchErrorKind::KeyStoreMisconfigured,
        }
    }
}
