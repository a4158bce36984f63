use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header, response};
use http_body::Body;
use tokio::time::Sleep;

use super::decision::{AcceptedBody, decide, missing_token};
use super::list::{FilteredBody, FilteredEvents, FilteredJson, ListFilter, ObservedList};
use super::request::ReadBody;
use super::scopes::Rules;
use super::session::{Owner, SessionBinding};
use super::stream::{Revalidation, RevocationWatch, StreamEnd, TokenLifetime};
use super::{McpResponseBody, OperationFailure};
use crate::bearer::{BearerAuthLayer, Caller, Rejection, RejectionKind, log};
use crate::claims::CredentialKind;
use crate::clock::Clock;
use crate::error::BoxError;
use crate::events::RequestInfo;
use crate::scope::Scopes;
use crate::verify::OwnedCredential;

/// The configuration that all requests share.
#[derive(Debug, Clone)]
pub(super) struct McpState {
    pub(super) bearer: BearerAuthLayer,
    pub(super) rules: Arc<Rules>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) skew: Duration,
    pub(super) filters_lists: bool,
    pub(super) streams_may_outlive_token: bool,
    pub(super) revalidation_interval: Option<Duration>,
    pub(super) sessions: Option<Arc<SessionBinding>>,
    pub(super) max_body: usize,
    pub(super) max_anonymous_body: usize,
}

/// An accepted request, with what its response needs.
pub(super) struct Exchange {
    pub(super) state: Arc<McpState>,
    pub(super) caller: Caller,
    pub(super) accepted: AcceptedBody,
    /// `None` for a caller without a credential.
    pub(super) credential: Option<OwnedCredential>,
    /// Only for [`bind_sessions`](super::McpLayer::bind_sessions).
    pub(super) session_owner: Option<Owner>,
}

/// The kind of content in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Events,
    Other,
}

/// A JSON response with a list, whose body is being read: the status of the response depends on it.
pub(super) struct Listing<B> {
    exchange: Exchange,
    parts: response::Parts,
    json: Box<FilteredJson<B>>,
    /// Set when the body is not available at once.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl<B> Listing<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Ready when the body is read, or after [`HEAD_TIMEOUT`].
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.json.poll_read(cx).is_ready() {
            return Poll::Ready(());
        }
        self.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(HEAD_TIMEOUT))).as_mut().poll(cx)
    }

    pub(super) fn respond(self) -> Response<McpResponseBody<B>> {
        let Self { exchange, parts, json, timeout: _ } = self;
        if json.is_unreadable() {
            return exchange.internal_error();
        }
        let end = exchange.stream_end(false);
        Response::from_parts(parts, McpResponseBody::from_service(FilteredBody::Json { json }, end))
    }
}

impl Exchange {
    /// The largest body that this caller may send, in bytes.
    pub(super) fn max_body(&self) -> usize {
        match self.caller {
            Caller::Anonymous(_) => self.state.max_anonymous_body.min(self.state.max_body),
            Caller::Token(_) => self.state.max_body,
        }
    }

    /// Decides about the body of the request.
    pub(super) fn decide(
        &mut self,
        request: RequestInfo<'_>,
        read: Result<ReadBody, OperationFailure>,
    ) -> Result<ReadBody, Rejection> {
        let read = read.map_err(|failure| match (failure, &self.caller) {
            // With a token, the limit may be higher.
            (OperationFailure::TooLarge, Caller::Anonymous(guard)) => missing_token(guard, Scopes::EMPTY, request),
            (failure, caller) => Rejection::for_operation(failure, None).logged(caller.guard(), Some(request)),
        })?;
        let accepted = decide(&self.state.rules, &self.caller, request, &read.bytes)?;
        self.accepted = AcceptedBody { lists: self.accepted.lists || accepted.lists, ..accepted };
        Ok(read)
    }

    /// The response, or a list that must be read first.
    pub(super) fn respond<B>(self, response: Response<B>) -> Result<Response<McpResponseBody<B>>, Box<Listing<B>>>
    where
        B: Body<Data = Bytes>,
    {
        let (mut parts, body) = response.into_parts();
        if let Some(sessions) = &self.state.sessions {
            sessions.bind_response(&mut parts.headers, self.session_owner.as_ref(), self.caller.guard());
        }
        let media = Media::from_headers(&parts.headers);
        let is_filtered = self.accepted.lists && self.state.filters_lists && media != Media::Other;
        let is_compressed = parts.headers.contains_key(header::CONTENT_ENCODING);
        if is_filtered && is_compressed {
            log::misconfigured(
                self.caller.guard(),
                "compressed_list",
                "a compressed list cannot be filtered: add the compression layer outside of the `McpLayer`",
            );
            return Ok(self.internal_error());
        }
        let has_length = parts.headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact().is_some();
        let is_empty = body.is_end_stream();
        let is_first_page = self.accepted.is_first_page;
        let filter = || ListFilter::new(Arc::clone(&self.state.rules), self.caller.clone(), is_first_page);
        let body = match media {
            Media::Json if is_filtered => {
                parts.headers.remove(header::CONTENT_LENGTH);
                let json = Box::new(FilteredJson::new(body, filter(), parts.status.is_success()));
                return Err(Box::new(Listing { exchange: self, parts, json, timeout: None }));
            }
            Media::Events if is_filtered => {
                parts.headers.remove(header::CONTENT_LENGTH);
                FilteredBody::Events { events: FilteredEvents::new(body, filter()) }
            }
            Media::Json | Media::Events
                if is_first_page && !is_compressed && parts.status.is_success() && self.state.rules.observes_list() =>
            {
                let rules = Arc::clone(&self.state.rules);
                FilteredBody::Observed { list: ObservedList::new(body, rules, media == Media::Events) }
            }
            _ => FilteredBody::Untouched { body },
        };
        // The ends of compressed events cannot be found. A body with a known length must have that length.
        let has_events = media == Media::Events && !is_compressed && (is_filtered || !has_length);
        let end = if is_empty { None } else { self.stream_end(has_events) };
        Ok(Response::from_parts(parts, McpResponseBody::from_service(body, end)))
    }

    fn internal_error<B>(&self) -> Response<McpResponseBody<B>> {
        self.state.bearer.respond(&Rejection::new(RejectionKind::Internal)).map(McpResponseBody::from_rejection)
    }

    /// When the response must end; `None` if nothing limits it.
    fn stream_end(self, is_event_stream: bool) -> Option<StreamEnd> {
        let Self { state, caller, accepted, credential, .. } = self;
        let Caller::Token(auth) = caller else { return None };
        let verifier = state.bearer.verifier();
        let revocation = credential.clone().map(|credential| RevocationWatch {
            list: Arc::clone(verifier.revocations()),
            credential,
            claims: auth.verified_claims().clone(),
        });
        let revalidation = state.revalidation_interval.zip(credential).map(|(interval, credential)| {
            Revalidation::new(interval, verifier, credential, auth.guard(), &state.rules, accepted.needs)
        });
        let expires_at = auth.expires_since_epoch().filter(|_| !state.streams_may_outlive_token);
        let (clock, events) = (Arc::clone(&state.clock), Arc::clone(&auth.guard().events));
        // As for a request: only this server's clock matters for an API key.
        let skew = if auth.kind() == CredentialKind::ApiKey { Duration::ZERO } else { state.skew };
        let lifetime = TokenLifetime { clock, skew, expires_at, revalidation, revocation, events };
        Some(StreamEnd::new(lifetime.end()?, is_event_stream))
    }
}

impl Media {
    /// A subtype that contains the word `json` is JSON: `application/vnd.x+json`, `application/json-rpc`.
    fn from_headers(headers: &HeaderMap) -> Self {
        let types = headers.get_all(header::CONTENT_TYPE).iter().map(|value| {
            let text = value.as_bytes().to_ascii_lowercase();
            let essence = text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let subtype = essence.splitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default();
            if subtype.split(|byte| b"+-.".contains(byte)).any(|word| word == b"json") {
                Self::Json
            } else if essence == b"text/event-stream" {
                Self::Events
            } else {
                Self::Other
            }
        });
        types.fold(Self::Other, |found, media| if found == Self::Other { media } else { found })
    }
}

/// How long the head of a response with a list waits for its body. A client cannot use the head alone.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
