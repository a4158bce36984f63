use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::observer::notify;
use super::{Event, Observer, trace};
use crate::log::EventLimit;

/// Where the events of one resource server go: to the log, to its observers, and into metrics.
pub(crate) struct ServerEvents {
    /// The resource identifier, which is a label of metrics.
    pub(crate) resource: Arc<str>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    /// Log lines leave out what a token contains.
    pub(crate) claims_omitted: bool,
    /// Limits the log lines of rejections.
    pub(crate) limit: Arc<EventLimit>,
    /// The metrics of accepted tokens.
    #[cfg(feature = "metrics")]
    pub(crate) accepted_tokens: super::metrics::AcceptedTokens,
}

/// Where the events about one authorization server go. All servers that share the issuer's keys see them.
pub(crate) struct IssuerEvents {
    pub(crate) issuer: Arc<str>,
    /// The observers of the servers. An issuer does not keep the observers of a server that was dropped.
    observers: ArcSwap<Vec<Weak<dyn Observer>>>,
    /// Limits the log lines about failures.
    pub(super) limit: Arc<EventLimit>,
}

impl ServerEvents {
    pub(crate) fn new(resource: impl Into<Arc<str>>) -> Self {
        let resource = resource.into();
        Self {
            #[cfg(feature = "metrics")]
            accepted_tokens: super::metrics::AcceptedTokens::new(&resource),
            resource,
            observers: Vec::new(),
            claims_omitted: false,
            limit: Arc::default(),
        }
    }

    /// The time, if somebody wants to know how long a verification takes.
    pub(crate) fn start(&self) -> Option<Instant> {
        self.is_observed().then(Instant::now)
    }

    /// Whether anything but the log gets the events.
    pub(crate) const fn is_observed(&self) -> bool {
        cfg!(feature = "metrics") || !self.observers.is_empty()
    }

    /// Records the number of verified tokens in the cache.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "only metrics show the number"))]
    pub(crate) fn verified_tokens(&self, entries: impl FnOnce() -> usize) {
        #[cfg(feature = "metrics")]
        super::metrics::verified_tokens(&self.resource, entries());
        #[cfg(not(feature = "metrics"))]
        drop(entries);
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        trace::server_event(&self.limit, self.claims_omitted, event);
        #[cfg(feature = "metrics")]
        super::metrics::server_event(&self.resource, &self.accepted_tokens, event);
        for observer in &self.observers {
            notify(observer.as_ref(), event);
        }
    }
}

impl IssuerEvents {
    pub(crate) fn new(issuer: &str) -> Arc<Self> {
        Arc::new(Self { issuer: issuer.into(), observers: ArcSwap::default(), limit: Arc::default() })
    }

    /// Records the state of introspection before the first request: not suspended, and without cached results.
    pub(crate) fn introspection_configured(&self) {
        #[cfg(feature = "metrics")]
        super::metrics::introspection_configured(&self.issuer);
        self.introspection_results(|| 0);
    }

    /// Records the number of cached introspection results.
    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "only metrics show the number"))]
    pub(crate) fn introspection_results(&self, entries: impl FnOnce() -> usize) {
        #[cfg(feature = "metrics")]
        super::metrics::introspection_results(&self.issuer, entries());
        #[cfg(not(feature = "metrics"))]
        drop(entries);
    }

    /// Adds the observers of a server that uses the issuer.
    pub(crate) fn subscribe(&self, observers: &[Arc<dyn Observer>]) {
        self.observers.rcu(|subscribed| {
            let mut subscribed = Vec::clone(subscribed);
            subscribed.retain(|observer| observer.strong_count() > 0);
            for observer in observers.iter().map(Arc::downgrade) {
                if !subscribed.iter().any(|other| other.ptr_eq(&observer)) {
                    subscribed.push(observer);
                }
            }
            subscribed
        });
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        trace::issuer_event(&self.limit, event);
        #[cfg(feature = "metrics")]
        super::metrics::issuer_event(&self.issuer, event);
        for observer in self.observers.load().iter().filter_map(Weak::upgrade) {
            notify(observer.as_ref(), event);
        }
    }
}
