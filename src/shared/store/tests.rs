use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::clock::SystemClock;
use crate::shared::settings::RedisState;

/// Counts the lines that an operator sees.
#[derive(Clone, Default)]
struct LineCount(Arc<Mutex<usize>>);

impl LineCount {
    fn count(&self) -> usize {
        *self.0.lock().unwrap()
    }
}

impl Subscriber for LineCount {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mcp_bearer::shared" && *metadata.level() <= Level::INFO
    }

    fn event(&self, _: &Event<'_>) {
        let mut count = self.0.lock().unwrap();
        *count = count.saturating_add(1);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The lines after `times` failures, each before a success.
fn lines(times: usize, error: &RedisError) -> usize {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = RedisState::new("redis://host").store(&clock).unwrap();
    let count = LineCount::default();
    let _guard = tracing::subscriber::set_default(count.clone());
    for _ in 0..times {
        store.log_failure(error);
        store.log_success();
    }
    count.count()
}

#[test]
fn an_outage_has_a_line_at_its_start_and_at_its_end() {
    assert_eq!(lines(1, &RedisError::TimedOut(Duration::from_secs(1))), 2);
}

#[test]
fn a_server_that_fails_and_recovers_again_and_again_has_few_lines() {
    assert_eq!(lines(1_000, &RedisError::TimedOut(Duration::from_secs(1))), 6);
}

#[test]
fn redis_without_memory_is_not_an_outage() {
    for error in [RedisError::OutOfMemory, RedisError::NonceNeeded, RedisError::Restarted(Duration::from_secs(1))] {
        assert_eq!(lines(1, &error), 0, "{error}");
    }
}
