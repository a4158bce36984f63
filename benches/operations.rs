//! Measures the cost that the MCP layer adds to the bearer layer, for a `tools/call` of 1 KiB with a rule for its tool.
//! The measurements with both layers alternate in the same run.
//!
//! `cargo bench --bench operations`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark panics when it cannot start")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use mcp_bearer::ResourceServer;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::TestIssuer;
use tower::{Layer as _, Service};

const RESOURCE: &str = "https://mcp.example.com/mcp";

fn main() {
    // `cargo test --benches` only checks that the benchmark runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let (server, token) = server_and_token();
    let body = Bytes::from(tool_call());
    let scopes = McpScopes::new()
        .tool("add_note", ["notes:write"])
        .tool("delete_note", ["notes:delete"])
        .any_tool(["mcp:tools"]);
    let layer = server.mcp_layer(scopes).required_scopes(["mcp:tools"]);
    let mut plain = layer.layer(Handler);
    let mut filtering = layer.clone().filter_lists().bind_sessions().layer(Handler);
    let mut bare = server.bearer_layer().required_scopes(["mcp:tools"]).layer(Handler);
    println!("one tools/call of {} bytes; nanoseconds added, median of {rounds} rounds of {CALLS} calls", body.len());
    for (name, added) in [
        ("MCP layer", median(rounds, || time(&mut plain, &token, &body) - time(&mut bare, &token, &body))),
        (
            "with filter_lists and bind_sessions",
            median(rounds, || time(&mut filtering, &token, &body) - time(&mut bare, &token, &body)),
        ),
    ] {
        println!("{name:36} {added:.0}");
    }
}

/// Returns a server that caches the token, and the header with the token.
fn server_and_token() -> (ResourceServer, HeaderValue) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let issuer = TestIssuer::new("https://auth.example.com");
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).cache_verified_tokens(100);
    let server = runtime.block_on(builder.build()).unwrap();
    let token = issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools notes:write").sign();
    (server, HeaderValue::try_from(format!("Bearer {token}")).unwrap())
}

fn tool_call() -> String {
    let head = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"add_note","arguments":{"tags":["a","b"],"text":""#;
    let tail = r#""},"_meta":{"progressToken":17}}}"#;
    let text = "A line of a note. ".repeat(64);
    let text: String = text.chars().take(1024_usize.saturating_sub(head.len()).saturating_sub(tail.len())).collect();
    [head, &text, tail].concat()
}

fn time<S, B>(service: &mut S, token: &HeaderValue, body: &Bytes) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let start = Instant::now();
    for _ in 0..CALLS {
        let request = Request::post("/mcp").header(header::AUTHORIZATION, token);
        let request = request.body(Full::new(body.clone())).unwrap();
        let mut future = pin!(service.call(black_box(request)));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => unreachable!("the keys are available, so the response is ready at once"),
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<f64> = (0..rounds).map(|_| round()).collect();
    times.sort_by(f64::total_cmp);
    *times.get(rounds / 2).unwrap()
}

/// A handler that reads the whole body, as every MCP server does.
#[derive(Clone)]
struct Handler;

impl<B: Body<Data = Bytes>> Service<Request<B>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut body = pin!(request.into_body());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            black_box(frame.is_ok());
        }
        ready(Ok(Response::new(Full::default())))
    }
}

const ROUNDS: usize = 301;
const CALLS: u32 = 100;
