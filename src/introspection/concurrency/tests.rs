#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A concurrency limit and the current time.
struct World {
    limit: ConcurrencyLimit,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { limit: ConcurrencyLimit::new(64, Duration::from_secs(3)), now: Instant::now() }
    }

    /// As many requests as the limit allows for tokens without priority, each with this outcome after this time.
    fn round(&mut self, outcome: Outcome, millis: u32) {
        let (sent, mut calls) = (self.now, 0);
        while self.limit.allows_request(false) {
            self.limit.begin(sent);
            calls += 1;
        }
        self.now += millis * MILLISECOND;
        for _ in 0..calls {
            self.limit.end(sent, outcome, Observed::default(), self.now);
        }
    }

    /// One request while no other is in flight.
    fn alone(&mut self, outcome: Outcome, millis: u32) {
        self.limit.begin(self.now);
        let sent = self.now;
        self.now += millis * MILLISECOND;
        self.limit.end(sent, outcome, Observed::default(), self.now);
    }

    fn at(limit: usize) -> Self {
        let mut world = Self::new();
        world.limit.limit = limit;
        world
    }
}

#[test]
fn it_grows_by_one_with_each_round_to_its_limit_and_strangers_get_three_quarters_of_that() {
    let mut world = World::new();
    for expected in 9..=48 {
        world.round(Outcome::Active, 100);
        assert_eq!(world.limit.limit, expected);
    }
    for _ in 0..100 {
        world.round(Outcome::NotActive, 100);
    }
    assert_eq!(world.limit.limit, 64);
    let (mut strangers, mut known) = (0, 0);
    while world.limit.allows_request(false) {
        world.limit.begin(world.now);
        strangers += 1;
    }
    while world.limit.allows_request(true) {
        world.limit.begin(world.now);
        known += 1;
    }
    assert_eq!((strangers, known), (48, 16));
}

#[test]
fn calls_that_do_not_use_it_up_show_nothing() {
    let mut world = World::new();
    for outcome in [Outcome::Active, Outcome::NotActive, Outcome::TimedOut, Outcome::Overloaded { retry_after: None }] {
        for _ in 0..100 {
            world.alone(outcome, 100);
        }
        assert_eq!(world.limit.limit, 8, "{outcome:?}");
    }
}

#[test]
fn a_503_and_silence_halve_it_once_for_all_calls_that_were_sent_together() {
    for outcome in [Outcome::TimedOut, Outcome::Overloaded { retry_after: None }] {
        let mut world = World::at(40);
        for expected in [20, 10, 5, 2, 1, 1] {
            world.round(outcome, 1_000);
            assert_eq!(world.limit.limit, expected, "{outcome:?}");
        }
        world.round(Outcome::Active, 10);
        assert_eq!(world.limit.limit, 2, "{outcome:?}");
    }
}

#[test]
fn a_timeout_halves_nothing_where_other_calls_are_answered() {
    let mut world = World::new();
    let sent = world.now;
    while world.limit.allows_request(false) {
        world.limit.begin(sent);
    }
    world.now += 3_000 * MILLISECOND;
    for _ in 0..8 {
        world.limit.end(sent, Outcome::TimedOut, Observed { others_responded: true, is_confirmed: true }, world.now);
    }
    assert_eq!(world.limit.limit, 8);
}

#[test]
fn latency_that_doubles_over_its_best_of_the_last_minute_halves_it() {
    let mut world = World::new();
    world.round(Outcome::Active, 100);
    world.round(Outcome::Active, 199);
    assert_eq!(world.limit.limit, 10);
    world.round(Outcome::Active, 200);
    assert_eq!(world.limit.limit, 5);
    // A latency of a few milliseconds often doubles by chance.
    let mut world = World::new();
    world.round(Outcome::Active, 2);
    world.round(Outcome::Active, 49);
    assert_eq!(world.limit.limit, 10);
    // After a minute, an older latency is not compared any more.
    let mut world = World::new();
    world.round(Outcome::Active, 100);
    world.now += 60_000 * MILLISECOND;
    world.round(Outcome::Active, 500);
    assert_eq!(world.limit.limit, 10);
    // The response for a token that is not active often comes sooner.
    let mut world = World::new();
    world.round(Outcome::NotActive, 60);
    world.round(Outcome::Active, 300);
    assert_eq!(world.limit.limit, 10);
}

#[test]
fn it_does_not_grow_where_answers_come_late() {
    let mut world = World::new();
    for _ in 0..10 {
        world.round(Outcome::Active, 1_501);
    }
    assert_eq!(world.limit.limit, 8);
}

#[test]
fn it_never_exceeds_a_setting() {
    for max in 1..=64 {
        let mut world = World { limit: ConcurrencyLimit::new(max, Duration::from_secs(3)), now: Instant::now() };
        for _ in 0..80 {
            world.round(Outcome::Active, 10);
        }
        let mut calls = 0;
        while world.limit.allows_request(true) {
            world.limit.begin(world.now);
            calls += 1;
        }
        assert_eq!(calls, max);
    }
}

#[test]
fn the_time_until_a_turn_follows_from_latency_and_width() {
    let mut world = World::new();
    assert_eq!(world.limit.time_for(100), Duration::ZERO);
    world.round(Outcome::Active, 900);
    assert_eq!((world.limit.limit, world.limit.time_for(90)), (9, Duration::from_secs(9)));
}

#[test]
fn a_call_that_times_out_alone_is_the_fault_of_its_token_if_the_endpoint_works() {
    for (is_confirmed, expected) in [(true, 8), (false, 1)] {
        let observed = Observed { others_responded: false, is_confirmed };
        let (mut limit, mut now) = (ConcurrencyLimit::new(64, Duration::from_secs(3)), Instant::now());
        let mut time_out = |limit: &mut ConcurrencyLimit| {
            let sent = now;
            let calls = limit.limit;
            (0..calls).for_each(|_| limit.begin(sent));
            now += Duration::from_secs(3);
            (0..calls).for_each(|_| limit.end(sent, Outcome::TimedOut, observed, now));
            now += Duration::from_secs(1);
            limit.limit
        };
        let widths = [time_out(&mut limit), time_out(&mut limit), time_out(&mut limit), time_out(&mut limit)];
        assert_eq!(widths, [4, 2, 1, expected]);
        // For two minutes, more such outcomes do not change the limit.
        assert_eq!((0..20).map(|_| time_out(&mut limit)).max(), Some(expected), "{is_confirmed}");
    }
}
