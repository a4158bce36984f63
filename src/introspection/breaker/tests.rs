#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const KNOWN: Fingerprint = [1; 32];

/// A circuit breaker and the current time.
struct World {
    breaker: CircuitBreaker,
    now: Instant,
    strangers: u8,
}

impl World {
    fn new() -> Self {
        Self { breaker: CircuitBreaker::new(), now: Instant::now(), strangers: 100 }
    }

    fn known(&mut self, outcome: Outcome) -> Transition {
        let call = Sent { token: KNOWN, was_active: true, at: self.now };
        self.breaker.report(&call, outcome, self.now)
    }

    /// A token that was never introspected before.
    fn stranger(&mut self, outcome: Outcome) -> Transition {
        self.strangers += 1;
        let call = Sent { token: [self.strangers; 32], was_active: false, at: self.now };
        self.breaker.report(&call, outcome, self.now)
    }

    fn retry_in(&self) -> Duration {
        self.breaker.retry_in(self.now)
    }

    /// Five requests that do not reach the endpoint.
    fn opened() -> Self {
        let mut world = Self::new();
        for number in 1..=5 {
            let expected = if number == 5 { Transition::Opened(FIRST_PAUSE) } else { Transition::Counted };
            assert_eq!(world.stranger(Outcome::Unreachable), expected, "{number}");
        }
        world
    }
}

/// Outcomes that a token may cause.
const ODD: [Outcome; 6] = [
    Outcome::Unexpected,
    Outcome::Broken,
    Outcome::TimedOut,
    Outcome::Overloaded { retry_after: Some(Duration::from_secs(60)) },
    Outcome::RateLimited { retry_after: Some(Duration::from_secs(60)) },
    Outcome::ClientRejected,
];

#[test]
fn five_failures_without_an_answer_between_them_open_it_and_four_do_not() {
    let mut world = World::new();
    for answer in [Outcome::Active, Outcome::NotActive] {
        for _ in 0..4 {
            assert_eq!(world.stranger(Outcome::Unreachable), Transition::Counted);
        }
        assert_eq!(world.stranger(answer), Transition::None);
    }
    let mut world = World::opened();
    assert_eq!(world.retry_in(), 5 * SECOND);
    world.now += 4 * SECOND;
    assert_eq!((world.retry_in(), world.breaker.is_closed()), (SECOND, false));
    world.now += SECOND;
    assert_eq!((world.retry_in(), world.breaker.is_closed()), (Duration::ZERO, false));
    assert_eq!(world.stranger(Outcome::NotActive), Transition::Closed);
    assert!(world.breaker.is_closed());
}

#[test]
fn the_pause_doubles_to_a_minute_and_begins_anew_after_an_answer() {
    let mut world = World::opened();
    for next in [10, 20, 40, 60, 60] {
        world.now += world.retry_in();
        assert_eq!(world.stranger(Outcome::Unreachable), Transition::Opened(next * SECOND));
    }
    world.now += world.retry_in();
    assert_eq!(world.known(Outcome::Active), Transition::Closed);
    for _ in 0..4 {
        assert_eq!(world.known(Outcome::Unreachable), Transition::Counted);
    }
    assert_eq!(world.known(Outcome::Unreachable), Transition::Opened(FIRST_PAUSE));
}

#[test]
fn a_call_that_was_sent_before_it_opened_makes_no_pause_longer() {
    let mut world = World::opened();
    let call = Sent { token: KNOWN, was_active: true, at: world.now };
    world.now += 6 * SECOND;
    assert_eq!(world.breaker.report(&call, Outcome::Unreachable, world.now), Transition::None);
    assert_eq!(world.retry_in(), Duration::ZERO);
}

#[test]
fn what_another_token_meets_with_counts_for_nothing_for_two_minutes_after_a_confirmation() {
    for outcome in ODD {
        let mut world = World::new();
        world.known(Outcome::Active);
        for _ in 0..100 {
            assert_eq!(world.stranger(outcome), Transition::None, "{outcome:?}");
        }
        world.now += 2 * 60 * SECOND - Duration::from_nanos(1);
        assert_eq!(world.stranger(outcome), Transition::None, "{outcome:?}");
        world.now += Duration::from_nanos(1);
        for number in 1..=5 {
            let expected = if number == 5 { Transition::Opened(FIRST_PAUSE) } else { Transition::Suspected };
            assert_eq!(world.stranger(outcome), expected, "{outcome:?} {number}");
        }
    }
}

#[test]
fn what_the_confirmed_token_itself_meets_with_counts() {
    for outcome in
        [Outcome::Unexpected, Outcome::Broken, Outcome::TimedOut, Outcome::ClientRejected, Outcome::RequestRejected]
    {
        let mut world = World::new();
        world.known(Outcome::Active);
        for _ in 0..4 {
            assert_eq!(world.known(outcome), Transition::Counted, "{outcome:?}");
        }
        assert_eq!(world.known(outcome), Transition::Opened(FIRST_PAUSE), "{outcome:?}");
    }
}

#[test]
fn strangers_make_no_pause_longer_and_one_of_them_alone_opens_nothing() {
    for outcome in ODD.into_iter().filter(|outcome| *outcome != Outcome::ClientRejected) {
        let mut world = World::new();
        let alone = Sent { token: [9; 32], was_active: false, at: world.now };
        assert_eq!(world.breaker.report(&alone, outcome, world.now), Transition::Suspected);
        for _ in 0..20 {
            assert_eq!(world.breaker.report(&alone, outcome, world.now), Transition::None);
        }
        for _ in 0..4 {
            world.stranger(outcome);
        }
        assert_eq!(world.retry_in(), FIRST_PAUSE, "{outcome:?}");
        world.now += FIRST_PAUSE;
        for _ in 0..20 {
            assert_eq!((world.stranger(outcome), world.retry_in()), (Transition::None, Duration::ZERO), "{outcome:?}");
        }
        assert_eq!(world.stranger(Outcome::Active), Transition::Closed);
    }
}

#[test]
fn a_request_that_is_rejected_for_its_token_counts_for_nothing() {
    let mut world = World::new();
    for _ in 0..20 {
        assert_eq!(world.stranger(Outcome::RequestRejected), Transition::None);
        assert_eq!(world.stranger(Outcome::NotSent), Transition::None);
    }
}

#[test]
fn a_client_that_was_never_accepted_opens_it_at_once() {
    let mut world = World::new();
    assert_eq!(world.stranger(Outcome::ClientRejected), Transition::Opened(FIRST_PAUSE));
    world.now += FIRST_PAUSE;
    assert_eq!(world.stranger(Outcome::ClientRejected), Transition::Opened(2 * FIRST_PAUSE));
}

#[test]
fn a_timeout_counts_only_where_nothing_was_answered_meanwhile() {
    let mut world = World::new();
    for _ in 0..20 {
        let call = Sent { token: KNOWN, was_active: true, at: world.now };
        world.now += SECOND;
        world.breaker.responded(world.now);
        world.now += SECOND;
        assert_eq!(world.breaker.report(&call, Outcome::TimedOut, world.now), Transition::None);
    }
}

#[test]
fn a_rate_limit_holds_for_the_endpoint_where_a_known_token_meets_it() {
    for (said, expected) in [(1, 5), (30, 30), (86_400, 60)] {
        let mut world = World::new();
        let limited = Outcome::RateLimited { retry_after: Some(said * SECOND) };
        world.known(Outcome::Active);
        assert_eq!(world.stranger(limited), Transition::None);
        assert_eq!(world.known(limited), Transition::Opened(expected * SECOND), "{said}");
    }
}

#[test]
fn a_new_secret_ends_the_pause_and_nothing_else() {
    let (mut breaker, now) = (CircuitBreaker::new(), Instant::now());
    breaker.retry_now(now);
    assert!(breaker.is_closed());
    let sent = |at| Sent { token: KNOWN, was_active: false, at };
    breaker.report(&sent(now), Outcome::ClientRejected, now);
    let later = now + Duration::from_secs(1);
    assert_eq!(breaker.retry_in(later), Duration::from_secs(4));
    breaker.retry_now(later);
    assert_eq!((breaker.retry_in(later), breaker.is_closed(), breaker.probes()), (Duration::ZERO, false, 1));
    // A request with the old secret does not count, and the next pause is longer.
    assert_eq!(breaker.report(&sent(now), Outcome::ClientRejected, later), Transition::None);
    assert_eq!(
        breaker.report(&sent(later), Outcome::ClientRejected, later),
        Transition::Opened(Duration::from_secs(10))
    );
    // The end of a pause is not delayed.
    let end = later + Duration::from_secs(20);
    breaker.retry_now(end);
    assert_eq!(breaker.report(&sent(later + Duration::from_secs(12)), Outcome::NotActive, end), Transition::Closed);
}
