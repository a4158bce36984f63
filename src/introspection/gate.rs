use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many requests are under way at the same time, and how many may wait for their turn. Tokens that were good before
/// have places that strangers cannot take: a flood of made-up tokens must not crowd them out.
pub(super) struct Gate {
    strangers: Lane,
    /// For those that were good before, besides what strangers leave.
    known: Lane,
}

struct Lane {
    /// Those that ask and those that wait.
    admitted: Semaphore,
    /// Those that ask.
    asking: Semaphore,
}

/// A place; dropping it gives it to the next.
pub(super) struct Turn<'g> {
    _admitted: SemaphorePermit<'g>,
    _asking: SemaphorePermit<'g>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            strangers: Lane::new(
                MAX_ASKING.saturating_sub(RESERVED_ASKING),
                MAX_WAITING.saturating_sub(RESERVED_WAITING),
            ),
            known: Lane::new(RESERVED_ASKING, RESERVED_WAITING),
        }
    }

    /// A place for one request; `None` if there was none in time.
    pub(super) async fn enter(&self, is_known: bool) -> Option<Turn<'_>> {
        if is_known {
            // Whatever is free, wherever it is; else the queue that strangers cannot fill.
            return match self.strangers.enter_now().or_else(|| self.known.enter_now()) {
                Some(turn) => Some(turn),
                None => self.known.enter().await,
            };
        }
        self.strangers.enter().await
    }
}

impl Lane {
    fn new(asking: usize, waiting: usize) -> Self {
        Self { admitted: Semaphore::new(asking.saturating_add(waiting)), asking: Semaphore::new(asking) }
    }

    fn enter_now(&self) -> Option<Turn<'_>> {
        let admitted = self.admitted.try_acquire().ok()?;
        Some(Turn { _admitted: admitted, _asking: self.asking.try_acquire().ok()? })
    }

    async fn enter(&self) -> Option<Turn<'_>> {
        let admitted = self.admitted.try_acquire().ok()?;
        let asking = tokio::time::timeout(MAX_WAIT, self.asking.acquire()).await.ok()?.ok()?;
        Some(Turn { _admitted: admitted, _asking: asking })
    }
}

/// Requests to one endpoint at the same time: enough for thousands a second, too few to be a nuisance.
const MAX_ASKING: usize = 64;
/// Of these, kept for tokens that were good before.
const RESERVED_ASKING: usize = 16;
/// Tokens that wait for their turn. Each is at most 16 KiB, and its request holds as much anyway.
const MAX_WAITING: usize = 1_024;
/// Of these, kept for tokens that were good before.
const RESERVED_WAITING: usize = 256;
/// How long a token waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(1);
