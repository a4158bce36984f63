use std::error::Error as StdError;
use std::time::Duration;

use super::RequestInfo;
use crate::claims::CredentialKind;
use crate::failure::Detail;
use crate::sender::Sender;

/// Something that happened in a resource server.
///
/// The vocabulary is closed: log lines, metrics and observers all render these events. The
/// [module's documentation](super) lists them.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub enum Event<'e> {
    /// A bearer layer accepted an access token. The MCP layer can still reject the request.
    TokenAccepted(TokenAccepted<'e>),
    /// The credentials of a request are missing or rejected, or the access token cannot be verified now.
    TokenRejected(Rejected<'e>),
    /// The DPoP proof of a request is missing or invalid.
    ProofRejected(Rejected<'e>),
    /// The access token is valid, and does not grant the required scopes.
    ScopeMissing(Rejected<'e>),
    /// The session of a request is unknown, or belongs to another caller.
    SessionRejected(Rejected<'e>),
    /// A request is rejected for a reason other than its token, its scopes and its session.
    RequestRejected(Rejected<'e>),
    /// The result for a token comes from a cache.
    CacheHit(CacheKind),
    /// A key set was fetched, or confirmed as not modified.
    KeySetFetched(KeySetFetched<'e>),
    /// A key set could not be fetched.
    KeySetFailed(Failed<'e>),
    /// A published key cannot be used. Requests with tokens that name it get 503.
    KeyUnusable(KeyUnusable<'e>),
    /// A metadata document was fetched.
    MetadataFetched(MetadataFetched<'e>),
    /// No metadata document could be fetched.
    MetadataFailed(Failed<'e>),
    /// The metadata document has another issuer than the configured one (RFC 8414, section 3.3).
    IssuerMismatch(IssuerMismatch<'e>),
    /// A token was introspected.
    IntrospectionDone(IntrospectionDone<'e>),
    /// A token could not be introspected.
    IntrospectionFailed(Failed<'e>),
    /// Introspection is suspended after consecutive failures: the circuit breaker is open.
    IntrospectionSuspended(IntrospectionSuspended<'e>),
    /// Introspection works again: the circuit breaker is closed.
    IntrospectionResumed(IntrospectionResumed<'e>),
    /// A used DPoP proof cannot be kept, because too many are kept. The request gets 503.
    ReplayStoreFull(ReplayStoreFull),
    /// The replay store of the application failed. The request gets 503.
    ReplayStoreFailed(ReplayStoreFailed<'e>),
    /// A layer ended a streaming response.
    StreamEnded(StreamEndReason),
}

/// Why a token is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerificationPurpose {
    /// For a request.
    Request,
    /// For [`ResourceServer::explain`](crate::ResourceServer::explain), which makes no event and no negative cache entry.
    Explanation,
}

/// An access token that was accepted.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct TokenAccepted<'e> {
    /// The request.
    pub request: RequestInfo<'e>,
    /// The kind of the credential.
    pub kind: CredentialKind,
    /// The issuer of the token.
    pub issuer: Option<&'e str>,
    /// The subject of the token (`sub`). Log lines leave it out.
    pub subject: Option<&'e str>,
    /// The client that the token was issued to. Log lines leave it out.
    pub client_id: Option<&'e str>,
    /// The scopes of the token, separated by spaces.
    pub scopes: &'e str,
    /// How the sender has proved that the token is its own.
    pub sender: &'e Sender,
    /// How long the verification took.
    pub duration: Duration,
}

/// A request that was rejected.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct Rejected<'e> {
    /// The request. `None` if a handler rejects it and did not get its [`AuthInfo`](crate::AuthInfo) from an extractor.
    pub request: Option<RequestInfo<'e>>,
    /// The kind of the rejection: [`Rejection::label`](crate::Rejection::label).
    pub kind: &'static str,
    /// The stable label of the cause.
    pub cause: &'static str,
    /// The cause in words.
    pub summary: &'static str,
    /// The advice for an operator.
    pub advice: Option<&'e str>,
    /// The configured issuer that verified the token, if the checks reached one.
    pub issuer: Option<&'e str>,
    /// The key id (`kid`) in the header of the token, or the lookup id of an API key. Anybody can choose it.
    pub key_id: Option<&'e str>,
    /// The name of the API key, if one was accepted and lacks a scope.
    pub api_key: Option<&'e str>,
    /// The expected and the found value of the failed check.
    pub detail: Option<&'e Detail>,
    /// The error that is the reason. Print its sources too.
    pub error: Option<&'e (dyn StdError + 'static)>,
    /// How long the verification took. `None` if nothing was verified.
    pub duration: Option<Duration>,
    /// Whether an event about the authorization server has named the misconfiguration.
    pub(crate) is_reported: bool,
}

/// A cache with results for tokens.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheKind {
    /// JWTs whose signature was verified.
    VerifiedTokens,
    /// Introspection results.
    Introspection,
    /// Introspection results of other replicas, in the store that they share.
    SharedIntrospection,
}

/// A key set that was fetched.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct KeySetFetched<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The number of keys that can be used.
    pub keys: usize,
    /// The number of published signature keys that cannot be used.
    pub unusable: usize,
    /// The number of published keys that are not for signatures.
    pub skipped: usize,
    /// Whether the key set differs from the last one. `false` after a response with status 304.
    pub is_modified: bool,
    /// Whether the last fetch had failed.
    pub is_recovered: bool,
    /// How long the keys may be used if no later fetch succeeds.
    pub usable_for: Duration,
    /// How long the fetch took.
    pub duration: Duration,
}

/// A request to an authorization server that failed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct Failed<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The error. Print its sources too.
    pub error: &'e (dyn StdError + 'static),
    /// The likely cause of the failure.
    pub severity: Severity,
    /// How long the request took.
    pub duration: Duration,
    /// Whether another event has named the failure.
    pub(crate) is_reported: bool,
}

/// A metadata document that has another issuer than the configured one.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct IssuerMismatch<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The issuer that the document must have: the issuer identifier, or its template with a placeholder for the tenant.
    pub expected: &'e str,
    /// The issuer in the document, escaped and cut to 128 characters.
    pub found: &'e str,
    /// The error. Print its sources too.
    pub error: &'e (dyn StdError + 'static),
    /// How long the request took.
    pub duration: Duration,
}

/// The likely cause of a failed request to an authorization server.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A token, which anybody can choose.
    Token,
    /// The authorization server, or the network.
    Outage,
    /// The configuration of this server: an operator must change it.
    Misconfiguration,
}

/// A published key that cannot be used.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct KeyUnusable<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The key id, escaped and cut at 64 characters. `None` if the key does not have a name.
    pub key_id: Option<&'e str>,
    /// Why the key cannot be used.
    pub reason: &'e str,
}

/// A metadata document that was fetched.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct MetadataFetched<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// Whether the last fetch had failed.
    pub is_recovered: bool,
    /// How long the fetch took.
    pub duration: Duration,
}

/// A token that was introspected.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct IntrospectionDone<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The result.
    pub result: IntrospectionResult,
    /// How long the request took, with a retry and the time in the queue.
    pub duration: Duration,
}

/// The result of an introspection.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntrospectionResult {
    /// The token is active.
    Active,
    /// The token is not active.
    Inactive,
    /// The authorization server does not introspect tokens of this kind.
    Unsupported,
}

/// Introspection is suspended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct IntrospectionSuspended<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
    /// The time until the next request.
    pub pause: Duration,
}

/// Introspection works again.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct IntrospectionResumed<'e> {
    /// The issuer identifier.
    pub issuer: &'e str,
}

/// A used DPoP proof that cannot be kept.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct ReplayStoreFull {
    /// The time until a proof can be kept again.
    pub retry_after: Duration,
}

/// A call of the replay store that failed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct ReplayStoreFailed<'e> {
    /// The error. Print its sources too.
    pub error: &'e (dyn StdError + 'static),
}

/// Why a layer ended a streaming response.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEndReason {
    /// The access token expired.
    Expired,
    /// A later verification rejected the access token.
    Rejected,
    /// A later verification found that the access token lacks a scope.
    ScopeMissing,
    /// The access token could not be verified for too long.
    Unverified,
    /// The application [revoked](crate::ResourceServer::revoke) the access token, its subject or its session.
    Revoked,
}

impl Event<'_> {
    /// The stable name of the event.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TokenAccepted(_) => "token_accepted",
            Self::TokenRejected(_) => "token_rejected",
            Self::ProofRejected(_) => "proof_rejected",
            Self::ScopeMissing(_) => "scope_missing",
            Self::SessionRejected(_) => "session_rejected",
            Self::RequestRejected(_) => "request_rejected",
            Self::CacheHit(_) => "cache_hit",
            Self::KeySetFetched(_) => "key_set_fetched",
            Self::KeySetFailed(_) => "key_set_failed",
            Self::KeyUnusable(_) => "key_unusable",
            Self::MetadataFetched(_) => "metadata_fetched",
            Self::MetadataFailed(_) => "metadata_failed",
            Self::IssuerMismatch(_) => "issuer_mismatch",
            Self::IntrospectionDone(_) => "introspection_done",
            Self::IntrospectionFailed(_) => "introspection_failed",
            Self::IntrospectionSuspended(_) => "introspection_suspended",
            Self::IntrospectionResumed(_) => "introspection_resumed",
            Self::ReplayStoreFull(_) => "replay_store_full",
            Self::ReplayStoreFailed(_) => "replay_store_failed",
            Self::StreamEnded(_) => "stream_ended",
        }
    }
}

impl CacheKind {
    /// The stable label of the cache in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::VerifiedTokens => "verified_tokens",
            Self::Introspection => "introspection",
            Self::SharedIntrospection => "shared_introspection",
        }
    }
}

impl IntrospectionResult {
    /// The stable label of the result in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Unsupported => "unsupported",
        }
    }
}

impl StreamEndReason {
    /// The stable label of the reason in logs and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::ScopeMissing => "scope_missing",
            Self::Unverified => "unverified",
            Self::Revoked => "revoked",
        }
    }
}
