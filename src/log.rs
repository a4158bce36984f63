//! Parts of log lines: causes that are short and on one line, and events whose number is limited.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::escape::Short;
use crate::failure::Detail;
use crate::http_client::DocumentError;

/// Writes an event at its own level if it is to be shown, else at `debug`.
macro_rules! limited {
    ($is_shown:expr, $level:ident, $($event:tt)+) => {
        if $is_shown { tracing::$level!($($event)+) } else { tracing::debug!($($event)+) }
    };
}
pub(crate) use limited;

/// Limits the log lines that anybody can cause.
///
/// Events are counted in windows of one minute. The window of a cause begins with its first event. The first [`SHOWN`]
/// events of a window appear at their own level, the others at `debug` only. If there are others, the window has a summary.
///
/// A cause is a name in the source of this crate, never a text from a request. So the number of causes is fixed.
#[derive(Debug, Default)]
pub(crate) struct EventLimit {
    /// The current window of each cause. The lock is held only for a few instructions.
    windows: Mutex<BTreeMap<&'static str, Window>>,
}

#[derive(Debug)]
struct Window {
    ends_at: Instant,
    events: u64,
    /// The expected and the found value of the last event.
    last: Option<(Box<str>, Box<str>)>,
}

/// The number of events of one cause in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventSummary {
    pub(crate) cause: &'static str,
    pub(crate) events: u64,
    /// How many of these events appeared at `debug` only.
    pub(crate) hidden: u64,
    /// The expected and the found value of the last of them.
    pub(crate) last: Option<(Box<str>, Box<str>)>,
}

/// The decision about one event.
struct EventDecision {
    is_shown: bool,
    /// The summary of the previous window, which may have ended long ago. `None` if [`EventLimit::finish`] returned it.
    previous_summary: Option<EventSummary>,
    /// The end of the window. Set for its first event that is not shown: [`EventLimit::finish`] must be called then.
    summary_due: Option<Instant>,
}

impl EventLimit {
    /// Counts an event of `cause`, and returns whether it appears at its own level.
    ///
    /// `report` writes the summary of a window, which has the last `detail`. It is called at the end of the window. Outside
    /// a tokio runtime, it is called at the first event after that.
    pub(crate) fn is_shown(
        self: &Arc<Self>,
        cause: &'static str,
        detail: Option<&Detail>,
        report: impl FnOnce(EventSummary) + Send + 'static,
    ) -> bool {
        let decision = self.count(cause, detail, tokio::time::Instant::now().into_std());
        if let Some(previous) = decision.previous_summary {
            report(previous);
        } else if let Some(ends_at) = decision.summary_due
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let this = Arc::clone(self);
            runtime.spawn(async move {
                tokio::time::sleep_until(ends_at.into()).await;
                if let Some(summary) = this.finish(cause, ends_at) {
                    report(summary);
                }
            });
        }
        decision.is_shown
    }

    fn count(&self, cause: &'static str, detail: Option<&Detail>, now: Instant) -> EventDecision {
        let last = detail.and_then(|detail| Some((detail.expected()?.into(), detail.found()?.into())));
        let mut windows = self.lock();
        let new = || Window { ends_at: now.checked_add(WINDOW).unwrap_or(now), events: 0, last: None };
        let window = windows.entry(cause).or_insert_with(new);
        let mut previous_summary = None;
        if now >= window.ends_at {
            previous_summary = std::mem::replace(window, new()).summary(cause);
        }
        window.events = window.events.saturating_add(1);
        window.last = last;
        let is_first_hidden = window.events == SHOWN.saturating_add(1);
        let summary_due = is_first_hidden.then_some(window.ends_at);
        EventDecision { is_shown: window.events <= SHOWN, previous_summary, summary_due }
    }

    /// Removes the window that ends at `ends_at`, and returns its summary. `None` if a later event has removed it.
    fn finish(&self, cause: &'static str, ends_at: Instant) -> Option<EventSummary> {
        let mut windows = self.lock();
        windows.get(cause).filter(|window| window.ends_at == ends_at)?;
        windows.remove(cause)?.summary(cause)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// `None` if all events of the window were shown.
    fn summary(self, cause: &'static str) -> Option<EventSummary> {
        let hidden = self.events.saturating_sub(SHOWN);
        (hidden > 0).then_some(EventSummary { cause, events: self.events, hidden, last: self.last })
    }
}

/// An error and all its sources as one short text without control characters. It does not contain any byte of a fetched document.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'e>(pub(crate) &'e (dyn StdError + 'static));

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut short = Short { out: f, left: MAX_CAUSE };
        let mut next = Some(self.0);
        let mut separator = "";
        while let Some(error) = next {
            match error.downcast_ref::<DocumentError>() {
                Some(document) => write!(short, "{separator}{}", document.for_log())?,
                None => write!(short, "{separator}{error}")?,
            }
            (separator, next) = (": ", error.source());
        }
        Ok(())
    }
}

/// The most characters of a cause in one event: the advice at the end of an error chain with three URLs is shown as well.
pub(crate) const MAX_CAUSE: usize = 512;
/// The number of events that are shown in each window: enough to see what they have in common.
const SHOWN: u64 = 3;
/// The length of a window. An operator needs longer than a minute to react to a log line, so more lines would not help.
const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
