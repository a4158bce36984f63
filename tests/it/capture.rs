//! Captures log events.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// A subscriber that stores every event and every new span as one line.
#[derive(Clone)]
pub struct Capture {
    is_on: bool,
    events: Arc<Mutex<Vec<(Level, String)>>>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Capture {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        self.is_on
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let metadata = span.metadata();
        let mut line = Line(format!("span {} {}", metadata.target(), metadata.name()));
        span.record(&mut line);
        self.events.lock().unwrap().push((*span.metadata().level(), line.0));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        self.events.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Default for Capture {
    fn default() -> Self {
        // Tracing disables an event for the whole process if no subscriber is interested when it first occurs. This
        // global subscriber prevents that.
        static GLOBAL: Once = Once::new();
        let capture = |is_on| Self { is_on, events: Arc::default() };
        GLOBAL.call_once(|| tracing::subscriber::set_global_default(capture(false)).unwrap());
        capture(true)
    }
}

impl Capture {
    /// Captures all events of this thread from now on, at all levels.
    pub fn of_this_thread() -> Self {
        thread_local!(static LOG: Capture = {
            let capture = Capture::default();
            // The subscriber remains set until the thread ends.
            std::mem::forget(tracing::subscriber::set_default(capture.clone()));
            capture
        });
        LOG.with(Clone::clone)
    }

    /// The events of this crate after the first `seen` ones, and the number of all events.
    pub fn since(&self, seen: usize) -> (String, usize) {
        let events = self.events.lock().unwrap();
        let lines = events.iter().skip(seen).map(|(_, line)| line).filter(|line| line.starts_with("mcp_bearer"));
        (lines.map(|line| format!("{line}\n")).collect(), events.len())
    }

    pub fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}
