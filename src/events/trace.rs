//! Writes events to the log. Lines that a stranger can cause are limited.
//!
//! No line contains a token, a secret, a subject or a client id.

use std::sync::Arc;

use tracing::field::{DisplayValue, display};

use super::{CacheKind, Event, Failed, IssuerMismatch, Rejected, RequestInfo, Severity, TokenAccepted};
use crate::escape::{Escaped, MAX_SHOWN};
use crate::failure::Detail;
use crate::http_client::{FetchError, FetchErrorKind};
use crate::log::{Cause, EventLimit, EventSummary, limited};

/// Writes an event of a resource server.
pub(super) fn server_event(limit: &Arc<EventLimit>, claims_omitted: bool, event: &Event<'_>) {
    match event {
        Event::TokenAccepted(accepted) => token_accepted(accepted),
        Event::TokenRejected(rejected)
        | Event::ProofRejected(rejected)
        | Event::ScopeMissing(rejected)
        | Event::SessionRejected(rejected)
        | Event::RequestRejected(rejected) => request_rejected(limit, claims_omitted, rejected),
        Event::CacheHit(cache) => cache_hit(*cache),
        Event::ReplayStoreFull(full) => {
            let is_shown = limit.is_shown("replay_store_full", None, replay_store_summary);
            limited!(is_shown, warn, target: "mcp_bearer::rejection", retry_after = ?full.retry_after,
                "too many used DPoP proofs are kept: requests with new proofs get 503");
        }
        Event::ReplayStoreFailed(failed) => {
            let cause = Cause(failed.error);
            let is_shown = limit.is_shown("replay_store", None, replay_store_summary);
            limited!(is_shown, error, target: "mcp_bearer::rejection", %cause,
                "the replay store failed: requests with DPoP proofs get 503");
        }
        Event::StreamEnded(reason) => {
            tracing::debug!(target: "mcp_bearer", reason = reason.label(), "a streaming response ends with its access token");
        }
        _ => {}
    }
}

fn token_accepted(accepted: &TokenAccepted<'_>) {
    let TokenAccepted { request, issuer, scopes, sender, .. } = accepted;
    tracing::trace!(target: "mcp_bearer::accepted", method = request.method(), path = path(*request), issuer, scopes,
        sender = sender.label(),
        request_id = request.request_id(), traceparent = request.traceparent(), "access token accepted");
}

fn request_rejected(limit: &Arc<EventLimit>, claims_omitted: bool, rejected: &Rejected<'_>) {
    let Rejected { request, kind, cause, summary, issuer, advice, .. } = *rejected;
    // Each of the two values of a comparison is a field.
    let (compared, note) = match rejected.detail {
        Some(detail) if detail.expected().is_some() => (Some(detail).filter(|_| !claims_omitted), None),
        detail => (None, detail.map(display)),
    };
    let is_shown = limit.is_shown(cause, compared, move |window| write_summary(window, summary));
    let subject = match kind {
        "invalid_token" | "insufficient_scope" => "access token",
        "invalid_proof" => "DPoP proof",
        _ => "request",
    };
    let method = request.map(|request| Escaped(request.method(), MAX_METHOD)).map(display);
    let path = request.map(path);
    let request_id = request.and_then(|request| request.request_id());
    let traceparent = request.and_then(|request| request.traceparent());
    let kid = rejected.key_id.map(|kid| display(Escaped(kid, MAX_NAME)));
    let api_key = rejected.api_key.map(|name| display(Escaped(name, MAX_NAME)));
    let values = compared.map(|detail| (detail.expected(), detail.found())).unwrap_or_default();
    let ((expected, found), (required, granted)) = match compared {
        Some(Detail::Scopes { .. }) => ((None, None), values),
        _ => (values, (None, None)),
    };
    let source = rejected.error.map(|error| display(Cause(error)));
    macro_rules! rejected {
        ($level:ident) => {
            limited!(is_shown, $level, target: "mcp_bearer::rejection", kind, cause, expected, found, required, granted,
                detail = note,
                issuer, kid, api_key, source, method, path, request_id, traceparent, advice,
                "{subject} rejected: {summary}")
        };
    }
    match kind {
        // An operator must act. If introspection is the reason, its own event says so at `error`.
        "misconfigured" | "internal" if !rejected.is_reported => rejected!(error),
        _ => rejected!(info),
    }
}

fn write_summary(EventSummary { cause, events, hidden, last }: EventSummary, summary: &str) {
    let (expected, found) = last.as_ref().map(|(expected, found)| (&**expected, &**found)).unzip();
    tracing::warn!(target: "mcp_bearer::rejection", cause, count = events, hidden, expected, last_found = found,
        "{events} requests were rejected within a minute: {summary}; only the first appear above `debug`");
}

fn replay_store_summary(EventSummary { cause, events, hidden, .. }: EventSummary) {
    tracing::warn!(target: "mcp_bearer::rejection", cause, count = events, hidden,
        "many DPoP proofs could not be recorded within a minute: only the first appear above `debug`");
}

fn cache_hit(cache: CacheKind) {
    tracing::trace!(target: "mcp_bearer::cache", cache = cache.label(), "the result for a token is cached");
}

/// Writes an event about an authorization server.
pub(super) fn issuer_event(limit: &Arc<EventLimit>, event: &Event<'_>) {
    match *event {
        Event::CacheHit(cache) => cache_hit(cache),
        Event::KeySetFetched(fetched) => {
            let issuer = fetched.issuer;
            if fetched.is_recovered {
                tracing::info!(target: "mcp_bearer::keys", issuer, "key set available again");
            }
            if fetched.is_modified {
                let (keys, unusable, skipped) = (fetched.keys, fetched.unusable, fetched.skipped);
                tracing::debug!(target: "mcp_bearer::keys", issuer, keys, unusable, skipped, "key set fetched");
            } else {
                tracing::debug!(target: "mcp_bearer::keys", issuer, "key set not modified");
            }
        }
        Event::KeySetFailed(failed) if failed.is_reported => {
            let (issuer, cause) = (failed.issuer, Cause(failed.error));
            tracing::debug!(target: "mcp_bearer::keys", issuer, %cause, "key set not available");
        }
        Event::KeySetFailed(failed) => {
            let (issuer, cause) = (failed.issuer, Cause(failed.error));
            let is_shown = limit.is_shown("key_set", None, keys_summary(issuer, "the key set could not be fetched"));
            limited!(is_shown, warn, target: "mcp_bearer::keys", issuer, %cause, "key set not available");
        }
        Event::KeyUnusable(key) => {
            let (issuer, kid, reason) = (key.issuer, key.key_id, key.reason);
            tracing::warn!(target: "mcp_bearer::keys", issuer, kid, reason,
                "a published key cannot be used: requests with tokens that name this key get 503");
        }
        Event::MetadataFetched(fetched) => {
            let issuer = fetched.issuer;
            if fetched.is_recovered {
                tracing::info!(target: "mcp_bearer::keys", issuer, "metadata available again");
            }
            tracing::debug!(target: "mcp_bearer::keys", issuer, "metadata fetched");
        }
        Event::MetadataFailed(failed) => {
            let (issuer, cause) = (failed.issuer, Cause(failed.error));
            let is_shown = limit.is_shown("metadata", None, keys_summary(issuer, "metadata could not be fetched"));
            limited!(is_shown, warn, target: "mcp_bearer::keys", issuer, %cause, "metadata not available");
        }
        Event::IssuerMismatch(IssuerMismatch { issuer, expected, found, error, .. }) => {
            let cause = Cause(error);
            let is_shown = limit.is_shown("mismatch", None, keys_summary(issuer, "metadata named another issuer"));
            limited!(is_shown, error, target: "mcp_bearer::keys", issuer, expected, found, %cause,
                "metadata names another issuer than the configured one");
        }
        Event::IntrospectionDone(done) => {
            tracing::debug!(target: "mcp_bearer::introspection", issuer = done.issuer, result = done.result.label(), "token introspected");
        }
        Event::IntrospectionFailed(failed) => introspection_failed(limit, &failed),
        Event::IntrospectionSuspended(suspended) => {
            let (issuer, pause) = (suspended.issuer, suspended.pause);
            tracing::warn!(target: "mcp_bearer::introspection", issuer, ?pause, "introspection suspended");
        }
        Event::IntrospectionResumed(resumed) => {
            tracing::info!(target: "mcp_bearer::introspection", issuer = resumed.issuer, "introspection resumed");
        }
        _ => {}
    }
}

fn keys_summary(issuer: &str, what: &'static str) -> impl FnOnce(EventSummary) + Send + use<> {
    let issuer: Box<str> = issuer.into();
    move |EventSummary { cause, events, hidden, .. }| {
        tracing::warn!(target: "mcp_bearer::keys", issuer = &*issuer, cause, count = events, hidden,
            "{what} many times within a minute: only the first appear above `debug`");
    }
}

fn introspection_summary(issuer: &str) -> impl FnOnce(EventSummary) + Send + use<> {
    let issuer: Box<str> = issuer.into();
    move |EventSummary { cause, events, hidden, .. }| {
        tracing::warn!(target: "mcp_bearer::introspection", issuer = &*issuer, cause, count = events, hidden,
            "many introspection requests failed within a minute: only the first appear above `debug`");
    }
}

fn introspection_failed(limit: &Arc<EventLimit>, failed: &Failed<'_>) {
    let (issuer, cause) = (failed.issuer, Cause(failed.error));
    let is_shown = |name| limit.is_shown(name, None, introspection_summary(issuer));
    let kind = failed.error.downcast_ref::<Arc<FetchError>>().map(|error| error.kind());
    match failed.severity {
        Severity::Misconfiguration => match kind {
            Some(FetchErrorKind::VerifierMisconfigured) => {
                limited!(is_shown("verifier"), error, target: "mcp_bearer::introspection", issuer, %cause,
                    "the token verifier of the application is misconfigured");
            }
            Some(FetchErrorKind::KeyStoreMisconfigured) => {
                limited!(is_shown("key_store"), error, target: "mcp_bearer::introspection", issuer, %cause,
                    "the API key store is misconfigured");
            }
            _ => {
                limited!(is_shown("credentials"), error, target: "mcp_bearer::introspection", issuer, %cause,
                    "the client credentials of this server cannot be used for introspection: check them");
            }
        },
        Severity::Token => {
            tracing::debug!(target: "mcp_bearer::introspection", issuer, %cause, "introspection failed for a token");
        }
        Severity::Outage => {
            limited!(is_shown("failed"), warn, target: "mcp_bearer::introspection", issuer, %cause, "introspection failed");
        }
    }
}

fn path(request: RequestInfo<'_>) -> DisplayValue<Escaped<'_>> {
    display(Escaped(request.path(), MAX_SHOWN))
}

/// The longest method in one event, in characters: `PROPPATCH` has 9.
const MAX_METHOD: usize = 16;
/// The longest key id or name of an API key in one event, in characters.
const MAX_NAME: usize = 64;
