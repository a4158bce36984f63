use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{VerifyError, VerifyErrorKind};
use crate::claims::{Claims, CredentialKind, first_invalid_claim};
use crate::scope::Scopes;

/// The result of a [`TokenVerifier`](super::TokenVerifier) for a valid token.
///
/// There are two kinds. They differ in who vouches for the audience:
///
/// | made by | checked by this crate | [`AuthInfo::kind`](crate::AuthInfo::kind) |
/// |---|---|---|
/// | [`for_this_resource`](Self::for_this_resource): the verifier vouches that the token was issued for this resource | expiry, `nbf`, `iat` and `cnf`, each if it is present | [`Custom`](CredentialKind::Custom) |
/// | `Verified::from(claims)`: the token has [`Claims`] with `iss`, `aud` and `exp` | everything in rows 5 to 8 of the table in [`verify`](super) | [`AccessToken`](CredentialKind::AccessToken) |
///
/// The setters work for both kinds, and overwrite a claim of the same name.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use mcp_bearer::verify::Verified;
///
/// let verified = Verified::for_this_resource("alice")
///     .scopes(["notes:read", "notes:write"])
///     .expires_at(SystemTime::now() + Duration::from_secs(3600))
///     .client_id("notes-app")
///     .claim("tenant", "t1");
/// ```
#[derive(Clone)]
pub struct Verified {
    /// The claims that are checked like those of a JWT. `None` if the verifier vouches for the audience.
    base: Option<Claims>,
    /// Set by the methods of this type.
    members: Map<String, Value>,
    /// The first argument that is not valid.
    mistake: Option<Box<str>>,
}

impl Verified {
    /// A token that the verifier accepts for this resource, with its subject: the user, or the service that calls.
    ///
    /// **The verifier vouches for the audience**: it must reject a token that was issued for another resource. Otherwise
    /// another service that gets the token could use it here (RFC 9700, section 2.3). A token that only this resource issues or
    /// stores is always for it.
    ///
    /// [`AuthInfo::issuer`](crate::AuthInfo::issuer) is then the name in [`Issuer::with_verifier`](crate::Issuer::with_verifier),
    /// and [`AuthInfo::identity`](crate::AuthInfo::identity) has both. `iss` and `aud` are not invented: the claims lack them.
    ///
    /// An empty subject is a mistake: the client gets 503, and the log has an `error`.
    #[must_use]
    pub fn for_this_resource(subject: impl Into<String>) -> Self {
        let members = Map::from_iter([("sub".to_owned(), Value::String(subject.into()))]);
        Self { base: None, members, mistake: None }
    }

    /// The scopes that the token grants (claim `scope`): none by default.
    ///
    /// A text that is not a scope (RFC 6749, section 3.3) is a mistake: the client gets 503, and the log has an `error` with
    /// the text.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        match Scopes::new(scopes) {
            Ok(scopes) => self.claim("scope", scopes.as_str()),
            Err(error) => {
                self.mistake.get_or_insert_with(|| error.to_string().into());
                self
            }
        }
    }

    /// When the token expires (claim `exp`), in whole seconds. `None` changes nothing: a token without the claim does not expire.
    ///
    /// It is checked with every request, with the [clock skew](crate::ResourceServerBuilder::clock_skew) of the server. It also
    /// ends the time for which the result is cached.
    #[must_use]
    pub fn expires_at(self, time: impl Into<Option<SystemTime>>) -> Self {
        let Some(time) = time.into() else { return self };
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.claim("exp", since_1970.as_secs().min(LAST_SECOND))
    }

    /// The client that the token was issued to (claim `client_id`).
    #[must_use]
    pub fn client_id(self, client: impl Into<String>) -> Self {
        self.claim("client_id", client.into())
    }

    /// Sets a claim for the handlers, which read it by [`AuthInfo::claims`](crate::AuthInfo::claims).
    ///
    /// A token with `cnf` is bound to a key of its sender (RFC 7800). It is rejected with 401, unless the server has a
    /// [`sender_constraint`](crate::ResourceServerBuilder::sender_constraint) and the sender has the key. `nbf` and `iat` must not
    /// be in the future. A registered claim with a value of a wrong type is a mistake, and so are `null` for `exp`, `nbf`, `iat` or
    /// `sub` and an empty `sub`: the client gets 503, and the log has an `error` with the name of the claim.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The claims. `issuer` is the configured name of the issuer.
    ///
    /// # Errors
    /// A mistake of the verifier, as [`VerifyErrorKind::Misconfigured`].
    pub(super) fn into_claims(self, issuer: &str) -> Result<Claims, VerifyError> {
        let mistake = |text: String| Err(VerifyError::new(VerifyErrorKind::Misconfigured).with_source(text));
        if let Some(text) = self.mistake.or_else(|| mistake_in(&self.members)) {
            return mistake(format!("the result of the token verifier is not valid: {text}"));
        }
        let (members, claims) = match self.base {
            Some(claims) if self.members.is_empty() => return Ok(claims),
            Some(claims) => {
                let mut members = claims.members().clone();
                members.extend(self.members);
                let claims = Claims::from_json(Value::Object(members.clone()).to_string());
                (members, claims)
            }
            None => {
                let claims = Claims::from_credential(CredentialKind::Custom, Some(issuer), self.members.clone());
                (self.members, claims)
            }
        };
        claims.or_else(|_| {
            let is_invalid = |name: &str, value: &Value| Claims::from_json(json!({ name: value }).to_string()).is_err();
            let name = first_invalid_claim(&members, is_invalid).unwrap_or("unknown");
            mistake(format!("the result of the token verifier is not valid: the claim {name:?} has a wrong type"))
        })
    }
}

/// A claim that would be read as absent, so that the token would never expire or would not have a subject.
fn mistake_in(members: &Map<String, Value>) -> Option<Box<str>> {
    let is_null = |name: &&str| members.get(*name).is_some_and(Value::is_null);
    if let Some(name) = ["exp", "nbf", "iat", "sub"].into_iter().find(is_null) {
        return Some(format!("the claim {name:?} is null; set its value, or do not set the claim").into());
    }
    let is_empty = members.get("sub").is_some_and(|subject| subject == "");
    is_empty.then(|| "the subject is empty; use the id of the user or the service".into())
}

/// Claims with `iss`, `aud` and `exp`, which pass the same checks as those of a JWT.
///
/// ```
/// use mcp_bearer::claims::Claims;
/// use mcp_bearer::verify::Verified;
///
/// let claims = r#"{"iss":"https://auth.example.com","aud":"https://mcp.example.com/mcp","exp":4102444800,"sub":"alice"}"#;
/// let verified = Verified::from(Claims::from_json(claims)?);
/// # Ok::<(), mcp_bearer::verify::CheckFailure>(())
/// ```
impl From<Claims> for Verified {
    fn from(claims: Claims) -> Self {
        Self { base: Some(claims), members: Map::new(), mistake: None }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The claims are personal data, which must not get into a log.
        f.debug_struct("Verified").field("mistake", &self.mistake).finish_non_exhaustive()
    }
}

/// The end of the year 9999. A later time is not a date in the claims of a token.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::time::Duration;

    use super::*;

    const NAME: &str = "urn:example:sessions";

    #[test]
    fn a_result_has_the_claims_that_were_set_and_no_others() {
        let verified = Verified::for_this_resource("alice")
            .scopes(["a", "b"])
            .expires_at(UNIX_EPOCH + Duration::from_millis(1_900_000_000_900))
            .expires_at(None)
            .client_id("app")
            .claim("tenant", "t1");
        let claims = verified.into_claims(NAME).unwrap();
        let expected =
            json!({ "sub": "alice", "scope": "a b", "exp": 1_900_000_000, "client_id": "app", "tenant": "t1" });
        assert_eq!(Value::Object(claims.members().clone()), expected);
        assert_eq!((claims.issuer(), claims.kind()), (Some(NAME), CredentialKind::Custom));
        assert_eq!((claims.audience().len(), claims.client_id()), (0, Some("app")));
    }

    #[test]
    fn debug_output_has_no_claim() {
        let verified = Verified::for_this_resource("alice").client_id("app").claim("tenant", "t1");
        assert_eq!(format!("{verified:?}"), "Verified { mistake: None, .. }");
    }

    #[test]
    fn a_time_out_of_range_is_the_nearest_date() {
        for (time, exp) in [
            (UNIX_EPOCH - Duration::from_secs(1), 0),
            (UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1_000_000), LAST_SECOND),
        ] {
            let claims = Verified::for_this_resource("alice").expires_at(time).into_claims(NAME).unwrap();
            assert_eq!(claims.exp(), Some(Duration::from_secs(exp)));
        }
    }

    #[test]
    fn claims_stay_an_access_token_with_changes() {
        let claims = || Claims::from_json(r#"{"iss":"https://as","sub":"alice","scope":"a"}"#).unwrap();
        let changed = Verified::from(claims()).scopes(["b"]).claim("tenant", 1);
        for (verified, scope) in [(Verified::from(claims()), "a"), (changed, "b")] {
            let claims = verified.into_claims(NAME).unwrap();
            assert_eq!((claims.issuer(), claims.kind()), (Some("https://as"), CredentialKind::AccessToken));
            assert_eq!(claims.scopes().as_str(), scope);
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let alice = || Verified::for_this_resource("alice");
        for (verified, expected) in [
            (Verified::for_this_resource(""), "the subject is empty"),
            (alice().claim("sub", ""), "the subject is empty"),
            (alice().claim("sub", Value::Null), "the claim \"sub\" is null"),
            (alice().expires_at(UNIX_EPOCH).claim("exp", Value::Null), "the claim \"exp\" is null"),
            (alice().claim("nbf", None::<u64>), "the claim \"nbf\" is null"),
            (Verified::from(Claims::from_json("{}").unwrap()).claim("iat", Value::Null), "the claim \"iat\" is null"),
            (alice().scopes(["a", "b c"]).scopes(["d"]), "\"b c\" is not a scope"),
            (alice().claim("nbf", "soon"), "the claim \"nbf\" has a wrong type"),
            (Verified::from(Claims::from_json("{}").unwrap()).claim("aud", 1), "the claim \"aud\" has a wrong type"),
        ] {
            let error = verified.into_claims(NAME).unwrap_err();
            let source = error.source().unwrap().to_string();
            assert_eq!(error.kind(), VerifyErrorKind::Misconfigured);
            assert!(source.starts_with("the result of the token verifier is not valid: "), "{source}");
            assert!(source.contains(expected), "{source}");
        }
    }
}
