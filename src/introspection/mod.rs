//! Token introspection (RFC 7662): for opaque tokens, and to notice that a token was revoked.
//!
//! A [`TokenVerifier`](crate::verify::TokenVerifier) or an [`ApiKeyStore`](crate::api_key::ApiKeyStore) can take the place of the
//! introspection endpoint, with the same cache and limits: see [`LookupLimits`].
//!
//! The settings are methods of [`Introspection`]. The [guide](crate::guide::introspection) has a table of all limits.
//!
//! # Results
//!
//! | the authorization server | the client gets |
//! |---|---|
//! | confirms the token as active | the result of the claims check, which is the same as for a JWT |
//! | responds that the token is not active; responds to an opaque token with 400 `unsupported_token_type` | 401 |
//! | responds to a JWT with 400 `unsupported_token_type` | 503 and an `error` event if the JWT is valid by the issuer's keys, 401 if it is not, 503 without keys |
//! | responds with 400 and another error code that is not about the client | 401 if another token was confirmed as active within the last two minutes, else 503 |
//! | responds with anything else, or not at all | 503; the cache is used only with [`stale_on_error`](Introspection::stale_on_error) |
//!
//! The claims may lack `iss`, because the authorization server is known, and `exp`. They must have `aud` or `resource`.
//!
//! # Number of requests
//!
//! All callers with the same token at the same time share one request. The limit of concurrent requests adapts to the
//! authorization server. It starts at 8, and grows by one after each round of responses that came in time. It is halved at a 503, if the latency
//! doubles over its best of the last minute, and if a request times out while no other gets a response.
//!
//! If a request times out although it was sent alone, while the authorization server confirms other tokens, the token is the
//! reason. Then the limit returns to 8, and timeouts do not lower it for two minutes.
//!
//! Callers wait in order. Tokens that were active before go first, and have places that other tokens cannot fill. The time
//! limit of a request begins when the request is sent. `Retry-After` says when the request would have been sent, with up to
//! 30 % added at random, and 60 s at most.
//!
//! # Failures of the authorization server
//!
//! Anybody can send made-up tokens, and some servers and firewalls respond to them with an unusual status or not at all. While
//! the authorization server confirms tokens as active, such a response concerns only its token. So the circuit breaker opens
//! only if no connection can be made, if tokens fail that were active before, or if no token was confirmed for two minutes and
//! five different tokens fail.
//!
//! `invalid_client` or `unauthorized_client`, before any token was confirmed, opens the circuit breaker at once and is an
//! `error` event. The first other 401 or 403 before that is an `error` event too. A 429 with `Retry-After` is followed for its
//! token, and for the whole endpoint only if the token was active before.
//!
//! When a server starts, it introspects one made-up token, to check the client credentials and a configured endpoint: see
//! [`IntrospectionState`] and [start-up](crate::guide::startup#readiness). Its failure never counts for the circuit breaker.
//!
//! Results are cached under the HMAC-SHA-256 of the token with a random key of this process. The tokens themselves are not
//! kept.

mod breaker;
mod cache;
mod call;
mod concurrency;
mod credentials;
mod endpoint_problem;
mod introspector;
mod lookup;
mod lookup_limits;
mod queue;
mod secret;
mod settings;
mod shared_results;

#[cfg(fuzzing)]
pub(crate) use call::read as read_response;
pub(crate) use call::{IntrospectionError, TokenStatus};
pub use credentials::ClientCredentials;
pub(crate) use endpoint_problem::endpoint_problem;
pub use introspector::IntrospectionState;
pub(crate) use introspector::Introspector;
pub(crate) use lookup::{LookupCode, LookupError, LookupErrorKind, LookupFuture, StatusLookup};
pub use lookup_limits::LookupLimits;
#[cfg(feature = "settings")]
pub(crate) use secret::MAX_SECRET;
pub use settings::Introspection;
use settings::Lifetimes;
pub(crate) use shared_results::SharedResults;
#[cfg(feature = "redis")]
pub(crate) use shared_results::{FoundResult, NewResult, RequestTime, SharedToken, StoreAnswer, StoreFuture};
