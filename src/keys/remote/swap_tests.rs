//! Threads look up keys while sets are replaced and expire.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use tokio::time::advance;

use super::tests::{named, remote_keys};
use super::*;
use crate::http_client::{HttpClient, HttpFuture, RequestLimits};

const LIFETIME: Duration = Duration::from_secs(300);
const POLICY: RefreshPolicy = RefreshPolicy { lifetime: LIFETIME, last_known_good: Duration::ZERO };
const SETS: usize = 600;
const READERS: usize = 3;

/// Responds with a new set each time. The set with the number n has the key `n`, and no other key with a number.
struct Numbered(AtomicUsize);

impl HttpClient for Numbered {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        // The key of RFC 8037, appendix A.2; the others make the search longer.
        let key = |kid: String| json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": kid});
        let keys: Vec<_> = (0..15).map(|other| format!("other {other}")).chain([number.to_string()]).map(key).collect();
        Box::pin(async move { Ok(Response::new(json!({ "keys": keys }).to_string().into())) })
    }
}

#[test]
fn no_reader_uses_an_expired_set_or_an_older_one_than_before() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let keys = {
        let _entered = runtime.enter();
        remote_keys(Numbered(AtomicUsize::new(0)), POLICY)
    };
    // How many sets have expired, and how many a reader has used.
    let (expired, used, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let is_used = |number: usize| matches!(keys.find_now(Algorithm::EdDSA, &named(&number.to_string())), Some(Ok(_)));
    let read = || {
        let _entered = runtime.enter();
        while !is_over.load(Ordering::SeqCst) {
            let (expired, newest) = (expired.load(Ordering::SeqCst), used.load(Ordering::SeqCst));
            for old in (0..expired.max(newest.saturating_sub(1))).rev().take(2) {
                assert!(!is_used(old), "set {old} was used: {expired} sets have expired, and set {newest} was used");
            }
            if is_used(expired) {
                used.fetch_max(expired + 1, Ordering::SeqCst);
            }
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        let has_failed = || readers.iter().any(thread::ScopedJoinHandle::is_finished);
        runtime.block_on(async {
            for number in 0..SETS {
                keys.find(
                    Algorithm::EdDSA,
                    &named(&number.to_string()),
                    SeededKeys::Accepted,
                    VerificationPurpose::Request,
                )
                .await
                .unwrap();
                while used.load(Ordering::SeqCst) <= number && !has_failed() {
                    thread::yield_now();
                }
                advance(LIFETIME).await;
                expired.store(number + 1, Ordering::SeqCst);
            }
        });
        is_over.store(true, Ordering::SeqCst);
    });
}
