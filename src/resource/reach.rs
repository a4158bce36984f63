//! Finds out whether clients reach the metadata document, and logs each mistake in the application's routes once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The facts about one server's metadata document. All layers and metadata services of the server share it.
#[derive(Debug, Default)]
pub(crate) struct MetadataReach {
    /// The application has called `metadata_service()` or `metadata_router()`.
    is_published: AtomicBool,
    /// A client has requested the document.
    is_requested: AtomicBool,
    /// A log line says that clients do not find the document.
    is_missing_logged: AtomicBool,
    is_cover_logged: AtomicBool,
    is_inner_cors_logged: AtomicBool,
    challenges: Mutex<ChallengeWindow>,
}

/// Marks a request of the server's own check, which does not show that clients reach the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SelfCheckRequest;

/// Marks a response in which a bearer layer answered with the document. It is in the extensions of the response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoveredMetadata;

/// Counts challenges from the first one of a window.
#[derive(Debug, Default)]
struct ChallengeWindow {
    start: Option<Instant>,
    count: u32,
}

impl MetadataReach {
    /// Notes that the application has the service to which it can route requests for the document.
    pub(crate) fn publish(&self) {
        self.is_published.store(true, Ordering::Relaxed);
    }

    /// Notes a request for the document.
    pub(super) fn request(&self) {
        self.is_requested.store(true, Ordering::Relaxed);
    }

    /// Notes a response with status 401 that names `metadata_url`. It warns at the first one if the application cannot
    /// have a route to the document, and later if no client requests the document.
    pub(crate) fn challenge(self: &Arc<Self>, metadata_url: &Arc<str>) {
        if self.is_requested.load(Ordering::Relaxed) || self.is_missing_logged.load(Ordering::Relaxed) {
            return;
        }
        if !self.is_published.load(Ordering::Relaxed) {
            if !self.is_missing_logged.swap(true, Ordering::Relaxed) {
                tracing::warn!(target: "mcp_bearer::metadata", metadata_url = &**metadata_url,
                    "no route leads to the metadata document that challenges name: merge `server.metadata_router()` into \
                     the outermost router, or route requests to `server.metadata_service()`");
            }
            return;
        }
        let is_due = self.challenges.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now());
        if !is_due {
            return;
        }
        // Many clients that come at once get their challenges before the first of them requests the document.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let (this, metadata_url) = (Arc::clone(self), Arc::clone(metadata_url));
                runtime.spawn(async move {
                    tokio::time::sleep(GRACE).await;
                    this.warn_if_unreached(&metadata_url);
                });
            }
            Err(_) => self.warn_if_unreached(metadata_url),
        }
    }

    fn warn_if_unreached(&self, metadata_url: &str) {
        if !self.is_requested.load(Ordering::Relaxed) && !self.is_missing_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "mcp_bearer::metadata", metadata_url, challenges = CHALLENGES,
                "no client has requested the metadata document that challenges name: request its URL from outside; \
                 likely causes are a `metadata_router()` nested below a path, a proxy that does not forward \
                 `/.well-known`, or a resource identifier with another origin than clients use; ignore this if a gateway or \
                 a cache serves the document, or if your clients do not need it");
        }
    }

    /// Logs that a bearer layer covers the document, at `error`.
    pub(super) fn log_cover(&self, path: &str) {
        if !self.is_cover_logged.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "mcp_bearer::metadata", path,
                "a bearer layer covers the metadata document and answers with it: merge `server.metadata_router()` after \
                 the layer");
        }
    }

    /// Logs that a CORS layer is inside of a bearer layer, at `warn`.
    pub(crate) fn log_inner_cors(&self) {
        if !self.is_inner_cors_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: "mcp_bearer",
                "a CORS layer is inside of the bearer layer, so web pages cannot read the challenge of a rejected \
                 request: add the CORS layer after the bearer layer, which puts it outside");
        }
    }
}

impl ChallengeWindow {
    /// Counts a challenge. Returns whether it is the last one that is needed for a warning.
    fn count(&mut self, now: Instant) -> bool {
        if self.start.is_none_or(|start| now.duration_since(start) > WINDOW) {
            *self = Self { start: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count == CHALLENGES
    }
}

/// So many challenges within [`WINDOW`], without a request for the document, need a warning. One client that has lost its
/// way, or a scanner, causes fewer.
const CHALLENGES: u32 = 20;
/// The length of the window in which challenges are counted.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// The time that clients have to request the document after the last challenge. A client requests it at once.
const GRACE: Duration = Duration::from_secs(10);
