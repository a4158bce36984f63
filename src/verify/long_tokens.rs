use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::VerifyError;
use crate::failure::CheckFailure;

/// Rejects tokens above the configured length, and tells the operator how long they are: a user with many roles would log
/// in again and again, and nobody would know why.
pub(super) struct LongTokens {
    max: usize,
    warned_at: Mutex<Option<Instant>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the token has {length} bytes; `max_token_length` is {max}")]
struct TooLong {
    length: usize,
    max: usize,
}

impl LongTokens {
    pub(super) const fn new(max: usize) -> Self {
        Self { max, warned_at: Mutex::new(None) }
    }

    pub(super) fn reject(&self, length: usize) -> Result<(), VerifyError> {
        if length <= self.max {
            return Ok(());
        }
        let now = Instant::now();
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE) {
            *warned_at = Some(now);
            drop(warned_at);
            tracing::warn!(
                target: "mcp_bearer::rejection", length, max_token_length = self.max,
                "access token rejected: too long"
            );
        }
        Err(VerifyError::from(CheckFailure::TooLong).with_source(TooLong { length, max: self.max }))
    }
}

/// One line a minute: anybody can send long tokens.
const PAUSE: Duration = Duration::from_secs(60);
