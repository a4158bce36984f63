//! When a key set is fetched: a pure state machine. It is told what happened and what time it is, and answers what to
//! do; it never does it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::http_client::BackOff;

/// The configurable part of the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefreshPolicy {
    /// How long a set without a cache header is fresh.
    pub(crate) lifetime: Duration,
    /// How long past its freshness a set serves while the issuer cannot be reached.
    pub(crate) last_known_good: Duration,
}

/// What a request for a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Use the set as it is; if told so, fetch behind the caller's back.
    Serve { start: Option<Fetch> },
    /// Start this fetch, or join the one that is running; ask again when it ended or after this time.
    Wait { start: Option<Fetch>, limit: Duration },
    /// Ask again after this time, or when a fetch ended.
    Pause { limit: Duration },
    /// The issuer has no such key.
    Refuse,
    /// Nobody can tell.
    Unavailable,
}

/// One fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fetch {
    id: u64,
    started_at: Instant,
    /// Caches on the way must not answer.
    pub(super) forced: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// How many fetches had begun when the request arrived.
    flights_before: u64,
    arrived_at: Instant,
    /// Whether it has waited its time out already.
    pub(super) waited: bool,
    /// Whether it is not a request, so that nobody waits for the set.
    is_background: bool,
}

#[derive(Debug)]
pub(super) struct Refresh {
    policy: RefreshPolicy,
    set: Option<SetTimes>,
    flight: Option<Fetch>,
    flights: u64,
    last: Option<LastFetch>,
    back_off: BackOff,
    bucket: Bucket,
    missing: MissingKeys,
}

#[derive(Debug, Clone, Copy)]
struct SetTimes {
    ahead_at: Instant,
    fresh_until: Instant,
    dead_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum LastFetch {
    Succeeded { flight: Fetch },
    Failed { at: Instant },
}

impl Refresh {
    pub(super) fn new(policy: RefreshPolicy, now: Instant) -> Self {
        Self {
            policy,
            set: None,
            flight: None,
            flights: 0,
            last: None,
            back_off: BackOff::default(),
            bucket: Bucket::full(now),
            missing: MissingKeys::default(),
        }
    }

    /// The fetch that has started and not ended.
    pub(super) const fn running(&self) -> Option<Fetch> {
        self.flight
    }

    /// A request that arrives now.
    pub(super) const fn asker(&self, now: Instant) -> Asker {
        Asker { flights_before: self.flights, arrived_at: now, waited: false, is_background: false }
    }

    /// The set holds a key for the token: may it be used?
    pub(super) fn ask_known(&mut self, asker: Asker, now: Instant) -> Action {
        self.give_up_lost_flight(now);
        let Some(set) = self.set.filter(|set| now < set.dead_at) else {
            return self.ask_without_set(asker, now);
        };
        if now < set.ahead_at {
            return Action::Serve { start: None };
        }
        // Only a set that expired unnoticed is worth waiting for: in an outage everybody would wait for nothing.
        let in_grace = now < set.fresh_until.checked_add(STALE_SERVE).unwrap_or(now);
        if in_grace || asker.waited || self.is_known_to_be_down(now) {
            return Action::Serve { start: self.start_if_allowed(now) };
        }
        Action::Wait { start: self.start_if_allowed(now), limit: EXPIRED_WAIT }
    }

    /// The set holds no key with the token's `kid`: does the issuer have one by now?
    pub(super) fn ask_unknown(&mut self, kid: &str, asker: Asker, now: Instant) -> Action {
        self.give_up_lost_flight(now);
        if self.set.is_none_or(|set| now >= set.dead_at) {
            return self.ask_without_set(asker, now);
        }
        if self.missing.contains(kid, now) {
            return Action::Refuse;
        }
        // The fetch must have begun after the request arrived, and must not have been answered by a cache on the way:
        // such an answer may be older than the key.
        let is_proof = |flight: Fetch| flight.forced && flight.id > asker.flights_before;
        if matches!(self.last, Some(LastFetch::Succeeded { flight }) if is_proof(flight)) {
            self.missing.add(kid, now);
            return Action::Refuse;
        }
        if asker.waited {
            return Action::Unavailable;
        }
        if self.flight.is_some() {
            return Action::Wait { start: None, limit: UNKNOWN_WAIT };
        }
        if self.is_backing_off(now) {
            return Action::Unavailable;
        }
        if self.bucket.take(now) {
            return Action::Wait { start: Some(self.start(now, true)), limit: UNKNOWN_WAIT };
        }
        match self.last {
            Some(LastFetch::Succeeded { .. }) => Action::Refuse,
            Some(LastFetch::Failed { .. }) | None => Action::Unavailable,
        }
    }

    /// A set is wanted, whatever is in it: by a warm-up, or by a probe that has no token to ask for.
    pub(super) fn ask_any(&mut self, now: Instant) -> Action {
        let asker = Asker { is_background: true, ..self.asker(now) };
        self.ask_known(asker, now)
    }

    fn ask_without_set(&mut self, asker: Asker, now: Instant) -> Action {
        if asker.waited {
            return Action::Unavailable;
        }
        if self.flight.is_some() {
            return Action::Wait { start: None, limit: UNKNOWN_WAIT };
        }
        if let Some(flight) = self.start_if_allowed(now) {
            return Action::Wait { start: Some(flight), limit: UNKNOWN_WAIT };
        }
        match self.last {
            // One that failed while the request waited says all that it has to know.
            Some(LastFetch::Failed { at }) if at < asker.arrived_at && !asker.is_background => {
                match self.back_off.time_left_for_request(now) {
                    Some(Duration::ZERO) => Action::Wait { start: Some(self.start(now, false)), limit: UNKNOWN_WAIT },
                    Some(limit) => Action::Pause { limit },
                    None => Action::Unavailable,
                }
            }
            _ => Action::Unavailable,
        }
    }

    /// The fetch brought a set. `lifetime` is what its cache header said; `jitter` is 0 to 1.
    ///
    /// `false` if nobody waits for this flight any more: then what it brought must not be used, since a later one may
    /// have brought something newer.
    pub(super) fn succeeded(&mut self, flight: Fetch, lifetime: Option<Duration>, jitter: f64, now: Instant) -> bool {
        if !self.land(flight) {
            return false;
        }
        self.back_off = BackOff::default();
        self.last = Some(LastFetch::Succeeded { flight });
        let lifetime = lifetime.map_or(self.policy.lifetime, |lifetime| lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME));
        let lifetime = lifetime.mul_f64(1.0 - MAX_JITTER * jitter.clamp(0.0, 1.0));
        let later = |by: Duration| now.checked_add(by).unwrap_or(now);
        self.set = Some(SetTimes {
            ahead_at: later(lifetime.mul_f64(REFRESH_AHEAD)),
            fresh_until: later(lifetime),
            dead_at: later(lifetime.saturating_add(self.policy.last_known_good)),
        });
        true
    }

    /// The fetch failed. `retry_after` is what the server said; `jitter` is 0 to 1.
    ///
    /// `false` if nobody waits for this flight any more.
    pub(super) fn failed(&mut self, flight: Fetch, retry_after: Option<Duration>, jitter: f64, now: Instant) -> bool {
        if !self.land(flight) {
            return false;
        }
        self.back_off.fail(retry_after, jitter, now);
        self.last = Some(LastFetch::Failed { at: now });
        true
    }

    /// Until when a known key may be used without asking.
    pub(super) fn quiet_until(&self, now: Instant) -> Instant {
        let Some(set) = self.set else { return now };
        let quiet = if now < set.ahead_at {
            set.ahead_at
        } else if self.is_known_to_be_down(now) && self.flight.is_none() {
            now.checked_add(self.back_off.time_left(now)).unwrap_or(now)
        } else if self.flight.is_some() {
            set.fresh_until.checked_add(STALE_SERVE).unwrap_or(now)
        } else {
            now
        };
        quiet.min(set.dead_at)
    }

    /// Whether a set is there that may serve.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.set.is_some_and(|set| now < set.dead_at)
    }

    /// How long until the next fetch is allowed.
    pub(super) fn back_off(&self, now: Instant) -> Duration {
        self.back_off.time_left(now)
    }

    fn start_if_allowed(&mut self, now: Instant) -> Option<Fetch> {
        (self.flight.is_none() && !self.is_backing_off(now)).then(|| self.start(now, false))
    }

    fn start(&mut self, now: Instant, forced: bool) -> Fetch {
        self.flights = self.flights.wrapping_add(1);
        let flight = Fetch { id: self.flights, started_at: now, forced };
        self.flight = Some(flight);
        flight
    }

    /// A flight on a runtime that nobody drives any more never lands, and nothing says so.
    fn give_up_lost_flight(&mut self, now: Instant) {
        if let Some(flight) = self.flight
            && now.saturating_duration_since(flight.started_at) >= LOST_AFTER
        {
            self.failed(flight, None, 0.0, now);
        }
    }

    fn is_known_to_be_down(&self, now: Instant) -> bool {
        matches!(self.last, Some(LastFetch::Failed { at, .. }) if now.saturating_duration_since(at) <= KNOWN_DOWN)
    }

    fn land(&mut self, flight: Fetch) -> bool {
        let current = self.flight == Some(flight);
        if current {
            self.flight = None;
        }
        current
    }

    fn is_backing_off(&self, now: Instant) -> bool {
        !self.back_off.time_left(now).is_zero()
    }
}

/// Key ids that the issuer does not have. It is bounded: the one that was asked for least recently goes first.
#[derive(Debug, Default)]
struct MissingKeys(HashMap<Box<str>, Missing>);

#[derive(Debug, Clone, Copy)]
struct Missing {
    until: Instant,
    penalty: Duration,
    asked_at: Instant,
}

impl MissingKeys {
    fn contains(&mut self, kid: &str, now: Instant) -> bool {
        let Some(missing) = self.0.get_mut(kid) else { return false };
        missing.asked_at = now;
        now < missing.until
    }

    fn add(&mut self, kid: &str, now: Instant) {
        let known = self.0.get(kid);
        let penalty = known.map_or(MISSING_PENALTY, |known| known.penalty.saturating_mul(2).min(MAX_MISSING_PENALTY));
        if known.is_none() && self.0.len() >= MAX_MISSING {
            // A search is fine here: one fetch comes before each group of unknown key ids.
            let oldest = self.0.iter().min_by_key(|(_, missing)| missing.asked_at).map(|(kid, _)| kid.clone());
            oldest.map(|kid| self.0.remove(&kid));
        }
        let until = now.checked_add(penalty).unwrap_or(now);
        self.0.insert(kid.into(), Missing { until, penalty, asked_at: now });
    }
}

/// Permits for fetches that tokens with unknown key ids cause.
#[derive(Debug)]
struct Bucket {
    permits: u32,
    refilled_at: Instant,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self { permits: BUCKET_SIZE, refilled_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.permits < BUCKET_SIZE && now.saturating_duration_since(self.refilled_at) >= BUCKET_REFILL {
            self.permits = self.permits.saturating_add(1);
            self.refilled_at = self.refilled_at.checked_add(BUCKET_REFILL).unwrap_or(now);
        }
        if self.permits == BUCKET_SIZE {
            self.refilled_at = now;
        }
        match self.permits.checked_sub(1) {
            Some(left) => {
                self.permits = left;
                true
            }
            None => false,
        }
    }
}

/// What a cache header may not go below: seen in the wild is 15 s, which would be four fetches a minute and server.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// What a cache header may not exceed: seen in the wild is 38 days, for which a withdrawn key would live on.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// The part of its lifetime after which a set that is in use is fetched anew.
const REFRESH_AHEAD: f64 = 0.8;
/// How much of a lifetime chance takes away, so that replicas do not march in step.
const MAX_JITTER: f64 = 0.1;
/// How long an expired set serves without anybody waiting.
const STALE_SERVE: Duration = Duration::from_secs(30);
/// How long a request waits for the successor of an expired set.
const EXPIRED_WAIT: Duration = Duration::from_secs(3);
/// How long a request waits that cannot be judged without a fetch: as long as one fetch may take.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);
/// How long a failure says that the issuer is down. In traffic there is a newer one by then.
const KNOWN_DOWN: Duration = Duration::from_secs(2 * 60);
/// The longest that one fetch may take: three metadata documents and two key sets, 5 s each. What takes longer still,
/// such as a move of the key set to a server that hangs, is cut off and counts as a failure.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(25);
/// When a flight is given up that did not even end at its limit.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// Fetches for unknown key ids in a row: a rotation and its repair.
const BUCKET_SIZE: u32 = 2;
/// The time after which one more is allowed.
const BUCKET_REFILL: Duration = Duration::from_secs(30);
/// Key ids that are known to be unknown: some hundred bytes each.
const MAX_MISSING: usize = 256;
/// For how long a key id stays unknown at first; it doubles.
const MISSING_PENALTY: Duration = Duration::from_secs(30);
/// The longest: a key that is published after tokens with its id were shown works after this at the latest.
const MAX_MISSING_PENALTY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
