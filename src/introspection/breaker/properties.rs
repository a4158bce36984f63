//! Whatever requests meet with and whenever they come back, an endpoint that fails is left in peace, and no other.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::properties::cases;

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn an_endpoint_that_fails_is_left_in_peace_and_no_other(events in prop::collection::vec(events(), 1..120)) {
        let now = Instant::now();
        let mut model = Model {
            breaker: Breaker::new(),
            now,
            passes: Vec::new(),
            checks: Vec::new(),
            failures: 0,
            closed_until: None,
            probed: None,
        };
        for event in events {
            model.happen(event)?;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Somebody wants to ask.
    Admit,
    Succeed(Index),
    Fail(Index, Failure),
    /// A check of the endpoint ends: it failed too, or there is nothing wrong with the endpoint.
    EndCheck(Index, Option<u64>),
    Pass(u64),
    /// Time passes up to the end of the pause, or to a millisecond before it.
    PassPause(bool),
}

fn events() -> impl Strategy<Value = Event> {
    let failure = prop_oneof![
        3 => prop::option::of(0_u64..200)
            .prop_map(|seconds| Failure::Endpoint { retry_after: seconds.map(Duration::from_secs) }),
        3 => Just(Failure::EndpointOrToken),
        1 => Just(Failure::Token),
    ];
    prop_oneof![
        6 => Just(Event::Admit),
        1 => any::<Index>().prop_map(Event::Succeed),
        8 => (any::<Index>(), failure).prop_map(|(pass, failure)| Event::Fail(pass, failure)),
        2 => (any::<Index>(), prop::option::of(0_u64..200)).prop_map(|(check, seconds)| Event::EndCheck(check, seconds)),
        2 => prop_oneof![0_u64..2_000, 0_u64..100_000].prop_map(Event::Pass),
        2 => any::<bool>().prop_map(Event::PassPause),
    ]
}

struct Model {
    breaker: Breaker,
    now: Instant,
    /// Requests, and checks, that have not come back.
    passes: Vec<Pass>,
    checks: Vec<Pass>,
    /// Since the last success, but for those that say nothing of the endpoint.
    failures: u32,
    /// The end of the pause, if there was no success since it began.
    closed_until: Option<Instant>,
    /// When the last request was let through while the endpoint was suspended, unless it is known what became of it.
    probed: Option<Instant>,
}

impl Model {
    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Admit => self.admit()?,
            Event::Succeed(pass) if !self.passes.is_empty() => {
                self.passes.swap_remove(pass.index(self.passes.len()));
                self.succeed();
            }
            Event::Fail(pass, failure) if !self.passes.is_empty() => {
                let pass = self.passes.swap_remove(pass.index(self.passes.len()));
                self.failures += u32::from(failure != Failure::Token);
                let transition = self.breaker.failed(pass, failure, self.now);
                let is_stranger = !matches!(failure, Failure::Endpoint { .. });
                prop_assert!(!is_stranger || !matches!(transition, Transition::Opened(_)), "a stranger suspends it");
                if pass.is_probe && failure == Failure::Token {
                    self.probed = None;
                }
                self.follow(transition, pass)?;
            }
            Event::EndCheck(check, Some(seconds)) if !self.checks.is_empty() => {
                let pass = self.checks.swap_remove(check.index(self.checks.len()));
                let transition = self.breaker.check_failed(pass, Some(Duration::from_secs(seconds)), self.now);
                self.follow(transition, pass)?;
            }
            Event::EndCheck(check, None) if !self.checks.is_empty() => {
                self.checks.swap_remove(check.index(self.checks.len()));
                self.succeed();
            }
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::PassPause(whole) => {
                let until = self.closed_until.unwrap_or(self.now);
                let until = if whole { until } else { until - Duration::from_millis(1) };
                self.now = self.now.max(until);
            }
            Event::Succeed(_) | Event::Fail(..) | Event::EndCheck(..) => {}
        }
        Ok(())
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let said = self.breaker.check(self.now);
        let admitted = self.breaker.admit(self.now);
        prop_assert_eq!(said.err(), admitted.err());
        let is_paused = self.closed_until.is_some_and(|until| self.now < until);
        let is_probed = self.probed.is_some_and(|at| self.now - at < Duration::from_secs(30));
        prop_assert_eq!(admitted.is_ok(), !is_paused && !is_probed, "paused {}, probed {}", is_paused, is_probed);
        if let Ok(pass) = admitted {
            prop_assert_eq!(pass.is_probe, self.closed_until.is_some());
            if pass.is_probe {
                self.probed = Some(self.now);
            }
            self.passes.push(pass);
        }
        Ok(())
    }

    fn succeed(&mut self) {
        self.breaker.succeeded();
        (self.failures, self.closed_until, self.probed) = (0, None, None);
    }

    fn follow(&mut self, transition: Transition, pass: Pass) -> Result<(), TestCaseError> {
        match transition {
            Transition::Opened(pause) => {
                prop_assert!(self.closed_until.is_some() || self.failures >= 5, "after {} failures", self.failures);
                prop_assert!((Duration::from_secs(5)..=Duration::from_secs(60)).contains(&pause), "{:?}", pause);
                (self.closed_until, self.probed) = (Some(self.now + pause), None);
            }
            Transition::Check(pass) => self.checks.push(pass),
            Transition::None => {}
            Transition::Closed => prop_assert!(false, "a failure closes it: {:?}", pass),
        }
        Ok(())
    }
}
