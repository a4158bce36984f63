//! A guarded service, and what a client sees of it.

use std::convert::Infallible;
use std::future::Ready;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::testing::{TestClock, TestIssuer};
use proptest::test_runner::Config;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, ServiceExt as _, service_fn};

pub const ISSUER: &str = "https://auth.example.com";
pub const RESOURCE: &str = "https://mcp.example.com/mcp";

/// What the handler answers, and nobody else.
pub const REACHED: StatusCode = StatusCode::IM_A_TEAPOT;

/// So many cases, or as many as `PROPTEST_CASES` says. Failures are kept in `proptest-regressions` and tried first.
pub fn cases(usual: u32) -> Config {
    let config = Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config { cases: usual, ..config },
    }
}

/// In which time passes when nothing else is left to do.
pub fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// An issuer with a clock that moves with tokio's. To be called inside the runtime.
pub fn issuer() -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    (TestIssuer::builder(ISSUER).clock(clock.clone()).build(), clock)
}

/// What a request with this `Authorization` header meets with.
pub async fn ask(layer: &BearerAuthLayer, authorization: &[u8]) -> (StatusCode, HeaderMap) {
    let handler = service_fn(|_: Request<()>| -> Ready<Result<Response<()>, Infallible>> {
        let mut response = Response::new(());
        *response.status_mut() = REACHED;
        std::future::ready(Ok(response))
    });
    let mut request = Request::new(());
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_bytes(authorization).unwrap());
    let response = layer.layer(handler).oneshot(request).await.unwrap();
    (response.status(), response.headers().clone())
}

pub async fn show(layer: &BearerAuthLayer, token: &str) -> StatusCode {
    ask(layer, format!("Bearer {token}").as_bytes()).await.0
}
