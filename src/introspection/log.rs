//! What the operator should know of an introspection endpoint. Never a token, a secret, or a byte of an answer.

use std::error::Error as StdError;

use super::IntrospectionError;
use super::breaker::{Failure, Transition};
use super::call::CallError;

/// A request came to an end.
pub(super) fn asked(issuer: &str, failed: Option<&CallError>, transition: Transition) {
    if let Some(CallError { error, failure }) = failed {
        let cause = error.source().map(tracing::field::display);
        let failed = IntrospectionError::Failed(error.clone());
        if failed.is_misconfiguration() {
            tracing::error!(target: "mcp_bearer::introspection", issuer, %error, cause,
                "our credentials cannot be used: check the client that introspects");
        } else if *failure == Failure::Token {
            tracing::debug!(target: "mcp_bearer::introspection", issuer, %error, cause, "introspection failed for a token");
        } else {
            tracing::warn!(target: "mcp_bearer::introspection", issuer, %error, cause, "introspection failed");
        }
    }
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

/// An old answer serves while there is no new one.
pub(super) fn stale(issuer: &str, error: &IntrospectionError) {
    tracing::debug!(target: "mcp_bearer::introspection", issuer, %error, "an old answer serves");
}
