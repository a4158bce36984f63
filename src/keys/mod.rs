//! Key sets: the public keys that verify the signatures of JWTs.
//!
//! `refresh` decides when a key set is fetched, `fetch` sends the request, and `remote` connects the two. A key set can
//! also be fixed, or come from your own [`KeySource`]. A fetched key set can have a seed, which is used until the first fetch.

mod fetch;
mod found;
mod refresh;
mod remote;
mod source;

pub(crate) use fetch::{KeySetFetcher, KeySetLimits, UnusableKeys};
pub use found::KeyError;
pub(crate) use found::{FoundKeys, SeededKeys, Signature};
pub(crate) use refresh::RefreshPolicy;
pub(crate) use remote::{KeySeed, RemoteKeys};
pub(crate) use source::{CustomKeys, Keys};
pub use source::{KeySetFuture, KeySource};
