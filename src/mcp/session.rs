use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::bearer::{BearerToken, Caller, Guard, log};
use crate::crypto::Hmac;

/// Binds session ids to the caller that opened the session. Nothing is stored: the id that the client sees contains an HMAC
/// over the server's id and the owner.
pub(super) struct SessionBinding {
    key: Hmac,
}

/// The owner of a session, in the form that the HMAC covers.
pub(super) struct Owner(Vec<u8>);

/// The session id is unknown, or belongs to another caller. The client cannot tell which.
#[derive(Debug)]
pub(super) struct UnknownSession;

impl SessionBinding {
    /// With a random key. `None` if this build has no cryptography, or the machine no source of randomness.
    pub(super) fn random() -> Option<Self> {
        Hmac::random().map(|key| Self { key })
    }

    /// With a key that replicas share. `None` if this build has no cryptography.
    pub(super) fn keyed(key: &[u8; 32]) -> Option<Self> {
        Hmac::with_key(key).map(|key| Self { key })
    }

    /// The owner of the sessions of this request; `None` if it cannot be determined.
    ///
    /// It consists of issuer, subject and client (MCP 2025-11-25, Security Best Practices), each with its length, so that two
    /// callers never have the same form. Without `sub`, the `username` of an introspection response is used (RFC 7662,
    /// section 2.2). Without both, the session belongs to this token alone.
    pub(super) fn owner(&self, headers: &HeaderMap, caller: &Caller) -> Option<Owner> {
        let Caller::Token(auth) = caller else { return Some(Owner(encoded([None; 3]))) };
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
        Some(Owner(encoded([issuer, Some((user.0, &user.1)), client])))
    }

    /// Replaces the client's session id by the server's, if the session belongs to the caller. `Last-Event-ID` without a
    /// session id is rejected, because it does not show which caller the stream belongs to.
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

    /// Binds the session id in a response, and removes one that cannot be bound.
    pub(super) fn seal(&self, headers: &mut HeaderMap, owner: Option<&Owner>, guard: &Guard) {
        let Some(id) = headers.remove(&SESSION_ID) else { return };
        match owner.and_then(|owner| self.sealed(id.as_bytes(), owner)) {
            Some(sealed) => _ = headers.insert(SESSION_ID, sealed),
            None => log::misconfigured(
                guard,
                "unbindable_session",
                "the server's session id is too long to be bound, and is removed from the response",
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

fn encoded(parts: [Option<(u8, &[u8])>; 3]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for part in parts {
        let (kind, text) = part.unwrap_or((ABSENT, &[]));
        encoded.push(kind);
        encoded.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        encoded.extend(text);
    }
    encoded
}

/// The longest session id with its HMAC, in bytes: much longer than a UUID, much shorter than the limit of a header.
const MAX_SESSION_ID: usize = 1_024;
/// Separates these HMACs from those of another use of the same key.
const PURPOSE: &[u8] = b"mcp-bearer session 1\0";
const TOKEN_PURPOSE: &[u8] = b"mcp-bearer session token 1\0";
/// The kinds of the parts of an owner.
const ABSENT: u8 = 0;
const NAME: u8 = 1;
const SUBJECT: u8 = 1;
const USERNAME: u8 = 2;
const TOKEN: u8 = 3;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
