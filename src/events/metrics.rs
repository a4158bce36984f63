//! Records events as metrics, on the facade of the crate [`metrics`](::metrics).
//!
//! The values of labels are from closed sets: the configured resource and issuers, and names in this crate. No label
//! contains anything from a request. The chapter `guide::metrics` has the table, and `tests/metrics` compares it with this
//! file.
//!
//! Each event looks up its metric in the recorder, so that a recorder can also be installed after the server is built.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::{
    Key, Label, Level, Metadata, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram, with_recorder,
};

use super::{CacheKind, Event, Failed, Rejected};
use crate::clock::{Clock, SystemClock};

/// Describes all metrics to the recorder. Counts no accepted token, so that a server that rejects every token has this metric.
pub(crate) fn server_built(resource: &Arc<str>) {
    describe();
    counter!(TOKENS_ACCEPTED, vec![Label::new("resource", SharedString::from(Arc::clone(resource)))]).increment(0);
}

fn describe() {
    describe_counter!(TOKENS_ACCEPTED, "access tokens that were accepted");
    describe_counter!(REQUESTS_REJECTED, "rejected requests, by cause");
    describe_histogram!(VERIFICATION, Unit::Seconds, "duration of the verification of an access token");
    describe_counter!(VERIFIED_TOKEN_HITS, "verifications that found their token in the cache of verified tokens");
    describe_gauge!(VERIFIED_TOKENS, "tokens in the cache of verified tokens");
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
    describe_counter!(INTROSPECTION_HITS, "verifications that used a cached introspection result");
    describe_gauge!(INTROSPECTION_RESULTS, "cached introspection results");
    describe_gauge!(INTROSPECTION_SUSPENDED, "1 while introspection is suspended after failures, else 0");
}

/// The metrics of accepted tokens. Their keys are built once for each server, because they are needed most often.
pub(crate) struct AcceptedTokens {
    accepted: Key,
    verification: Key,
    cache_hits: Key,
}

impl AcceptedTokens {
    pub(super) fn new(resource: &Arc<str>) -> Self {
        let resource = Label::new("resource", SharedString::from(Arc::clone(resource)));
        Self {
            accepted: Key::from_parts(TOKENS_ACCEPTED, vec![resource.clone()]),
            cache_hits: Key::from_parts(VERIFIED_TOKEN_HITS, vec![resource.clone()]),
            verification: Key::from_parts(VERIFICATION, vec![resource, label("result", "accepted")]),
        }
    }
}

/// Records an event of a resource server.
pub(super) fn server_event(resource: &Arc<str>, tokens: &AcceptedTokens, event: &Event<'_>) {
    match event {
        Event::TokenAccepted(accepted) => with_recorder(|recorder| {
            recorder.register_counter(&tokens.accepted, &METADATA).increment(1);
            recorder.register_histogram(&tokens.verification, &METADATA).record(accepted.duration.as_secs_f64());
        }),
        Event::CacheHit(CacheKind::VerifiedTokens) => {
            with_recorder(|recorder| recorder.register_counter(&tokens.cache_hits, &METADATA).increment(1));
        }
        _ => rare_server_event(Label::new("resource", SharedString::from(Arc::clone(resource))), event),
    }
}

fn rare_server_event(resource: Label, event: &Event<'_>) {
    match event {
        Event::TokenRejected(rejected)
        | Event::ProofRejected(rejected)
        | Event::ScopeMissing(rejected)
        | Event::SessionRejected(rejected)
        | Event::RequestRejected(rejected) => request_rejected(resource, rejected),
        Event::StreamEnded(reason) => {
            counter!(STREAMS_ENDED, vec![resource, label("reason", reason.label())]).increment(1);
        }
        _ => {}
    }
}

fn request_rejected(resource: Label, rejected: &Rejected<'_>) {
    counter!(REQUESTS_REJECTED, vec![resource.clone(), label("cause", rejected.cause)]).increment(1);
    if let Some(duration) = rejected.duration {
        let result = match rejected.kind {
            "unavailable" | "misconfigured" => "unavailable",
            _ => "rejected",
        };
        record(VERIFICATION, resource, result, duration);
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
        Event::CacheHit(CacheKind::Introspection) => {
            counter!(INTROSPECTION_HITS, vec![issuer, Label::new("cache", "own")]).increment(1);
        }
        Event::CacheHit(CacheKind::SharedIntrospection) => {
            counter!(INTROSPECTION_HITS, vec![issuer, Label::new("cache", "shared")]).increment(1);
        }
        Event::IntrospectionSuspended(_) => set(INTROSPECTION_SUSPENDED, &issuer, 1),
        Event::IntrospectionResumed(_) => set(INTROSPECTION_SUSPENDED, &issuer, 0),
        _ => {}
    }
}

/// Records the number of tokens in the cache of verified tokens of a resource.
pub(super) fn verified_tokens(resource: &Arc<str>, entries: usize) {
    let resource = Label::new("resource", SharedString::from(Arc::clone(resource)));
    gauge!(VERIFIED_TOKENS, vec![resource]).set(number(entries));
}

/// Records the number of cached introspection results of an issuer.
pub(super) fn introspection_results(issuer: &Arc<str>, entries: usize) {
    set(INTROSPECTION_RESULTS, &Label::new("issuer", SharedString::from(Arc::clone(issuer))), entries);
}

/// Records that introspection at an issuer is not suspended, so that the metric exists before the first suspension.
pub(super) fn introspection_configured(issuer: &Arc<str>) {
    set(INTROSPECTION_SUSPENDED, &Label::new("issuer", SharedString::from(Arc::clone(issuer))), 0);
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

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
const TOKENS_ACCEPTED: &str = "mcp_bearer_tokens_accepted_total";
const REQUESTS_REJECTED: &str = "mcp_bearer_requests_rejected_total";
const VERIFICATION: &str = "mcp_bearer_verification_duration_seconds";
const VERIFIED_TOKEN_HITS: &str = "mcp_bearer_verified_token_cache_hits_total";
const VERIFIED_TOKENS: &str = "mcp_bearer_verified_token_cache_entries";
const STREAMS_ENDED: &str = "mcp_bearer_streams_ended_total";
const KEY_SET_FETCH: &str = "mcp_bearer_key_set_fetch_duration_seconds";
const KEYS: &str = "mcp_bearer_key_set_keys";
const UNUSABLE_KEYS: &str = "mcp_bearer_key_set_unusable_keys";
const KEY_SET_FETCHED: &str = "mcp_bearer_key_set_fetched_timestamp_seconds";
const KEY_SET_USABLE_UNTIL: &str = "mcp_bearer_key_set_usable_until_timestamp_seconds";
const METADATA_FETCH: &str = "mcp_bearer_metadata_fetch_duration_seconds";
const INTROSPECTION: &str = "mcp_bearer_introspection_duration_seconds";
const INTROSPECTION_HITS: &str = "mcp_bearer_introspection_cache_hits_total";
const INTROSPECTION_RESULTS: &str = "mcp_bearer_introspection_cache_entries";
const INTROSPECTION_SUSPENDED: &str = "mcp_bearer_introspection_suspended";
