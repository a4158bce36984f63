//! The secret of this server's client credentials: fixed, from a function, or from a file that may change.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::file::{FileError, read_text};
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

/// Why the secret is not available. No variant has a part of it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("the function for the client secret returned no secret, or an empty one")]
    NotAvailable,
    #[error(transparent)]
    Panicked(Arc<Panicked>),
    #[error("the client secret file {path:?} {problem}")]
    File { path: PathBuf, problem: Arc<FileProblem> },
}

/// Why a file does not have a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileProblem {
    #[error("{0}")]
    NotUsable(#[from] FileError),
    #[error("does not have a usable private key: {0}")]
    NotKey(#[from] InvalidPrivateKey),
    #[error("is not read in time")]
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
    /// When the file was last read because the secret was rejected.
    forced_at: Option<Instant>,
    is_reading: bool,
    /// Whether the log says that the file cannot be used.
    is_reported: bool,
}

/// A file that is being read.
struct Reading(Arc<SecretFile>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lock().is_reading = false;
    }
}

/// The secret that the authorization server rejected last. It is absent after a success.
#[derive(Default)]
pub(super) struct RejectedSecret(Mutex<Option<RejectedState>>);

struct RejectedState {
    secret: Secret,
    /// When the source was last compared with the secret.
    compared_at: Instant,
    /// The time between two comparisons. It grows while one new secret after the other is rejected, so that a source that
    /// returns a new text each time does not end every pause of the circuit breaker.
    interval: Duration,
    /// Whether a new secret was noticed, and not used yet.
    is_replaced: bool,
}

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
    /// Reads the file on a thread for blocking work, because it may be on a network drive that does not respond. Then the last
    /// secret is used.
    async fn current(this: &Arc<Self>, freshness: Freshness) -> Result<Secret, SecretError> {
        let reading = match Self::plan(this, freshness, Instant::now()) {
            Ok(secret) => return Ok(secret),
            Err(reading) => reading,
        };
        // A separate task, so that the result is kept even if the caller does not wait for it.
        let task = tokio::spawn(async move {
            let file = Arc::clone(&reading.0);
            let read = tokio::task::spawn_blocking(move || file.read()).await;
            reading.0.keep(read.unwrap_or(Err(FileProblem::Interrupted)))
        });
        match timeout(READ_INTERVAL, task).await {
            Ok(Ok(secret)) => secret,
            Ok(Err(_)) | Err(_) => this.keep(Err(FileProblem::Interrupted)),
        }
    }

    /// The last secret, if the file need not be read again, or is being read. Only one caller at a time reads it.
    fn plan(this: &Arc<Self>, freshness: Freshness, now: Instant) -> Result<Secret, Reading> {
        let mut last = this.lock();
        let previous = match freshness {
            Freshness::Recent => last.at,
            Freshness::Now => last.forced_at,
        };
        let is_recent = previous.is_some_and(|at| now.saturating_duration_since(at) < READ_INTERVAL);
        if let Some(secret) = last.secret.clone().filter(|_| is_recent || last.is_reading) {
            return Ok(secret);
        }
        last.is_reading = true;
        last.at = Some(now);
        if freshness == Freshness::Now {
            last.forced_at = last.at;
        }
        Err(Reading(Arc::clone(this)))
    }

    fn read(&self) -> Result<Secret, FileProblem> {
        let secret = Secret(Arc::new(read_text(&self.path, MAX_SECRET)?));
        if let Some(algorithm) = self.key_for {
            PrivateKey::from_pkcs8_pem(algorithm, secret.text())?;
        }
        Ok(secret)
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
    /// Whether a request with another secret may follow a request with this one, which was rejected. It may not if a new secret
    /// was rejected just before.
    pub(super) fn may_repeat(&self, secret: &Secret) -> bool {
        self.lock().as_ref().is_none_or(|rejected| rejected.secret == *secret)
    }

    /// Sets the result of the last request: the secret, if it was rejected.
    pub(super) fn set(&self, secret: Option<Secret>) {
        let mut rejected = self.lock();
        *rejected = secret.map(|secret| {
            let interval = match &*rejected {
                None => READ_INTERVAL,
                Some(last) if last.secret == secret => last.interval,
                Some(last) => last.interval.saturating_mul(2).min(MAX_COMPARE_INTERVAL),
            };
            RejectedState { secret, compared_at: Instant::now(), interval, is_replaced: false }
        });
    }

    /// Whether `source` has another secret than the rejected one. `true` once for each rejected secret, and looked up at most once
    /// per interval.
    pub(super) async fn is_replaced(&self, source: &SecretSource) -> bool {
        let rejected = {
            let (mut rejected, now) = (self.lock(), Instant::now());
            let due = rejected
                .as_mut()
                .filter(|last| !last.is_replaced && now.saturating_duration_since(last.compared_at) >= last.interval);
            due.map(|last| {
                last.compared_at = now;
                last.secret.clone()
            })
        };
        let Some(rejected) = rejected else { return false };
        let is_replaced = source.current(Freshness::Recent).await.is_ok_and(|current| current != rejected);
        if let Some(last) = self.lock().as_mut().filter(|last| is_replaced && last.secret == rejected) {
            last.is_replaced = true;
        }
        is_replaced
    }

    fn lock(&self) -> MutexGuard<'_, Option<RejectedState>> {
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
/// The longest time between two comparisons of a source with the rejected secret: the longest pause of the circuit breaker.
const MAX_COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// The longest secret, in bytes. A longer `Authorization` header is rejected by most servers.
pub(crate) const MAX_SECRET: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::advance;

    use super::*;

    /// A file that was read now.
    fn file() -> Arc<SecretFile> {
        let last = LastRead { secret: Some(Secret::new("old")), at: Some(Instant::now()), ..LastRead::default() };
        Arc::new(SecretFile { path: PathBuf::from("/nowhere"), key_for: None, last: Mutex::new(last) })
    }

    fn is_read(file: &Arc<SecretFile>, freshness: Freshness) -> Option<Reading> {
        SecretFile::plan(file, freshness, Instant::now()).err()
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_caller_at_a_time_reads_the_file() {
        let file = file();
        assert!(is_read(&file, Freshness::Recent).is_none());
        advance(READ_INTERVAL).await;
        let reading = is_read(&file, Freshness::Recent).unwrap();
        // The drive does not respond: the last secret is used, however long that takes.
        for _ in 0..100 {
            advance(READ_INTERVAL).await;
            assert!(is_read(&file, Freshness::Recent).is_none() && is_read(&file, Freshness::Now).is_none());
        }
        drop(reading);
        assert!(is_read(&file, Freshness::Recent).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_read_the_file_once_per_interval() {
        let file = file();
        assert!(is_read(&file, Freshness::Now).is_some());
        assert!(is_read(&file, Freshness::Now).is_none());
        advance(READ_INTERVAL).await;
        assert!(is_read(&file, Freshness::Now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_with_a_new_secret_each_time_is_compared_less_and_less_often() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let source = SecretSource::Function(Arc::new(move || Some(counted.fetch_add(1, Ordering::SeqCst).to_string())));
        let rejected = RejectedSecret::default();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let secret = source.current(Freshness::Recent).await.unwrap();
            assert_eq!(rejected.may_repeat(&secret), pause == 1);
            rejected.set(Some(secret));
            let pause = Duration::from_secs(pause);
            advance(pause.saturating_sub(Duration::from_millis(1))).await;
            assert!(!rejected.is_replaced(&source).await);
            advance(Duration::from_millis(1)).await;
            assert!(rejected.is_replaced(&source).await);
            assert!(!rejected.is_replaced(&source).await, "the new secret was noticed twice");
        }
        rejected.set(None);
        assert!(!rejected.is_replaced(&source).await);
        assert!(rejected.may_repeat(&Secret::new("any")));
    }
}
