//! The decision about a request, when its body is read.

use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderMap, header};

use super::OperationFailure;
use super::request::{self, ListKind, MAX_URI_BYTES, MAX_URIS, Message, Operation, OperationHeaders};
use super::scopes::{RequiredRules, Rules};
use crate::bearer::{Caller, Guard, Rejection, RejectionKind};
use crate::scope::Scopes;

/// What the response to an accepted request needs to know of the body.
#[derive(Debug, Default)]
pub(super) struct AcceptedBody {
    /// The requirements, which are checked again during a streaming response.
    pub(super) needs: RequiredRules,
    /// Whether the response may contain a list to filter.
    pub(super) lists: bool,
}

/// The operations of all messages in a body.
#[derive(Default)]
struct BodySummary {
    needs: RequiredRules,
    lists: bool,
    mismatch: bool,
    /// The number of URIs, and their bytes together.
    uris: usize,
    uri_bytes: usize,
    id: Option<Box<str>>,
    messages: usize,
}

impl BodySummary {
    /// Stops at more URIs than are compared with rules.
    fn add(
        &mut self,
        message: &Message<'_>,
        repeated: Option<&OperationHeaders<'_>>,
        rules: &Rules,
    ) -> ControlFlow<()> {
        let operation = message.operation.as_ref();
        for uri in operation.map_or(&[][..], Operation::uris) {
            self.uris = self.uris.saturating_add(1);
            self.uri_bytes = self.uri_bytes.saturating_add(uri.len());
        }
        if self.uris > MAX_URIS || self.uri_bytes > MAX_URI_BYTES {
            return ControlFlow::Break(());
        }
        self.mismatch |= operation.zip(repeated).is_some_and(|(operation, headers)| !headers.agree_with(operation));
        self.lists |= operation.is_some_and(|operation| ListKind::from_method(&operation.method).is_some());
        rules.add(operation, &mut self.needs);
        self.messages = self.messages.saturating_add(1);
        // A batch is rejected as a whole, so only a single request has an id for the response.
        self.id = if self.messages == 1 { message.request_id() } else { None };
        ControlFlow::Continue(())
    }
}

/// Decides before the handler runs, because the status of a response cannot change later.
pub(super) fn decide(
    rules: &Rules,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<AcceptedBody, Rejection> {
    let rejected =
        |failure, id: Option<Box<str>>| Err(Rejection::for_operation(failure, id.as_deref()).logged(caller.guard()));
    let repeated = OperationHeaders::parse(headers);
    let mut summary = BodySummary { mismatch: repeated.is_err(), ..BodySummary::default() };
    let read = request::read(body, |message| summary.add(&message, repeated.as_ref().ok(), rules));
    let is_readable = read.is_ok() && !is_encoded(headers) && is_utf8(headers);
    if !is_readable && repeated.is_ok() {
        // The handler may read any operation from this body, so the token must satisfy every rule.
        let everything = rules.everything();
        return match caller {
            Caller::Anonymous(guard) => Err(missing_token(guard, Scopes::EMPTY)),
            Caller::Token(auth)
                if everything.unlisted || !rules.are_met(&everything, auth.scopes(), &auth.guard().hierarchy) =>
            {
                rejected(OperationFailure::Unreadable, None)
            }
            Caller::Token(_) => Ok(AcceptedBody { needs: everything, lists: true }),
        };
    }
    let BodySummary { needs, lists, mismatch, id, .. } = summary;
    if mismatch {
        return rejected(OperationFailure::HeaderMismatch, id.filter(|_| is_readable));
    }
    match caller {
        Caller::Anonymous(guard) if needs.token => Err(missing_token(guard, rules.scopes_of(&needs))),
        _ if needs.unlisted => rejected(OperationFailure::Unlisted, id),
        Caller::Anonymous(_) => Ok(AcceptedBody { needs, lists }),
        Caller::Token(auth) if rules.are_met(&needs, auth.scopes(), &auth.guard().hierarchy) => {
            Ok(AcceptedBody { needs, lists })
        }
        Caller::Token(auth) => Err(auth.lacks(rules.scopes_of(&needs))),
    }
}

/// Whether the handler may decode the body first, and then read another message than this layer.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether every reader reads the body as UTF-8: there is at most one `Content-Type`, and its charset, if any, is UTF-8 or
/// US-ASCII. Readers differ in how they handle several fields and malformed parameters.
fn is_utf8(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(media_type) = types.next() else { return true };
    let text = media_type.as_bytes().to_ascii_lowercase();
    if types.next().is_some() || text.contains(&b',') {
        return false;
    }
    let mut charsets = memchr::memmem::find_iter(&text, CHARSET);
    charsets.all(|at| {
        let parameter = text.get(at..).and_then(|text| text.split(|byte| *byte == b';').next()).unwrap_or_default();
        let value = parameter.trim_ascii_end().strip_prefix(CHARSET).and_then(|rest| rest.strip_prefix(b"="));
        let value = value.map(|value| match value {
            [b'"', quoted @ .., b'"'] => quoted,
            value => value,
        });
        matches!(value, Some(b"utf-8" | b"utf8" | b"us-ascii"))
    })
}

/// Rejects a request without a token that needs the scopes of the layer and these.
pub(super) fn missing_token(guard: &Arc<Guard>, scopes: Scopes) -> Rejection {
    Rejection::new(RejectionKind::MissingToken).with_scopes(scopes).logged(guard)
}

const CHARSET: &[u8] = b"charset";
