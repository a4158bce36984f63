//! The background task of a server: it fetches what is missing, so that a server without traffic becomes ready and stays ready.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::warm_up::{remote_keys, warm_up};
use crate::clock::Clock;
use crate::revocation::{RevocationList, SharedRevocations};
use crate::verify::{IssuerVerifier, Verifier};

/// Whether the background task of a server runs. Clones of the server share it.
#[derive(Clone, Default)]
pub(super) struct Upkeep(Arc<AtomicBool>);

/// Makes it possible to start the task again after it ended, for example with its runtime.
struct RunningTask {
    is_running: Arc<AtomicBool>,
    /// Set if the task follows the revocations of other replicas.
    followed: Option<Weak<RevocationList>>,
    clock: Arc<dyn Clock>,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        if let Some(list) = self.followed.as_ref().and_then(Weak::upgrade) {
            list.set_outdated("the task that reads the revocations has ended".into(), self.clock.now());
        }
        self.is_running.store(false, Ordering::SeqCst);
    }
}

/// The upkeep of one issuer, of the API keys, or of the revocations of other replicas.
type KeptPart = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Upkeep {
    /// Starts the task, unless it runs. It ends soon after the last clone of the server and of its layers is dropped. Does nothing
    /// outside a tokio runtime.
    pub(super) fn start(
        &self,
        verifier: &Arc<Verifier>,
        clock: &Arc<dyn Clock>,
        revocations: Option<&Arc<dyn SharedRevocations>>,
    ) {
        let issuers: Vec<_> = verifier.issuers().iter().filter(|issuer| needs_upkeep(issuer)).cloned().collect();
        let key_file = verifier.api_keys().filter(|keys| keys.has_file()).cloned();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let nothing_to_keep = issuers.is_empty() && key_file.is_none() && revocations.is_none();
        if nothing_to_keep || self.0.swap(true, Ordering::SeqCst) {
            return;
        }
        let list = Arc::downgrade(verifier.revocations());
        let revocations = revocations.map(|shared| shared.follow(Weak::clone(&list)));
        let followed = revocations.is_some().then_some(list);
        let running = RunningTask { is_running: Arc::clone(&self.0), followed, clock: Arc::clone(clock) };
        let (verifier, clock) = (Arc::downgrade(verifier), Arc::clone(clock));
        runtime.spawn(async move {
            let _running = running;
            let keep = |issuer| -> KeptPart { Box::pin(keep_ready(issuer, verifier.clone(), Arc::clone(&clock))) };
            // An issuer that is slow must not delay the others.
            let mut kept: Vec<_> = issuers.into_iter().map(keep).collect();
            kept.extend(revocations);
            let verifier = verifier.clone();
            kept.extend(
                key_file.map(|keys| -> KeptPart { Box::pin(keys.follow_file(move || verifier.strong_count() > 0)) }),
            );
            poll_fn(|cx| {
                kept.retain_mut(|kept| kept.as_mut().poll(cx).is_pending());
                if kept.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    }
}

fn needs_upkeep(issuer: &IssuerVerifier) -> bool {
    remote_keys(issuer).is_some() || issuer.introspector().is_some()
}

async fn keep_ready(issuer: Arc<IssuerVerifier>, verifier: Weak<Verifier>, clock: Arc<dyn Clock>) {
    while verifier.strong_count() > 0 {
        if let Some(introspector) = issuer.introspector() {
            introspector.notice_new_secret().await;
        }
        let due_in = due_in(&issuer).unwrap_or(LOOK);
        if due_in.is_zero() {
            // The error is logged where it occurs, and in the server's health.
            _ = warm_up(&issuer, &clock).await;
        }
        tokio::time::sleep(due_in.clamp(MIN_PAUSE, LOOK)).await;
    }
}

/// How long until something has to be fetched. `None` if nothing has to be.
fn due_in(issuer: &IssuerVerifier) -> Option<Duration> {
    let keys = remote_keys(issuer);
    let of_keys = keys.map(|keys| keys.due_in());
    // The fetch of the keys discovers the introspection endpoint as well.
    if keys.is_some_and(|keys| !keys.is_usable()) {
        return of_keys;
    }
    let of_introspection = issuer.introspector().and_then(|introspector| introspector.due_in());
    of_keys.into_iter().chain(of_introspection).min()
}

/// The shortest pause between two attempts.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// How often the task looks whether something is due. A look sends nothing.
const LOOK: Duration = Duration::from_secs(10);
