//! API keys beside access tokens: secrets that a client sends without an authorization server.
//!
//! An API key suits a program that cannot log in, such as a CI job. It stays valid until it is removed, and everybody who has it can use
//! it, so prefer access tokens where a client can get one. The [guide](crate::guide::api_keys) has a whole server.
//!
//! ```
//! # #[cfg(all(feature = "reqwest", feature = "aws-lc-rs"))] {
//! use mcp_bearer::api_key::{ApiKey, ApiKeys};
//! use mcp_bearer::{Issuer, ResourceServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a real server the keys are in a file: `ApiKeys::from_file("/etc/notes/api_keys.jsonl")`.
//! let key = ApiKey::generate()?;
//! let keys = ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]));
//! let server = ResourceServer::builder("https://mcp.example.com/mcp")
//!     .issuer(Issuer::discover("https://auth.example.com"))
//!     .scopes_supported(["notes:read", "notes:write"])
//!     .api_keys(keys)
//!     .build_lazy()?;
//! # drop(server);
//! # Ok(())
//! # }
//! # main().unwrap();
//! # }
//! ```
//!
//! # Checks
//!
//! A token with the prefix of API keys is an API key. It is never sent to an authorization server or a
//! [`TokenVerifier`](crate::verify::TokenVerifier), and no other token is looked up as a key. The checks, in this order:
//!
//! | | check | rejected as |
//! |---|---|---|
//! | 1 | form: the prefix, `_`, and 48 letters and digits | [`ApiKeyMalformed`](crate::verify::CheckFailure::ApiKeyMalformed) |
//! | 2 | the checksum, before anything is looked up | [`ApiKeyMalformed`](crate::verify::CheckFailure::ApiKeyMalformed) |
//! | 3 | the lookup id is known | [`ApiKeyUnknown`](crate::verify::CheckFailure::ApiKeyUnknown) |
//! | 4 | the SHA-256 digest of the key, compared in constant time | [`ApiKeyUnknown`](crate::verify::CheckFailure::ApiKeyUnknown) |
//! | 5 | the expiry, without clock skew | [`ApiKeyExpired`](crate::verify::CheckFailure::ApiKeyExpired) |
//!
//! A rejected key gets 401 with the challenge of every other rejected token. Its log line never has a part of the key.
//!
//! # The caller
//!
//! [`AuthInfo`](crate::AuthInfo) of a key does not have an issuer, an audience or a client id, because nobody issued the key for an
//! audience. Its [`kind`](crate::AuthInfo::kind) is [`ApiKey`](crate::CredentialKind::ApiKey). Its subject is the identity of the
//! key, and [`identity`](crate::AuthInfo::identity) is `None`, so that a key never equals a user of an issuer. The scopes of the
//! key pass the same checks as those of a token.

mod entry;
mod expiry;
mod file;
mod follow;
mod form;
mod key;
mod keys;
mod mistakes;
mod reads;
mod store;
mod stored;
mod table;

pub(crate) use form::lookup_id;
pub use form::{ApiKeyError, ApiKeyErrorKind};
pub use key::ApiKey;
pub use keys::ApiKeys;
pub use store::{ApiKeyStore, KeyStoreError};
pub use stored::StoredKey;
pub(crate) use table::{ApiKeyTable, KeyLookUp};
