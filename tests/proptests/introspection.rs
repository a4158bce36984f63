//! Compares the cached results of token introspection with all earlier responses of the issuer.

use std::time::Duration;

use http::StatusCode;
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{ISSUER, REACHED, RESOURCE, cases, issuer, paused, send_token};

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_cached_result_is_used_for_its_lifetime_and_never_after_the_token_expires(
        positive in prop::sample::select(vec![0_u64, 1, 30, 300]),
        negative in prop::sample::select(vec![0_u64, 10, 60]),
        skew in prop::sample::select(vec![0_u64, 60]),
        events in prop::collection::vec(events(), 1..60),
    ) {
        paused().block_on(async {
            let mut world = World::new(positive, negative, skew);
            for event in events {
                world.apply(event).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The issuer changes its response for a token: whether the token is active, and its remaining lifetime in seconds,
    /// if the response contains `exp`.
    Answer {
        token: usize,
        active: bool,
        lifetime: Option<i64>,
    },
    Send(usize),
    Forget(usize),
    Fail,
    Recover,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Event> {
    let lifetime = prop::option::of(prop_oneof![-70_i64..5, 0_i64..100, 0_i64..1_000]);
    prop_oneof![
        3 => (0..TOKENS, prop::bool::weighted(0.7), lifetime)
            .prop_map(|(token, active, lifetime)| Event::Answer { token, active, lifetime }),
        10 => (0..TOKENS).prop_map(Event::Send),
        1 => (0..TOKENS).prop_map(Event::Forget),
        1 => Just(Event::Fail),
        1 => Just(Event::Recover),
        6 => prop_oneof![1_u64..1_500, 1_u64..40_000, 1_u64..400_000].prop_map(Event::Wait),
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
    /// The responses for each token with their start times, oldest first.
    responses: [Vec<Response>; TOKENS],
    forgotten: [Duration; TOKENS],
    is_down: bool,
    /// When a request to the issuer last failed.
    failed: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Response {
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
        let accepted = issuer.issuer().introspect_all(settings).introspection_endpoint(format!("{ISSUER}/introspect"));
        let server = ResourceServer::builder(RESOURCE).issuer(accepted).clock(clock.clone()).clock_skew(skew);
        let server = server.build_lazy().unwrap();
        let now = clock.since_epoch();
        let responses = [(); TOKENS].map(|()| vec![Response { from: Duration::ZERO, active: false, expires: None }]);
        let layer = server.bearer_layer();
        let forgotten = [now; TOKENS];
        Self {
            issuer,
            server,
            layer,
            clock,
            positive,
            negative,
            skew,
            responses,
            forgotten,
            is_down: false,
            failed: None,
        }
    }

    async fn apply(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Answer { token, active, lifetime } => {
                let now = self.clock.since_epoch();
                let expires = lifetime.map(|lifetime| now.as_secs().saturating_add_signed(lifetime));
                let mut answer = json!({ "active": active, "aud": RESOURCE });
                if let Some(expires) = expires {
                    answer["exp"] = expires.into();
                }
                self.issuer.introspection_answer(&name(token), answer);
                self.responses[token].push(Response { from: now, active, expires: expires.map(Duration::from_secs) });
            }
            Event::Send(token) => self.send(token).await?,
            Event::Forget(token) => {
                self.server.forget(&name(token));
                self.forgotten[token] = self.clock.since_epoch();
            }
            Event::Fail => {
                self.issuer.fault(Endpoint::Introspection, Fault::Status(503));
                self.is_down = true;
            }
            Event::Recover => {
                self.issuer.heal();
                self.is_down = false;
            }
            Event::Wait(time) => tokio::time::sleep(Duration::from_millis(time)).await,
        }
        Ok(())
    }

    async fn send(&mut self, token: usize) -> Result<(), TestCaseError> {
        let before = self.clock.since_epoch();
        let asked = self.issuer.requests(Endpoint::Introspection);
        let status = send_token(&self.layer, &name(token)).await;
        let after = self.clock.since_epoch();
        if self.is_down && self.issuer.requests(Endpoint::Introspection) > asked {
            self.failed = Some(after);
        }
        // Returns the responses that the server may use: the current one, and those of the last `time` seconds, unless
        // the token was removed from the cache since.
        let (responses, forgotten, is_up) = (&self.responses[token], self.forgotten[token], !self.is_down);
        let since = |time: Duration| -> Vec<Response> {
            let ends = responses.iter().skip(1).map(|next| next.from).chain([Duration::MAX]);
            let may_be_used = |(response, end): &(&Response, Duration)| {
                let is_current = *end == Duration::MAX && is_up;
                // A cached response expires at exactly this age. It also expires at the `exp` of its token, without
                // clock skew.
                let is_alive = !response.active || response.expires.is_none_or(|expires| before < expires);
                let is_cached = !time.is_zero() && *end > before.saturating_sub(time) && *end >= forgotten && is_alive;
                is_current || is_cached
            };
            responses.iter().zip(ends).filter(may_be_used).map(|(response, _)| *response).collect()
        };
        let has_expired = |response: &Response| response.expires.is_some_and(|expires| before >= expires + self.skew);
        match status {
            REACHED => {
                prop_assert!(
                    since(self.positive).iter().any(|response| response.active && !has_expired(response)),
                    "the server accepted a token that is not active"
                )
            }
            StatusCode::UNAUTHORIZED => prop_assert!(
                since(self.negative).iter().any(|response| !response.active)
                    || since(self.positive).iter().any(has_expired),
                "the server rejected an active token"
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                let failed_lately = self.failed.is_some_and(|at| before.saturating_sub(at) <= Duration::from_secs(60));
                prop_assert!(self.is_down || failed_lately, "the server returned 503 without an outage");
            }
            other => prop_assert!(false, "{}", other),
        }
        Ok(())
    }
}

fn name(token: usize) -> String {
    format!("opaque-{token}")
}
