//! What can happen to a key source, in any order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{RefreshPolicy, seconds};

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request arrives.
    Ask(Question),
    /// One that was told to wait asks again, having waited its time out or not.
    AskAgain {
        request: Index,
        waited: bool,
    },
    /// One of the last flights ends; which may have ended before, or be long given up.
    Land {
        back: usize,
        outcome: Outcome,
    },
    Pass(Duration),
    /// Time passes up to a moment that makes a difference, or to a millisecond before or after it.
    PassTo {
        moment: Moment,
        off: i8,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Known,
    Unknown(u8),
    Any,
}

/// `jitter` is in twentieths.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Success { lifetime: Option<u64>, jitter: u32 },
    Failure { retry_after: Option<u64>, jitter: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    Ahead,
    Stale,
    Expired,
    Dead,
    Rested,
    Lost,
    NotDown,
    Refilled,
    Forgiven(u8),
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let question = prop_oneof![
        4 => Just(Question::Known),
        4 => (0_u8..3).prop_map(Question::Unknown),
        1 => Just(Question::Any),
    ];
    let outcome = prop_oneof![
        (prop::option::of(prop_oneof![0_u64..200, Just(1_000), Just(100_000)]), 0_u32..=20)
            .prop_map(|(lifetime, jitter)| Outcome::Success { lifetime, jitter }),
        (prop::option::of(prop_oneof![0_u64..70, Just(1_000_000)]), 0_u32..=20)
            .prop_map(|(retry_after, jitter)| Outcome::Failure { retry_after, jitter }),
    ];
    let time = prop_oneof![1_u64..2_000, 1_u64..60_000, 1_u64..600_000, 1_u64..7_200_000, 1_u64..250_000_000]
        .prop_map(Duration::from_millis);
    let moment = prop_oneof![
        Just(Moment::Ahead),
        Just(Moment::Stale),
        Just(Moment::Expired),
        Just(Moment::Dead),
        Just(Moment::Rested),
        Just(Moment::Lost),
        Just(Moment::NotDown),
        Just(Moment::Refilled),
        (0_u8..3).prop_map(Moment::Forgiven),
    ];
    prop_oneof![
        8 => question.prop_map(Event::Ask),
        5 => (any::<Index>(), prop::bool::weighted(0.3)).prop_map(|(request, waited)| Event::AskAgain { request, waited }),
        6 => (prop_oneof![6 => Just(0_usize), 1 => 1_usize..4], outcome)
            .prop_map(|(back, outcome)| Event::Land { back, outcome }),
        2 => time.prop_map(Event::Pass),
        4 => (moment, -1_i8..=1).prop_map(|(moment, off)| Event::PassTo { moment, off }),
    ]
}

pub(super) fn policies() -> impl Strategy<Value = RefreshPolicy> {
    let lifetime = prop::sample::select(vec![60, 300, 86_400]);
    let last_known_good = prop::sample::select(vec![0, 1, 45, 3_600, 86_400]);
    (lifetime, last_known_good).prop_map(|(lifetime, last_known_good)| RefreshPolicy {
        lifetime: seconds(lifetime),
        last_known_good: seconds(last_known_good),
    })
}
