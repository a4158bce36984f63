//! What becomes of a request once its body is read.

use std::ops::ControlFlow;

use http::{HeaderMap, header};

use super::OperationFailure;
use super::request::{self, ListKind, MAX_URI_BYTES, MAX_URIS, Message, Operation, OperationHeaders};
use super::scopes::{RequiredRules, Rules};
use crate::bearer::{Caller, Guard, Rejection, log};
use crate::scope::Scopes;

/// A body that its sender may have carried out.
#[derive(Debug, Default)]
pub(super) struct Permit {
    /// What it needed, to be looked at again while the answer goes on.
    pub(super) needs: RequiredRules,
    /// Whether it asks for a list of what there is.
    pub(super) lists: bool,
}

impl Permit {
    /// With what was known before the body was read.
    pub(super) const fn and(mut self, before: &Self) -> Self {
        self.lists |= before.lists;
        self
    }
}

/// What a body says, taken together.
#[derive(Default)]
struct Summary {
    needs: RequiredRules,
    lists: bool,
    mismatch: bool,
    /// How many URIs there are, and how many bytes they have together.
    uris: usize,
    uri_bytes: usize,
    id: Option<Box<str>>,
    messages: usize,
}

impl Summary {
    /// Breaks off once there are more URIs than are compared with rules.
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
        // What is refused is refused as a whole: only a single request has an id to answer to.
        self.id = if self.messages == 1 { message.request_id() } else { None };
        ControlFlow::Continue(())
    }
}

/// Decides before anything has run: a status cannot change once an answer has begun.
pub(super) fn decide(rules: &Rules, caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Result<Permit, Rejection> {
    let refused =
        |failure, id: Option<Box<str>>| refuse(caller.guard(), Rejection::for_operation(failure, id.as_deref()));
    let repeated = OperationHeaders::parse(headers);
    let mut summary = Summary { mismatch: repeated.is_err(), ..Summary::default() };
    let read = request::read(body, |message| summary.add(&message, repeated.as_ref().ok(), rules));
    let is_readable = read.is_ok() && !is_encoded(headers) && is_utf8(headers);
    if !is_readable && repeated.is_ok() {
        // It goes on only if it could ask for nothing that is not allowed.
        let everything = rules.everything();
        return match caller {
            Caller::Anonymous(guard) => Err(refuse(guard, Rejection::missing_token(guard, Scopes::EMPTY))),
            Caller::Token(auth)
                if everything.unlisted || !rules.are_met(&everything, auth.scopes(), &auth.guard().hierarchy) =>
            {
                Err(refused(OperationFailure::Unreadable, None))
            }
            Caller::Token(_) => Ok(Permit { needs: everything, lists: true }),
        };
    }
    let Summary { needs, lists, mismatch, id, .. } = summary;
    if mismatch {
        return Err(refused(OperationFailure::HeaderMismatch, id.filter(|_| is_readable)));
    }
    match caller {
        Caller::Anonymous(guard) if needs.token => {
            Err(refuse(guard, Rejection::missing_token(guard, rules.scopes_of(&needs))))
        }
        _ if needs.unlisted => Err(refused(OperationFailure::Unlisted, id)),
        Caller::Anonymous(_) => Ok(Permit { needs, lists }),
        Caller::Token(auth) if rules.are_met(&needs, auth.scopes(), &auth.guard().hierarchy) => {
            Ok(Permit { needs, lists })
        }
        Caller::Token(auth) => {
            log::insufficient_scope(auth.guard(), auth.issuer());
            Err(Rejection::insufficient_scope(auth.guard(), rules.scopes_of(&needs)))
        }
    }
}

/// Whether the handler may have to decode the body first. What it reads then is not what was read here, even if that looked
/// like a message: some encodings begin with any byte.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether every reader takes the body for UTF-8, by its `Content-Type`: there is at most one, and if it has a charset, that
/// is UTF-8 or US-ASCII. Readers differ in which of several they use and in how they read parameters that are malformed.
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

pub(super) fn refuse(guard: &Guard, rejection: Rejection) -> Rejection {
    log::refused(guard, &rejection, None);
    rejection
}

const CHARSET: &[u8] = b"charset";
