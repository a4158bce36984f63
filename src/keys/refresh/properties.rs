//! Compares the state machine with a model. The model keeps every event, and derives the expected result from them.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

mod events;
mod missing_keys;

use proptest::prelude::*;

use self::events::{Event, Moment, NeededKey, Outcome, events, policies};
use super::*;
use crate::properties::cases;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_policy_holds_for_every_order_of_events(
        policy in policies(),
        seed in prop::option::of(prop::sample::select(vec![1_u64, 45, 3_600, 86_400])),
        events in prop::collection::vec(events(), 1..120),
    ) {
        let mut model = Model::new(policy, seed);
        for event in events {
            model.apply(event)?;
        }
    }
}

struct Model {
    state: Refresh,
    policy: RefreshPolicy,
    now: Instant,
    /// When the model begins, and when its seeded set may not be used any more.
    seeded: Option<(Instant, Instant)>,
    /// Each fetch, when it started, and whether it was forced.
    fetches: Vec<(Fetch, Instant, bool)>,
    /// The index of the running fetch.
    running: Option<usize>,
    /// Each result that was accepted: the index of its fetch, when it ended, and its outcome.
    results: Vec<(usize, Instant, Outcome)>,
    /// The requests that wait, and how many fetches had started when each arrived.
    waiting: Vec<(KeyRequest, NeededKey, usize)>,
    /// Until when each key id is considered missing, and the length of that time in seconds.
    missing: [Option<(Instant, u64)>; 3],
    /// Until when a known key may be used without a lock.
    quiet_until: Instant,
}

/// When the last set is refreshed ahead, when requests wait for its successor, and when it may not be used any more.
#[derive(Clone, Copy)]
struct Times {
    ahead: Instant,
    grace_end: Instant,
    dead: Instant,
}

impl Model {
    fn new(policy: RefreshPolicy, seed: Option<u64>) -> Self {
        let (mut state, now) = (Refresh::new(policy), Instant::now());
        let seeded = seed.map(|usable_for| (now, now + seconds(usable_for)));
        seed.into_iter().for_each(|usable_for| state.seed(seconds(usable_for), now));
        Self {
            state,
            policy,
            now,
            seeded,
            fetches: Vec::new(),
            running: None,
            results: Vec::new(),
            waiting: Vec::new(),
            missing: [None; 3],
            quiet_until: now,
        }
    }

    fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Ask(needed) => self.ask(needed)?,
            Event::AskAgain { .. } if self.waiting.is_empty() => {}
            Event::AskAgain { request, waited } => {
                let (mut request, needed, arrived) = self.waiting.swap_remove(request.index(self.waiting.len()));
                request.waited = waited;
                self.ask_as(request, needed, arrived)?;
            }
            Event::Finish { back, outcome } => {
                if let Some(fetch) = self.fetches.len().checked_sub(back + 1) {
                    self.finish(fetch, outcome)?;
                }
            }
            Event::Advance(time) => self.now += time,
            Event::AdvanceTo { moment, offset } => {
                let target = self.moment(moment).map(|at| match offset {
                    -1 => at - Duration::from_millis(1),
                    0 => at,
                    _ => at + Duration::from_millis(1),
                });
                self.now = self.now.max(target.unwrap_or(self.now));
            }
        }
        prop_assert_eq!(self.state.is_usable(self.now), self.is_usable());
        prop_assert_eq!(self.state.is_seeded(), self.is_seeded());
        let pause = self.back_off_end().map_or(Duration::ZERO, |until| until.saturating_duration_since(self.now));
        prop_assert_eq!(self.state.back_off(self.now), pause);
        Ok(())
    }

    fn ask(&mut self, needed: NeededKey) -> Result<(), TestCaseError> {
        self.ask_as(self.state.request(self.now), needed, self.fetches.len())
    }

    fn ask_as(&mut self, request: KeyRequest, needed: NeededKey, arrived: usize) -> Result<(), TestCaseError> {
        let was_quiet = self.now < self.quiet_until;
        self.give_up_lost_fetch();
        let (action, waited) = match needed {
            NeededKey::Known => (self.state.ask_known(request, self.now), request.waited),
            NeededKey::Unknown(kid) => (self.state.ask_unknown(&kid.to_string(), request, self.now), request.waited),
            NeededKey::Any => (self.state.ask_any(self.now), false),
        };
        match needed {
            NeededKey::Unknown(kid) => self.check_unknown(kid, arrived, request, action)?,
            NeededKey::Known | NeededKey::Any => {
                // A request that uses the key without a lock does not ask at all.
                prop_assert!(!was_quiet || matches!(action, Action::Serve { .. }), "{:?} before quiet_until", action);
                // A background task does not go ahead of the back-off.
                let arrived = matches!(needed, NeededKey::Known).then_some(request.arrived_at);
                self.check_known(waited, arrived, action)?;
            }
        }
        if let Action::Serve { start: Some(fetch) } | Action::Wait { start: Some(fetch), .. } = action {
            self.start(fetch)?;
        }
        if matches!(action, Action::Wait { .. } | Action::Pause { .. }) {
            self.waiting.push((request, needed, arrived));
        }
        self.check_quiet()
    }

    fn check_known(&self, waited: bool, arrived: Option<Instant>, action: Action) -> Result<(), TestCaseError> {
        let Some(times) = self.times().filter(|times| self.now < times.dead) else {
            return self.check_without_set(waited, arrived, action);
        };
        let start = match action {
            Action::Serve { start } => start,
            Action::Wait { start, limit } => {
                prop_assert!(!waited && self.now >= times.grace_end && !self.is_down(), "needless wait");
                prop_assert_eq!(limit, seconds(3));
                start
            }
            lost => return Err(TestCaseError::fail(format!("a known key is not used: {lost:?}"))),
        };
        let is_due = self.now >= times.ahead && self.running.is_none() && !self.is_backing_off();
        prop_assert_eq!(start.map(|fetch| fetch.forced), is_due.then_some(false));
        let must_wait = self.now >= times.grace_end && !waited && !self.is_down();
        prop_assert_eq!(matches!(action, Action::Wait { .. }), must_wait);
        Ok(())
    }

    /// `arrived` is when a request arrived. `None` for a background task.
    fn check_without_set(&self, waited: bool, arrived: Option<Instant>, action: Action) -> Result<(), TestCaseError> {
        let ended = self.results.last().map(|(_, at, _)| *at);
        let is_first = arrived.is_some_and(|arrived| ended.is_some_and(|ended| ended < arrived));
        let left = self.request_may_fetch_at().map(|at| at.saturating_duration_since(self.now));
        let expected = match (waited, self.running, self.is_backing_off(), left.filter(|_| is_first)) {
            (true, ..) => Action::Unavailable,
            (_, Some(_), ..) => Action::Wait { start: None, limit: seconds(5) },
            // `start` checks the fetch itself.
            (_, None, false, _) | (_, None, true, Some(Duration::ZERO)) => {
                let starts = matches!(action, Action::Wait { start: Some(fetch), .. } if !fetch.forced);
                prop_assert!(starts, "{:?} although a fetch is due", action);
                return Ok(());
            }
            (_, None, true, Some(limit)) if limit <= seconds(1) => Action::Pause { limit },
            (_, None, true, _) => Action::Unavailable,
        };
        prop_assert_eq!(action, expected);
        Ok(())
    }

    /// When a waiting request may start a fetch after the last failure: a second later, or after `Retry-After`.
    fn request_may_fetch_at(&self) -> Option<Instant> {
        let (_, at, Outcome::Failure { retry_after, .. }) = self.results.last()? else { return None };
        let asked = *at + seconds(retry_after.unwrap_or(0).clamp(1, 60));
        Some(self.back_off_end()?.min(asked))
    }

    fn check_unknown(
        &mut self,
        kid: u8,
        arrived: usize,
        request: KeyRequest,
        action: Action,
    ) -> Result<(), TestCaseError> {
        // A seeded set does not say which keys the issuer has.
        if !self.is_usable() || self.is_seeded() {
            return self.check_without_set(request.waited, Some(request.arrived_at), action);
        }
        let waited = request.waited;
        let missing = &mut self.missing[usize::from(kid)];
        let is_missing = missing.is_some_and(|(until, _)| self.now < until);
        let is_proof = |(fetch, _, outcome): &(usize, Instant, Outcome)| {
            *fetch >= arrived && self.fetches[*fetch].2 && matches!(outcome, Outcome::Success { .. })
        };
        let has_proof = self.results.last().is_some_and(is_proof);
        if !is_missing && has_proof {
            let penalty = missing.map_or(30, |(_, penalty)| (penalty * 2).min(300));
            *missing = Some((self.now + seconds(penalty), penalty));
        }
        let may_force = self.may_force();
        let is_free = self.running.is_none() && !self.is_backing_off();
        let is_limited = is_free && !may_force && !waited;
        let last_succeeded = matches!(self.results.last(), Some((_, _, Outcome::Success { .. })));
        let expected = if is_missing || has_proof {
            matches!(action, Action::Refuse)
        } else if waited {
            matches!(action, Action::Unavailable)
        } else if self.running.is_some() {
            matches!(action, Action::Wait { start: None, .. })
        } else if is_free && may_force {
            matches!(action, Action::Wait { start: Some(fetch), .. } if fetch.forced)
        } else if is_limited && last_succeeded {
            matches!(action, Action::Refuse)
        } else {
            matches!(action, Action::Unavailable)
        };
        prop_assert!(
            expected,
            "{:?}: missing {}, proof {}, waited {}, running {:?}, free {}, may force {}",
            action,
            is_missing,
            has_proof,
            waited,
            self.running,
            is_free,
            may_force
        );
        Ok(())
    }

    fn start(&mut self, fetch: Fetch) -> Result<(), TestCaseError> {
        prop_assert!(self.running.is_none(), "two fetches at once");
        let has_no_set = !self.is_usable() || self.is_seeded();
        let may_fetch_early = has_no_set && self.request_may_fetch_at().is_some_and(|at| at <= self.now);
        prop_assert!(may_fetch_early || !self.is_backing_off(), "no pause after a failure");
        prop_assert!(self.fetches.iter().all(|(known, ..)| *known != fetch), "a fetch started twice");
        self.running = Some(self.fetches.len());
        self.fetches.push((fetch, self.now, fetch.forced));
        // The limits of every period that ends now. Unknown key ids cause two fetches, and one more for each 30 s. Others are
        // 250 ms apart, and without a failure 43.2 s: the shortest time until a set is refreshed ahead.
        let all: Vec<_> = self.fetches.iter().map(|(_, at, forced)| (*at, *forced)).collect();
        for (from, (start, _)) in all.iter().enumerate() {
            let window = self.now - *start;
            let forced = all[from..].iter().filter(|(_, forced)| *forced).count();
            prop_assert!(within(forced, 2 + window.as_millis() / 30_000), "{} forced in {:?}", forced, window);
            let scheduled = all.len() - from - forced;
            prop_assert!(within(scheduled, 1 + window.as_millis() / 250), "{} scheduled in {:?}", scheduled, window);
            let has_failed = self
                .results
                .iter()
                .any(|(fetch, _, outcome)| *fetch >= from && matches!(outcome, Outcome::Failure { .. }));
            let limit = 1 + window.as_millis() / 43_200;
            prop_assert!(has_failed || within(scheduled, limit), "{} without a failure in {:?}", scheduled, window);
        }
        Ok(())
    }

    fn finish(&mut self, index: usize, outcome: Outcome) -> Result<(), TestCaseError> {
        let (fetch, ..) = self.fetches[index];
        let before = format!("{:?}", self.state);
        let counts = match outcome {
            Outcome::Success { lifetime, jitter } => {
                self.state.succeeded(fetch, lifetime.map(seconds), f64::from(jitter) / 20.0, self.now)
            }
            Outcome::Failure { retry_after, jitter } => {
                self.state.failed(fetch, retry_after.map(seconds), f64::from(jitter) / 20.0, self.now)
            }
        };
        prop_assert_eq!(counts, self.running == Some(index));
        if counts {
            self.end(index, outcome);
        } else {
            prop_assert_eq!(format!("{:?}", self.state), before);
        }
        self.check_quiet()
    }

    fn end(&mut self, fetch: usize, outcome: Outcome) {
        self.running = None;
        self.results.push((fetch, self.now, outcome));
    }

    fn give_up_lost_fetch(&mut self) {
        if let Some(fetch) = self.running
            && self.now - self.fetches[fetch].1 >= seconds(30)
        {
            self.end(fetch, Outcome::Failure { retry_after: None, jitter: 0 });
        }
    }

    fn check_quiet(&mut self) -> Result<(), TestCaseError> {
        self.quiet_until = self.state.quiet_until(self.now);
        let dead = self.times().map_or(self.now, |times| times.dead);
        prop_assert!(self.quiet_until <= dead, "quiet_until is after the end of the set");
        Ok(())
    }

    fn moment(&self, moment: Moment) -> Option<Instant> {
        match moment {
            Moment::Ahead => self.times().map(|times| times.ahead),
            Moment::StaleServeEnd => self.times().map(|times| times.grace_end),
            Moment::Dead => self.times().map(|times| times.dead),
            Moment::BackOffEnd => self.back_off_end(),
            Moment::Lost => self.running.map(|fetch| self.fetches[fetch].1 + seconds(30)),
            Moment::KnownDownEnd => self.results.last().map(|(_, at, _)| *at + seconds(120)),
            Moment::Refilled => {
                let mut forced = self.fetches.iter().rev().filter(|(.., forced)| *forced);
                forced.nth(1).map(|(_, at, _)| *at + seconds(30))
            }
            Moment::MissingEnd(kid) => self.missing[usize::from(kid)].map(|(until, _)| until),
        }
    }

    fn times(&self) -> Option<Times> {
        let fetched = self.results.iter().rev().find_map(|(_, at, outcome)| {
            let Outcome::Success { lifetime, jitter } = outcome else { return None };
            let lifetime = lifetime.map_or(self.policy.lifetime.as_secs(), |lifetime| lifetime.clamp(60, 3_600));
            // The jitter removes a tenth at most: 1/200 for each twentieth.
            let part = lifetime * u64::from(200 - jitter);
            let (ahead, life) = (Duration::from_millis(part * 4), Duration::from_millis(part * 5));
            let (grace_end, dead) = (*at + life + seconds(30), *at + life + self.policy.last_known_good);
            Some(Times { ahead: *at + ahead, grace_end, dead })
        });
        fetched.or_else(|| self.seeded.map(|(start, dead)| Times { ahead: start, grace_end: dead, dead }))
    }

    fn is_seeded(&self) -> bool {
        self.seeded.is_some() && self.results.iter().all(|(.., outcome)| matches!(outcome, Outcome::Failure { .. }))
    }

    fn is_usable(&self) -> bool {
        self.times().is_some_and(|times| self.now < times.dead)
    }

    /// When the pause after the last failure ends.
    fn back_off_end(&self) -> Option<Instant> {
        let failures: Vec<_> = self
            .results
            .iter()
            .rev()
            .map_while(|(_, at, outcome)| match outcome {
                Outcome::Failure { retry_after, jitter } => Some((*at, *retry_after, *jitter)),
                Outcome::Success { .. } => None,
            })
            .collect();
        let (at, retry_after, jitter) = *failures.first()?;
        let ceiling = if failures.len() > 6 { 60_000 } else { 1_000 << (failures.len() - 1) }.min(60_000);
        let asked = retry_after.unwrap_or(0).min(60) * 1_000;
        let pause = (ceiling * u64::from(jitter) / 20).max(250).max(asked);
        Some(at + Duration::from_millis(pause))
    }

    fn is_backing_off(&self) -> bool {
        self.back_off_end().is_some_and(|until| self.now < until)
    }

    fn is_down(&self) -> bool {
        let failed = |(_, at, outcome): &(usize, Instant, Outcome)| {
            matches!(outcome, Outcome::Failure { .. }) && self.now - *at <= seconds(120)
        };
        self.results.last().is_some_and(failed)
    }

    /// Whether one more forced fetch is within the limit for every period that ends now.
    fn may_force(&self) -> bool {
        let forced: Vec<_> = self.fetches.iter().filter(|(.., forced)| *forced).map(|(_, at, _)| *at).collect();
        let fits = |(from, start): (usize, &Instant)| {
            within(forced.len() - from + 1, 2 + (self.now - *start).as_millis() / 30_000)
        };
        forced.iter().enumerate().all(fits)
    }
}

fn within(count: usize, most: u128) -> bool {
    u128::try_from(count).is_ok_and(|count| count <= most)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
