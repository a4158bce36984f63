use super::*;

impl<V: Weighed> TokenCache<V> {
    pub(crate) fn weight(&self) -> u64 {
        self.0.weight()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, value)| value.bytes()).sum()
    }
}

/// A fingerprint whose bytes are distributed like those of a real one.
pub(crate) fn fingerprint(number: u64) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    fingerprint[8..16].copy_from_slice(&number.to_le_bytes());
    fingerprint
}

#[derive(Clone)]
struct Text(usize);

impl Weighed for Text {
    fn bytes(&self) -> usize {
        self.0
    }
}

#[test]
fn entries_and_bytes_are_bounded() {
    for capacity in [1, 10, 1_000, 10_000] {
        for (size, pages) in [(0, 1), (PAGE, 1), (PAGE + 1, 2), (15 * PAGE, 15)] {
            let cache = TokenCache::new(capacity);
            (0..50_000).for_each(|number| cache.insert(fingerprint(number), Text(size)));
            let most = capacity / pages;
            assert!((most * 8 / 10..=most).contains(&cache.len()), "{capacity} {size}: {}", cache.len());
        }
    }
}

#[test]
fn a_fingerprint_that_differs_late_is_another() {
    let cache = TokenCache::new(10);
    cache.insert([1; 32], Text(1));
    let mut other = [1; 32];
    other[31] = 2;
    assert!(cache.get(&[1; 32]).is_some() && cache.get(&other).is_none() && cache.peek(&other).is_none());
    cache.remove(&[1; 32]);
    assert!(cache.peek(&[1; 32]).is_none());
}
