use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::Body;

use super::McpResponseBody;
use super::answer::{Filter, Lifetime, Revalidation, View, Watch};
use super::caller::Caller;
use super::decision::Permit;
use super::layer::State;
use crate::bearer::{BearerToken, Rejection, RejectionKind, log};

/// A request that goes on, and what that means for its answer.
pub(super) struct Exchange {
    pub(super) state: Arc<State>,
    pub(super) caller: Caller,
    pub(super) permit: Permit,
    /// Kept only where it is looked at again while the answer goes on.
    pub(super) token: Option<BearerToken>,
}

/// What an answer is made of, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Events,
    Other,
}

impl Exchange {
    pub(super) fn answer<B: Body<Data = Bytes>>(self, response: Response<B>) -> Response<McpResponseBody<B>> {
        let (mut parts, body) = response.into_parts();
        if let Some(sessions) = &self.state.sessions {
            sessions.seal(&mut parts.headers, &self.caller);
        }
        let media = Media::of(&parts.headers);
        let is_filtered = self.permit.lists && self.state.filters_lists && media != Media::Other;
        if is_filtered && parts.headers.contains_key(header::CONTENT_ENCODING) {
            log::misconfigured(
                self.caller.protection(),
                "compressed_list",
                "a list that is compressed cannot be filtered: compress outside of the `McpLayer`",
            );
            let refusal = self.state.respond(&Rejection::new(RejectionKind::Internal));
            return refusal.map(McpResponseBody::of_rejection);
        }
        // What has a length is there already.
        let has_length = parts.headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact().is_some();
        let filter = is_filtered.then(|| {
            parts.headers.remove(header::CONTENT_LENGTH);
            let view = View { rules: Arc::clone(&self.state.rules), caller: self.caller.clone() };
            if media == Media::Json { Filter::json(view) } else { Filter::events(view) }
        });
        let lifetime = if has_length || body.is_end_stream() { None } else { self.lifetime() };
        // Where events end can only be seen if they are not compressed.
        let has_events = media == Media::Events && !parts.headers.contains_key(header::CONTENT_ENCODING);
        let watch = lifetime.map(|lifetime| Watch::new(lifetime, has_events));
        Response::from_parts(parts, McpResponseBody::of_service(body, filter, watch))
    }

    /// For how long the answer may go on; `None` if for as long as it likes.
    fn lifetime(self) -> Option<Lifetime> {
        let Self { state, caller, permit, token } = self;
        let Caller::Token(auth) = caller else { return None };
        let server = &state.server;
        let revalidation = state.revalidation_interval.zip(token).map(|(interval, token)| {
            Revalidation::new(interval, &server.verifier, token, &auth, &state.rules, permit.needs)
        });
        let expires_at = auth.expires_since_epoch().filter(|_| !state.streams_may_outlive_token);
        Lifetime::new(&server.clock, server.skew, expires_at, revalidation)
    }
}

impl Media {
    fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}
