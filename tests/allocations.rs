//! How many allocations a request costs, and what a flood of them leaves behind. Counts, not times: they are the same on
//! every machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so"
)]

use std::alloc::System;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use tokio::time::advance;
use tower::{Layer as _, Service, ServiceExt as _};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The three parts of the token, the scopes, what holds both, and three for the request's extensions.
const ACCEPTED: usize = 8;
/// What the request's extensions take.
const REMEMBERED: usize = 3;

/// One after the other, alone in their file, so that no other test allocates meanwhile.
#[test]
fn requests_cost_little_and_leave_little_behind() {
    an_accepted_request_costs_few_allocations();
    what_is_remembered_costs_three_and_only_while_it_holds();
    memory_is_bounded_however_many_tokens_are_verified();
    a_hundred_thousand_garbage_tokens_leave_ten_mebibytes_at_most_and_the_good_ones_alone();
}

fn an_accepted_request_costs_few_allocations() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = runtime().block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let good = bearer(&issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").sign());
    let garbage = HeaderValue::from_static("Bearer garbage");
    for (name, value, most) in [("accepted", &good, ACCEPTED), ("refused", &garbage, 9)] {
        // The first may cost more.
        cost(&server, value);
        let count = cost(&server, value);
        eprintln!("{name}: {count} allocations");
        assert!(count <= most, "{name}: {count}");
    }
}

fn what_is_remembered_costs_three_and_only_while_it_holds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder("https://auth.example.com").clock(clock.clone()).build();
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock.clone());
        let server = builder.cache_verified_tokens(100).build().await.unwrap();
        let token = || issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(Duration::from_secs(200));
        let (token, short) = (bearer(&token().sign()), bearer(&token().expires_in(Duration::from_secs(30)).sign()));
        let is_remembered = |token: &HeaderValue| cost(&server, token) <= REMEMBERED;
        eprintln!("verified and remembered: {}, remembered: {}", cost(&server, &token), cost(&server, &token));
        assert!(is_remembered(&token) && !is_remembered(&short) && is_remembered(&short));
        // It lives for a minute, and never beyond its token.
        advance(Duration::from_millis(29_999)).await;
        assert!(is_remembered(&short));
        advance(Duration::from_millis(1)).await;
        assert!(!is_remembered(&short) && is_remembered(&token));
        advance(Duration::from_millis(29_999)).await;
        assert!(is_remembered(&token));
        advance(Duration::from_millis(1)).await;
        assert!(!is_remembered(&token) && is_remembered(&token));
        // Neither does it outlive the key set, though the key is in the next one too.
        issuer.add_key(Algorithm::ES256);
        let new = bearer(&issuer.token().audience(RESOURCE).algorithm(Algorithm::EdDSA).scope("mcp:tools").sign());
        let response = server.bearer_layer().layer(Handler).oneshot(request(&new)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!is_remembered(&token) && is_remembered(&token));
        // Nor a word of the application's.
        server.forget(token.to_str().unwrap().strip_prefix("Bearer ").unwrap());
        assert!(!is_remembered(&token));
    });
}

/// `MCP_BEARER_DISTINCT_TOKENS` says how many.
fn memory_is_bounded_however_many_tokens_are_verified() {
    let tokens = std::env::var("MCP_BEARER_DISTINCT_TOKENS").map_or(5_000, |tokens| tokens.parse().unwrap());
    let capacity = 1_000;
    let issuer = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::EdDSA).build();
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).cache_verified_tokens(capacity);
    let server = runtime().block_on(builder.build()).unwrap();
    let show = |tokens: usize| {
        for number in 0..tokens {
            let token = issuer.token().audience(RESOURCE).scope("mcp:tools").subject(&number.to_string());
            cost(&server, &bearer(&token.sign()));
        }
    };
    let region = Region::new(ALLOCATOR);
    show(2 * capacity);
    let left = |change: stats_alloc::Stats| change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    let full = left(region.change());
    show(tokens);
    let after = left(region.change());
    eprintln!("{capacity} remembered tokens take {full} bytes, and after {tokens} more {after}");
    assert!(full <= 4 << 20, "{full}");
    assert!(after.saturating_sub(full) <= full / 4, "{after}");
}

/// How many allocations a request with this header costs, from the layer to the end of its answer.
fn cost(server: &ResourceServer, authorization: &HeaderValue) -> usize {
    let mut service = server.bearer_layer().required_scopes(["mcp:tools"]).layer(Handler);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Service::<Request<()>>::poll_ready(&mut service, &mut context).is_ready());
    let request = request(authorization);
    let region = Region::new(ALLOCATOR);
    let mut response = std::pin::pin!(service.call(request));
    let Poll::Ready(response) = response.as_mut().poll(&mut context) else { panic!("the keys are at hand") };
    let count = region.change().allocations;
    drop(response);
    count
}

fn request(authorization: &HeaderValue) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    request
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Answers, and allocates nothing.
#[derive(Clone)]
struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

fn a_hundred_thousand_garbage_tokens_leave_ten_mebibytes_at_most_and_the_good_ones_alone() {
    let asked_about_good_ones = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer::discover("https://auth.example.com")
        .introspection(ClientCredentials::basic("mcp-server", "secret"))
        .introspection_endpoint("https://auth.example.com/introspect")
        .http_client(AuthorizationServer(Arc::clone(&asked_about_good_ones)));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap();
    let service = server.bearer_layer().layer(Handler);
    // Time stands still, so that nothing is forgotten because of its age.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ask = async |token: String, expected: StatusCode| {
        assert_eq!(service.clone().oneshot(request(&bearer(&token))).await.unwrap().status(), expected);
    };
    let show = |name: &str, count: usize, expected: StatusCode| {
        runtime.block_on(async {
            for number in 0..count {
                ask(format!("{name}-{number}"), expected).await;
            }
        });
    };
    show("good", 1_000, StatusCode::OK);
    let region = Region::new(ALLOCATOR);
    show("garbage", 100_000, StatusCode::UNAUTHORIZED);
    let change = region.change();
    let left = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    eprintln!("100,000 garbage tokens leave {left} bytes");
    assert!(left <= 10 * 1024 * 1024, "{left}");
    show("good", 1_000, StatusCode::OK);
    assert_eq!(asked_about_good_ones.load(Ordering::SeqCst), 1_000);
}

/// Knows the tokens that begin with `good`, and remembers nothing but how often it was asked about such.
struct AuthorizationServer(Arc<AtomicUsize>);

impl HttpClient for AuthorizationServer {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let body = if request.body().starts_with(b"token=good") {
            self.0.fetch_add(1, Ordering::SeqCst);
            format!(r#"{{"active":true,"aud":"{RESOURCE}"}}"#)
        } else {
            r#"{"active":false}"#.to_owned()
        };
        Box::pin(std::future::ready(Ok(Response::new(body.into()))))
    }
}
