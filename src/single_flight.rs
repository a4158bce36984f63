//! One piece of work for all who want the same at the same time, on a task of its own: somebody who goes away cancels
//! nothing.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The flights that are under way.
pub(crate) struct SingleFlight<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    flights: Mutex<HashMap<K, Flight<V>>>,
}

struct Flight<V> {
    outcome: watch::Receiver<Option<V>>,
    started_at: Instant,
}

impl<K, V> SingleFlight<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self { shared: Arc::new(Shared { flights: Mutex::new(HashMap::new()) }) }
    }

    /// What `work` comes to, or the work that is under way for `key`; waits no longer than `limit`.
    ///
    /// `None` if it took longer, or was cut off: by a panic, or by the end of its runtime.
    pub(crate) async fn join<F>(&self, key: K, limit: Duration, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut outcome = self.board(key, work)?;
        let landed = async { outcome.wait_for(Option::is_some).await.ok()?.clone() };
        tokio::time::timeout(limit, landed).await.ok()?
    }

    /// Whether there is work for `key` to share.
    pub(crate) fn is_under_way(&self, key: &K) -> bool {
        self.shared.lock().contains_key(key)
    }

    /// Lets whoever comes next start anew. Those who wait for what is under way still get it.
    pub(crate) fn abandon(&self, key: &K) {
        self.shared.lock().remove(key);
    }

    fn board<F>(&self, key: K, work: impl FnOnce() -> F) -> Option<watch::Receiver<Option<V>>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let now = Instant::now();
        let mut flights = self.shared.lock();
        if let Some(flight) = flights.get(&key)
            && now.saturating_duration_since(flight.started_at) < LOST_AFTER
        {
            return Some(flight.outcome.clone());
        }
        let (sender, outcome) = watch::channel(None);
        flights.insert(key.clone(), Flight { outcome: outcome.clone(), started_at: now });
        drop(flights);
        let landing = Landing { shared: Arc::clone(&self.shared), key, sender };
        let work = work();
        runtime.spawn(async move {
            let landed = work.await;
            landing.sender.send_replace(Some(landed));
        });
        Some(outcome)
    }
}

impl<K, V> Shared<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list, however it ended.
struct Landing<K: Eq + Hash, V> {
    shared: Arc<Shared<K, V>>,
    key: K,
    sender: watch::Sender<Option<V>>,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut flights = self.shared.lock();
        // A flight that was given up may land after its successor took off.
        if flights.get(&self.key).is_some_and(|flight| flight.outcome.same_channel(&self.sender.subscribe())) {
            flights.remove(&self.key);
        }
    }
}

/// When a flight is given up whose runtime nobody drives any more: it never lands, and nothing says so.
const LOST_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_wants_the_same_shares_the_work() {
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
        assert!(flights.shared.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_cancels_nothing() {
        let flights = SingleFlight::<u8, u8>::new();
        let work = || async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            7
        };
        assert_eq!(flights.join(1, Duration::from_secs(1), work).await, None);
        assert_eq!(flights.join(1, LIMIT, || async { 8 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_flight_lands_for_those_aboard_only() {
        let flights = SingleFlight::<u8, u8>::new();
        let work = |outcome: u8| {
            move || async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                outcome
            }
        };
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            flights.abandon(&1);
            let before_the_first_lands = flights.join(1, LIMIT, work(8));
            let after_it_landed = async {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                flights.join(1, LIMIT, work(9)).await
            };
            tokio::join!(before_the_first_lands, after_it_landed)
        };
        assert_eq!(tokio::join!(flights.join(1, LIMIT, work(7)), later), (Some(7), (Some(8), Some(8))));
        assert!(flights.shared.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_lands_too() {
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
