//! When the file of API keys was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::http_client::SingleFlight;

/// The reads of the file of API keys.
pub(super) struct FileReads {
    clock: Arc<dyn Clock>,
    /// When the last completed read began.
    last: ArcSwap<ReadTime>,
    pub(super) flight: SingleFlight<(), ()>,
    /// Whether the last read takes too long.
    hangs: AtomicBool,
    /// Each read in progress has a clone.
    pub(super) in_progress: Arc<()>,
}

/// When a read began.
#[derive(Clone, Copy)]
pub(super) struct ReadTime {
    pub(super) monotonic: Instant,
    /// Goes on while the machine is suspended, unlike the monotonic clock of some systems.
    since_epoch: Duration,
}

impl FileReads {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let last = ArcSwap::from_pointee(ReadTime::now(&clock));
        Self { clock, last, flight: SingleFlight::new(), hangs: AtomicBool::new(false), in_progress: Arc::default() }
    }

    pub(super) fn begin(&self) -> ReadTime {
        ReadTime::now(&self.clock)
    }

    pub(super) fn completed(&self, read: ReadTime) {
        self.last.store(Arc::new(read));
        self.hangs.store(false, Ordering::Relaxed);
    }

    /// Whether the last read takes too long.
    pub(super) fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Records that a read takes too long. Whether no earlier one does.
    pub(super) fn start_of_hanging(&self) -> bool {
        !self.hangs.swap(true, Ordering::Relaxed)
    }

    /// The time since the last completed read.
    pub(super) fn age(&self) -> Duration {
        let (now, last) = (self.begin(), self.last.load());
        let monotonic = now.monotonic.saturating_duration_since(last.monotonic);
        monotonic.max(now.since_epoch.saturating_sub(last.since_epoch))
    }
}

impl ReadTime {
    fn now(clock: &Arc<dyn Clock>) -> Self {
        Self { monotonic: Instant::now(), since_epoch: clock.since_epoch() }
    }
}
