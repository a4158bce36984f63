//! When a key set is fetched: a pure state machine. Time and chance are arguments, and it never fetches anything.

mod missing;

use std::time::{Duration, Instant};

use crate::http_client::BackOff;
use missing::MissingKeys;

/// The configurable part of the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefreshPolicy {
    /// How long a set without a cache header is fresh.
    pub(crate) lifetime: Duration,
    /// How long an expired set is still used while the issuer cannot be reached.
    pub(crate) last_known_good: Duration,
}

/// The action of a caller that needs a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Use the set as it is. Start this fetch in the background, if there is one.
    Serve { start: Option<Fetch> },
    /// Start this fetch, or wait for the running one. Ask again when it has ended, or after this time.
    Wait { start: Option<Fetch>, limit: Duration },
    /// Ask again after this time.
    Pause { limit: Duration },
    /// The issuer does not have such a key.
    Refuse,
    /// Whether the issuer has the key is not known.
    Unavailable,
}

/// One fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fetch {
    id: u64,
    started_at: Instant,
    /// HTTP caches on the way must not respond.
    pub(super) forced: bool,
}

/// A caller that needs a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRequest {
    /// How many fetches had started when the request arrived.
    fetches_before: u64,
    arrived_at: Instant,
    /// Whether it has already waited for the whole time limit.
    pub(super) waited: bool,
    /// Whether it is a background task and not a request.
    is_background: bool,
    /// Whether a key that the issuer does not have is remembered.
    remembers_missing: bool,
}

#[derive(Debug)]
pub(super) struct Refresh {
    policy: RefreshPolicy,
    set: Option<SetTimes>,
    /// The fetch that has started and not ended.
    pub(super) running: Option<Fetch>,
    started: u64,
    last: Option<LastFetch>,
    back_off: BackOff,
    /// When the token bucket for fetches that unknown key ids cause is full again. `None` before the first one.
    bucket_full_at: Option<Instant>,
    missing: MissingKeys,
}

#[derive(Debug, Clone, Copy)]
struct SetTimes {
    /// `None` for a seeded set.
    fetched_at: Option<Instant>,
    ahead_at: Instant,
    fresh_until: Instant,
    /// Until when the expired set is used without waiting for its successor.
    grace_until: Instant,
    /// When a server without traffic fetches the set again, so that it never dies while the issuer can be reached.
    renew_at: Instant,
    dead_at: Instant,
}

#[derive(Debug, Clone, Copy)]
enum LastFetch {
    Succeeded { fetch: Fetch },
    Failed { at: Instant },
}

impl Refresh {
    pub(super) fn new(policy: RefreshPolicy) -> Self {
        Self {
            policy,
            set: None,
            running: None,
            started: 0,
            last: None,
            back_off: BackOff::default(),
            bucket_full_at: None,
            missing: MissingKeys::default(),
        }
    }

    /// Begins with a set that was not fetched from the issuer. It has expired, so that the first caller fetches its successor. A
    /// request waits only if the seeded set does not verify its token.
    pub(super) fn seed(&mut self, usable_for: Duration, now: Instant) {
        let dead_at = now.checked_add(usable_for).unwrap_or(now);
        self.set = Some(SetTimes {
            fetched_at: None,
            ahead_at: now,
            fresh_until: now,
            grace_until: dead_at,
            renew_at: now,
            dead_at,
        });
    }

    /// Whether the set was not fetched from the issuer.
    pub(super) fn is_seeded(&self) -> bool {
        self.set.is_some_and(|set| set.fetched_at.is_none())
    }

    /// When the set must not be used any more, if no later fetch succeeds.
    pub(super) fn usable_until(&self) -> Option<Instant> {
        self.set.map(|set| set.dead_at)
    }

    /// A request that arrives now.
    pub(super) const fn request(&self, now: Instant) -> KeyRequest {
        KeyRequest {
            fetches_before: self.started,
            arrived_at: now,
            waited: false,
            is_background: false,
            remembers_missing: true,
        }
    }

    /// An explanation that is asked for now.
    pub(super) const fn explanation(&self, now: Instant) -> KeyRequest {
        KeyRequest { remembers_missing: false, ..self.request(now) }
    }

    /// The set has a key for the token.
    pub(super) fn ask_known(&mut self, request: KeyRequest, now: Instant) -> Action {
        self.give_up_lost_fetch(now);
        let Some(set) = self.set.filter(|set| now < set.dead_at) else {
            return self.ask_without_set(request, now);
        };
        if now < set.ahead_at {
            return Action::Serve { start: None };
        }
        // A request waits only if the set expired without traffic. In an outage, all requests would wait in vain.
        if now < set.grace_until || request.waited || self.is_known_to_be_down(now) {
            return Action::Serve { start: self.start_if_allowed(now) };
        }
        Action::Wait { start: self.start_if_allowed(now), limit: EXPIRED_WAIT }
    }

    /// The set does not contain a key with the token's `kid`, but the issuer may have published one. Or the set is seeded, and
    /// does not verify the token.
    pub(super) fn ask_unknown(&mut self, kid: &str, request: KeyRequest, now: Instant) -> Action {
        self.give_up_lost_fetch(now);
        if self.is_seeded() || !self.is_usable(now) {
            return self.ask_without_set(request, now);
        }
        if self.missing.contains(kid, now) {
            return Action::Refuse;
        }
        // The fetch must have started after the request arrived, and no HTTP cache may have responded. Otherwise the
        // response may be older than the key.
        let is_proof = |fetch: Fetch| fetch.forced && fetch.id > request.fetches_before;
        if matches!(self.last, Some(LastFetch::Succeeded { fetch }) if is_proof(fetch)) {
            if request.remembers_missing {
                self.missing.add(kid, now);
            }
            return Action::Refuse;
        }
        if request.waited {
            return Action::Unavailable;
        }
        if self.running.is_some() {
            return Action::Wait { start: None, limit: UNKNOWN_WAIT };
        }
        if !self.back_off(now).is_zero() {
            return Action::Unavailable;
        }
        if self.take_permit(now) {
            return Action::Wait { start: Some(self.start(now, true)), limit: UNKNOWN_WAIT };
        }
        match self.last {
            Some(LastFetch::Succeeded { .. }) => Action::Refuse,
            Some(LastFetch::Failed { .. }) | None => Action::Unavailable,
        }
    }

    /// A warm-up or a readiness probe needs any set.
    pub(super) fn ask_any(&mut self, now: Instant) -> Action {
        let request = KeyRequest { is_background: true, ..self.request(now) };
        self.ask_known(request, now)
    }

    fn ask_without_set(&mut self, request: KeyRequest, now: Instant) -> Action {
        if request.waited {
            return Action::Unavailable;
        }
        if self.running.is_some() {
            return Action::Wait { start: None, limit: UNKNOWN_WAIT };
        }
        if let Some(fetch) = self.start_if_allowed(now) {
            return Action::Wait { start: Some(fetch), limit: UNKNOWN_WAIT };
        }
        match self.last {
            // A fetch that failed while the request waited is its result.
            Some(LastFetch::Failed { at }) if at < request.arrived_at && !request.is_background => {
                match self.back_off.time_left_for_request(now) {
                    Some(Duration::ZERO) => Action::Wait { start: Some(self.start(now, false)), limit: UNKNOWN_WAIT },
                    Some(limit) => Action::Pause { limit },
                    None => Action::Unavailable,
                }
            }
            _ => Action::Unavailable,
        }
    }

    /// The fetch succeeded. `lifetime` is that of the cache header; `jitter` is between 0 and 1.
    ///
    /// `false` if the fetch was given up. Then its set must not be used, because a later fetch may have brought a newer one.
    pub(super) fn succeeded(&mut self, fetch: Fetch, lifetime: Option<Duration>, jitter: f64, now: Instant) -> bool {
        if self.running.take_if(|running| *running == fetch).is_none() {
            return false;
        }
        self.back_off = BackOff::default();
        self.last = Some(LastFetch::Succeeded { fetch });
        let lifetime = lifetime.map_or(self.policy.lifetime, |lifetime| lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME));
        let lifetime = lifetime.mul_f64(1.0 - MAX_JITTER * jitter.clamp(0.0, 1.0));
        let later = |by: Duration| now.checked_add(by).unwrap_or(now);
        let (ahead, last_known_good) = (lifetime.mul_f64(REFRESH_AHEAD), self.policy.last_known_good);
        self.set = Some(SetTimes {
            fetched_at: Some(now),
            ahead_at: later(ahead),
            fresh_until: later(lifetime),
            grace_until: later(lifetime.saturating_add(STALE_SERVE)),
            renew_at: later(ahead.saturating_add(last_known_good)),
            dead_at: later(lifetime.saturating_add(last_known_good)),
        });
        true
    }

    /// The fetch failed. `retry_after` is that of the response; `jitter` is between 0 and 1.
    ///
    /// `false` if the fetch was given up.
    pub(super) fn failed(&mut self, fetch: Fetch, retry_after: Option<Duration>, jitter: f64, now: Instant) -> bool {
        if self.running.take_if(|running| *running == fetch).is_none() {
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
        } else if self.is_known_to_be_down(now) && self.running.is_none() {
            now.checked_add(self.back_off(now)).unwrap_or(now)
        } else if let Some(fetch) = self.running {
            // Somebody must notice that the fetch is lost.
            set.grace_until.min(fetch.started_at.checked_add(LOST_AFTER).unwrap_or(now))
        } else {
            now
        };
        quiet.min(set.dead_at)
    }

    /// Whether there is a set that may be used.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.set.is_some_and(|set| now < set.dead_at)
    }

    /// When the set was fetched or confirmed, and until when it is fresh. `None` for a seeded set.
    pub(super) fn times(&self) -> Option<(Instant, Instant)> {
        self.set.and_then(|set| Some((set.fetched_at?, set.fresh_until)))
    }

    /// How long until a server without traffic has to fetch the set.
    pub(super) fn due_in(&self, now: Instant) -> Duration {
        let until_renewal = self.set.map(|set| set.renew_at.saturating_duration_since(now));
        until_renewal.unwrap_or_default().max(self.back_off(now))
    }

    /// How long until the next fetch is allowed.
    pub(super) fn back_off(&self, now: Instant) -> Duration {
        self.back_off.time_left(now)
    }

    /// The time until a request that gets [`Action::Unavailable`] may cause the next fetch. `None` while a fetch is in flight, because
    /// its end is not known.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        if self.running.is_some() || !matches!(self.last, Some(LastFetch::Failed { .. })) {
            return None;
        }
        if self.is_seeded() || !self.is_usable(now) {
            return Some(self.back_off.request_pause(now));
        }
        // The set is usable, so the token has an unknown key. It waits for the back-off and for the token bucket.
        Some(self.back_off(now).max(self.time_until_permit(now)))
    }

    fn start_if_allowed(&mut self, now: Instant) -> Option<Fetch> {
        (self.running.is_none() && self.back_off(now).is_zero()).then(|| self.start(now, false))
    }

    fn start(&mut self, now: Instant, forced: bool) -> Fetch {
        self.started = self.started.wrapping_add(1);
        let fetch = Fetch { id: self.started, started_at: now, forced };
        self.running = Some(fetch);
        fetch
    }

    /// Takes a permit from the token bucket, if it has one.
    fn take_permit(&mut self, now: Instant) -> bool {
        let has_permit = self.time_until_permit(now).is_zero();
        if has_permit {
            let full_at = self.bucket_full_at.map_or(now, |at| at.max(now));
            self.bucket_full_at = full_at.checked_add(BUCKET_REFILL);
        }
        has_permit
    }

    /// The time until the token bucket has a permit. The time until the bucket is full says how many it has.
    fn time_until_permit(&self, now: Instant) -> Duration {
        let until_full = self.bucket_full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        until_full.saturating_sub(BUCKET_REFILL.saturating_mul(BUCKET_SIZE - 1))
    }

    /// A fetch never ends if nobody drives its runtime any more.
    fn give_up_lost_fetch(&mut self, now: Instant) {
        if let Some(fetch) = self.running
            && now.saturating_duration_since(fetch.started_at) >= LOST_AFTER
        {
            self.failed(fetch, None, 0.0, now);
        }
    }

    fn is_known_to_be_down(&self, now: Instant) -> bool {
        matches!(self.last, Some(LastFetch::Failed { at, .. }) if now.saturating_duration_since(at) <= KNOWN_DOWN)
    }
}

/// The minimum for a cache header. A header of 15 s exists, which would be four fetches a minute from each server.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// The maximum for a cache header. A header of 38 days exists, for which a withdrawn key would be accepted.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// The part of its lifetime after which a set in use is fetched again.
const REFRESH_AHEAD: f64 = 0.8;
/// The largest part of a lifetime that the jitter removes, so that replicas do not fetch at the same time.
const MAX_JITTER: f64 = 0.1;
/// How long an expired set is used without waiting for its successor.
const STALE_SERVE: Duration = Duration::from_secs(30);
/// How long a request waits for the successor of an expired set.
const EXPIRED_WAIT: Duration = Duration::from_secs(3);
/// How long a request waits that needs a fetch: as long as one document may take.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);
/// How long a failure shows that the issuer is down. With traffic, there is a newer result by then.
const KNOWN_DOWN: Duration = Duration::from_secs(2 * 60);
/// The time limit of one fetch: three metadata documents and two key sets, 5 s each. A longer fetch counts as a failure.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(25);
/// When a fetch is given up that did not end at its time limit.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// Consecutive fetches for unknown key ids: a key rotation and its correction.
const BUCKET_SIZE: u32 = 2;
/// The time after which one more fetch is allowed.
const BUCKET_REFILL: Duration = Duration::from_secs(30);
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
