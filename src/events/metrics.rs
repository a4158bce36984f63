//! Records events as metrics, on the facade of the crate [`metrics`](::metrics).
//!
//! The values of labels are from closed sets: the configured resource and issuers, and names in this crate. No label
//! contains anything from a request.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{CacheKind, Event, Failed, Rejected};
use crate::clock::{Clock, SystemClock};

/// Describes all metrics to the recorder.
pub(crate) fn describe() {
    describe_counter!(TOKENS_ACCEPTED, "access tokens that were accepted");
    describe_counter!(REQUESTS_REJECTED, "rejected requests, by cause");
    describe_histogram!(VERIFICATION, Unit::Seconds, "duration of the verification of an access token");
    describe_counter!(CACHE_HITS, "results for tokens that came from a cache");
    describe_gauge!(CACHED_TOKENS, "results for tokens in a cache");
    describe_counter!(STREAMS_ENDED, "streaming responses that ended with their access token, by reason");
    describe_histogram!(KEY_SET_FETCH, Unit::Seconds, "duration of the fetch of a key set, by result");
    describe_gauge!(KEYS, "keys of the issuer that can be used");
    describe_gauge!(UNUSABLE_KEYS, "published signature keys of the issuer that cannot be used");
    describe_gauge!(KEY_SET_FETCHED, Unit::Seconds, "Unix time of the last successful fetch of the key set");
    describe_gauge!(
        KEY_SET_USABLE_UNTIL,
        Unit::Seconds,
        "Unix time until which the key set is used if no fetch succeeds"
    );
    describe_histogram!(METADATA_FETCH, Unit::Seconds, "duration of the fetch of the metadata, by result");
    describe_histogram!(INTROSPECTION, Unit::Seconds, "duration of an introspection, by result");
    describe_gauge!(INTROSPECTION_SUSPENDED, "1 while introspection is suspended after failures, else 0");
}

/// Records an event of a resource server.
pub(super) fn server_event(resource: &Arc<str>, event: &Event<'_>) {
    let resource = Label::new("resource", SharedString::from(Arc::clone(resource)));
    match event {
        Event::TokenAccepted(accepted) => {
            counter!(TOKENS_ACCEPTED, vec![resource.clone()]).increment(1);
            record(VERIFICATION, resource, "accepted", accepted.duration);
        }
        Event::TokenRejected(rejected)
        | Event::ScopeMissing(rejected)
        | Event::SessionRejected(rejected)
        | Event::RequestRejected(rejected) => request_rejected(resource, rejected),
        Event::CacheHit(cache) => counter!(CACHE_HITS, vec![resource, label("cache", cache.label())]).increment(1),
        Event::StreamEnded(reason) => {
            counter!(STREAMS_ENDED, vec![resource, label("reason", reason.label())]).increment(1);
        }
        _ => {}
    }
}

fn request_rejected(resource: Label, rejected: &Rejected<'_>) {
    counter!(REQUESTS_REJECTED, vec![resource.clone(), label("cause", rejected.cause)]).increment(1);
    if let Some(duration) = rejected.duration {
        record(VERIFICATION, resource, "rejected", duration);
    }
}

/// Records an event about an authorization server.
pub(super) fn issuer_event(issuer: &Arc<str>, event: &Event<'_>) {
    let issuer = Label::new("issuer", SharedString::from(Arc::clone(issuer)));
    match event {
        Event::KeySetFetched(fetched) => {
            let result = if fetched.is_modified { "modified" } else { "not_modified" };
            record(KEY_SET_FETCH, issuer.clone(), result, fetched.duration);
            let clock: &dyn Clock = &SystemClock;
            let now = clock.since_epoch();
            set(KEYS, &issuer, fetched.keys);
            set(UNUSABLE_KEYS, &issuer, fetched.unusable);
            gauge!(KEY_SET_FETCHED, vec![issuer.clone()]).set(now.as_secs_f64());
            gauge!(KEY_SET_USABLE_UNTIL, vec![issuer]).set(now.saturating_add(fetched.usable_for).as_secs_f64());
        }
        Event::KeySetFailed(Failed { duration, .. }) => record(KEY_SET_FETCH, issuer, "failed", *duration),
        Event::MetadataFetched(fetched) => record(METADATA_FETCH, issuer, "fetched", fetched.duration),
        Event::MetadataFailed(Failed { duration, .. }) => record(METADATA_FETCH, issuer, "failed", *duration),
        Event::IssuerMismatch(mismatch) => record(METADATA_FETCH, issuer, "issuer_mismatch", mismatch.duration),
        Event::IntrospectionDone(done) => record(INTROSPECTION, issuer, done.result.label(), done.duration),
        Event::IntrospectionFailed(Failed { duration, .. }) => record(INTROSPECTION, issuer, "failed", *duration),
        Event::IntrospectionSuspended(_) => set(INTROSPECTION_SUSPENDED, &issuer, 1),
        Event::IntrospectionResumed(_) => set(INTROSPECTION_SUSPENDED, &issuer, 0),
        _ => {}
    }
}

/// Records the number of results in a cache. `owner` is the resource or the issuer that the cache belongs to.
pub(crate) fn cached_tokens(cache: CacheKind, owner: &Arc<str>, entries: usize) {
    let owner_label = match cache {
        CacheKind::VerifiedTokens => "resource",
        CacheKind::Introspection => "issuer",
    };
    let owner = Label::new(owner_label, SharedString::from(Arc::clone(owner)));
    gauge!(CACHED_TOKENS, vec![owner, label("cache", cache.label())]).set(number(entries));
}

fn record(name: &'static str, owner: Label, result: &'static str, duration: Duration) {
    histogram!(name, vec![owner, label("result", result)]).record(duration.as_secs_f64());
}

fn set(name: &'static str, issuer: &Label, value: usize) {
    gauge!(name, vec![issuer.clone()]).set(number(value));
}

fn label(name: &'static str, value: &'static str) -> Label {
    Label::from_static_parts(name, value)
}

fn number(value: usize) -> f64 {
    u32::try_from(value).unwrap_or(u32::MAX).into()
}

const TOKENS_ACCEPTED: &str = "mcp_bearer_tokens_accepted_total";
const REQUESTS_REJECTED: &str = "mcp_bearer_requests_rejected_total";
const VERIFICATION: &str = "mcp_bearer_verification_duration_seconds";
const CACHE_HITS: &str = "mcp_bearer_cache_hits_total";
const CACHED_TOKENS: &str = "mcp_bearer_cached_tokens";
const STREAMS_ENDED: &str = "mcp_bearer_streams_ended_total";
const KEY_SET_FETCH: &str = "mcp_bearer_key_set_fetch_duration_seconds";
const KEYS: &str = "mcp_bearer_key_set_keys";
const UNUSABLE_KEYS: &str = "mcp_bearer_key_set_unusable_keys";
const KEY_SET_FETCHED: &str = "mcp_bearer_key_set_fetched_timestamp_seconds";
const KEY_SET_USABLE_UNTIL: &str = "mcp_bearer_key_set_usable_until_timestamp_seconds";
const METADATA_FETCH: &str = "mcp_bearer_metadata_fetch_duration_seconds";
const INTROSPECTION: &str = "mcp_bearer_introspection_duration_seconds";
const INTROSPECTION_SUSPENDED: &str = "mcp_bearer_introspection_suspended";
