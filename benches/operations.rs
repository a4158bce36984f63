//! What the MCP layer adds to a request: a `tools/call` of 1 KiB with a rule for its tool, with and without the layer, in
//! alternation in the same run.
//!
//! `cargo bench --bench operations`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot start says so")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use mcp_bearer::mcp::McpScopes;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, ResourceServer};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const RESOURCE: &str = "https://mcp.example.com/mcp";

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let (server, auth) = caller();
    let body = Bytes::from(tool_call());
    let scopes = McpScopes::new()
        .tool("add_note", ["notes:write"])
        .tool("delete_note", ["notes:delete"])
        .any_tool(["mcp:tools"]);
    let layer = server.mcp_layer(scopes).unwrap();
    let mut plain = layer.layer(Handler);
    let mut filtering = layer.clone().filter_lists(true).bind_sessions().unwrap().layer(Handler);
    let mut bare = Handler;
    println!("one tools/call of {} bytes; nanoseconds added, median of {rounds} rounds of {CALLS} calls", body.len());
    for (name, added) in [
        ("operation layer", median(rounds, || added(&mut plain, &mut bare, &auth, &body))),
        ("with filter_lists and bind_sessions", median(rounds, || added(&mut filtering, &mut bare, &auth, &body))),
    ] {
        println!("{name:36} {added:.0}");
    }
}

/// A server, and somebody whom its bearer layer has let in.
fn caller() -> (ResourceServer, AuthInfo) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let issuer = TestIssuer::new("https://auth.example.com");
    let server = runtime.block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let token = issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools notes:write").sign();
    let bearer = server.bearer_layer().required_scopes(["mcp:tools"]).unwrap();
    let echo = service_fn(|request: Request<()>| {
        let mut response = Response::new(Full::<Bytes>::default());
        response.extensions_mut().insert(request.extensions().get::<AuthInfo>().unwrap().clone());
        ready(Ok::<_, Infallible>(response))
    });
    let request = Request::builder().header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
    let response = runtime.block_on(bearer.layer(echo).oneshot(request)).unwrap();
    (server, response.extensions().get::<AuthInfo>().unwrap().clone())
}

fn tool_call() -> String {
    let head = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"add_note","arguments":{"tags":["a","b"],"text":""#;
    let tail = r#""},"_meta":{"progressToken":17}}}"#;
    let text = "A line of a note. ".repeat(64);
    let text: String = text.chars().take(1024_usize.saturating_sub(head.len()).saturating_sub(tail.len())).collect();
    [head, &text, tail].concat()
}

fn added<S, B, T, C>(layered: &mut S, bare: &mut T, auth: &AuthInfo, body: &Bytes) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    T: Service<Request<Full<Bytes>>, Response = Response<C>, Error = Infallible>,
{
    let with = time(layered, auth, body);
    with - time(bare, auth, body)
}

fn time<S, B>(service: &mut S, auth: &AuthInfo, body: &Bytes) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let start = Instant::now();
    for _ in 0..CALLS {
        let mut request = Request::post("/mcp").body(Full::new(body.clone())).unwrap();
        request.extensions_mut().insert(auth.clone());
        let mut future = pin!(service.call(black_box(request)));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => assert!(response.status().is_success()),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => unreachable!("all that is needed is at hand"),
        }
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<f64> = (0..rounds).map(|_| round()).collect();
    times.sort_by(f64::total_cmp);
    *times.get(rounds / 2).unwrap()
}

/// Takes the whole body, as any MCP server does.
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
