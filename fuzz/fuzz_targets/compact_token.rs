//! A compact token has a unique encoding, and a token without a signature of a known key is never accepted.
#![no_main]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request, Response, header};
use libfuzzer_sys::fuzz_target;
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::claims::Claims;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::{Clock, Issuer, ResourceServer, fuzzing};
use mcp_bearer_fuzz::base64url::encode;
use mcp_bearer_fuzz::token::{ISSUER, NOW, RESOURCE, at_once};
use tower_layer::Layer as _;
use tower_service::Service;

fuzz_target!(|token: &[u8]| {
    check_shape(token);
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else { return };
    let request = Request::get("/mcp").header(header::AUTHORIZATION, value).body(String::new()).unwrap();
    let response = at_once(SERVICE.clone().call(request)).unwrap();
    assert!(matches!(response.status().as_u16(), 400 | 401), "{response:?}");
    assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "{response:?}");
});

fn check_shape(token: &[u8]) {
    let Ok(decoded) = fuzzing::compact(token) else { return };
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    assert_eq!(parts.len(), 3);
    assert!(token.len() <= 64 * 1024);
    for (part, decoded) in parts.iter().zip(&decoded) {
        assert!(!part.is_empty());
        assert_eq!(*part, encode(decoded).as_bytes(), "the part is not the canonical encoding");
    }
    let [header, payload, _] = decoded;
    let _ = fuzzing::header(&header);
    let _ = Claims::from_json(payload);
}

static SERVICE: LazyLock<BearerAuth<Unreachable>> = LazyLock::new(|| {
    let keys = JwkSet::from_json(include_str!("../keys.json")).unwrap();
    assert_eq!((keys.keys().len(), keys.skipped().len()), (3, 0));
    let issuer = Issuer::with_jwks(ISSUER, keys);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).clock(Stopped).build_lazy().unwrap();
    server.bearer_layer().layer(Unreachable)
});

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }
}

/// A handler that no request may reach.
#[derive(Clone)]
struct Unreachable;

impl Service<Request<String>> for Unreachable {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new("reached".to_owned())))
    }
}
