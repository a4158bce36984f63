//! What the operator should know of an introspection endpoint. Never a token, a secret, or a byte of an answer.
//!
//! A change of state appears at once. Of failures, the first three of each cause and minute appear, and one summary.

use std::sync::Arc;

use super::IntrospectionError;
use super::call::CallError;
use super::health::Transition;
use crate::event_limit::{EventLimit, Summary};
use crate::http_client::{FetchError, FetchErrorKind};
use crate::log::{Cause, is_shown, limited};

/// Writes about the endpoint of one issuer.
pub(super) struct Log {
    issuer: Arc<str>,
    events: Arc<EventLimit>,
}

impl Log {
    pub(super) fn new(issuer: &str) -> Self {
        Self { issuer: issuer.into(), events: Arc::default() }
    }

    /// A token was introspected, or could not be.
    pub(super) fn asked(&self, failed: Option<&CallError>, transition: Transition) {
        if let Some(failed) = failed {
            self.failed(failed, transition);
        }
        let issuer = &*self.issuer;
        match transition {
            Transition::None | Transition::Suspected | Transition::Counted => {}
            Transition::Opened(pause) => {
                tracing::warn!(target: "mcp_bearer::introspection", issuer, ?pause, "introspection suspended");
            }
            Transition::Closed => {
                tracing::info!(target: "mcp_bearer::introspection", issuer, "introspection resumed");
            }
        }
    }

    fn failed(&self, CallError { error, .. }: &CallError, transition: Transition) {
        let (issuer, cause) = (&*self.issuer, Cause::new(error));
        match (error.kind(), transition) {
            (FetchErrorKind::CredentialsRefused(_), Transition::Opened(_) | Transition::Counted)
            | (FetchErrorKind::Unsendable, _) => {
                limited!(self.is_shown("credentials"), error, target: "mcp_bearer::introspection", issuer, %cause,
                    "the client credentials of this server cannot be used for introspection: check them");
            }
            (_, Transition::None | Transition::Suspected | Transition::Closed) => {
                tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause, "introspection failed for a token");
            }
            (_, Transition::Counted | Transition::Opened(_)) => {
                limited!(self.is_shown("failed"), warn, target: "mcp_bearer::introspection", issuer, %cause,
                    "introspection failed");
            }
        }
    }

    /// A request was rejected with 401 or 403 before any token was confirmed as active.
    pub(super) fn rejected(&self, error: &FetchError) {
        let cause = Cause::new(error);
        tracing::error!(target: "mcp_bearer::introspection", issuer = &*self.issuer, %cause,
            "introspection is rejected, and no token was confirmed as active yet: check the client credentials");
    }

    /// The last cached result is used because introspection failed.
    pub(super) fn stale(&self, error: &IntrospectionError) {
        let cause = Cause::new(error);
        tracing::debug!(target: "mcp_bearer::introspection", issuer = &*self.issuer, %cause,
            "the last cached result is used");
    }

    fn is_shown(&self, cause: &'static str) -> bool {
        let issuer = Arc::clone(&self.issuer);
        is_shown(&self.events, cause, move |Summary { cause, events, hidden }| {
            tracing::warn!(target: "mcp_bearer::introspection", issuer = &*issuer, cause, count = events, hidden,
                "many introspection requests failed within a minute: only the first appear above `debug`");
        })
    }
}
