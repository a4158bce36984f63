//! What the operator should know of an introspection endpoint. Never a token, a secret, or a byte of an answer.
//!
//! A change of state appears at once. Of failures, the first three of each cause and minute appear, and one summary.

use std::sync::Arc;

use tokio::time::Instant;

use super::IntrospectionError;
use super::breaker::{Failure, Transition};
use super::call::CallError;
use crate::event_limit::{EventLimit, Summary};
use crate::log::{Cause, is_shown, limited};

/// Writes about the endpoint of one issuer.
pub(super) struct Log {
    issuer: Arc<str>,
    events: Arc<EventLimit>,
    epoch: Instant,
}

impl Log {
    pub(super) fn new(issuer: &str) -> Self {
        Self { issuer: issuer.into(), events: Arc::default(), epoch: Instant::now() }
    }

    /// A request came to an end.
    pub(super) fn asked(&self, failed: Option<&CallError>, transition: Transition) {
        if let Some(failed) = failed {
            self.failed(failed);
        }
        let issuer = &*self.issuer;
        match transition {
            Transition::None => {}
            Transition::Check(_) => {
                tracing::debug!(target: "mcp_bearer::introspection", issuer, "checking whether the endpoint fails");
            }
            Transition::Opened(pause) => {
                tracing::warn!(target: "mcp_bearer::introspection", issuer, ?pause, "introspection suspended");
            }
            Transition::Closed => {
                tracing::info!(target: "mcp_bearer::introspection", issuer, "introspection resumed");
            }
        }
    }

    fn failed(&self, CallError { error, failure }: &CallError) {
        let (issuer, cause) = (&*self.issuer, Cause::new(error));
        if IntrospectionError::Failed(Arc::clone(error)).is_misconfiguration() {
            limited!(self.is_shown("credentials"), error, target: "mcp_bearer::introspection", issuer, %cause,
                "the client credentials of this server cannot be used for introspection: check them");
        } else if *failure == Failure::Token {
            tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause, "introspection failed for a token");
        } else {
            limited!(self.is_shown("failed"), warn, target: "mcp_bearer::introspection", issuer, %cause,
                "introspection failed");
        }
    }

    /// An old answer serves while there is no new one.
    pub(super) fn stale(&self, error: &IntrospectionError) {
        let cause = Cause::new(error);
        tracing::debug!(target: "mcp_bearer::introspection", issuer = &*self.issuer, %cause, "an old answer serves");
    }

    fn is_shown(&self, cause: &'static str) -> bool {
        let issuer = Arc::clone(&self.issuer);
        is_shown(&self.events, cause, self.epoch.elapsed(), move |Summary { cause, events, hidden }| {
            tracing::warn!(target: "mcp_bearer::introspection", issuer = &*issuer, cause, count = events, hidden,
                "many introspection requests failed within a minute: only the first appear above `debug`");
        })
    }
}
