use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::bearer::{BearerToken, Caller, Guard, log};
use crate::crypto::Hmac;

/// Binds session ids to who opened the session, without remembering any: the id that leaves carries an HMAC over it and its
/// owner, and the id that comes in is good only with the right one.
pub(super) struct SessionBinding {
    key: Hmac,
}

/// Whom a session belongs to.
pub(super) struct Owner(Vec<u8>);

/// A session id that does not exist, or not for this caller. Nobody can tell which.
#[derive(Debug)]
pub(super) struct UnknownSession;

impl SessionBinding {
    /// With a key of its own; `None` if this build or machine cannot make one.
    pub(super) fn random() -> Option<Self> {
        Hmac::random().map(|key| Self { key })
    }

    /// With a key that replicas share.
    pub(super) fn keyed(key: &[u8; 32]) -> Option<Self> {
        Hmac::with_key(key).map(|key| Self { key })
    }

    /// Whom sessions of this request belong to; `None` if that cannot be told.
    ///
    /// Issuer, subject and client together (MCP 2025-11-25, Security Best Practices), each with its length so that no two
    /// callers are spelled alike. A token without `sub` may say who its user is in `username`, as some introspection answers
    /// do (RFC 7662, section 2.2). If it does not, the session belongs to this token alone.
    pub(super) fn owner(&self, headers: &HeaderMap, caller: &Caller) -> Option<Owner> {
        let Caller::Token(auth) = caller else { return Some(Owner(spelled([None; 3]))) };
        let named = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
        let username = || named(auth.claims().get("username").and_then(|name| name.as_str()));
        let user = match named(auth.subject()).map(|subject| (SUBJECT, subject.into_bytes())) {
            Some(user) => user,
            None => match username() {
                Some(username) => (USERNAME, username.into_bytes()),
                None => {
                    let token = BearerToken::find(headers).ok()?;
                    (TOKEN, self.key.sign(&[TOKEN_PURPOSE, token].concat()).to_vec())
                }
            },
        };
        let issuer = auth.issuer().map(|issuer| (NAME, issuer.as_bytes()));
        let client = auth.client_id().map(|client| (NAME, client.as_bytes()));
        Some(Owner(spelled([issuer, Some((user.0, &user.1)), client])))
    }

    /// Puts the server's own id in the place of the one that the client shows, if that is the caller's. An event id alone
    /// says nothing of whose stream it is from.
    pub(super) fn open(&self, headers: &mut HeaderMap, owner: Option<&Owner>) -> Result<(), UnknownSession> {
        let mut shown = headers.get_all(&SESSION_ID).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            let says_something = headers.contains_key(&SESSION_ID) || headers.contains_key(&LAST_EVENT_ID);
            return if says_something { Err(UnknownSession) } else { Ok(()) };
        };
        let id = owner.and_then(|owner| self.opened(shown.as_bytes().trim_ascii(), owner)).ok_or(UnknownSession)?;
        headers.insert(SESSION_ID, id);
        Ok(())
    }

    fn opened(&self, shown: &[u8], owner: &Owner) -> Option<HeaderValue> {
        if shown.len() > MAX_SESSION_ID {
            return None;
        }
        let dot = memchr::memrchr(b'.', shown)?;
        let (id, mac) = (shown.get(..dot)?, shown.get(dot.saturating_add(1)..)?);
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.key.verifies(&signed(id, owner), &mac).then(|| HeaderValue::from_bytes(id).ok())?
    }

    /// Binds the ids that the server sends. One that cannot be bound does not leave.
    pub(super) fn seal(&self, headers: &mut HeaderMap, owner: Option<&Owner>, guard: &Guard) {
        let Some(id) = headers.remove(&SESSION_ID) else { return };
        match owner.and_then(|owner| self.sealed(id.as_bytes(), owner)) {
            Some(sealed) => _ = headers.insert(SESSION_ID, sealed),
            None => log::misconfigured(
                guard,
                "unbindable_session",
                "the server's session id is too long to be bound, and is left out of the response",
            ),
        }
    }

    fn sealed(&self, id: &[u8], owner: &Owner) -> Option<HeaderValue> {
        let mac = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(&signed(id, owner)));
        let sealed = [id, b".", mac.as_bytes()].concat();
        (sealed.len() <= MAX_SESSION_ID).then(|| HeaderValue::from_bytes(&sealed).ok())?
    }
}

/// The message of the HMAC.
fn signed(id: &[u8], Owner(owner): &Owner) -> Vec<u8> {
    [PURPOSE, owner, id].concat()
}

fn spelled(parts: [Option<(u8, &[u8])>; 3]) -> Vec<u8> {
    let mut spelled = Vec::new();
    for part in parts {
        let (kind, text) = part.unwrap_or((ABSENT, &[]));
        spelled.push(kind);
        spelled.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        spelled.extend(text);
    }
    spelled
}

/// The longest session id, binding included, in bytes: far more than a UUID, far less than a header may have.
const MAX_SESSION_ID: usize = 1_024;
/// So that a key that is used for something else too binds nothing by accident.
const PURPOSE: &[u8] = b"mcp-bearer session 1\0";
const TOKEN_PURPOSE: &[u8] = b"mcp-bearer session token 1\0";
/// What a part of an owner is.
const ABSENT: u8 = 0;
const NAME: u8 = 1;
const SUBJECT: u8 = 1;
const USERNAME: u8 = 2;
const TOKEN: u8 = 3;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
