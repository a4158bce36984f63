//! The responses of an issuer, in memory and on a socket.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};

use super::documents::Endpoint;
use super::fault::{empty, page};
use super::requests::ReceivedRequest;
use super::state::{Changing, IssuerState};

impl IssuerState {
    /// The response to a request. `None` breaks the connection.
    pub(super) async fn answer(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let is_head = request.method() == Method::HEAD;
        let (mut answer, faults) = {
            let mut changing = self.lock();
            let endpoint = changing.paths.endpoint(request.uri().path());
            let request = ReceivedRequest::new(endpoint, request);
            changing.log.received(request.clone());
            (self.regular_answer(&mut changing, &request), changing.faults_for(endpoint))
        };
        for fault in faults {
            answer = fault.apply(answer).await?;
        }
        if is_head {
            answer.body_mut().clear();
        }
        Some(answer)
    }

    fn regular_answer(&self, changing: &mut Changing, request: &ReceivedRequest) -> Response<Bytes> {
        let endpoint = request.endpoint();
        if !changing.paths.is_published(endpoint) {
            return empty(404);
        }
        match endpoint {
            Endpoint::Introspection | Endpoint::Revocation => self.token_endpoint_answer(changing, request),
            _ => self.document(changing, request),
        }
    }

    fn document(&self, changing: &Changing, request: &ReceivedRequest) -> Response<Bytes> {
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return not_allowed("GET, HEAD");
        }
        let validators = validators(self.started, changing.revision);
        let mut answer = match request.endpoint() {
            _ if is_unchanged(request.headers(), &validators) => empty(304),
            Endpoint::KeySet => page("application/json", changing.ring.document().to_string()),
            _ => page("application/json", self.metadata(changing).to_string()),
        };
        answer.headers_mut().extend(validators);
        answer
    }
}

pub(super) fn not_allowed(allowed: &'static str) -> Response<Bytes> {
    let mut answer = empty(405);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// `ETag` and `Last-Modified`. Each revision is one second later than the one before, however fast a test changes it.
fn validators(started: Duration, revision: u64) -> HeaderMap {
    let modified = UNIX_EPOCH.checked_add(started.saturating_add(Duration::from_secs(revision)));
    let modified = httpdate::fmt_http_date(modified.unwrap_or(UNIX_EPOCH));
    let values = [(header::ETAG, format!("\"revision-{revision}\"")), (header::LAST_MODIFIED, modified)];
    let valid = |(name, value)| HeaderValue::try_from(value).ok().map(|value| (name, value));
    values.into_iter().filter_map(valid).collect()
}

/// Whether the client already has this revision (RFC 9110, section 13.2.2: `If-None-Match` first).
fn is_unchanged(asked: &HeaderMap, validators: &HeaderMap) -> bool {
    let is_held = |condition: HeaderName, validator: HeaderName| {
        asked.get(condition).map(|held| validators.get(validator).is_some_and(|current| held == current))
    };
    is_held(header::IF_NONE_MATCH, header::ETAG)
        .or_else(|| is_held(header::IF_MODIFIED_SINCE, header::LAST_MODIFIED))
        .unwrap_or_default()
}
