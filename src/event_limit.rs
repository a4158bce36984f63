//! Limits the log lines that anybody can cause. It counts events by cause and minute, and is pure: the time is an argument.
//!
//! The first [`SHOWN`] events of a cause in a minute appear at their own level. Later ones appear at `debug` only, and one
//! summary at `warn` has their number.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts events by cause and minute.
///
/// A cause is a name in the source of this crate and never a text of a request, so the number of causes is fixed.
#[derive(Debug, Default)]
pub(crate) struct EventLimit {
    /// Locked for a few instructions.
    windows: Mutex<BTreeMap<&'static str, Window>>,
}

/// The minute that began with the first event of a cause.
#[derive(Debug, Clone, Copy)]
struct Window {
    started_at: Instant,
    events: u64,
}

/// How one event is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Whether it appears at its own level, and not only at `debug`.
    pub(crate) is_shown: bool,
    /// The minute before it, if some of its events were not shown.
    pub(crate) finished: Option<EventSummary>,
    /// Set for the first event that is not shown. The summary is due after this time.
    pub(crate) summary_due: Option<Due>,
}

/// The events of one cause in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventSummary {
    pub(crate) cause: &'static str,
    pub(crate) events: u64,
    /// How many of them appeared at `debug` only.
    pub(crate) hidden: u64,
}

/// A minute that will need a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    cause: &'static str,
    started_at: Instant,
    /// How long the minute still lasts.
    pub(crate) after: Duration,
}

impl EventLimit {
    /// Counts an event of `cause` at `now`.
    pub(crate) fn count(&self, cause: &'static str, now: Instant) -> Counted {
        let mut windows = self.lock();
        let window = windows.entry(cause).or_insert(Window { started_at: now, events: 0 });
        let mut finished = None;
        if now.saturating_duration_since(window.started_at) >= MINUTE {
            finished = window.summary(cause);
            *window = Window { started_at: now, events: 0 };
        }
        window.events = window.events.saturating_add(1);
        let is_first_hidden = window.events == SHOWN.saturating_add(1);
        let started_at = window.started_at;
        let after = MINUTE.saturating_sub(now.saturating_duration_since(started_at));
        let summary_due = is_first_hidden.then_some(Due { cause, started_at, after });
        Counted { is_shown: window.events <= SHOWN, finished, summary_due }
    }

    /// Ends the minute that `due` is about. `None` if a later event has ended it already.
    pub(crate) fn finish(&self, due: Due) -> Option<EventSummary> {
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
    fn summary(&self, cause: &'static str) -> Option<EventSummary> {
        let hidden = self.events.saturating_sub(SHOWN);
        (hidden > 0).then_some(EventSummary { cause, events: self.events, hidden })
    }
}

/// Events of a cause that appear in each minute: enough to see what they have in common.
const SHOWN: u64 = 3;
/// How often a cause may appear again. An operator who reacts to a log line needs longer.
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// The time in seconds after the start of a test.
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
        for minute in [0, 60, 3600] {
            let shown: Vec<_> =
                (0..50).map(|second| limit.count("expired", time.at(minute + second)).is_shown).collect();
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
            assert_eq!(limit.count("expired", time.at(second)).finished, None);
        }
        let summary = EventSummary { cause: "expired", events: 60, hidden: 57 };
        assert_eq!(limit.count("expired", time.at(60)).finished, Some(summary));
        // One event alone needs no summary.
        assert_eq!(limit.count("expired", time.at(180)).finished, None);
    }

    #[test]
    fn the_first_hidden_event_says_when_the_summary_is_due() {
        let (limit, time) = (EventLimit::default(), Time::start());
        let due: Vec<_> = (0..10).filter_map(|second| limit.count("expired", time.at(second)).summary_due).collect();
        let [due] = due[..] else { panic!("{due:?}") };
        assert_eq!(due.after, Duration::from_secs(57));
        assert_eq!(limit.finish(due), Some(EventSummary { cause: "expired", events: 10, hidden: 7 }));
        // It is reported once, and the next event begins a new minute.
        assert_eq!(limit.finish(due), None);
        let next = limit.count("expired", time.at(10));
        assert_eq!((next.is_shown, next.finished), (true, None));
    }

    #[test]
    fn a_summary_that_an_event_has_brought_is_not_due_again() {
        let (limit, time) = (EventLimit::default(), Time::start());
        let due = (0..4).find_map(|_| limit.count("expired", time.at(0)).summary_due).unwrap();
        assert!(limit.count("expired", time.at(61)).finished.is_some());
        assert_eq!(limit.finish(due), None);
    }
}
