//! The cache gives the same results as a simple model that keeps a list of all responses.
#![allow(clippy::arithmetic_side_effects, clippy::string_slice, reason = "tests know their data")]

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::claims::Claims;
use crate::introspection::{ClientCredentials, Introspection};
use crate::properties::cases;
use crate::token_cache;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn only_fresh_results_of_real_responses_are_returned(
        times in lifetimes(),
        events in prop::collection::vec(events(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new(times);
            for event in events {
                model.happen(event).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn large_responses_take_bounded_memory(sizes in prop::collection::vec(1_usize..65_536, 1..8), seed: u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let cache = ResponseCache::new(Introspection::new(ClientCredentials::basic("id", "secret")).settings.lifetimes);
        let verdicts: Vec<_> = sizes.iter().map(|size| TokenStatus::Active(claims(0, *size))).collect();
        for number in 0..12_000 {
            let token = token_cache::tests::fingerprint(u64::from(seed) + number);
            let verdict = &verdicts[usize::try_from(number).unwrap() % verdicts.len()];
            cache.insert(cache.begin(token), verdict, None);
            cache.insert(cache.begin([token[0]; 32]), &TokenStatus::Inactive, None);
            prop_assert!(cache.positives.weight() <= 10_000);
        }
        let bytes = cache.positives.bytes();
        prop_assert!(bytes <= 40 << 20, "{} bytes", bytes);
        prop_assert!(cache.negatives.len() <= 1_000);
    }
}

#[derive(Debug, Clone)]
enum Event {
    /// An introspection request is sent, unless one for this token is in flight.
    Ask(usize),
    /// The response to one of the requests arrives.
    Answer {
        question: Index,
        answer: Answer,
    },
    Forget(usize),
    Recall {
        token: usize,
        within: Option<u64>,
    },
    RecallStale {
        token: usize,
        within: Option<u64>,
    },
    Pass(u64),
    /// Time passes until a cached result ends, or until a millisecond before or after that.
    PassTo {
        said: Index,
        end: End,
        off: i8,
    },
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    /// With the remaining lifetime of the token, in milliseconds.
    Active(Option<u64>),
    Inactive,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Answer,
    Token,
    Staleness,
}

/// The number of tokens. The fingerprints of the first two begin with the same byte, by which `remove` finds requests in flight.
const TOKENS: usize = 3;

fn events() -> impl Strategy<Value = Event> {
    let token = || 0..TOKENS;
    let within = || prop::option::weighted(0.2, 0_u64..90_000);
    let left = prop::option::of(prop_oneof![0_u64..3_000, 0_u64..120_000, Just(u64::MAX)]);
    let answer = prop_oneof![3 => left.prop_map(Answer::Active), 1 => Just(Answer::Inactive)];
    let end = prop::sample::select(vec![End::Answer, End::Token, End::Staleness]);
    prop_oneof![
        4 => token().prop_map(Event::Ask),
        4 => (any::<Index>(), answer).prop_map(|(question, answer)| Event::Answer { question, answer }),
        1 => token().prop_map(Event::Forget),
        6 => (token(), within()).prop_map(|(token, within)| Event::Recall { token, within }),
        2 => (token(), within()).prop_map(|(token, within)| Event::RecallStale { token, within }),
        2 => prop_oneof![0_u64..2_000, 0_u64..100_000].prop_map(Event::Pass),
        3 => (any::<Index>(), end, -1_i8..=1).prop_map(|(said, end, off)| Event::PassTo { said, end, off }),
    ]
}

fn lifetimes() -> impl Strategy<Value = Lifetimes> {
    let time = |most: u64| prop_oneof![1 => Just(0), 5 => 1..=most].prop_map(Duration::from_secs);
    (time(300), time(60), time(60)).prop_map(|(positive, negative, stale)| Lifetimes { positive, negative, stale })
}

struct Model {
    cache: ResponseCache,
    times: Lifetimes,
    /// Requests in flight: the token, the time of sending, and how often tokens of its kind had been forgotten.
    open: Vec<(PendingLookup, usize, Instant)>,
    /// The requests whose token was forgotten meanwhile, so that no caller waits for them.
    abandoned: Vec<(PendingLookup, usize, Instant)>,
    /// All responses that were cached, oldest first.
    said: Vec<Said>,
    /// The last response for each token since it was last forgotten.
    holds: [Option<usize>; TOKENS],
}

struct Said {
    at: Instant,
    answer: Answer,
    claims: Option<Claims>,
}

impl Said {
    fn dies_at(&self) -> Option<Instant> {
        match self.answer {
            Answer::Active(Some(left)) => self.at.checked_add(Duration::from_millis(left)),
            _ => None,
        }
    }
}

impl Model {
    fn new(times: Lifetimes) -> Self {
        let holds = [None; TOKENS];
        Self {
            cache: ResponseCache::new(times),
            times,
            open: Vec::new(),
            abandoned: Vec::new(),
            said: Vec::new(),
            holds,
        }
    }

    async fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        let now = Instant::now();
        match event {
            Event::Ask(token) if self.open.iter().all(|(_, asked, _)| *asked != token) => {
                self.open.push((self.cache.begin(fingerprint(token)), token, now));
            }
            Event::Ask(_) => {}
            Event::Answer { question, answer } => self.answer(question, answer),
            Event::Forget(token) => {
                self.cache.remove(&fingerprint(token));
                self.holds[token] = None;
                // Requests for other tokens of its kind continue. Their results may be cached or not, so the model ignores them.
                let kin = |other: usize| fingerprint(other)[0] == fingerprint(token)[0];
                let (gone, open) = self.open.drain(..).partition(|(_, asked, _)| kin(*asked));
                self.open = open;
                self.abandoned.extend::<Vec<_>>(gone);
            }
            Event::Recall { token, within } => self.recall(token, within.map(Duration::from_millis), now)?,
            Event::RecallStale { token, within } => self.recall_stale(token, within.map(Duration::from_millis), now)?,
            Event::Pass(millis) => tokio::time::advance(Duration::from_millis(millis)).await,
            Event::PassTo { said, end, off } => {
                if let Some(until) = self.end(said, end, off) {
                    tokio::time::advance(until.saturating_duration_since(now)).await;
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, question: Index, answer: Answer) {
        let (from, counts) = match (self.open.is_empty(), self.abandoned.is_empty()) {
            (true, true) => return,
            (false, true) => (&mut self.open, true),
            (true, false) => (&mut self.abandoned, false),
            (false, false) if question.index(2) == 0 => (&mut self.open, true),
            (false, false) => (&mut self.abandoned, false),
        };
        let (asked, token, at) = from.swap_remove(question.index(from.len()));
        let claims = matches!(answer, Answer::Active(_)).then(|| claims(self.said.len(), 10));
        let verdict = claims.clone().map_or(TokenStatus::Inactive, TokenStatus::Active);
        let left = match answer {
            Answer::Active(left) => left.map(Duration::from_millis),
            Answer::Inactive => None,
        };
        self.cache.insert(asked, &verdict, left);
        if counts {
            self.holds[token] = Some(self.said.len());
            self.said.push(Said { at, answer, claims });
        }
    }

    fn recall(&self, token: usize, within: Option<Duration>, now: Instant) -> Result<(), TestCaseError> {
        let held = self.holds[token].map(|said| &self.said[said]);
        let expected = held.filter(|said| {
            let limit = if said.claims.is_some() { within.unwrap_or(self.times.positive) } else { self.times.negative };
            now - said.at < limit && said.dies_at().is_none_or(|dies_at| now < dies_at)
        });
        match (self.cache.get(&fingerprint(token), within), expected) {
            (None, None) => {}
            (Some(TokenStatus::Active(claims)), Some(Said { claims: Some(said), .. })) => {
                prop_assert!(
                    std::ptr::eq(claims.scopes(), said.scopes()),
                    "the result is not that of the last response"
                );
            }
            (Some(TokenStatus::Inactive), Some(Said { claims: None, .. })) => {}
            (recalled, expected) => {
                let (recalled, expected) = (recalled.is_some(), expected.map(|said| said.answer));
                prop_assert!(false, "recalled {}, though {:?} holds", recalled, expected);
            }
        }
        Ok(())
    }

    fn recall_stale(&self, token: usize, within: Option<Duration>, now: Instant) -> Result<(), TestCaseError> {
        let held = self.holds[token].map(|said| &self.said[said]);
        let longest = within.unwrap_or(self.times.positive) + self.times.stale;
        let expected = held.filter(|said| {
            let is_alive = said.dies_at().is_none_or(|dies_at| now < dies_at);
            !self.times.stale.is_zero() && now - said.at < longest && is_alive
        });
        let expected = expected.and_then(|said| said.claims.as_ref());
        let recalled = self.cache.get_stale(&fingerprint(token), within);
        let place = |claims: &Claims| std::ptr::from_ref(claims.scopes());
        let recalled = match &recalled {
            None => None,
            Some(TokenStatus::Active(claims)) => Some(place(claims)),
            Some(status) => return Err(TestCaseError::fail(format!("{status:?}"))),
        };
        prop_assert_eq!(recalled, expected.map(place));
        Ok(())
    }

    fn end(&self, said: Index, end: End, off: i8) -> Option<Instant> {
        let said = (!self.said.is_empty()).then(|| &self.said[said.index(self.said.len())])?;
        let lifetime = if said.claims.is_some() { self.times.positive } else { self.times.negative };
        let at = match end {
            End::Answer => said.at + lifetime,
            End::Token => said.dies_at()?,
            End::Staleness => said.at + lifetime + self.times.stale,
        };
        let millisecond = Duration::from_millis(1);
        Some(match off {
            -1 => at.checked_sub(millisecond)?,
            0 => at,
            _ => at + millisecond,
        })
        // The clock cannot reach the expiry of some tokens.
        .filter(|at| *at < Instant::now() + Duration::from_secs(3600))
    }
}

fn fingerprint(token: usize) -> Fingerprint {
    let mut fingerprint = [7; 32];
    fingerprint[31] = u8::try_from(token).unwrap();
    if token == TOKENS - 1 {
        fingerprint[0] = 8;
    }
    fingerprint
}

fn claims(number: usize, size: usize) -> Claims {
    let text = format!("{{\"active\":true,\"number\":{number},\"padding\":\"{}\"}}", "x".repeat(size));
    Claims::from_introspection(text.as_bytes(), "https://as").unwrap()
}
