//! For all outcomes of requests, in any order: only failures open the circuit breaker, made-up tokens do not lengthen a pause,
//! and a response closes the circuit breaker.
#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::properties::cases;

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn only_an_endpoint_that_fails_gets_fewer_requests(events in prop::collection::vec(events(), 1..200)) {
        let mut model = Model { breaker: CircuitBreaker::new(), now: Instant::now(), calls: Vec::new(), failures: 0, pause: None };
        for event in events {
            model.happen(event)?;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A request for one of a few tokens is sent, if that is allowed.
    Send(u8),
    End(Index, Outcome),
    Pass(u64),
    /// Time passes to the end of the pause, or to a millisecond before it.
    PassPause(bool),
}

fn events() -> impl Strategy<Value = Event> {
    let seconds = prop::option::of(0_u64..200).prop_map(|seconds| seconds.map(Duration::from_secs));
    let outcome = prop_oneof![
        1 => Just(Outcome::Active),
        1 => Just(Outcome::NotActive),
        2 => seconds.clone().prop_map(|retry_after| Outcome::Overloaded { retry_after }),
        2 => seconds.prop_map(|retry_after| Outcome::RateLimited { retry_after }),
        1 => Just(Outcome::ClientRejected),
        1 => Just(Outcome::RequestRejected),
        4 => Just(Outcome::Unexpected),
        3 => Just(Outcome::Broken),
        3 => Just(Outcome::TimedOut),
        4 => Just(Outcome::Unreachable),
        1 => Just(Outcome::NotSent),
    ];
    prop_oneof![
        8 => (0_u8..12).prop_map(Event::Send),
        8 => (any::<Index>(), outcome).prop_map(|(call, outcome)| Event::End(call, outcome)),
        2 => prop_oneof![0_u64..2_000, 0_u64..150_000].prop_map(Event::Pass),
        2 => any::<bool>().prop_map(Event::PassPause),
    ]
}

struct Model {
    breaker: CircuitBreaker,
    now: Instant,
    calls: Vec<Sent>,
    /// Since the last response.
    failures: u32,
    /// The length of the last pause and its end, if no response has arrived since.
    pause: Option<(Duration, Instant)>,
}

impl Model {
    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Send(token) => {
                let left = self.pause.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(self.now));
                prop_assert_eq!(self.breaker.retry_in(self.now), left);
                prop_assert_eq!(self.breaker.is_closed(), self.pause.is_none());
                if left.is_zero() {
                    self.calls.push(Sent { token: [token; 32], was_active: token < 3, at: self.now });
                }
            }
            Event::End(call, outcome) if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(call.index(self.calls.len()));
                self.end(&call, outcome)?;
            }
            Event::End(..) => {}
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::PassPause(whole) => {
                let until = self.pause.map_or(self.now, |(_, until)| until);
                let until = if whole { until } else { until - Duration::from_millis(1) };
                self.now = self.now.max(until);
            }
        }
        Ok(())
    }

    fn end(&mut self, call: &Sent, outcome: Outcome) -> Result<(), TestCaseError> {
        let is_conclusive = matches!(outcome, Outcome::ClientRejected)
            || (call.was_active && matches!(outcome, Outcome::RateLimited { retry_after: Some(_) }));
        if outcome.is_response() {
            self.breaker.responded(self.now);
        }
        match self.breaker.report(call, outcome, self.now) {
            Transition::Opened(pause) => {
                prop_assert!((FIRST_PAUSE..=LONGEST_PAUSE).contains(&pause), "{:?}", pause);
                match self.pause {
                    // Only a failure that no made-up token can cause leads to a second pause.
                    Some((last, until)) => {
                        prop_assert!(call.was_active || is_conclusive || outcome == Outcome::Unreachable);
                        prop_assert!(pause >= last && call.at >= until && self.now >= until);
                    }
                    None => prop_assert!(is_conclusive || self.failures >= 4, "after {} failures", self.failures),
                }
                self.pause = Some((pause, self.now + pause));
            }
            Transition::Closed => {
                prop_assert!(matches!(outcome, Outcome::Active | Outcome::NotActive) && self.pause.is_some());
            }
            Transition::Counted | Transition::Suspected => {
                prop_assert!(self.pause.is_none());
                self.failures += 1;
            }
            Transition::None => {}
        }
        if matches!(outcome, Outcome::Active | Outcome::NotActive) {
            (self.failures, self.pause) = (0, None);
        }
        Ok(())
    }
}
