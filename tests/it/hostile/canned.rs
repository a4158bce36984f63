//! A fake authorization server whose responses are given byte by byte.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use mcp_bearer::Issuer;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::Introspection;
use mcp_bearer::jose::Algorithm;

use super::trial::{self, Trial};
use crate::support::ISSUER;

pub const KEYS: &str = "https://auth.example.com/keys";
pub const INTROSPECT: &str = "https://auth.example.com/introspect";

/// An HTTP client with one page per URL. It answers 404 for all other URLs and records the requests.
#[derive(Clone, Default)]
pub struct Canned(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    requests: Vec<Request<Bytes>>,
}

#[derive(Clone)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

impl Page {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

impl Canned {
    pub fn set(&self, url: &str, page: Page) {
        self.0.lock().unwrap().pages.insert(url.to_owned(), page);
    }

    /// The recorded requests, in order.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.0.lock().unwrap().requests.clone()
    }

    /// The requested URLs, in order.
    pub fn urls(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.uri().to_string()).collect()
    }

    /// A server that fetches its keys from the page [`KEYS`].
    pub fn trial(&self) -> Trial {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = Issuer::discover(ISSUER).jwks_uri(KEYS).http_client(self.clone());
        Trial::of(issuer, clock, |server| server.issuer(accepted)).shown(self)
    }

    /// A server that finds its key set by discovery.
    pub fn discovering(&self) -> Trial {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = Issuer::discover(ISSUER).http_client(self.clone());
        Trial::of(issuer, clock, |server| server.issuer(accepted)).shown(self)
    }

    /// A server that introspects every token at the page [`INTROSPECT`].
    pub fn introspecting(&self, introspection: impl Into<Introspection>) -> Trial {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = Issuer::discover(ISSUER).introspection_endpoint(INTROSPECT).introspect_all(introspection);
        let accepted = accepted.http_client(self.clone());
        Trial::of(issuer, clock, |server| server.issuer(accepted)).shown(self)
    }
}

impl HttpClient for Canned {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let url = request.uri().to_string();
        let page = {
            let mut state = self.0.lock().unwrap();
            state.requests.push(request);
            state.pages.get(&url).cloned().unwrap_or(Page::status(404, ""))
        };
        let mut response = Response::new(Bytes::from(page.body));
        *response.status_mut() = page.status.try_into().unwrap();
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        *response.headers_mut() = page.headers.iter().map(header).collect::<HeaderMap>();
        Box::pin(std::future::ready(Ok(response)))
    }
}
