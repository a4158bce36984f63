//! The decision about a request, when its body is read.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::OperationFailure;
use super::request::{self, LIST_METHODS, OperationHeaders};
use super::scopes::{RequiredRules, Rules};
use crate::bearer::{AuthInfo, Caller, Guard, Rejection, RejectionKind};
use crate::events::RequestInfo;
use crate::scope::Scopes;

/// The facts about the body of an accepted request that its response depends on.
#[derive(Debug, Default)]
pub(super) struct AcceptedBody {
    /// The requirements, which are checked again during a streaming response.
    pub(super) needs: RequiredRules,
    /// Whether the response may contain a list to filter.
    pub(super) lists: bool,
    /// Whether the response may contain the first page of the list of tools. `false` if another page is possible.
    pub(super) is_first_page: bool,
}

/// Decides before the handler runs, because the status of a response cannot change later.
pub(super) fn decide(
    rules: &Rules,
    caller: &Caller,
    request_info: RequestInfo<'_>,
    body: &[u8],
) -> Result<AcceptedBody, Rejection> {
    let headers = request_info.headers();
    let messages = request::read(body).filter(|_| !is_encoded(headers) && is_utf8(headers));
    let rejected = |failure| {
        // A batch is rejected as a whole, so only a single request has an id for the response.
        let id =
            messages.as_deref().and_then(|messages| if let [message] = messages { message.request_id() } else { None });
        Err(Rejection::for_operation(failure, id).logged(caller.guard(), Some(request_info)))
    };
    let Ok(repeated) = OperationHeaders::parse(headers) else { return rejected(OperationFailure::HeaderMismatch) };
    let Some(messages) = &messages else {
        // The handler may read any operation from this body, so the token must satisfy every rule.
        let everything = rules.everything();
        return match caller {
            Caller::Anonymous(guard) => Err(missing_token(guard, Scopes::EMPTY, request_info)),
            Caller::Token(auth)
                if everything.unlisted || !rules.are_met(&everything, auth.scopes(), &auth.guard().hierarchy) =>
            {
                rejected(OperationFailure::Unreadable)
            }
            Caller::Token(auth) if is_unbound(rules, &everything, auth) => Err(auth.is_not_bound(request_info)),
            Caller::Token(_) => Ok(AcceptedBody { needs: everything, lists: true, is_first_page: false }),
        };
    };
    let mut operations = messages.iter().filter_map(|message| message.operation.as_ref());
    if !operations.clone().all(|operation| repeated.agree_with(operation)) {
        return rejected(OperationFailure::HeaderMismatch);
    }
    let lists_tools = operations.clone().any(|operation| operation.method == "tools/list");
    let lists = operations.any(|operation| LIST_METHODS.contains(&operation.method.as_ref()));
    // The name of the member could be written with escapes.
    let has_cursor = || memchr::memmem::find(body, b"cursor").is_some() || memchr::memchr(b'\\', body).is_some();
    let is_first_page = lists_tools && !has_cursor();
    let mut needs = RequiredRules::default();
    for message in messages {
        rules.add(message.operation.as_ref(), &mut needs);
    }
    match caller {
        Caller::Anonymous(guard) if needs.token => Err(missing_token(guard, rules.scopes_of(&needs), request_info)),
        _ if needs.unlisted => rejected(OperationFailure::Unlisted),
        Caller::Anonymous(_) => Ok(AcceptedBody { needs, lists, is_first_page }),
        // A bearer token can never satisfy the rule, whatever its scopes are.
        Caller::Token(auth) if is_unbound(rules, &needs, auth) => Err(auth.is_not_bound(request_info)),
        Caller::Token(auth) if rules.are_met(&needs, auth.scopes(), &auth.guard().hierarchy) => {
            Ok(AcceptedBody { needs, lists, is_first_page })
        }
        Caller::Token(auth) => Err(auth.lacks(rules.scopes_of(&needs), Some(request_info), None)),
    }
}

/// Whether the rules need a sender-constrained access token, and this one is not.
fn is_unbound(rules: &Rules, required: &RequiredRules, auth: &AuthInfo) -> bool {
    !auth.sender().is_constrained() && rules.need_constrained_sender(required)
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
pub(super) fn missing_token(guard: &Arc<Guard>, scopes: Scopes, request: RequestInfo<'_>) -> Rejection {
    let mut rejection = Rejection::new(RejectionKind::MissingToken);
    rejection.scopes = scopes;
    rejection.logged(guard, Some(request))
}

const CHARSET: &[u8] = b"charset";
