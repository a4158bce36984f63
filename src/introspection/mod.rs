//! What the authorization server says of a token (RFC 7662): for tokens that say nothing themselves, and for knowing
//! whether one was revoked.
//!
//! | | default | range |
//! |---|---|---|
//! | "active" holds for | 30 s, never past `exp` | [`positive_cache`](Introspection::positive_cache): 0 to 5 min |
//! | "not active" holds for | 10 s | [`negative_cache`](Introspection::negative_cache): 0 to 60 s |
//! | an old "active" serves in an outage | not at all | [`stale_on_error`](Introspection::stale_on_error): 0 to 60 s |
//! | remembered | 10,000 good answers of 4 KiB, 1,000 bad ones | |
//! | asked at once | 64 requests, 1,024 more wait for at most 1 s; a quarter of both is kept for tokens that were good before | |
//! | one request | 3 s in all; one retry if there is no connection, or for 502, 503, 504 | |
//! | after 5 failures in a row | nothing is asked for 5 s, doubling to 60 s; then one request tries | |
//! | an answer | status 200, at most 64 KiB, a JSON object with a boolean `active` | |
//!
//! Whatever else comes back is an outage, not a bad token: the request is answered with 503, and never from memory unless
//! that is switched on. A refusal of our own credentials is that too, with an `error` event of its own; a 400 with
//! `unsupported_token_type` is a bad token. A failure that may be due to the token (500, 403, nonsense) suspends
//! introspection only if a made-up token meets with the same: strangers cannot suspend it for all. Everybody who asks about
//! the same token at the same time shares one request. Tokens are known by their HMAC-SHA-256 under a random key of this
//! process, and not kept.
//!
//! An answer's claims are checked like a JWT's. `iss` may be missing, since we know whom we asked, and so may `exp`;
//! `aud`, or `resource`, may not.

mod answer;
mod breaker;
mod call;
mod credentials;
mod error;
mod gate;
mod introspector;
mod log;
mod memory;
mod settings;

pub(crate) use answer::Verdict;
#[cfg(fuzzing)]
pub(crate) use answer::read as read_answer;
pub(crate) use call::{Endpoint, FindEndpoint, FindFuture};
pub use credentials::ClientCredentials;
pub(crate) use error::IntrospectionError;
pub(crate) use introspector::Introspector;
pub use settings::Introspection;
use settings::Lifetimes;
