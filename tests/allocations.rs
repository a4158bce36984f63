//! How many allocations a request costs. A count, not a time: it is the same on every machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so"
)]

use std::alloc::System;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Request, Response, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::testing::TestIssuer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer as _, Service, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RESOURCE: &str = "https://mcp.example.com/mcp";

/// Alone in its file, so that no other test allocates meanwhile.
#[test]
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
