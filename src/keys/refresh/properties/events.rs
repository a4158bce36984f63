//! The events of a key source, in any order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{RefreshPolicy, seconds};

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request arrives.
    Ask(NeededKey),
    /// A waiting request asks again. `waited` says whether it has waited for its whole time limit.
    AskAgain {
        request: Index,
        waited: bool,
    },
    /// One of the last fetches ends. It may have ended before, or may have been given up.
    Finish {
        back: usize,
        outcome: Outcome,
    },
    Advance(Duration),
    /// The time advances to a moment at which the state changes, or to a millisecond before or after it.
    AdvanceTo {
        moment: Moment,
        offset: i8,
    },
}

/// The key that a caller needs.
#[derive(Debug, Clone, Copy)]
pub(super) enum NeededKey {
    Known,
    Unknown(u8),
    Any,
}

/// The outcome of a fetch. `jitter` is in twentieths.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Success { lifetime: Option<u64>, jitter: u32 },
    Failure { retry_after: Option<u64>, jitter: u32 },
}

/// A moment at which the state changes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    Ahead,
    StaleServeEnd,
    Dead,
    BackOffEnd,
    Lost,
    KnownDownEnd,
    Refilled,
    MissingEnd(u8),
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let needed = prop_oneof![
        4 => Just(NeededKey::Known),
        4 => (0_u8..3).prop_map(NeededKey::Unknown),
        1 => Just(NeededKey::Any),
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
        Just(Moment::StaleServeEnd),
        Just(Moment::Dead),
        Just(Moment::BackOffEnd),
        Just(Moment::Lost),
        Just(Moment::KnownDownEnd),
        Just(Moment::Refilled),
        (0_u8..3).prop_map(Moment::MissingEnd),
    ];
    prop_oneof![
        8 => needed.prop_map(Event::Ask),
        5 => (any::<Index>(), prop::bool::weighted(0.3)).prop_map(|(request, waited)| Event::AskAgain { request, waited }),
        6 => (prop_oneof![6 => Just(0_usize), 1 => 1_usize..4], outcome)
            .prop_map(|(back, outcome)| Event::Finish { back, outcome }),
        2 => time.prop_map(Event::Advance),
        4 => (moment, -1_i8..=1).prop_map(|(moment, offset)| Event::AdvanceTo { moment, offset }),
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
