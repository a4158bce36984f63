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
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";

/// One after the other, alone in their file, so that no other test allocates meanwhile.
#[test]
fn requests_cost_little_and_leave_little_behind() {
    an_accepted_request_costs_at_most_twenty_five_allocations();
    a_hundred_thousand_garbage_tokens_leave_ten_mebibytes_at_most_and_the_good_ones_alone();
}

fn an_accepted_request_costs_at_most_twenty_five_allocations() {
    let issuer = TestIssuer::new("https://auth.example.com");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let inner = service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(()))));
    let mut service = server.bearer_layer().required_scopes(["mcp:tools"]).unwrap().layer(inner);
    let token = issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").sign();
    let good = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    let garbage = HeaderValue::from_static("Bearer garbage");
    for (name, value, most) in [("accepted", &good, 25), ("refused", &garbage, 12)] {
        let mut count = 0;
        for _ in 0..3 {
            let mut request = Request::new(());
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
            let mut context = Context::from_waker(Waker::noop());
            assert!(Service::<Request<()>>::poll_ready(&mut service, &mut context).is_ready());
            let region = Region::new(ALLOCATOR);
            let mut response = std::pin::pin!(service.call(request));
            let Poll::Ready(response) = response.as_mut().poll(&mut context) else { panic!("the keys are at hand") };
            count = region.change().allocations;
            drop(response);
        }
        eprintln!("{name}: {count} allocations");
        assert!(count <= most, "{name}: {count}");
    }
}

fn a_hundred_thousand_garbage_tokens_leave_ten_mebibytes_at_most_and_the_good_ones_alone() {
    let asked_about_good_ones = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer::discover("https://auth.example.com")
        .introspection(ClientCredentials::basic("mcp-server", "secret"))
        .introspection_endpoint("https://auth.example.com/introspect")
        .http_client(AuthorizationServer(Arc::clone(&asked_about_good_ones)));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap();
    let inner = service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(()))));
    let service = server.bearer_layer().layer(inner);
    // Time stands still, so that nothing is forgotten because of its age.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ask = async |token: String, expected: StatusCode| {
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), expected);
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
