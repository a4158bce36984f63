use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header, response};
use http_body::Body;
use tokio::time::Sleep;

use super::McpResponseBody;
use super::decision::Permit;
use super::layer::McpState;
use super::list::{FilteredBody, FilteredEvents, FilteredJson, ListFilter};
use super::session::Owner;
use super::stream::{BoxError, Revalidation, StreamEnd, TokenLifetime};
use crate::bearer::{BearerToken, Caller, Rejection, RejectionKind, log};

/// A request that goes on, and what that means for its answer.
pub(super) struct Exchange {
    pub(super) state: Arc<McpState>,
    pub(super) caller: Caller,
    pub(super) permit: Permit,
    /// Kept only where it is looked at again while the answer goes on.
    pub(super) token: Option<BearerToken>,
    /// Whom sessions belong to, where they are bound.
    pub(super) session_owner: Option<Owner>,
}

/// What an answer is made of, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Events,
    Other,
}

/// The response, or the list in it that has to be read first.
pub(super) enum Answer<B> {
    Ready(Response<McpResponseBody<B>>),
    /// Its status depends on its body.
    Listing(Box<Listing<B>>),
}

/// An answer with a list in JSON that waits for its body.
pub(super) struct Listing<B> {
    exchange: Exchange,
    parts: response::Parts,
    json: Box<FilteredJson<B>>,
    /// Set once there is something to wait for.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<B> Listing<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Ready once the body is read, or has kept its head waiting for too long.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.json.poll_read(cx).is_ready() {
            return Poll::Ready(());
        }
        self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE))).as_mut().poll(cx)
    }

    pub(super) fn answer(self) -> Response<McpResponseBody<B>> {
        let Self { exchange, parts, json, patience: _ } = self;
        if json.is_unreadable() {
            return exchange.internal_error();
        }
        let end = exchange.lifetime().map(|lifetime| StreamEnd::new(lifetime, false));
        Response::from_parts(parts, McpResponseBody::from_service(FilteredBody::Json { json }, end))
    }
}

impl Exchange {
    pub(super) fn answer<B: Body<Data = Bytes>>(self, response: Response<B>) -> Answer<B> {
        let (mut parts, body) = response.into_parts();
        if let Some(sessions) = &self.state.sessions {
            sessions.seal(&mut parts.headers, self.session_owner.as_ref(), self.caller.guard());
        }
        let media = Media::of(&parts.headers);
        let is_filtered = self.permit.lists && self.state.filters_lists && media != Media::Other;
        if is_filtered && parts.headers.contains_key(header::CONTENT_ENCODING) {
            log::misconfigured(
                self.caller.guard(),
                "compressed_list",
                "a list that is compressed cannot be filtered: compress outside of the `McpLayer`",
            );
            return Answer::Ready(self.internal_error());
        }
        let has_length = parts.headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact().is_some();
        let is_empty = body.is_end_stream();
        let filter = || ListFilter::new(Arc::clone(&self.state.rules), self.caller.clone());
        let body = match media {
            Media::Json if is_filtered => {
                parts.headers.remove(header::CONTENT_LENGTH);
                let json = Box::new(FilteredJson::new(body, filter(), parts.status.is_success()));
                return Answer::Listing(Box::new(Listing { exchange: self, parts, json, patience: None }));
            }
            Media::Events if is_filtered => {
                parts.headers.remove(header::CONTENT_LENGTH);
                FilteredBody::Events { events: FilteredEvents::new(body, filter()) }
            }
            _ => FilteredBody::Untouched { body },
        };
        // Where events end can only be seen if they are not compressed. A body that announced its length has to have it.
        let is_compressed = parts.headers.contains_key(header::CONTENT_ENCODING);
        let has_events = media == Media::Events && !is_compressed && (is_filtered || !has_length);
        let lifetime = if is_empty { None } else { self.lifetime() };
        let end = lifetime.map(|lifetime| StreamEnd::new(lifetime, has_events));
        Answer::Ready(Response::from_parts(parts, McpResponseBody::from_service(body, end)))
    }

    fn internal_error<B>(&self) -> Response<McpResponseBody<B>> {
        self.state.bearer.respond(&Rejection::new(RejectionKind::Internal)).map(McpResponseBody::from_rejection)
    }

    /// For how long the answer may go on; `None` if for as long as it likes.
    fn lifetime(self) -> Option<TokenLifetime> {
        let Self { state, caller, permit, token, .. } = self;
        let Caller::Token(auth) = caller else { return None };
        let revalidation = state.revalidation_interval.zip(token).map(|(interval, token)| {
            Revalidation::new(interval, state.bearer.verifier(), token, &auth, &state.rules, permit.needs)
        });
        let expires_at = auth.expires_since_epoch().filter(|_| !state.streams_may_outlive_token);
        TokenLifetime::new(&state.clock, state.skew, expires_at, revalidation)
    }
}

impl Media {
    /// A subtype with the word `json` in it is JSON: `application/vnd.x+json`, `application/json-rpc`.
    fn of(headers: &HeaderMap) -> Self {
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

/// For how long an answer with a list may keep its head waiting for its body. A client can do nothing with the head alone.
const PATIENCE: Duration = Duration::from_secs(10);
