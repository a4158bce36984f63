//! Limits the log lines that anybody can cause. The time is an argument, so tests need no clock.
//!
//! Events are counted in windows of one minute. The window of a cause begins with its first event. The first [`SHOWN`]
//! events of a window appear at their own level. The other events appear at `debug` only. If there are any, one summary
//! at `warn` has the number of all events, and the number of those that appeared at `debug` only.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts the events of each cause in windows of one minute.
///
/// A cause is a name in the source of this crate, never a text from a request. So the number of causes is fixed.
#[derive(Debug, Default)]
pub(crate) struct EventLimit {
    /// The current window of each cause. The lock is held only for a few instructions.
    windows: Mutex<BTreeMap<&'static str, Window>>,
}

/// The current window of a cause.
#[derive(Debug, Clone, Copy)]
struct Window {
    started_at: Instant,
    events: u64,
}

/// What the caller must do for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventDecision {
    /// Whether the event appears at its own level, and not only at `debug`.
    pub(crate) is_shown: bool,
    /// The summary of the previous window, to be logged now. Set if that window had events that were not shown, and
    /// [`EventLimit::finish`] was not called for it. The window may have ended long ago.
    pub(crate) previous_summary: Option<EventSummary>,
    /// Set for the first event of a window that is not shown. The caller must call [`EventLimit::finish`] with it at
    /// the end of the window.
    pub(crate) summary_due: Option<DueSummary>,
}

/// The number of events of one cause in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventSummary {
    pub(crate) cause: &'static str,
    pub(crate) events: u64,
    /// How many of these events appeared at `debug` only.
    pub(crate) hidden: u64,
}

/// A window that needs a summary when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueSummary {
    cause: &'static str,
    started_at: Instant,
    /// The time until the window ends.
    pub(crate) time_left: Duration,
}

impl EventLimit {
    /// Counts an event of `cause` at `now`.
    pub(crate) fn count(&self, cause: &'static str, now: Instant) -> EventDecision {
        let mut windows = self.lock();
        let window = windows.entry(cause).or_insert(Window { started_at: now, events: 0 });
        let mut previous_summary = None;
        if now.saturating_duration_since(window.started_at) >= WINDOW {
            previous_summary = window.summary(cause);
            *window = Window { started_at: now, events: 0 };
        }
        window.events = window.events.saturating_add(1);
        let is_first_hidden = window.events == SHOWN.saturating_add(1);
        let started_at = window.started_at;
        let time_left = WINDOW.saturating_sub(now.saturating_duration_since(started_at));
        let summary_due = is_first_hidden.then_some(DueSummary { cause, started_at, time_left });
        EventDecision { is_shown: window.events <= SHOWN, previous_summary, summary_due }
    }

    /// Ends the window of `due`, and returns its summary. The caller waits for the end of the window; this function
    /// does not check the time. `None` if a later event has ended the window already.
    pub(crate) fn finish(&self, due: DueSummary) -> Option<EventSummary> {
        let mut windows = self.lock();
        let window = windows.get(due.cause).filter(|window| window.started_at == due.started_at)?;
        let summary = window.summary(due.cause);
        windows.remove(due.cause);
        summary
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// `None` if all events of the window were shown.
    fn summary(&self, cause: &'static str) -> Option<EventSummary> {
        let hidden = self.events.saturating_sub(SHOWN);
        (hidden > 0).then_some(EventSummary { cause, events: self.events, hidden })
    }
}

/// The number of events that are shown in each window: enough to see what they have in common.
const SHOWN: u64 = 3;
/// The length of a window. An operator needs longer than a minute to react to a log line, so more lines would not help.
const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a test. [`Time::at`] counts the seconds after it.
    struct Time(Instant);

    impl Time {
        fn start() -> Self {
            Self(Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.0.checked_add(Duration::from_secs(seconds)).unwrap()
        }
    }

    #[test]
    fn three_events_of_a_cause_are_shown_per_minute() {
        let (limit, time) = (EventLimit::default(), Time::start());
        for start in [0, 60, 3600] {
            let shown: Vec<_> =
                (0..50).map(|second| limit.count("expired", time.at(start + second)).is_shown).collect();
            assert_eq!(shown.iter().filter(|shown| **shown).count(), 3);
            assert_eq!(shown[..3], [true; 3]);
        }
        // Causes are counted separately.
        assert!(limit.count("audience", time.at(3601)).is_shown);
    }

    #[test]
    fn the_event_after_a_busy_minute_brings_its_summary() {
        let (limit, time) = (EventLimit::default(), Time::start());
        for second in 0..60 {
            assert_eq!(limit.count("expired", time.at(second)).previous_summary, None);
        }
        let summary = EventSummary { cause: "expired", events: 60, hidden: 57 };
        assert_eq!(limit.count("expired", time.at(60)).previous_summary, Some(summary));
        // The window at 60 s had one event, which was shown, so it needs no summary.
        assert_eq!(limit.count("expired", time.at(180)).previous_summary, None);
    }

    #[test]
    fn the_first_hidden_event_says_when_the_summary_is_due() {
        let (limit, time) = (EventLimit::default(), Time::start());
        let due: Vec<_> = (0..10).filter_map(|second| limit.count("expired", time.at(second)).summary_due).collect();
        let [due] = due[..] else { panic!("{due:?}") };
        assert_eq!(due.time_left, Duration::from_secs(57));
        assert_eq!(limit.finish(due), Some(EventSummary { cause: "expired", events: 10, hidden: 7 }));
        // A summary is returned once, and the next event begins a new window.
        assert_eq!(limit.finish(due), None);
        let next = limit.count("expired", time.at(10));
        assert_eq!((next.is_shown, next.previous_summary), (true, None));
    }

    #[test]
    fn a_summary_that_an_event_has_brought_is_not_due_again() {
        let (limit, time) = (EventLimit::default(), Time::start());
        let due = (0..4).find_map(|_| limit.count("expired", time.at(0)).summary_due).unwrap();
        assert!(limit.count("expired", time.at(61)).previous_summary.is_some());
        assert_eq!(limit.finish(due), None);
    }
}
