//! The decision about a request: who sends it, or why it is rejected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::development::NotLocal;
use super::log::{Reason, misconfigured};
use super::sender_check::{CallerCheck, Denial, PendingCaller, SenderKeys, VerifiedCaller};
use super::token::NoToken;
use super::{AuthInfo, FailureTexts, Guard, OnRejection, Rejection, RejectionKind, RequestFailure, readable_by};
use crate::events::{Detail, Event, RequestInfo, TokenAccepted};
use crate::resource::MetadataService;
use crate::scope::Scopes;
use crate::sender::Sender;
use crate::verify::{Credential, Verification, Verifier};

/// The configuration that all requests share.
#[derive(Clone)]
pub(super) struct BearerState {
    pub(super) verifier: Arc<Verifier>,
    pub(super) guard: Arc<Guard>,
    pub(super) metadata: MetadataService,
    pub(super) anonymous_allowed: bool,
    pub(super) on_rejection: Option<OnRejection>,
}

/// The decision about a request.
pub(super) enum Admission {
    Unauthenticated(Unauthenticated),
    Decided(Result<AuthInfo, Rejection>),
    Pending(PendingCaller, Arc<Guard>, Option<Instant>),
}

/// Marks a request that a layer accepted without credentials. It is in the extensions of the request.
#[derive(Clone)]
pub(super) struct Unauthenticated {
    /// For the challenge of a handler that needs credentials.
    pub(super) guard: Arc<Guard>,
    /// Whether the layer allows anonymous requests. If not, the request is a preflight.
    pub(super) anonymous_allowed: bool,
}

/// The decision of a layer outside of this one about a request.
pub(super) struct Outer {
    pub(super) guard: Arc<Guard>,
    pub(super) sender: Sender,
}

/// The caller of a request that a bearer layer accepted.
#[derive(Clone)]
pub(crate) enum Caller {
    Anonymous(Arc<Guard>),
    Token(AuthInfo),
}

impl Caller {
    /// `None` if no bearer layer has accepted the request, or if it is a preflight of a layer that rejects anonymous requests.
    pub(crate) fn from_extensions(extensions: &Extensions) -> Option<Self> {
        match (extensions.get::<AuthInfo>(), extensions.get::<Unauthenticated>()) {
            (Some(auth), _) => Some(Self::Token(auth.clone())),
            (None, Some(mark)) if mark.anonymous_allowed => Some(Self::Anonymous(Arc::clone(&mark.guard))),
            (None, _) => None,
        }
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        match self {
            Self::Anonymous(guard) => guard,
            Self::Token(auth) => auth.guard(),
        }
    }
}

impl BearerState {
    /// Decides about a request that has these extensions, inside of the layer `outer`.
    pub(super) fn admit(&self, request: RequestInfo<'_>, extensions: &Extensions, outer: Option<Outer>) -> Admission {
        let is_of_this_server = |outer: &Outer| Arc::ptr_eq(&outer.guard.metadata_url, &self.guard.metadata_url);
        let outer = outer.filter(is_of_this_server);
        let guard = self.guard_inside(outer.as_ref());
        let token = guard.credentials.find(request.headers());
        if let Some(development) = guard.development.as_ref().filter(|_| !request.is_preflight()) {
            let has_credentials = !matches!(token, Err(NoToken::Missing));
            match development.identify(request, extensions, has_credentials) {
                Ok(None) => {}
                Ok(Some(claims)) => {
                    let caller = VerifiedCaller { claims, sender: Sender::default() };
                    return Admission::Decided(conclude(Ok(caller), guard, request, None));
                }
                Err(reason) => return Admission::Decided(Err(not_local(reason, &guard, request))),
            }
        }
        let is_anonymous = self.anonymous_allowed && matches!(token, Err(NoToken::Missing));
        if is_anonymous || request.is_preflight() {
            let anonymous_allowed = self.anonymous_allowed;
            return Admission::Unauthenticated(Unauthenticated { guard, anonymous_allowed });
        }
        match token {
            Ok(credential) => {
                let sender = outer.map(|outer| outer.sender).unwrap_or_default();
                match guard.sender.keys_in(request, extensions, credential, &sender) {
                    Ok(keys) => self.verify(credential, keys, guard, request),
                    Err(error) => Admission::Decided(Err(rejected(&Denial::Proof(error), &guard, request, None))),
                }
            }
            Err(no_token) => {
                let value = request.headers().get(guard.credentials.token_header());
                let detail = other_scheme(no_token, value);
                let advice = guard.credentials.advice(no_token);
                let reason = Reason { cause: no_token.cause(), advice, detail: detail.as_deref(), ..Reason::default() };
                Admission::Decided(Err(Rejection::from(no_token).logged_with(&guard, Some(request), &reason)))
            }
        }
    }

    /// Verifies the token, and compares the keys that it is bound to with those of the sender.
    fn verify(
        &self,
        credential: Credential<'_>,
        keys: SenderKeys,
        guard: Arc<Guard>,
        request: RequestInfo<'_>,
    ) -> Admission {
        let started_at = guard.events.start();
        let checked = match self.verifier.verify(credential) {
            Verification::Done(verified) => keys.check(verified),
            Verification::Pending(pending) => {
                CallerCheck::Pending(Box::pin(async move { keys.check(pending.await).finish().await }))
            }
        };
        match checked {
            CallerCheck::Done(caller) => Admission::Decided(conclude(caller, guard, request, started_at)),
            CallerCheck::Pending(pending) => {
                // The application may revoke the token while a store is asked.
                let (verifier, credential) = (Arc::clone(&self.verifier), credential.to_owned());
                let pending = Box::pin(async move {
                    let caller = pending.await?;
                    let token = credential.borrow().as_bytes();
                    verifier.check_not_revoked(token, &caller.claims).map_err(Denial::Token)?;
                    Ok(caller)
                });
                Admission::Pending(pending, guard, started_at)
            }
        }
    }

    /// Inside of a layer of the same server, this layer requires the scopes of both, in one challenge. The mark of the outer
    /// layer may be a copy from another request: it can add requirements and cannot remove any.
    fn guard_inside(&self, outer: Option<&Outer>) -> Arc<Guard> {
        let Some(outer) = outer else { return Arc::clone(&self.guard) };
        let required = outer.guard.required.and(&self.guard.required);
        Arc::new(Guard { required, ..Guard::clone(&self.guard) })
    }

    /// The response to a request with these headers.
    pub(super) fn respond(&self, rejection: &Rejection, headers: &HeaderMap) -> Response<Bytes> {
        readable_by(headers, rejection, rejection.to_response_by(self.on_rejection.as_ref()))
    }
}

/// Removes the marks of bearer layers from a request. Returns the decision of the layer outside, if there is one.
pub(super) fn remove_marks(extensions: &mut Extensions) -> Option<Outer> {
    let outer = outer_layer(extensions)?;
    extensions.remove::<Unauthenticated>();
    extensions.remove::<AuthInfo>();
    Some(outer)
}

/// The decision of the layer that has accepted the request before, if there is one.
pub(super) fn outer_layer(extensions: &Extensions) -> Option<Outer> {
    if let Some(auth) = extensions.get::<AuthInfo>() {
        return Some(Outer { guard: Arc::clone(auth.guard()), sender: auth.sender().clone() });
    }
    let mark = extensions.get::<Unauthenticated>()?;
    Some(Outer { guard: Arc::clone(&mark.guard), sender: Sender::default() })
}

/// Makes the caller of a verified token, unless the token lacks a scope: the last check.
pub(super) fn conclude(
    caller: Result<VerifiedCaller, Denial>,
    guard: Arc<Guard>,
    request: RequestInfo<'_>,
    started_at: Option<Instant>,
) -> Result<AuthInfo, Rejection> {
    let duration = started_at.map(|started_at| started_at.elapsed());
    let VerifiedCaller { claims, sender } = caller.map_err(|denial| rejected(&denial, &guard, request, duration))?;
    let auth = AuthInfo::new(claims, guard, sender);
    if !auth.guard().is_satisfied_by(auth.scopes()) {
        return Err(auth.lacks(Scopes::EMPTY, Some(request), duration));
    }
    auth.guard().events.emit(&Event::TokenAccepted(TokenAccepted {
        request,
        kind: auth.kind(),
        issuer: auth.issuer(),
        subject: auth.subject(),
        client_id: auth.client_id(),
        scopes: auth.scopes().as_str(),
        sender: auth.sender(),
        duration: duration.unwrap_or_default(),
    }));
    Ok(auth)
}

fn rejected(denial: &Denial, guard: &Arc<Guard>, request: RequestInfo<'_>, duration: Option<Duration>) -> Rejection {
    let (rejection, reason) = match denial {
        Denial::Token(error) => {
            let issuer = error.issuer.as_deref();
            (Rejection::from(error.kind()), Reason { issuer, error: Some(error), duration, ..Reason::default() })
        }
        Denial::Proof(error) => {
            let detail = error.detail.as_deref();
            let rejection = Rejection::new(RejectionKind::InvalidProof(error.failure));
            (rejection, Reason { detail, duration, ..Reason::default() })
        }
    };
    rejection.logged_with(guard, Some(request), &reason)
}

/// The rejection by a server with a development identity.
fn not_local(reason: NotLocal, guard: &Arc<Guard>, request: RequestInfo<'_>) -> Rejection {
    let NotLocal::Outside(detail) = reason else {
        misconfigured(
            guard,
            "no_peer_address",
            "the address of the client is unknown, which `dangerously_trust_everyone_on_loopback` needs: serve the app with \
             `into_make_service_with_connect_info::<SocketAddr>()` (axum), or insert a `PeerAddr` into the extensions of each \
             request",
        );
        return Rejection::new(RejectionKind::Internal);
    };
    let reason = Reason { detail: Some(&detail), ..Reason::default() };
    Rejection::new(RejectionKind::Request(NOT_LOOPBACK)).logged_with(guard, Some(request), &reason)
}

/// The scheme of credentials of another scheme, for the log. Only a registered name is logged, because a client that
/// forgets `Bearer` sends its token there.
fn other_scheme(no_token: NoToken, value: Option<&HeaderValue>) -> Option<Box<Detail>> {
    if no_token != NoToken::OtherScheme {
        return None;
    }
    let value = value.map(HeaderValue::as_bytes).unwrap_or_default();
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let registered = SCHEMES.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(scheme));
    Some(match registered {
        None if scheme.is_empty() => Box::new(Detail::Note("the header is empty")),
        Some(name) => Detail::mismatch(["Bearer"], [*name]),
        None => Box::new(Detail::Note("the scheme is not registered: write `Authorization: Bearer <token>`")),
    })
}

impl fmt::Debug for BearerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerState")
            .field("guard", &self.guard)
            .field("anonymous_allowed", &self.anonymous_allowed)
            .finish_non_exhaustive()
    }
}

/// The failure of a request that does not come from this machine.
const NOT_LOOPBACK: RequestFailure = RequestFailure {
    status: StatusCode::FORBIDDEN,
    texts: &FailureTexts {
        label: "not_loopback",
        description: "The request does not come from this machine",
        summary: "the request does not come from this machine",
        advice: "the development identity is for programs on this machine, without a proxy; for others, remove \
                 `dangerously_trust_everyone_on_loopback` and call `issuer`",
    },
    is_of_session: false,
};
/// The authentication schemes of the IANA registry, and two that are common.
const SCHEMES: [&str; 16] = [
    "ApiKey",
    "Basic",
    "Concealed",
    "DPoP",
    "Digest",
    "GNAP",
    "HOBA",
    "Mutual",
    "NTLM",
    "Negotiate",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "Token",
    "vapid",
];
