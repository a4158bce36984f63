//! A protected service, and the responses that its clients receive.

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

/// The status that only the handler returns.
pub const REACHED: StatusCode = StatusCode::IM_A_TEAPOT;

/// Runs `usual` cases, or `PROPTEST_CASES` cases if that is set. Failures are stored in `proptest-regressions` and run
/// first.
pub fn cases(usual: u32) -> Config {
    let config = Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config { cases: usual, ..config },
    }
}

/// Creates a runtime with paused time: the clock only advances when all tasks are idle.
pub fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Creates an issuer whose clock follows tokio's clock. Call it inside the runtime.
pub fn issuer() -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    (TestIssuer::builder(ISSUER).clock(clock.clone()).build(), clock)
}

/// Sends a request with this `Authorization` header. Returns the status and the headers of the response.
pub async fn send(layer: &BearerAuthLayer, authorization: &[u8]) -> (StatusCode, HeaderMap) {
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

pub async fn send_token(layer: &BearerAuthLayer, token: &str) -> StatusCode {
    send(layer, format!("Bearer {token}").as_bytes()).await.0
}
