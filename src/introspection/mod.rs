//! Token introspection (RFC 7662): asks the authorization server about opaque tokens, and whether a token was revoked.
//!
//! | | default | setting and range |
//! |---|---|---|
//! | "active" holds for | 30 s, never past `exp` | [`positive_cache`](Introspection::positive_cache): 0 to 5 min |
//! | "not active" holds for | 10 s | [`negative_cache`](Introspection::negative_cache): 0 to 60 s |
//! | an old "active" is used in an outage | never | [`stale_on_error`](Introspection::stale_on_error): 0 to 60 s |
//! | cached | 10,000 active tokens of 4 KiB, 1,000 others | |
//! | requests in flight | adapts: 8 at first, 1 to 64 | [`max_in_flight`](Introspection::max_in_flight): 1 to 64 |
//! | waiting for a turn | 5 s, 1,024 tokens | [`max_wait`](Introspection::max_wait): 0 to 30 s |
//! | one introspection | 3 s from when it is sent; one retry without a connection, or for 502, 503, 504 | [`time_limit`](Introspection::time_limit): 100 ms to 30 s |
//! | after 5 failures of the endpoint in a row | no request for 5 s, doubling to 60 s; then one at a time, or 8 where only tokens may be the reason | |
//! | an answer | status 200, at most 64 KiB, a JSON object with a boolean `active`; `{"active": false}` with any status | |
//!
//! # What callers get
//!
//! | the authorization server | the caller gets |
//! |---|---|
//! | confirms the token as active | whatever its claims deserve: they are checked like a JWT's |
//! | answers that it is not active; answers an opaque token with 400 `unsupported_token_type` | 401 |
//! | answers a JWT with 400 `unsupported_token_type` | 503 and an `error` event if the JWT is valid by the issuer's keys, 401 if it is not, 503 if there are no keys |
//! | answers 400 with another error code that is not about the client | 401 if another token was confirmed as active within the last two minutes, else 503 |
//! | answers anything else, or nothing | 503, and never from the cache unless [`stale_on_error`](Introspection::stale_on_error) is set |
//!
//! An answer's claims may lack `iss`, since it is known who answered, and `exp`; they may not lack `aud` or `resource`.
//!
//! # How many requests are sent
//!
//! All callers that show the same token at the same time share one request. The number of requests in flight adapts to the
//! authorization server. It grows by one after each round of answers that came in time. It is halved at a 503, where the
//! latency doubles over its best of the last minute, and where a request times out while no other is answered. If a request
//! times out although it was sent alone, while the authorization server confirms other tokens, the token is the reason: the
//! number returns to 8, and timeouts do not change it for two minutes. Callers wait for a turn in order; tokens that
//! were active before go first, and have places that other tokens cannot fill. The time limit of a request begins when the
//! request is sent. `Retry-After` says when the turn would have come, with up to 30 % added at random, and 60 s at most.
//!
//! # When the authorization server fails
//!
//! Anybody can send made-up tokens, and some servers and firewalls react to those with odd statuses or not at all. Such a
//! reaction says nothing about other tokens while the authorization server confirms tokens as active. So the circuit breaker
//! opens only if no connection can be made, if tokens fail that were active before, or if no token was confirmed for two
//! minutes and five different tokens fail. `invalid_client` or `unauthorized_client`, before any token was confirmed, opens
//! it at once and is an `error` event; so is the first other 401 or 403 before that, once. A 429 with `Retry-After` holds for
//! its token, and for the endpoint only if the token was active before.
//!
//! Tokens are cached under their HMAC-SHA-256 with a random key of this process; the tokens themselves are not kept.

mod answer;
mod call;
mod credentials;
mod endpoint;
mod error;
mod health;
mod introspector;
mod log;
mod memory;
mod queue;
mod settings;
mod width;

pub(crate) use answer::Verdict;
#[cfg(fuzzing)]
pub(crate) use answer::read as read_answer;
pub use credentials::ClientCredentials;
pub(crate) use error::IntrospectionError;
pub(crate) use introspector::Introspector;
pub use settings::Introspection;
use settings::Lifetimes;
