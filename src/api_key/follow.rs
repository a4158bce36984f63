//! The file of API keys is read again while the server runs: by a background task, and by requests if that task does not run.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::field::display;

use super::table::ApiKeyTable;
use crate::escape::{Escaped, MAX_SHOWN};

/// The result of a look at the file.
enum FileChange {
    None,
    /// The keys are those of the new content now. There were so many before.
    Used {
        before: usize,
    },
    /// The new content has mistakes, or cannot be read.
    Unusable(String),
}

impl ApiKeyTable {
    /// Keeps the keys those of the file, until `is_needed` returns `false`.
    pub(crate) async fn follow_file(self: Arc<Self>, is_needed: impl Fn() -> bool + Send) {
        while self.has_file() && is_needed() {
            tokio::time::sleep(FILE_INTERVAL).await;
            if let Some(read) = self.start_read() {
                end_of(read).await;
            }
        }
    }

    /// Starts to read the file if the background task has not done so, because it does not run or the process was suspended.
    /// The result is something to wait for before a key is accepted, if the keys may be old.
    pub(crate) fn refresh(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        if !self.has_file() {
            return None;
        }
        let age = self.reads.age();
        if age <= FILE_INTERVAL {
            return None;
        }
        let read = self.start_read()?;
        // A file that hangs delays the requests of a short time only.
        (age > WAIT_AFTER && !self.reads.hangs()).then(|| end_of(read))
    }

    /// The read in progress, or a new one. `None` outside a tokio runtime, or if too many reads hang.
    fn start_read(self: &Arc<Self>) -> Option<watch::Receiver<Option<()>>> {
        if Arc::strong_count(&self.reads.in_progress) > MAX_READS {
            return None;
        }
        self.reads.flight.start((), || Arc::clone(self).read_again())
    }

    async fn read_again(self: Arc<Self>) {
        let (table, in_progress) = (Arc::clone(&self), Arc::clone(&self.reads.in_progress));
        // A file on a network may take long.
        let mut read = tokio::task::spawn_blocking(move || {
            let _in_progress = in_progress;
            table.check_file()
        });
        let change = match timeout(READ_LIMIT, &mut read).await {
            Ok(change) => change,
            Err(_) => {
                if self.reads.start_of_hanging() {
                    self.log_hanging();
                }
                read.await
            }
        };
        // A read that panics is tried again.
        self.log(change.unwrap_or(FileChange::None));
    }

    /// Reads the file again, if its content is another one than before.
    fn check_file(&self) -> FileChange {
        // Not under the lock: a read that hangs must not block `reload`.
        let time = self.reads.begin();
        let (read, found) = self.read();
        let mut last = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if last.read_at.is_some_and(|last| last > time.monotonic) {
            return FileChange::None;
        }
        let is_same = last.content == found;
        let change = if is_same { FileChange::None } else { self.change_to(read) };
        // After the keys were replaced: a panic before that must not hide the new content from the next read.
        (last.read_at, last.content) = (Some(time.monotonic), found);
        self.reads.completed(time);
        change
    }

    fn change_to(&self, read: io::Result<Vec<u8>>) -> FileChange {
        let before = self.len();
        let replaced = read.map_err(|error| error.to_string());
        let replaced = replaced.and_then(|bytes| self.replace(&bytes).map_err(|mistakes| mistakes.to_string()));
        replaced.map_or_else(FileChange::Unusable, |()| FileChange::Used { before })
    }

    fn log(&self, change: FileChange) {
        let path = self.path().map(Path::to_string_lossy);
        let path = path.as_deref().map(|path| display(Escaped(path, MAX_SHOWN)));
        let keys = self.len();
        match change {
            FileChange::None => {}
            FileChange::Used { before } if keys == 0 => {
                tracing::warn!(target: "mcp_bearer::api_keys", path, before, keys,
                "the file of API keys does not have keys any more, so every API key is rejected")
            }
            FileChange::Used { before } => tracing::info!(target: "mcp_bearer::api_keys", path, before, keys,
                "the file of API keys has changed"),
            FileChange::Unusable(cause) => tracing::warn!(target: "mcp_bearer::api_keys", path, cause, keys,
                "the file of API keys has changed and cannot be used: the previous keys stay in use, removed ones too"),
        }
    }

    fn log_hanging(&self) {
        let path = self.path().map(Path::to_string_lossy);
        let path = path.as_deref().map(|path| display(Escaped(path, MAX_SHOWN)));
        tracing::warn!(target: "mcp_bearer::api_keys", path, limit = ?READ_LIMIT, keys = self.len(),
            "reading the file of API keys takes too long: the previous keys stay in use, removed ones too");
    }
}

/// Waits until a read has ended, but not longer than [`READ_LIMIT`].
async fn end_of(mut read: watch::Receiver<Option<()>>) {
    let ended = async { read.wait_for(Option::is_some).await.is_ok() };
    // In every case, the keys in memory are the newest that are known.
    _ = timeout(READ_LIMIT, ended).await;
}

/// How often the file is read. A removed key is rejected after this time, and reading costs little.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// Requests wait for a new read if the last one is older. The background task, where it runs, is never so late.
const WAIT_AFTER: Duration = Duration::from_secs(10);
/// A read that takes longer is logged, and no request waits longer. 16 MiB from a disk take much less.
const READ_LIMIT: Duration = Duration::from_secs(3);
/// How many reads may hang at the same time, each on its own thread. A read that hangs is tried again after a minute.
const MAX_READS: usize = 4;
