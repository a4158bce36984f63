//! The events of a resource server: one closed vocabulary for log lines, metrics and observers.
//!
//! | event | name | when |
//! |---|---|---|
//! | [`TokenAccepted`](Event::TokenAccepted) | `token_accepted` | a bearer layer accepted an access token |
//! | [`TokenRejected`](Event::TokenRejected) | `token_rejected` | the token is missing or rejected, or cannot be verified now |
//! | [`ScopeMissing`](Event::ScopeMissing) | `scope_missing` | the token does not grant the required scopes |
//! | [`SessionRejected`](Event::SessionRejected) | `session_rejected` | the MCP session is unknown or belongs to another caller |
//! | [`RequestRejected`](Event::RequestRejected) | `request_rejected` | another reason, such as the origin or the body |
//! | [`CacheHit`](Event::CacheHit) | `cache_hit` | the result for a token comes from a cache |
//! | [`KeySetFetched`](Event::KeySetFetched) | `key_set_fetched` | a key set was fetched or confirmed |
//! | [`KeySetFailed`](Event::KeySetFailed) | `key_set_failed` | a key set could not be fetched |
//! | [`KeyUnusable`](Event::KeyUnusable) | `key_unusable` | a published key cannot be used |
//! | [`MetadataFetched`](Event::MetadataFetched) | `metadata_fetched` | a metadata document was fetched |
//! | [`MetadataFailed`](Event::MetadataFailed) | `metadata_failed` | no metadata document could be fetched |
//! | [`IssuerMismatch`](Event::IssuerMismatch) | `issuer_mismatch` | the metadata document has another issuer |
//! | [`IntrospectionDone`](Event::IntrospectionDone) | `introspection_done` | a token was introspected |
//! | [`IntrospectionFailed`](Event::IntrospectionFailed) | `introspection_failed` | a token could not be introspected |
//! | [`IntrospectionSuspended`](Event::IntrospectionSuspended) | `introspection_suspended` | the circuit breaker opened |
//! | [`IntrospectionResumed`](Event::IntrospectionResumed) | `introspection_resumed` | the circuit breaker closed |
//! | [`StreamEnded`](Event::StreamEnded) | `stream_ended` | a layer ended a streaming response |
//!
//! The four events of introspection are also those of a [`TokenVerifier`](crate::verify::TokenVerifier) with
//! [limits](crate::Issuer::verifier_limits).
//!
//! The guide describes the [log lines](crate::guide::logging) and the [metrics](crate::guide::metrics). An [`Observer`] receives
//! the events themselves.
//! No event contains a token or a secret.

mod event;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod observer;
mod request_info;
mod sink;
mod trace;

pub(crate) use event::VerificationPurpose;
pub use event::{
    CacheKind, Event, Failed, IntrospectionDone, IntrospectionResult, IntrospectionResumed, IntrospectionSuspended,
    IssuerMismatch, KeySetFetched, KeyUnusable, MetadataFetched, Rejected, ReplayStoreFailed, ReplayStoreFull,
    Severity, StreamEndReason, TokenAccepted,
};
pub use observer::Observer;
pub(crate) use request_info::RequestHead;
pub use request_info::RequestInfo;
pub(crate) use sink::{IssuerEvents, ServerEvents};

pub use crate::failure::Detail;
