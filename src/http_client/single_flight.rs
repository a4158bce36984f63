//! Single flight: callers that want the same result at the same time share one piece of work.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Runs the work for each key on a task, which callers at the same time share. Dropping the future of a caller does not
/// cancel the work.
pub(crate) struct SingleFlight<K, V> {
    flights: Arc<Flights<K, V>>,
}

type Flights<K, V> = Mutex<HashMap<K, Flight<V>>>;

/// Work in progress.
struct Flight<V> {
    result: watch::Receiver<Option<V>>,
    started_at: Instant,
}

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self { flights: Arc::default() }
    }

    /// The result of the work in progress for `key`, or of `work` if there is none.
    ///
    /// `None` if that takes longer than `limit`, if a panic or the end of the runtime interrupts it, or outside a tokio runtime.
    pub(crate) async fn join<F>(&self, key: K, limit: Duration, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut result = self.start(key, work)?;
        let finished = async { result.wait_for(Option::is_some).await.ok()?.clone() };
        tokio::time::timeout(limit, finished).await.ok()?
    }

    /// Starts `work` in the background unless there is work in progress for `key`. `None` outside a tokio runtime.
    pub(crate) fn start<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<watch::Receiver<Option<V>>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let now = Instant::now();
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&key)
            && now.saturating_duration_since(flight.started_at) < LOST_AFTER
        {
            return Some(flight.result.clone());
        }
        let (sender, result) = watch::channel(None);
        flights.insert(key.clone(), Flight { result: result.clone(), started_at: now });
        drop(flights);
        let guard = FlightGuard { flights: Arc::clone(&self.flights), key, sender };
        let work = work();
        runtime.spawn(async move {
            let finished = work.await;
            guard.sender.send_replace(Some(finished));
        });
        Some(result)
    }

    /// Whether there is work in progress for `key` that was not forgotten.
    pub(crate) fn is_running(&self, key: &K) -> bool {
        lock(&self.flights).contains_key(key)
    }

    /// Makes the next caller start new work. Callers that already wait still get the result of the work in progress.
    pub(crate) fn forget(&self, key: &K) {
        lock(&self.flights).remove(key);
    }
}

fn lock<K, V>(flights: &Flights<K, V>) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the work from the map when its task ends, even by a panic or by the end of its runtime.
struct FlightGuard<K: Eq + Hash, V> {
    flights: Arc<Flights<K, V>>,
    key: K,
    sender: watch::Sender<Option<V>>,
}

impl<K: Eq + Hash, V> Drop for FlightGuard<K, V> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        // If the work was forgotten or lost, newer work may have replaced it.
        if flights.get(&self.key).is_some_and(|flight| flight.result.same_channel(&self.sender.subscribe())) {
            flights.remove(&self.key);
        }
    }
}

/// Work that takes longer is considered lost, for example because its runtime is no longer polled. The next caller starts it
/// again.
const LOST_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_the_work() {
        let flights = SingleFlight::<u8, usize>::new();
        let started = Arc::new(AtomicUsize::new(0));
        let work = || {
            let number = started.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                number
            }
        };
        let shared = tokio::join!(flights.join(1, LIMIT, work), flights.join(1, LIMIT, work));
        assert_eq!(shared, (Some(0), Some(0)));
        assert_eq!(tokio::join!(flights.join(1, LIMIT, work), flights.join(2, LIMIT, work)), (Some(1), Some(2)));
        assert!(lock(&flights.flights).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_cancels_nothing() {
        let flights = SingleFlight::<u8, u8>::new();
        let work = || async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            7
        };
        assert_eq!(flights.join(1, Duration::from_secs(1), work).await, None);
        assert_eq!(flights.join(1, LIMIT, || async { 8 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_flight_finishes_only_for_those_who_wait() {
        let flights = SingleFlight::<u8, u8>::new();
        let work = |outcome: u8| {
            move || async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                outcome
            }
        };
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            flights.forget(&1);
            let before_the_first_ends = flights.join(1, LIMIT, work(8));
            let after_it_ended = async {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                flights.join(1, LIMIT, work(9)).await
            };
            tokio::join!(before_the_first_ends, after_it_ended)
        };
        assert_eq!(tokio::join!(flights.join(1, LIMIT, work(7)), later), (Some(7), (Some(8), Some(8))));
        assert!(lock(&flights.flights).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_ends_its_flight() {
        let flights = SingleFlight::<u8, u8>::new();
        assert_eq!(flights.join(1, LIMIT, || async { panic!("as planned") }).await, None);
        assert_eq!(flights.join(1, LIMIT, || async { 1 }).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_flight_is_replaced() {
        let flights = SingleFlight::<u8, u8>::new();
        assert_eq!(flights.join(1, LIMIT, std::future::pending).await, None);
        tokio::time::advance(LOST_AFTER).await;
        assert_eq!(flights.join(1, LIMIT, || async { 1 }).await, Some(1));
    }
}
