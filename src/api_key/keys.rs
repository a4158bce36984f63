use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::form::{DEFAULT_PREFIX, check_prefix};
use super::store::{ApiKeyStore, DynKeyStore};
use super::stored::StoredKey;
use crate::error::{BuildError, BuildErrorKind};
use crate::introspection::LookupLimits;

/// The API keys that a server accepts, for [`ResourceServerBuilder::api_keys`](crate::ResourceServerBuilder::api_keys).
///
/// Keys may be in the code, and in a file or a store, at once. The setters do not fail: `build` reports all mistakes in all keys.
///
/// ```
/// use mcp_bearer::ResourceServer;
/// use mcp_bearer::api_key::{ApiKeys, StoredKey};
///
/// // `mcp-bearer key new --name ci --scope notes:read` prints these values.
/// let digest = "f0e4c2f76c58916ec258f246851bea091d14d4247a2fc3e18694461b1816e13b";
/// let ci = StoredKey::new("ci", "mcpk_0123456789AB", digest).scopes(["notes:read"]);
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp").api_keys(ApiKeys::new().key(ci));
/// ```
#[derive(Clone)]
#[must_use]
pub struct ApiKeys {
    pub(super) prefix: Box<str>,
    pub(super) keys: Vec<StoredKey>,
    pub(super) file: Option<PathBuf>,
    pub(super) header: Option<Box<str>>,
    pub(super) store: Option<Arc<dyn DynKeyStore>>,
    pub(super) store_limits: LookupLimits,
}

impl ApiKeys {
    /// Creates an empty set of API keys with the prefix `mcpk`.
    pub fn new() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.into(),
            keys: Vec::new(),
            file: None,
            header: None,
            store: None,
            store_limits: LookupLimits::new(),
        }
    }

    /// The keys in a file, which is read when the server is built, and again when it changes.
    ///
    /// Each line is what `mcp-bearer key new` prints, see [`StoredKey`]. Empty lines and lines that start with `#` are ignored.
    /// The file has at most 16 MiB. A mistake in one line is an error of the build, which shows the first 20 mistakes with
    /// their lines, and the number of the others.
    ///
    /// In a tokio runtime, a background task compares the content with the last one every 5 s. Added keys are accepted and removed
    /// keys are rejected from then on. If the new content has a mistake or cannot be read, the previous keys stay in use, and the
    /// log warns once, with the same list. The log also warns if a read takes longer than 3 s.
    ///
    /// Where that task does not run, for example after the runtime of the build ended or while the process was suspended, a request
    /// with a key reads the file if the last read is older than 5 s. It waits for it, 3 s at most, if the last read is older than
    /// 10 s. Outside a tokio runtime the file is read only by `reload_api_keys`.
    ///
    /// [`ResourceServer::reload_api_keys`](crate::ResourceServer::reload_api_keys) reads it at once. Write the new content to another
    /// file, and rename that file, so that the server never reads a part of it.
    ///
    /// ```no_run
    /// use mcp_bearer::ResourceServer;
    /// use mcp_bearer::api_key::ApiKeys;
    ///
    /// let keys = ApiKeys::from_file("/etc/notes/api_keys.jsonl");
    /// let builder = ResourceServer::builder("https://mcp.example.com/mcp").api_keys(keys);
    /// ```
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::new() }
    }

    /// The keys in a store of the application, such as a database. A key in the code is accepted without a look-up in the store.
    pub fn from_store(store: impl ApiKeyStore) -> Self {
        Self { store: Some(Arc::new(store)), ..Self::new() }
    }

    /// Sets the cache and the limits of the [store](Self::from_store): see [`LookupLimits`].
    ///
    /// `positive_cache`, 30 s by default, is how long a key is accepted after it was removed from the store, unless
    /// [`forget`](crate::ResourceServer::forget) removes the result. `negative_cache`, 10 s by default, is how long a new key may be
    /// rejected. Events, metrics and log lines are those of introspection, with the issuer `api_keys`.
    ///
    /// ```
    /// # use mcp_bearer::api_key::{ApiKeyStore, KeyStoreError, StoredKey};
    /// # struct Rows;
    /// # impl ApiKeyStore for Rows {
    /// #     async fn find(&self, _: &str) -> Result<Option<StoredKey>, KeyStoreError> { Ok(None) }
    /// # }
    /// use std::time::Duration;
    ///
    /// use mcp_bearer::api_key::ApiKeys;
    /// use mcp_bearer::introspection::LookupLimits;
    ///
    /// // A database with a pool of 10 connections.
    /// let limits = LookupLimits::new().max_in_flight(10).positive_cache(Duration::from_secs(10));
    /// let keys = ApiKeys::from_store(Rows).store_limits(limits);
    /// ```
    pub const fn store_limits(mut self, limits: LookupLimits) -> Self {
        self.store_limits = limits;
        self
    }

    /// Adds a key.
    pub fn key(mut self, key: StoredKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Accepts keys in this header as well, for clients that cannot send `Authorization`. Its value is the key alone.
    ///
    /// In this header only an API key is accepted, and never an access token. A request with both this header and
    /// `Authorization` gets 400. `build` rejects the name of a header that has another meaning.
    ///
    /// ```
    /// use mcp_bearer::api_key::ApiKeys;
    ///
    /// let keys = ApiKeys::from_file("/etc/notes/api_keys.jsonl").header("x-api-key");
    /// ```
    pub fn header(mut self, name: impl Into<Box<str>>) -> Self {
        self.header = Some(name.into());
        self
    }

    pub(crate) fn check_prefix(&self) -> Result<(), BuildError> {
        check_prefix(&self.prefix).map_err(|error| BuildError::new(BuildErrorKind::ApiKeys, error.to_string()))
    }

    pub(crate) fn header_name(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Sets the prefix of all keys: `mcpk` by default. [`ApiKey::generate_with_prefix`](super::ApiKey::generate_with_prefix)
    /// describes what it may be. A key with another prefix is not an API key for this server.
    pub fn prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

impl Default for ApiKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("prefix", &self.prefix)
            .field("keys", &self.keys.len())
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
