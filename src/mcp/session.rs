use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::OperationFailure;
use crate::bearer::{Caller, Guard, log};
use crate::claims::CredentialKind;
use crate::crypto::Hmac;

/// Binds each session id to the caller that opened the session.
///
/// Nothing is stored. The client gets a *bound id*: the session id that the MCP server issued, a dot, and an HMAC. The
/// HMAC covers the server's session id and the owner of the session, so it is invalid for every other caller.
pub(super) struct SessionBinding {
    /// Random, or a key that replicas share.
    pub(super) key: Hmac,
}

/// The owner of a session, encoded as the bytes that the HMAC covers.
pub(super) struct Owner(Vec<u8>);

impl SessionBinding {
    /// The owner of a session that this request opens or uses.
    ///
    /// All callers without a token are one common owner. For a credential, the owner consists of its kind, issuer, user
    /// and client (MCP 2025-11-25, Security Best Practices), and of the keys that it is bound to. The user is `sub`. If the token has no `sub`, it is the `username` of
    /// the introspection response (RFC 7662, section 2.2). If the token has neither, the session belongs to this token
    /// alone.
    ///
    /// `None` if the owner follows from the token itself, and the headers do not have it any more.
    pub(super) fn owner(&self, headers: &HeaderMap, caller: &Caller) -> Option<Owner> {
        let Caller::Token(auth) = caller else { return Some(Owner(encoded(ABSENT, &[None; 3]))) };
        let username = || auth.claims().get("username").and_then(|name| name.as_str());
        let token_mac;
        let user = if let Some(subject) = auth.subject().filter(|subject| !subject.is_empty()) {
            (SUBJECT, subject.as_bytes())
        } else if let Some(username) = username().filter(|username| !username.is_empty()) {
            (USERNAME, username.as_bytes())
        } else {
            let token = auth.guard().credentials.find(headers).ok()?;
            token_mac = self.key.sign(&[TOKEN_PURPOSE, token.as_bytes()].concat());
            (TOKEN, token_mac.as_ref())
        };
        let issuer = auth.issuer().map(|issuer| (NAME, issuer.as_bytes()));
        let client = auth.client_id().map(|client| (NAME, client.as_bytes()));
        let kind = match auth.kind() {
            CredentialKind::AccessToken => 1,
            CredentialKind::ApiKey => 2,
            CredentialKind::Custom => 3,
            CredentialKind::Development => 4,
        };
        let (key, certificate) = (auth.sender().dpop_key(), auth.sender().certificate());
        let key = key.as_ref().map(|key| (NAME, key.as_bytes().as_slice()));
        let certificate = certificate.as_ref().map(|certificate| (NAME, certificate.as_bytes().as_slice()));
        Some(Owner(encoded(kind, &[issuer, Some(user), client, key, certificate])))
    }

    /// Replaces the bound id in a request by the server's session id, if the session belongs to the caller.
    ///
    /// Two session ids are rejected, because the server could use another one than the one that is checked here.
    /// `Last-Event-ID` resumes an SSE stream. Without a session id it is rejected, because nothing shows whose stream
    /// it is.
    pub(super) fn unbind_request(
        &self,
        headers: &mut HeaderMap,
        owner: Option<&Owner>,
    ) -> Result<(), OperationFailure> {
        let mut ids = headers.get_all(&SESSION_ID).iter();
        let bound_id = match (ids.next(), ids.next()) {
            (Some(bound_id), None) => bound_id,
            (None, _) if !headers.contains_key(&LAST_EVENT_ID) => return Ok(()),
            _ => return Err(OperationFailure::UnknownSession),
        };
        let bound_id = bound_id.as_bytes().trim_ascii();
        let server_id =
            owner.and_then(|owner| self.server_id(bound_id, owner)).ok_or(OperationFailure::UnknownSession)?;
        headers.insert(SESSION_ID, server_id);
        Ok(())
    }

    /// The server's session id in a bound id. `None` if the HMAC is not valid for this owner.
    fn server_id(&self, bound_id: &[u8], owner: &Owner) -> Option<HeaderValue> {
        if bound_id.len() > MAX_BOUND_ID {
            return None;
        }
        let dot = memchr::memrchr(b'.', bound_id)?;
        let (server_id, mac) = (bound_id.get(..dot)?, bound_id.get(dot.saturating_add(1)..)?);
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.key.verifies(&hmac_message(server_id, owner), &mac).then(|| HeaderValue::from_bytes(server_id).ok())?
    }

    /// Replaces the server's session id in a response by the bound id. An id that cannot be bound is removed, because
    /// the session would be open to every caller.
    pub(super) fn bind_response(&self, headers: &mut HeaderMap, owner: Option<&Owner>, guard: &Guard) {
        let Some(server_id) = headers.remove(&SESSION_ID) else { return };
        match owner.and_then(|owner| self.bound_id(server_id.as_bytes(), owner)) {
            Some(bound_id) => _ = headers.insert(SESSION_ID, bound_id),
            None => log::misconfigured(
                guard,
                "unbindable_session",
                "the session id is removed from the response, because it cannot be bound to the caller: it is longer \
                 than 980 bytes, or the request has no access token",
            ),
        }
    }

    /// The bound id for a session id of the server. `None` if it would be too long.
    fn bound_id(&self, server_id: &[u8], owner: &Owner) -> Option<HeaderValue> {
        let mac = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(&hmac_message(server_id, owner)));
        let bound_id = [server_id, b".", mac.as_bytes()].concat();
        (bound_id.len() <= MAX_BOUND_ID).then(|| HeaderValue::from_bytes(&bound_id).ok())?
    }
}

impl fmt::Debug for SessionBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBinding").finish_non_exhaustive()
    }
}

/// The message that the HMAC covers.
fn hmac_message(server_id: &[u8], Owner(owner): &Owner) -> Vec<u8> {
    [PURPOSE, owner, server_id].concat()
}

/// Encodes the kind of the credential, then issuer, user, client and keys, each with its kind and length. So two owners never
/// have the same bytes.
fn encoded(credential: u8, parts: &[Option<(u8, &[u8])>]) -> Vec<u8> {
    let mut encoded = vec![credential];
    for part in parts {
        let (kind, text) = part.unwrap_or((ABSENT, &[]));
        encoded.push(kind);
        encoded.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        encoded.extend(text);
    }
    encoded
}

/// The longest bound id, in bytes: much longer than a UUID, much shorter than the limit of a header. The dot and the
/// HMAC take 44 bytes of it.
const MAX_BOUND_ID: usize = 1_024;
/// Domain separation: an HMAC that was made for another purpose under the same key is never valid here. `1` is the
/// version of the encoding.
const PURPOSE: &[u8] = b"mcp-bearer session 1\0";
/// Domain separation for the HMAC of a token, which is the user if the token has neither `sub` nor `username`.
const TOKEN_PURPOSE: &[u8] = b"mcp-bearer session token 1\0";
/// The kind of a part that the token does not have, and of a credential that the caller does not have.
const ABSENT: u8 = 0;
/// The kind of an issuer and of a client. The position of a part distinguishes it from [`SUBJECT`].
const NAME: u8 = 1;
/// The kinds of a user.
const SUBJECT: u8 = 1;
const USERNAME: u8 = 2;
const TOKEN: u8 = 3;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::bearer::AuthInfo;
    use crate::claims::Claims;
    use crate::sender::Sender;

    #[test]
    fn equal_subjects_of_different_kinds_of_credentials_own_different_sessions() {
        let Some(key) = Hmac::random() else { return };
        let binding = SessionBinding { key };
        let members = json!({ "sub": "alice" });
        let members = members.as_object().unwrap();
        let mut owners: Vec<Vec<u8>> = Vec::new();
        for kind in
            [CredentialKind::AccessToken, CredentialKind::ApiKey, CredentialKind::Custom, CredentialKind::Development]
        {
            let claims = Claims::from_credential(kind, None, members.clone()).unwrap();
            let caller = Caller::Token(AuthInfo::new(
                claims,
                Arc::new(Guard::new("https://mcp.example.com/m")),
                Sender::default(),
            ));
            let Owner(owner) = binding.owner(&HeaderMap::new(), &caller).unwrap();
            assert!(!owners.contains(&owner), "{kind:?}");
            owners.push(owner);
        }
    }
}
