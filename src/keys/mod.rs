//! Where the keys come from that check signatures.
//!
//! `refresh` decides when a key set is fetched and says so without doing it; `remote` does it; a fixed key set never
//! changes. A source of your own implements [`KeySource`].

mod error;
mod refresh;
mod remote;
mod report;
mod source;

pub use error::KeyError;
pub(crate) use refresh::RefreshPolicy;
pub(crate) use remote::{FetchFuture, FetchKeySet, FetchRequest, Fetched, RemoteKeys, Validators};
pub(crate) use report::UnusableKeys;
pub(crate) use source::{FoundKeys, Keys, Reporting, Signature};
pub use source::{KeySetFuture, KeySource};
