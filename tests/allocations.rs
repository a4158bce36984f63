//! The number of allocations per request, and the memory that stays allocated after many requests. The test counts
//! instead of measuring time, so the numbers are the same on every machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a test panics when it cannot continue"
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
use mcp_bearer::sender::SenderConstraint;
use mcp_bearer::testing::{TestClient, TestClock, TestIssuer};
use mcp_bearer::{Clock as _, Issuer, ResourceServer, Revocation, SystemClock};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use tokio::time::advance;
use tower::{Layer as _, Service, ServiceExt as _};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";
/// The allocations: three for the parts of the token, one for the scopes, one for the struct with both, and three for
/// the request extensions.
const ACCEPTED: usize = 8;
/// The allocations for the request extensions.
const CACHED: usize = 3;
/// The most allocations for a request with a DPoP proof, whose token is not cached.
const WITH_PROOF: usize = 20;

/// The measurements run one after the other in a single test, because tests in parallel would count each other's
/// allocations.
#[test]
fn allocations_and_memory_are_bounded() {
    a_request_needs_few_allocations();
    a_request_with_a_proof_needs_few_allocations();
    a_cached_token_needs_three_allocations_until_it_expires();
    verified_tokens_are_cached_unless_the_cache_is_switched_off();
    verified_tokens_use_bounded_memory();
    a_revocation_list_needs_one_allocation_for_each_kind_and_bounded_memory();
    invalid_opaque_tokens_use_bounded_memory_and_do_not_evict_valid_tokens();
}

fn a_request_needs_few_allocations() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).cache_verified_tokens(0);
    let server = runtime().block_on(builder.build()).unwrap();
    let token = || issuer.token().audience(RESOURCE).scope("mcp:tools notes:read");
    let valid = bearer(&token().sign());
    let two_audiences = bearer(&token().audience("https://auth.example.com/userinfo").sign());
    let garbage = HeaderValue::from_static("Bearer garbage");
    for (name, value, most) in
        [("accepted", &valid, ACCEPTED), ("two audiences", &two_audiences, ACCEPTED), ("rejected", &garbage, 9)]
    {
        // The first request initializes everything that is only initialized once.
        allocations(&server, value);
        let count = allocations(&server, value);
        eprintln!("{name}: {count} allocations");
        assert!(count <= most, "{name}: {count}");
    }
}

fn a_request_with_a_proof_needs_few_allocations() {
    let issuer = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::RS256).build();
    for (name, cached_tokens, most) in
        [("token not cached", 0, WITH_PROOF), ("token cached", 100, WITH_PROOF - ACCEPTED + CACHED)]
    {
        let builder =
            ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).sender_constraint(SenderConstraint::Dpop);
        let server = runtime().block_on(builder.cache_verified_tokens(cached_tokens).build()).unwrap();
        let client = TestClient::dpop();
        let token = issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").bound_to(client.key()).sign();
        let counted = || allocations_for(&server, client.request("GET", RESOURCE, &token).body(()).unwrap());
        // The first requests let the store of proofs grow.
        let counts: Vec<_> = (0..50).map(|_| counted()).skip(2).collect();
        let (least, largest) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        eprintln!("with a proof, {name}: {least} to {largest} allocations");
        assert!(*largest <= most, "{name}: {largest}");
    }
}

fn a_cached_token_needs_three_allocations_until_it_expires() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder("https://auth.example.com").clock(clock.clone()).build();
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock.clone());
        let server = builder.cache_verified_tokens(100).build().await.unwrap();
        let token = || issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(Duration::from_secs(200));
        let (token, short) = (bearer(&token().sign()), bearer(&token().expires_in(Duration::from_secs(30)).sign()));
        let is_cached = |token: &HeaderValue| allocations(&server, token) <= CACHED;
        eprintln!(
            "verified and added to the cache: {}, cached: {}",
            allocations(&server, &token),
            allocations(&server, &token)
        );
        assert!(is_cached(&token) && !is_cached(&short) && is_cached(&short));
        // A cached token expires after a minute, or earlier with the token itself.
        advance(Duration::from_millis(29_999)).await;
        assert!(is_cached(&short));
        advance(Duration::from_millis(1)).await;
        assert!(!is_cached(&short) && is_cached(&token));
        advance(Duration::from_millis(29_999)).await;
        assert!(is_cached(&token));
        advance(Duration::from_millis(1)).await;
        assert!(!is_cached(&token) && is_cached(&token));
        // A new key set also ends the cached result, even if it still contains the key.
        issuer.add_key(Algorithm::ES256);
        let new = bearer(&issuer.token().audience(RESOURCE).algorithm(Algorithm::EdDSA).scope("mcp:tools").sign());
        let response = server.bearer_layer().layer(Handler).oneshot(request(&new)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!is_cached(&token) && is_cached(&token));
        // The application can also remove a cached token.
        server.forget(token.to_str().unwrap().strip_prefix("Bearer ").unwrap());
        assert!(!is_cached(&token));
    });
}

fn verified_tokens_are_cached_unless_the_cache_is_switched_off() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let builder = || ResourceServer::builder(RESOURCE).issuer(issuer.issuer());
    let token = bearer(&issuer.token().audience(RESOURCE).scope("mcp:tools").sign());
    for (builder, is_cached) in [(builder(), true), (builder().cache_verified_tokens(0), false)] {
        let server = runtime().block_on(builder.build()).unwrap();
        allocations(&server, &token);
        assert_eq!(allocations(&server, &token) <= CACHED, is_cached);
    }
}

/// `MCP_BEARER_DISTINCT_TOKENS` sets the number of tokens.
fn verified_tokens_use_bounded_memory() {
    let tokens = std::env::var("MCP_BEARER_DISTINCT_TOKENS").map_or(5_000, |tokens| tokens.parse().unwrap());
    let capacity = 1_000;
    let issuer = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::EdDSA).build();
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).cache_verified_tokens(capacity);
    let server = runtime().block_on(builder.build()).unwrap();
    let send_tokens = |tokens: usize| {
        for number in 0..tokens {
            let token = issuer.token().audience(RESOURCE).scope("mcp:tools").subject(&number.to_string());
            allocations(&server, &bearer(&token.sign()));
        }
    };
    let region = Region::new(ALLOCATOR);
    send_tokens(2 * capacity);
    let left = |change: stats_alloc::Stats| change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    let full = left(region.change());
    send_tokens(tokens);
    let after = left(region.change());
    eprintln!("{capacity} cached tokens use {full} bytes, and {after} bytes after {tokens} more tokens");
    assert!(full <= 4 << 20, "{full}");
    assert!(after.saturating_sub(full) <= full / 4, "{after}");
}

/// `MCP_BEARER_REVOCATIONS` sets the number of revocations.
fn a_revocation_list_needs_one_allocation_for_each_kind_and_bounded_memory() {
    let revocations = std::env::var("MCP_BEARER_REVOCATIONS").map_or(20_000, |number| number.parse().unwrap());
    let name = "https://auth.example.com";
    let issuer = TestIssuer::new(name);
    let server = runtime().block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let token = issuer.token().audience(RESOURCE).scope("mcp:tools").subject("alice").claim("sid", "s").sign();
    let token = bearer(&token);
    allocations(&server, &token);
    assert!(allocations(&server, &token) <= CACHED);
    let until = SystemClock.now() + Duration::from_secs(3_600);
    let revoke = |revocation| runtime().block_on(server.revoke(revocation, until)).unwrap();
    let others = [
        Revocation::token("another"),
        Revocation::token_id(name, "another"),
        Revocation::subject(name, "another"),
        Revocation::session(name, "another"),
    ];
    for (kinds, other) in others.into_iter().enumerate() {
        revoke(other);
        allocations(&server, &token);
        let count = allocations(&server, &token);
        eprintln!("cached, with {} kinds of revocations: {count} allocations", kinds + 1);
        // For the first kind, the token itself, the header of the JWT is decoded as well.
        assert!(count <= CACHED + kinds + 2, "{kinds}: {count}");
    }
    let runtime = runtime();
    let region = Region::new(ALLOCATOR);
    for number in 0..revocations {
        runtime.block_on(server.revoke(Revocation::subject(name, number.to_string()), until)).unwrap();
    }
    let change = region.change();
    let left = change.bytes_allocated.saturating_sub(change.bytes_deallocated) / revocations;
    eprintln!("each of {revocations} revocations takes {left} bytes");
    assert!(left <= 300, "{left}");
}

/// Counts the allocations for a request with this header, from the layer to the end of the response.
fn allocations(server: &ResourceServer, authorization: &HeaderValue) -> usize {
    allocations_for(server, request(authorization))
}

/// Counts the allocations for a request, from the layer to the end of the response.
fn allocations_for(server: &ResourceServer, request: Request<()>) -> usize {
    let mut service = server.bearer_layer().required_scopes(["mcp:tools"]).layer(Handler);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Service::<Request<()>>::poll_ready(&mut service, &mut context).is_ready());
    let region = Region::new(ALLOCATOR);
    let mut response = std::pin::pin!(service.call(request));
    let Poll::Ready(response) = response.as_mut().poll(&mut context) else { panic!("the keys are available") };
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

/// A handler that does not allocate.
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

fn invalid_opaque_tokens_use_bounded_memory_and_do_not_evict_valid_tokens() {
    let valid_introspections = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer::discover("https://auth.example.com")
        .introspect_all(ClientCredentials::basic("mcp-server", "secret"))
        .introspection_endpoint("https://auth.example.com/introspect")
        .http_client(AuthorizationServer(Arc::clone(&valid_introspections)));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap();
    let service = server.bearer_layer().layer(Handler);
    // The time is paused, so that no cached result expires.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let send = async |token: String, expected: StatusCode| {
        assert_eq!(service.clone().oneshot(request(&bearer(&token))).await.unwrap().status(), expected);
    };
    let send_tokens = |name: &str, count: usize, expected: StatusCode| {
        runtime.block_on(async {
            for number in 0..count {
                send(format!("{name}-{number}"), expected).await;
            }
        });
    };
    send_tokens("valid", 1_000, StatusCode::OK);
    let region = Region::new(ALLOCATOR);
    send_tokens("garbage", 100_000, StatusCode::UNAUTHORIZED);
    let change = region.change();
    let left = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    eprintln!("{left} bytes stay allocated after 100,000 invalid tokens");
    assert!(left <= 10 * 1024 * 1024, "{left}");
    send_tokens("valid", 1_000, StatusCode::OK);
    assert_eq!(valid_introspections.load(Ordering::SeqCst), 1_000);
}

/// An authorization server for which the tokens that start with `valid` are active. It counts only the requests for
/// these tokens.
struct AuthorizationServer(Arc<AtomicUsize>);

impl HttpClient for AuthorizationServer {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let body = if request.body().starts_with(b"token=valid") {
            self.0.fetch_add(1, Ordering::SeqCst);
            format!(r#"{{"active":true,"aud":"{RESOURCE}"}}"#)
        } else {
            r#"{"active":false}"#.to_owned()
        };
        Box::pin(std::future::ready(Ok(Response::new(body.into()))))
    }
}
