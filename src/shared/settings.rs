use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::connection::Connector;
use super::result_key::ResultKey;
use super::store::RedisStore;
use crate::clock::Clock;
use crate::error::{BuildError, check_range};
use crate::escape::{Escaped, MAX_SHOWN};

/// A Redis or Valkey server with the state that replicas share, for
/// [`ResourceServerBuilder::shared_state`](crate::ResourceServerBuilder::shared_state).
///
/// The setters do not fail. The builder reports mistakes. The [module](super) says what is stored, and what happens while Redis is
/// down.
///
/// ```
/// use std::time::Duration;
///
/// use mcp_bearer::shared::RedisState;
///
/// let state = RedisState::new("rediss://mcp:secret@redis.example.com:6380/1")
///     .key_prefix("notes:")
///     .timeout(Duration::from_millis(500));
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisState {
    url: Box<str>,
    key_prefix: Box<str>,
    timeout: Duration,
    root_certificates: Option<Arc<[u8]>>,
    pub(crate) result_key: Option<ResultKey>,
}

impl RedisState {
    /// The server at this URL: `redis://user:password@host:6379/0`, or `rediss://` with TLS. `valkey://` and `valkeys://` mean
    /// the same.
    ///
    /// User name, password, port (6379) and database (0) can be left out. Characters of the password that a URL cannot contain
    /// are percent-encoded. The password is never logged.
    ///
    /// TLS uses rustls with the certificates that the system trusts. If the process does not have a default `CryptoProvider` of rustls, the
    /// builder installs AWS-LC's.
    pub fn new(url: impl Into<Box<str>>) -> Self {
        Self {
            url: url.into(),
            key_prefix: DEFAULT_PREFIX.into(),
            timeout: DEFAULT_TIMEOUT,
            root_certificates: None,
            result_key: None,
        }
    }

    /// The start of all keys and of the channel: 1 to 64 visible ASCII characters, `mcp-bearer:` by default.
    ///
    /// All replicas of a resource server have the same prefix. Give each environment and each resource server its own prefix:
    ///
    /// - Servers with the same prefix and database share their revocations, and their introspection results if they also have the same
    ///   key.
    /// - If a gateway and the server behind it check the same proof with the same prefix, the second one rejects it as replayed.
    pub fn key_prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// How long to wait for a connection, and for each reply: 10 ms to 10 s, 1 s by default.
    ///
    /// A command that fails because of the connection is sent once more on a new one. So a request waits for up to four times
    /// this, and never longer than the [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout).
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Trusts these certificates (PEM) instead of those of the system, for a server with a certificate of a private authority.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.root_certificates = Some(pem.as_ref().into());
        self
    }

    /// Also shares the introspection results of active tokens: the first replica introspects a token, and the others use its result.
    /// Off by default.
    ///
    /// The results are encrypted with `key`, which all replicas of a resource server have. Give each resource server and each
    /// environment its own key. Each replica still has its own cache, and looks into Redis only for a token that is not in it. The
    /// revocation window does not grow. While Redis is down, each replica introspects. The
    /// [guide](crate::guide::replicas#share-introspection-results) has the details.
    ///
    /// If clones of one [`Issuer`](crate::Issuer) are in several servers of a program, all of them use the Redis server of the first.
    ///
    /// ```no_run
    /// use mcp_bearer::shared::{RedisState, ResultKey};
    ///
    /// let state = RedisState::new("rediss://mcp:secret@redis.example.com")
    ///     .share_introspection_results(ResultKey::from_file("/run/secrets/result_key")?);
    /// # Ok::<(), mcp_bearer::BuildError>(())
    /// ```
    pub fn share_introspection_results(mut self, key: ResultKey) -> Self {
        self.result_key = Some(key);
        self
    }

    /// Makes the store, without a connection.
    ///
    /// # Errors
    /// [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting) if a value is wrong.
    pub(crate) fn store(&self, clock: &Arc<dyn Clock>) -> Result<Arc<RedisStore>, BuildError> {
        let (url, database) = self.parse_url()?;
        check_range("RedisState::timeout", self.timeout, TIMEOUT)?;
        let is_prefix = (1..=MAX_PREFIX).contains(&self.key_prefix.len())
            && self.key_prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_prefix {
            return Err(BuildError::setting(format!(
                "`RedisState::key_prefix` is \"{}\"; use 1 to {MAX_PREFIX} visible ASCII characters",
                Escaped(&self.key_prefix, MAX_SHOWN)
            )));
        }
        let address = address(&url);
        let connector = Connector::new(url, self.root_certificates.as_deref(), self.timeout).map_err(|error| {
            let error = error.to_string();
            BuildError::setting(format!("the Redis server {address} cannot be used: {}", Escaped(&error, MAX_SHOWN)))
        })?;
        Ok(Arc::new(RedisStore::new(connector, (address, self.key_prefix.clone(), database), self.timeout, clock)))
    }

    /// The URL, and the number of its database.
    fn parse_url(&self) -> Result<(Url, u16), BuildError> {
        let wrong = |what: &str| BuildError::setting(format!("the Redis URL {} {what}", without_password(&self.url)));
        // The error of the parser may quote a part of the password.
        let url = Url::parse(&self.url).map_err(|_| {
            wrong("is not a URL; write it like `rediss://user:password@host:6379/0`, and percent-encode the password")
        })?;
        if !["redis", "rediss", "valkey", "valkeys"].contains(&url.scheme()) {
            return Err(wrong("has another scheme; use `rediss` for TLS, or `redis`"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("does not have a host; write it like `redis://host:6379`"));
        }
        if !url.username().is_empty() && url.password().is_none() {
            return Err(wrong("has a user name and no password; add the password, or remove the name"));
        }
        let database = url.path().trim_start_matches('/');
        let database = if database.is_empty() { Ok(0) } else { database.parse() };
        let Ok(database) = database else {
            return Err(wrong("has a path that is not the number of a database; use a number, such as `/0`"));
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment; remove it, and use the setters of `RedisState`"));
        }
        if self.root_certificates.is_some() && !["rediss", "valkeys"].contains(&url.scheme()) {
            return Err(wrong("is not for TLS, so that `root_certificates` has no effect; use the scheme `rediss`"));
        }
        Ok((url, database))
    }
}

/// The host and the port.
fn address(url: &Url) -> Box<str> {
    let host = url.host_str().unwrap_or_default();
    let address = format!("{host}:{}", url.port().unwrap_or(DEFAULT_PORT));
    Escaped(&address, MAX_SHOWN).to_string().into()
}

/// Scheme and host of the URL, in quotes. Only its length if the host is missing, or if a password may be in another part
/// by mistake.
fn without_password(text: &str) -> String {
    let url = Url::parse(text).ok();
    let is_clear =
        |url: &&Url| ![url.path(), url.query().unwrap_or(""), url.fragment().unwrap_or("")].concat().contains('@');
    let shown = url.as_ref().filter(is_clear).and_then(|url| Some(format!("{}://{}", url.scheme(), url.host_str()?)));
    match shown {
        Some(shown) if !shown.ends_with('/') => format!("\"{}\"", Escaped(&shown, MAX_SHOWN)),
        _ => format!("of {} bytes", text.len()),
    }
}

impl fmt::Debug for RedisState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisState")
            .field("url", &format_args!("{}", without_password(&self.url)))
            .field("key_prefix", &self.key_prefix)
            .field("timeout", &self.timeout)
            .field("result_key", &self.result_key)
            .finish_non_exhaustive()
    }
}

const DEFAULT_PREFIX: &str = "mcp-bearer:";
/// In bytes. It is part of each key.
const MAX_PREFIX: usize = 64;
const DEFAULT_PORT: u16 = 6379;
/// A thousand times what a server in the same data centre needs, and short enough for a request that waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// Less than 10 ms fails at each pause of the server. More than 10 s keeps requests waiting during an outage.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn mistake(state: RedisState) -> String {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        state.store(&clock).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_url_is_shown_without_its_password_and_with_a_repair() {
        for (url, shown, repair) in [
            ("localhost", "URL of 9 bytes", "is not a URL"),
            ("redis://:se/cret@host", "URL of 21 bytes", "percent-encode the password"),
            ("redis://a:s@cret@host:99999", "URL of 27 bytes", "is not a URL"),
            ("host.example:6380,password=secret,ssl=True", "URL of 42 bytes", "use `rediss` for TLS"),
            ("redis://:secret", "URL of 15 bytes", "is not a URL"),
            ("redis://secret/more@host", "URL of 24 bytes", "is not the number"),
            ("redis://secret?more@host", "URL of 24 bytes", "has a query"),
            ("http://a:secret@host", "\"http://host\"", "has another scheme"),
            ("redis+unix:///run/secret", "URL of 24 bytes", "has another scheme"),
            ("redis://", "URL of 8 bytes", "does not have a host"),
            ("redis://secret@host", "\"redis://host\"", "no password"),
            ("redis://:secret@host/one", "\"redis://host\"", "such as `/0`"),
            ("redis://host?password=secret", "\"redis://host\"", "has a query"),
            ("rediss://:secret@host#insecure", "\"rediss://host\"", "has a query or a fragment"),
        ] {
            let message = mistake(RedisState::new(url));
            assert!(message.contains(shown) && message.contains(repair), "{message}");
            assert!(!message.contains("cret"), "{message}");
            assert!(!format!("{:?}", RedisState::new(url)).contains("secret"));
        }
    }

    #[test]
    fn a_setting_outside_of_its_range_is_rejected() {
        let state = || RedisState::new("redis://host");
        assert!(mistake(state().timeout(Duration::from_millis(9))).contains("use between 0.01 s and 10 s"));
        for prefix in ["", "a b", "a\n", &"a".repeat(65)] {
            assert!(mistake(state().key_prefix(prefix)).contains("use 1 to 64 visible ASCII characters"), "{prefix:?}");
        }
        assert!(mistake(state().root_certificates("")).contains("use the scheme `rediss`"));
        assert!(
            mistake(RedisState::new("rediss://host").root_certificates("-----BEGIN CERTIFICATE-----"))
                .contains("host:6379")
        );
    }

    #[test]
    fn urls_of_servers_are_accepted() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for (url, address, database) in [
            ("redis://host", "host:6379", 0),
            ("rediss://user:p%40ss@host:6380/15", "host:6380", 15),
            ("valkey://:secret@[::1]/", "[::1]:6379", 0),
            ("valkeys://10.0.0.1", "10.0.0.1:6379", 0),
        ] {
            let store = RedisState::new(url).store(&clock).unwrap();
            assert_eq!((&*store.address, store.database), (address, database));
        }
    }
}
