//! What is remembered of introspected tokens, beside all that their issuer ever said of them.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::Clock as _;
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{ISSUER, REACHED, RESOURCE, cases, issuer, paused, show};

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn an_answer_holds_for_its_time_and_never_beyond_the_token(
        positive in prop::sample::select(vec![0_u64, 1, 30, 300]),
        negative in prop::sample::select(vec![0_u64, 10, 60]),
        skew in prop::sample::select(vec![0_u64, 60]),
        events in prop::collection::vec(events(), 1..60),
    ) {
        paused().block_on(async {
            let mut world = World::new(positive, negative, skew);
            for event in events {
                world.happen(event).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// From now on the issuer says this of a token: how long it lives on, in seconds, if it is active and says so.
    Say {
        token: usize,
        active: bool,
        left: Option<i64>,
    },
    Show(usize),
    Forget(usize),
    GoDown,
    ComeBack,
    Pass(u64),
}

fn events() -> impl Strategy<Value = Event> {
    let left = prop::option::of(prop_oneof![-70_i64..5, 0_i64..100, 0_i64..1_000]);
    prop_oneof![
        3 => (0..TOKENS, prop::bool::weighted(0.7), left)
            .prop_map(|(token, active, left)| Event::Say { token, active, left }),
        10 => (0..TOKENS).prop_map(Event::Show),
        1 => (0..TOKENS).prop_map(Event::Forget),
        1 => Just(Event::GoDown),
        1 => Just(Event::ComeBack),
        6 => prop_oneof![1_u64..1_500, 1_u64..40_000, 1_u64..400_000].prop_map(Event::Pass),
    ]
}

const TOKENS: usize = 2;

struct World {
    issuer: TestIssuer,
    server: ResourceServer,
    layer: BearerAuthLayer,
    clock: TestClock,
    positive: Duration,
    negative: Duration,
    skew: Duration,
    /// What was said of each token from when on, oldest first.
    said: [Vec<Said>; TOKENS],
    forgotten: [Duration; TOKENS],
    is_down: bool,
    /// When it was last known to fail.
    failed: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Said {
    from: Duration,
    active: bool,
    expires: Option<Duration>,
}

impl World {
    fn new(positive: u64, negative: u64, skew: u64) -> Self {
        let [positive, negative, skew] = [positive, negative, skew].map(Duration::from_secs);
        let (issuer, clock) = issuer();
        let settings = Introspection::new(ClientCredentials::basic("id", "secret"));
        let settings = settings.positive_cache(positive).negative_cache(negative);
        let found = issuer.issuer().introspection(settings).introspection_endpoint(format!("{ISSUER}/introspect"));
        let server = ResourceServer::builder(RESOURCE).issuer(found).clock(clock.clone()).clock_skew(skew);
        let server = server.build_lazy().unwrap();
        let now = clock.since_epoch();
        let said = [(); TOKENS].map(|()| vec![Said { from: Duration::ZERO, active: false, expires: None }]);
        let layer = server.bearer_layer();
        let forgotten = [now; TOKENS];
        Self { issuer, server, layer, clock, positive, negative, skew, said, forgotten, is_down: false, failed: None }
    }

    async fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Say { token, active, left } => {
                let now = self.clock.since_epoch();
                let expires = left.map(|left| now.as_secs().saturating_add_signed(left));
                let mut answer = json!({ "active": active, "aud": RESOURCE });
                if let Some(expires) = expires {
                    answer["exp"] = expires.into();
                }
                self.issuer.introspection_answer(&name(token), answer);
                self.said[token].push(Said { from: now, active, expires: expires.map(Duration::from_secs) });
            }
            Event::Show(token) => self.show(token).await?,
            Event::Forget(token) => {
                self.server.forget(&name(token));
                self.forgotten[token] = self.clock.since_epoch();
            }
            Event::GoDown => {
                self.issuer.fault(Endpoint::Introspection, Fault::Status(503));
                self.is_down = true;
            }
            Event::ComeBack => {
                self.issuer.heal();
                self.is_down = false;
            }
            Event::Pass(time) => tokio::time::sleep(Duration::from_millis(time)).await,
        }
        Ok(())
    }

    async fn show(&mut self, token: usize) -> Result<(), TestCaseError> {
        let before = self.clock.since_epoch();
        let asked = self.issuer.requests(Endpoint::Introspection);
        let status = show(&self.layer, &name(token)).await;
        let after = self.clock.since_epoch();
        if self.is_down && self.issuer.requests(Endpoint::Introspection) > asked {
            self.failed = Some(after);
        }
        // What was said in the last so many seconds, or is said now; nothing from before it was to be forgotten.
        let (said, forgotten, is_up) = (&self.said[token], self.forgotten[token], !self.is_down);
        let since = |time: Duration| -> Vec<Said> {
            let ends = said.iter().skip(1).map(|next| next.from).chain([Duration::MAX]);
            let held = |(said, end): &(&Said, Duration)| {
                let is_asked_now = *end == Duration::MAX && is_up;
                // An answer of exactly this age is too old, and none is kept for a token that has expired, to the second.
                let is_alive = !said.active || said.expires.is_none_or(|expires| before < expires);
                let is_kept = !time.is_zero() && *end > before.saturating_sub(time) && *end >= forgotten && is_alive;
                is_asked_now || is_kept
            };
            said.iter().zip(ends).filter(held).map(|(said, _)| *said).collect()
        };
        let is_over = |said: &Said| said.expires.is_some_and(|expires| before >= expires + self.skew);
        match status {
            REACHED => {
                prop_assert!(since(self.positive).iter().any(|said| said.active && !is_over(said)), "is not good")
            }
            StatusCode::UNAUTHORIZED => prop_assert!(
                since(self.negative).iter().any(|said| !said.active) || since(self.positive).iter().any(is_over),
                "is not bad"
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                let failed_lately = self.failed.is_some_and(|at| before.saturating_sub(at) <= Duration::from_secs(60));
                prop_assert!(self.is_down || failed_lately, "there is no outage");
            }
            other => prop_assert!(false, "{}", other),
        }
        Ok(())
    }
}

fn name(token: usize) -> String {
    format!("opaque-{token}")
}
