use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::client::TrustedClient;
use super::documents::{Endpoint, Paths, metadata};
use super::fault::Fault;
use super::key_ring::KeyRing;
use super::requests::RequestLog;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::identifier::IssuerUrl;

/// The state that an issuer shares with its HTTP clients and its socket.
pub(super) struct IssuerState {
    pub(super) url: IssuerUrl,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started: Duration,
    is_up: AtomicBool,
    changing: Mutex<Changing>,
}

/// The state that a test changes. The lock is never held across an `await`.
pub(super) struct Changing {
    pub(super) ring: KeyRing,
    pub(super) paths: Paths,
    pub(super) log: RequestLog,
    pub(super) tokens: Tokens,
    // `null` removes a member.
    pub(super) members: Map<String, Value>,
    // The only client that may introspect tokens. `None` accepts every client.
    pub(super) client: Option<TrustedClient>,
    pub(super) faults: HashMap<Endpoint, Vec<Scripted>>,
    // The revision of all documents together.
    pub(super) revision: u64,
}

/// A fault, and the number of requests that it still applies to.
pub(super) struct Scripted {
    pub(super) fault: Fault,
    pub(super) remaining: Option<usize>,
}

impl IssuerState {
    pub(super) fn new(
        url: IssuerUrl,
        clock: Arc<dyn Clock>,
        ring: KeyRing,
        paths: Paths,
        members: Map<String, Value>,
        client: Option<TrustedClient>,
    ) -> Self {
        let (log, tokens, faults) = (RequestLog::default(), Tokens::default(), HashMap::new());
        let changing = Changing { ring, paths, log, tokens, members, client, faults, revision: 0 };
        let started = clock.since_epoch();
        Self { url, clock, started, is_up: AtomicBool::new(true), changing: Mutex::new(changing) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the documents, and their validators.
    pub(super) fn publish<T>(&self, change: impl FnOnce(&mut Changing) -> T) -> T {
        let mut changing = self.lock();
        changing.revision = changing.revision.saturating_add(1);
        change(&mut changing)
    }

    pub(super) fn metadata(&self, changing: &Changing) -> Value {
        let mut document = metadata(&self.url, &changing.paths, &changing.ring.algorithms());
        document.extend(changing.members.clone());
        document.retain(|_, value| !value.is_null());
        Value::Object(document)
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::SeqCst);
    }
}

impl Changing {
    /// The faults for a new request.
    pub(super) fn faults_for(&mut self, endpoint: Endpoint) -> Vec<Fault> {
        let Some(scripted) = self.faults.get_mut(&endpoint) else { return Vec::new() };
        let now = scripted.iter().map(|scripted| scripted.fault.clone()).collect();
        for scripted in scripted.iter_mut() {
            scripted.remaining = scripted.remaining.map(|remaining| remaining.saturating_sub(1));
        }
        scripted.retain(|scripted| scripted.remaining != Some(0));
        now
    }
}
