//! The state machine beside a model that keeps all that ever happened, and judges by that alone.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

mod events;

use proptest::prelude::*;

use self::events::{Event, Moment, Outcome, Question, events, policies};
use super::*;
use crate::properties::cases;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn whatever_happens_the_policy_holds(
        policy in policies(),
        events in prop::collection::vec(events(), 1..120),
    ) {
        let mut model = Model::new(policy);
        for event in events {
            model.happen(event)?;
        }
    }

    #[test]
    fn the_memory_of_missing_keys_is_bounded_and_holds_the_newest(rounds in prop::collection::vec(1_usize..200, 1..8)) {
        let mut model = Model::new(RefreshPolicy { lifetime: seconds(3600), last_known_good: seconds(3600) });
        model.ask(Question::Known)?;
        model.land(0, Outcome::Success { lifetime: None, jitter: 0 })?;
        let mut next = 0;
        for kids in rounds {
            model.now += seconds(60);
            let request = model.state.request(model.now);
            let fetch = model.state.ask_unknown("first", request, model.now);
            let Action::Wait { start: Some(flight), .. } = fetch else { panic!("{fetch:?}") };
            prop_assert!(model.state.succeeded(flight, Some(seconds(3600)), 0.0, model.now));
            let shown: Vec<String> = (next..next + kids).map(|kid| kid.to_string()).collect();
            next += kids;
            for kid in &shown {
                prop_assert_eq!(model.state.ask_unknown(kid, request, model.now), Action::Refuse);
                prop_assert!(model.state.missing.0.len() <= 256);
            }
            for kid in &shown {
                prop_assert!(model.state.missing.0.get(kid.as_str()).is_some_and(|missing| model.now < missing.until));
            }
        }
    }
}

struct Model {
    state: Refresh,
    policy: RefreshPolicy,
    now: Instant,
    /// All that ever began, and whether caches had to keep out of it.
    flights: Vec<(Fetch, Instant, bool)>,
    /// The one whose end is still waited for.
    flying: Option<usize>,
    /// Every end that counted, of which flight and when.
    ends: Vec<(usize, Instant, Outcome)>,
    /// Those that were told to wait, and how many flights had begun when they arrived.
    waiting: Vec<(KeyRequest, Question, usize)>,
    /// Until when a key id is known to be unknown, and for how long it was that.
    missing: [Option<(Instant, u64)>; 3],
    /// What the path without a lock goes by.
    quiet_until: Instant,
}

/// When the set that was fetched last changes its standing.
#[derive(Clone, Copy)]
struct Times {
    ahead: Instant,
    expired: Instant,
    dead: Instant,
}

impl Model {
    fn new(policy: RefreshPolicy) -> Self {
        let now = Instant::now();
        Self {
            state: Refresh::new(policy),
            policy,
            now,
            flights: Vec::new(),
            flying: None,
            ends: Vec::new(),
            waiting: Vec::new(),
            missing: [None; 3],
            quiet_until: now,
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Ask(question) => self.ask(question)?,
            Event::AskAgain { .. } if self.waiting.is_empty() => {}
            Event::AskAgain { request, waited } => {
                let (mut request, question, arrived) = self.waiting.swap_remove(request.index(self.waiting.len()));
                request.waited = waited;
                self.ask_as(request, question, arrived)?;
            }
            Event::Land { back, outcome } => {
                if let Some(flight) = self.flights.len().checked_sub(back + 1) {
                    self.land(flight, outcome)?;
                }
            }
            Event::Pass(time) => self.now += time,
            Event::PassTo { moment, off } => {
                let target = self.moment(moment).map(|at| match off {
                    -1 => at - Duration::from_millis(1),
                    0 => at,
                    _ => at + Duration::from_millis(1),
                });
                self.now = self.now.max(target.unwrap_or(self.now));
            }
        }
        prop_assert_eq!(self.state.is_usable(self.now), self.is_alive());
        let pause = self.rested().map_or(Duration::ZERO, |until| until.saturating_duration_since(self.now));
        prop_assert_eq!(self.state.back_off(self.now), pause);
        Ok(())
    }

    fn ask(&mut self, question: Question) -> Result<(), TestCaseError> {
        self.ask_as(self.state.request(self.now), question, self.flights.len())
    }

    fn ask_as(&mut self, request: KeyRequest, question: Question, arrived: usize) -> Result<(), TestCaseError> {
        let was_quiet = self.now < self.quiet_until;
        self.give_up_what_is_lost();
        let (action, waited) = match question {
            Question::Known => (self.state.ask_known(request, self.now), request.waited),
            Question::Unknown(kid) => (self.state.ask_unknown(&kid.to_string(), request, self.now), request.waited),
            Question::Any => (self.state.ask_any(self.now), false),
        };
        match question {
            Question::Unknown(kid) => self.check_unknown(kid, arrived, request, action)?,
            Question::Known | Question::Any => {
                // Who goes by it does not even ask.
                prop_assert!(!was_quiet || matches!(action, Action::Serve { .. }), "{:?} while quiet", action);
                // Where nobody waits, the back-off holds.
                let arrived = matches!(question, Question::Known).then_some(request.arrived_at);
                self.check_known(waited, arrived, action)?;
            }
        }
        if let Action::Serve { start: Some(flight) } | Action::Wait { start: Some(flight), .. } = action {
            self.take_off(flight)?;
        }
        if matches!(action, Action::Wait { .. } | Action::Pause { .. }) {
            self.waiting.push((request, question, arrived));
        }
        self.look_quiet()
    }

    fn check_known(&self, waited: bool, arrived: Option<Instant>, action: Action) -> Result<(), TestCaseError> {
        let Some(times) = self.times().filter(|times| self.now < times.dead) else {
            return self.check_without_set(waited, arrived, action);
        };
        let start = match action {
            Action::Serve { start } => start,
            Action::Wait { start, limit } => {
                prop_assert!(
                    !waited && self.now >= times.expired + seconds(30) && !self.is_down(),
                    "waits for nothing"
                );
                prop_assert_eq!(limit, seconds(3));
                start
            }
            lost => return Err(TestCaseError::fail(format!("a known key is lost: {lost:?}"))),
        };
        let is_due = self.now >= times.ahead && self.flying.is_none() && !self.is_resting();
        prop_assert_eq!(start.map(|flight| flight.forced), is_due.then_some(false));
        let is_unnoticed = self.now >= times.expired + seconds(30) && !waited && !self.is_down();
        prop_assert_eq!(matches!(action, Action::Wait { .. }), is_unnoticed);
        Ok(())
    }

    /// `arrived` says when a request came; `None` if nobody waits.
    fn check_without_set(&self, waited: bool, arrived: Option<Instant>, action: Action) -> Result<(), TestCaseError> {
        let ended = self.ends.last().map(|(_, at, _)| *at);
        let is_first = arrived.is_some_and(|arrived| ended.is_some_and(|ended| ended < arrived));
        let left = self.may_hurry_at().map(|at| at.saturating_duration_since(self.now));
        let expected = match (waited, self.flying, self.is_resting(), left.filter(|_| is_first)) {
            (true, ..) => Action::Unavailable,
            (_, Some(_), ..) => Action::Wait { start: None, limit: seconds(5) },
            // The flight itself is looked at where it takes off.
            (_, None, false, _) | (_, None, true, Some(Duration::ZERO)) => {
                let starts = matches!(action, Action::Wait { start: Some(flight), .. } if !flight.forced);
                prop_assert!(starts, "{:?} where a flight is due", action);
                return Ok(());
            }
            (_, None, true, Some(limit)) if limit <= seconds(1) => Action::Pause { limit },
            (_, None, true, _) => Action::Unavailable,
        };
        prop_assert_eq!(action, expected);
        Ok(())
    }

    /// When a waiting request may start a flight after the last failure: a second later, or as the issuer asked.
    fn may_hurry_at(&self) -> Option<Instant> {
        let (_, at, Outcome::Failure { retry_after, .. }) = self.ends.last()? else { return None };
        let asked = *at + seconds(retry_after.unwrap_or(0).clamp(1, 60));
        Some(self.rested()?.min(asked))
    }

    fn check_unknown(
        &mut self,
        kid: u8,
        arrived: usize,
        request: KeyRequest,
        action: Action,
    ) -> Result<(), TestCaseError> {
        if !self.is_alive() {
            return self.check_without_set(request.waited, Some(request.arrived_at), action);
        }
        let waited = request.waited;
        let missing = &mut self.missing[usize::from(kid)];
        let is_missing = missing.is_some_and(|(until, _)| self.now < until);
        let is_proof = |(flight, _, outcome): &(usize, Instant, Outcome)| {
            *flight >= arrived && self.flights[*flight].2 && matches!(outcome, Outcome::Success { .. })
        };
        let has_proof = self.ends.last().is_some_and(is_proof);
        if !is_missing && has_proof {
            let penalty = missing.map_or(30, |(_, penalty)| (penalty * 2).min(300));
            *missing = Some((self.now + seconds(penalty), penalty));
        }
        let may_force = self.may_force();
        let is_free = self.flying.is_none() && !self.is_resting();
        let is_limited = is_free && !may_force && !waited;
        let last_succeeded = matches!(self.ends.last(), Some((_, _, Outcome::Success { .. })));
        let expected = if is_missing || has_proof {
            matches!(action, Action::Refuse)
        } else if waited {
            matches!(action, Action::Unavailable)
        } else if self.flying.is_some() {
            matches!(action, Action::Wait { start: None, .. })
        } else if is_free && may_force {
            matches!(action, Action::Wait { start: Some(flight), .. } if flight.forced)
        } else if is_limited && last_succeeded {
            matches!(action, Action::Refuse)
        } else {
            matches!(action, Action::Unavailable)
        };
        prop_assert!(
            expected,
            "{:?}: missing {}, proof {}, waited {}, flying {:?}, free {}, may force {}",
            action,
            is_missing,
            has_proof,
            waited,
            self.flying,
            is_free,
            may_force
        );
        Ok(())
    }

    fn take_off(&mut self, flight: Fetch) -> Result<(), TestCaseError> {
        prop_assert!(self.flying.is_none(), "two flights at once");
        let may_hurry = !self.is_alive() && self.may_hurry_at().is_some_and(|at| at <= self.now);
        prop_assert!(may_hurry || !self.is_resting(), "no rest after a failure");
        prop_assert!(self.flights.iter().all(|(known, ..)| *known != flight), "a flight began twice");
        self.flying = Some(self.flights.len());
        self.flights.push((flight, self.now, flight.forced));
        // However long ago one looks from: strangers cause two and one for each half minute, failures one for each quarter
        // of a second, and successes one for each time of freshness, which is 43.2 s at least.
        let all: Vec<_> = self.flights.iter().map(|(_, at, forced)| (*at, *forced)).collect();
        for (from, (start, _)) in all.iter().enumerate() {
            let window = self.now - *start;
            let forced = all[from..].iter().filter(|(_, forced)| *forced).count();
            prop_assert!(within(forced, 2 + window.as_millis() / 30_000), "{} forced in {:?}", forced, window);
            let scheduled = all.len() - from - forced;
            prop_assert!(within(scheduled, 1 + window.as_millis() / 250), "{} scheduled in {:?}", scheduled, window);
            let has_failed = self
                .ends
                .iter()
                .any(|(flight, _, outcome)| *flight >= from && matches!(outcome, Outcome::Failure { .. }));
            let calm = 1 + window.as_millis() / 43_200;
            prop_assert!(has_failed || within(scheduled, calm), "{} without a failure in {:?}", scheduled, window);
        }
        Ok(())
    }

    fn land(&mut self, index: usize, outcome: Outcome) -> Result<(), TestCaseError> {
        let (flight, ..) = self.flights[index];
        let before = format!("{:?}", self.state);
        let counts = match outcome {
            Outcome::Success { lifetime, jitter } => {
                self.state.succeeded(flight, lifetime.map(seconds), f64::from(jitter) / 20.0, self.now)
            }
            Outcome::Failure { retry_after, jitter } => {
                self.state.failed(flight, retry_after.map(seconds), f64::from(jitter) / 20.0, self.now)
            }
        };
        prop_assert_eq!(counts, self.flying == Some(index));
        if counts {
            self.end(index, outcome);
        } else {
            prop_assert_eq!(format!("{:?}", self.state), before);
        }
        self.look_quiet()
    }

    fn end(&mut self, flight: usize, outcome: Outcome) {
        self.flying = None;
        self.ends.push((flight, self.now, outcome));
    }

    fn give_up_what_is_lost(&mut self) {
        if let Some(flight) = self.flying
            && self.now - self.flights[flight].1 >= seconds(30)
        {
            self.end(flight, Outcome::Failure { retry_after: None, jitter: 0 });
        }
    }

    fn look_quiet(&mut self) -> Result<(), TestCaseError> {
        self.quiet_until = self.state.quiet_until(self.now);
        let dead = self.times().map_or(self.now, |times| times.dead);
        prop_assert!(self.quiet_until <= dead, "quiet beyond the end of the set");
        Ok(())
    }

    fn moment(&self, moment: Moment) -> Option<Instant> {
        match moment {
            Moment::Ahead => self.times().map(|times| times.ahead),
            Moment::Expired => self.times().map(|times| times.expired),
            Moment::Stale => self.times().map(|times| times.expired + seconds(30)),
            Moment::Dead => self.times().map(|times| times.dead),
            Moment::Rested => self.rested(),
            Moment::Lost => self.flying.map(|flight| self.flights[flight].1 + seconds(30)),
            Moment::NotDown => self.ends.last().map(|(_, at, _)| *at + seconds(120)),
            Moment::Refilled => {
                let mut forced = self.flights.iter().rev().filter(|(.., forced)| *forced);
                forced.nth(1).map(|(_, at, _)| *at + seconds(30))
            }
            Moment::Forgiven(kid) => self.missing[usize::from(kid)].map(|(until, _)| until),
        }
    }

    fn times(&self) -> Option<Times> {
        self.ends.iter().rev().find_map(|(_, at, outcome)| {
            let Outcome::Success { lifetime, jitter } = outcome else { return None };
            let lifetime = lifetime.map_or(self.policy.lifetime.as_secs(), |lifetime| lifetime.clamp(60, 3_600));
            // Chance takes a tenth at most: a two-hundredth for each twentieth.
            let part = lifetime * u64::from(200 - jitter);
            let (ahead, life) = (Duration::from_millis(part * 4), Duration::from_millis(part * 5));
            Some(Times { ahead: *at + ahead, expired: *at + life, dead: *at + life + self.policy.last_known_good })
        })
    }

    fn is_alive(&self) -> bool {
        self.times().is_some_and(|times| self.now < times.dead)
    }

    /// When the pause after the last failure ends.
    fn rested(&self) -> Option<Instant> {
        let failures: Vec<_> = self
            .ends
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

    fn is_resting(&self) -> bool {
        self.rested().is_some_and(|until| self.now < until)
    }

    fn is_down(&self) -> bool {
        let failed = |(_, at, outcome): &(usize, Instant, Outcome)| {
            matches!(outcome, Outcome::Failure { .. }) && self.now - *at <= seconds(120)
        };
        self.ends.last().is_some_and(failed)
    }

    /// Whether one more for a stranger would still be within bounds, in every stretch of time up to now.
    fn may_force(&self) -> bool {
        let forced: Vec<_> = self.flights.iter().filter(|(.., forced)| *forced).map(|(_, at, _)| *at).collect();
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
