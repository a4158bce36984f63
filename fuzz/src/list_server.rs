//! A server behind the layer that sends the same response to every request.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use mcp_bearer::jose::JwkSet;
use mcp_bearer::mcp::{McpLayer, McpRequestBody, McpScopes};
use mcp_bearer::{Issuer, ResourceServer};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::token::{ISSUER, RESOURCE, at_once};

/// Returns the response that a client without a token gets for `body`, which the server sends in pieces of `size`
/// bytes. Only entries named `good` are public. Returns `None` if the layer replaces the response with an error.
///
/// If the response is not ready at once.
pub fn answer(media_type: &'static str, body: &[u8], size: usize) -> Option<Vec<u8>> {
    let pieces = body.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
    let mut service = LAYER.layer(Server { media_type, pieces: Pieces(pieces) });
    let request = Request::post("/mcp").body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned()).unwrap();
    let response = at_once(service.call(request)).unwrap();
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        return None;
    }
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = pin!(response.into_body());
    let mut seen = Vec::new();
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        let frame = frame.map_err(|_| "the response body ends with an error").unwrap();
        seen.extend(frame.into_data().expect("the server does not send trailers"));
    }
    Some(seen)
}

static LAYER: LazyLock<McpLayer> = LazyLock::new(|| {
    let keys = JwkSet::from_json(include_str!("../keys.json")).unwrap();
    let server = ResourceServer::builder(RESOURCE).issuer(Issuer::with_jwks(ISSUER, keys)).build_lazy().unwrap();
    let scopes = McpScopes::new().public(["tools/list"]).public_tools(["good"]).public_prompts(["good"]);
    server.mcp_layer(scopes.public_resources(["good:a"])).allow_anonymous().filter_lists()
});

#[derive(Clone)]
struct Server {
    media_type: &'static str,
    pieces: Pieces,
}

impl Service<Request<McpRequestBody<String>>> for Server {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<McpRequestBody<String>>) -> Self::Future {
        let response = Response::builder().header(header::CONTENT_TYPE, self.media_type);
        ready(Ok(response.body(self.pieces.clone()).unwrap()))
    }
}

#[derive(Clone)]
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
