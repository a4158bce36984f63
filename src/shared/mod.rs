//! State that replicas share in Redis or Valkey: used DPoP proofs, revocations, and introspection results.
//!
//! One server keeps them in memory. Several replicas behind a balancer must share the first two: otherwise a copied proof is accepted
//! once by each replica, and a revocation reaches one replica only. They can share the third, so that the authorization server gets
//! fewer requests: see [`RedisState::share_introspection_results`].
//!
//! ```no_run
//! use mcp_bearer::sender::{Dpop, NonceKey, SenderConstraint};
//! use mcp_bearer::shared::RedisState;
//! use mcp_bearer::{Issuer, ResourceServer};
//!
//! # async fn server() -> Result<ResourceServer, mcp_bearer::BuildError> {
//! ResourceServer::builder("https://mcp.example.com/mcp")
//!     .issuer(Issuer::discover("https://auth.example.com"))
//!     .sender_constraint(SenderConstraint::Optional)
//!     .dpop(Dpop::new().nonce_key(NonceKey::from_file("/run/secrets/nonce_keys")?))
//!     .shared_state(RedisState::new("rediss://mcp:secret@redis.example.com"))
//!     .replicas_share_state()
//!     .build()
//!     .await
//! # }
//! ```
//!
//! # Requests
//!
//! | request | round trips to Redis |
//! |---|---|
//! | with a DPoP proof | 1 |
//! | without a proof | 0 |
//! | the first one with a token to be introspected, if results are shared | 1 or 2 more |
//!
//! The server has two connections: one for used proofs, introspection results and new revocations, and one that receives the revocations of the other
//! replicas. All requests share the first one.
//!
//! # Redis is down
//!
//! - A request with a DPoP proof gets 503 with `Retry-After`, because nobody can tell whether the proof was used before.
//! - A request without a proof is not affected. Its token is compared with the revocations that this replica knows.
//! - [`ResourceServer::revoke`](crate::ResourceServer::revoke) fails. This replica rejects the token all the same.
//! - The server connects again without a restart. It then reads all revocations, and writes those that Redis does not have.
//!
//! # Redis restarts
//!
//! A restart may lose the proofs that were used just before, with persistence too. So a proof is accepted only if it was certainly
//! not used before the restart:
//!
//! | time since the restart | proof | response |
//! |---|---|---|
//! | 11 s | any | 503 with `Retry-After` |
//! | 310 s | with a nonce of this server that is newer than the restart | accepted |
//! | the same | any other | 401 with `use_dpop_nonce` and a fresh nonce, with which the client tries again (RFC 9449, section 9) |
//! | later | any | accepted |
//!
//! 10 seconds are the greatest difference between the clocks of replicas. 300 seconds are the greatest
//! [`Dpop::max_age`](crate::sender::Dpop::max_age), which another replica may have while the setting changes. Give all replicas the same
//! [`Dpop::nonce_key`](crate::sender::Dpop::nonce_key). The same applies if the address leads to another server, as after a failover,
//! and if Redis was started just before this server. Each new connection reads `run_id` and `uptime_in_seconds` of `INFO` before it
//! is used. A new replica cannot know when a primary was promoted that has been a read-only replica before. So for such a primary
//! (`master_replid2`), the times begin with the first connection.
//!
//! Revocations are not lost as long as one replica runs: it writes them to Redis again.
//!
//! # What Redis needs
//!
//! - Redis 7.0 or later, or Valkey 7.2 or later: one primary without cluster mode. Commands: `HELLO`, `AUTH`, `SELECT`, `CLIENT`,
//!   `INFO`, `PING`, `TIME`, `SET`, `GET`, `GETRANGE`, `DEL`, `ZADD`, `EXPIREAT`, `ZSCAN`, `ZREMRANGEBYSCORE`, `PUBLISH` and `SUBSCRIBE`, for the keys
//!   and channels with the [prefix](RedisState::key_prefix).
//! - `maxmemory-policy noeviction`, if `maxmemory` is set. If Redis removed the entry of a used proof early, the proof would be accepted
//!   again. So a connection to a server with another policy is an error. Many hosted services have another default.
//! - A limit of the request rate in front of the servers. Redis does not limit the proofs of one key: [`Dpop::max_proofs`](crate::sender::Dpop::max_proofs)
//!   and [`Dpop::max_proofs_per_key`](crate::sender::Dpop::max_proofs_per_key) have no effect. So a client with valid tokens can fill its
//!   memory. Then all requests with proofs get 503, and `revoke` fails. An entry of a proof takes about 200 bytes for 310 s, and up to
//!   [`Dpop::max_age`](crate::sender::Dpop::max_age) longer if the clock of its client is ahead.
//! - A clock that is never set forward. Redis removes entries by its wall clock, so a jump of some minutes removes used proofs early.
//!   Let NTP slew the clock.
//! - One primary at a time. Before the address leads to another server, stop the old one: a replica of this server uses its connection
//!   as long as it works.
//! - Do not run `FLUSHDB` or `FLUSHALL`: nobody would notice that used proofs are gone.
//!
//! Keys, and the values of proofs and revocations, have digests and times only, never a token or a subject. Introspection results are
//! encrypted.

mod connection;
mod entry_text;
mod error;
mod facts;
#[cfg(test)]
mod fake_redis;
mod replays;
mod result_key;
mod results;
mod revocations;
mod settings;
mod store;

pub(crate) use replays::RedisReplays;
pub use result_key::ResultKey;
pub(crate) use results::RedisResults;
pub(crate) use revocations::RedisRevocations;
pub use settings::RedisState;
