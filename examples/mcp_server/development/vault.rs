use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::secret;

/// A store of values, each under a secret. A value can be taken once, and expires.
pub(crate) struct Vault<T> {
    lifetime: Duration,
    entries: Mutex<HashMap<String, Entry<T>>>,
}

struct Entry<T> {
    expires: Instant,
    value: T,
}

impl<T> Vault<T> {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, entries: Mutex::default() }
    }

    /// Stores a value and returns a new secret for it.
    pub(crate) fn keep(&self, value: T) -> String {
        let secret = secret::random();
        self.keep_under(&secret, value);
        secret
    }

    pub(crate) fn keep_under(&self, secret: &str, value: T) {
        let now = Instant::now();
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.expires > now);
        if entries.len() >= CAPACITY {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.expires).map(|(secret, _)| secret.clone());
            oldest.map(|secret| entries.remove(&secret));
        }
        entries.insert(secret.to_owned(), Entry { expires: now + self.lifetime, value });
    }

    pub(crate) fn take(&self, secret: &str) -> Option<T> {
        let entry = self.lock().remove(secret)?;
        (entry.expires > Instant::now()).then_some(entry.value)
    }

    /// Takes all values for which `condition` is true.
    pub(crate) fn take_if(&self, condition: impl Fn(&T) -> bool) -> Vec<T> {
        self.lock().extract_if(|_, entry| condition(&entry.value)).map(|(_, entry)| entry.value).collect()
    }

    /// Returns a copy of the value for a secret, and keeps the value.
    pub(crate) fn peek(&self, secret: &str) -> Option<T>
    where
        T: Clone,
    {
        let entries = self.lock();
        entries.get(secret).filter(|entry| entry.expires > Instant::now()).map(|entry| entry.value.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The maximum number of values. Beyond it, a new value evicts the oldest one, so that memory is bounded.
const CAPACITY: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_can_be_taken_once_before_it_expires() {
        let vault = Vault::new(Duration::from_secs(60));
        let (first, second) = (vault.keep(1), vault.keep(2));
        assert_eq!((vault.peek(&first), vault.peek("guess")), (Some(1), None));
        assert_eq!((vault.take(&first), vault.take(&first), vault.take("guess")), (Some(1), None, None));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((vault.peek(&second), vault.take(&second)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_value_evicts_the_oldest_one() {
        let vault = Vault::new(Duration::from_secs(60));
        let oldest = vault.keep(0);
        for number in 1..=CAPACITY {
            tokio::time::advance(Duration::from_millis(1)).await;
            vault.keep(number);
        }
        assert_eq!((vault.take(&oldest), vault.lock().len()), (None, CAPACITY));
    }
}
