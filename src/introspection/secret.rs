//! The secret of this server's client credentials: fixed, from a function, or from a file that may change.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::file::{FileError, read_file};
use crate::http_client::Panicked;
use crate::jose::{Algorithm, InvalidPrivateKey, PrivateKey};

/// A secret. It is zeroised when the last clone is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Arc<Zeroizing<String>>);

/// Where the secret for the next request comes from.
#[derive(Clone)]
pub(super) enum SecretSource {
    Fixed(Secret),
    Function(Arc<dyn Fn() -> Option<String> + Send + Sync>),
    File(Arc<SecretFile>),
}

/// How old the content of a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// At most [`READ_INTERVAL`].
    Recent,
    /// The file is read again.
    Now,
}

/// Why there is no secret. No variant has a part of it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the function for the client secret returned no secret, or an empty one")]
    NotAvailable,
    #[error(transparent)]
    Panicked(Arc<Panicked>),
    #[error("the client secret file {path:?} {problem}")]
    File { path: PathBuf, problem: Arc<FileProblem> },
}

/// Why a file has no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileProblem {
    #[error("{0}")]
    Unreadable(#[from] FileError),
    #[error("is empty")]
    Empty,
    #[error("is not valid UTF-8")]
    NotText,
    #[error("has no usable private key: {0}")]
    NotKey(#[from] InvalidPrivateKey),
    #[error("could not be read, because the runtime ends")]
    Interrupted,
}

/// A file with one secret.
pub(super) struct SecretFile {
    path: PathBuf,
    /// Set if the secret is a private key for this algorithm.
    key_for: Option<Algorithm>,
    /// Locked for a few instructions, never while the file is read.
    last: Mutex<LastRead>,
}

#[derive(Default)]
struct LastRead {
    secret: Option<Secret>,
    at: Option<Instant>,
    /// Whether the log says that the file cannot be used.
    is_reported: bool,
}

/// The secret that the authorization server rejected last, and when its source was last compared with it.
#[derive(Default)]
pub(super) struct RejectedSecret(Mutex<Option<(Secret, Instant)>>);

impl Secret {
    pub(super) fn new(secret: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(secret.into())))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl SecretSource {
    pub(super) fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(Arc::new(SecretFile { path: path.into(), key_for: None, last: Mutex::default() }))
    }

    /// A file with a private key in PEM. Any other content counts as a file that cannot be used.
    pub(super) fn key_file(path: impl Into<PathBuf>, algorithm: Algorithm) -> Self {
        Self::File(Arc::new(SecretFile { path: path.into(), key_for: Some(algorithm), last: Mutex::default() }))
    }

    /// Checks the secret when a server is built. A function is not called: what it needs may start later.
    pub(super) fn check(&self) -> Result<(), SecretError> {
        match self {
            Self::Fixed(secret) if secret.0.is_empty() => Err(SecretError::NotAvailable),
            Self::Fixed(_) | Self::Function(_) => Ok(()),
            Self::File(file) => file.keep(file.read()).map(drop),
        }
    }

    /// Whether a later request may have another secret.
    pub(super) const fn may_change(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// The secret for a request that is sent now.
    pub(super) async fn current(&self, freshness: Freshness) -> Result<Secret, SecretError> {
        match self {
            Self::Fixed(secret) => Ok(secret.clone()),
            Self::Function(secret) => match catch_unwind(AssertUnwindSafe(&**secret)) {
                Ok(secret) => secret.filter(|text| !text.is_empty()).map(Secret::new).ok_or(SecretError::NotAvailable),
                Err(_) => Err(SecretError::Panicked(Arc::new(Panicked("the function for the client secret")))),
            },
            Self::File(file) => SecretFile::current(file, freshness).await,
        }
    }
}

impl SecretFile {
    /// Reads the file on a thread for blocking work, because it may be on a network drive that does not respond.
    async fn current(this: &Arc<Self>, freshness: Freshness) -> Result<Secret, SecretError> {
        if freshness == Freshness::Recent
            && let Some(secret) = this.recent(Instant::now())
        {
            return Ok(secret);
        }
        let file = Arc::clone(this);
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        this.keep(read.unwrap_or(Err(FileProblem::Interrupted)))
    }

    /// The last secret, if the file need not be read again. Only one caller per interval reads it.
    fn recent(&self, now: Instant) -> Option<Secret> {
        let mut last = self.lock();
        let is_recent = last.at.is_some_and(|at| now.saturating_duration_since(at) < READ_INTERVAL);
        if !is_recent && last.secret.is_some() {
            last.at = Some(now);
        }
        last.secret.clone().filter(|_| is_recent)
    }

    fn read(&self) -> Result<Secret, FileProblem> {
        let mut content = Zeroizing::new(Vec::new());
        read_file(&self.path, MAX_SECRET, &mut content)?;
        // Editors and `echo` end a file with a newline, which is not part of the secret.
        let without = content.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text).len());
        content.truncate(without.unwrap_or(usize::MAX));
        match String::from_utf8(mem::take(&mut *content)) {
            Ok(text) if text.is_empty() => Err(FileProblem::Empty),
            Ok(text) => {
                let secret = Secret::new(text);
                if let Some(algorithm) = self.key_for {
                    PrivateKey::from_pkcs8_pem(algorithm, secret.text())?;
                }
                Ok(secret)
            }
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(FileProblem::NotText)
            }
        }
    }

    /// Keeps the result. A file that cannot be used, for example while it is being replaced, does not replace a secret that may
    /// still be valid.
    fn keep(&self, read: Result<Secret, FileProblem>) -> Result<Secret, SecretError> {
        let mut last = self.lock();
        last.at = Some(Instant::now());
        match (read, last.secret.clone()) {
            (Ok(secret), previous) => {
                last.is_reported = false;
                last.secret = Some(secret.clone());
                if previous.is_some_and(|previous| previous != secret) {
                    let path = self.path.display();
                    tracing::info!(target: "mcp_bearer::introspection", %path, "the client secret file has a new secret");
                }
                Ok(secret)
            }
            (Err(problem), Some(previous)) => {
                if !mem::replace(&mut last.is_reported, true) {
                    let path = self.path.display();
                    tracing::warn!(target: "mcp_bearer::introspection", %path, %problem,
                        "the client secret file cannot be used, so its last secret is used");
                }
                Ok(previous)
            }
            (Err(problem), None) => Err(SecretError::File { path: self.path.clone(), problem: Arc::new(problem) }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LastRead> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RejectedSecret {
    pub(super) fn set(&self, secret: Option<Secret>) {
        *self.lock() = secret.map(|secret| (secret, Instant::now()));
    }

    /// Whether `source` has another secret than the rejected one. `true` once for each rejected secret, and looked up at most once
    /// per [`READ_INTERVAL`].
    pub(super) async fn is_replaced(&self, source: &SecretSource) -> bool {
        let rejected = {
            let (mut rejected, now) = (self.lock(), Instant::now());
            let due = rejected.as_mut().filter(|(_, at)| now.saturating_duration_since(*at) >= READ_INTERVAL);
            due.map(|(secret, at)| {
                *at = now;
                secret.clone()
            })
        };
        let Some(rejected) = rejected else { return false };
        let is_replaced = source.current(Freshness::Recent).await.is_ok_and(|current| current != rejected);
        if is_replaced {
            self.set(None);
        }
        is_replaced
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Secret, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How often a file is read: a new secret is used soon, and a thousand introspections per second read it once.
pub(super) const READ_INTERVAL: Duration = Duration::from_secs(1);
/// The longest secret, in bytes. A longer `Authorization` header is rejected by most servers.
const MAX_SECRET: usize = 8 * 1024;
