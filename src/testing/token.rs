use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::issuer::TestIssuer;
use super::signing_key::SigningKey;
use crate::bearer::{AuthInfo, Guard};
use crate::claims::Claims;
use crate::jose::Algorithm;

/// A token that is not yet signed or handed out.
///
/// It starts as an access token of RFC 9068: `typ` `at+jwt`; `iss` the issuer, `sub` `alice`, `client_id`
/// `test-client`, `iat` now, `exp` in five minutes, `jti` random. `aud` and `scope` are for you to set.
///
/// ```
/// use mcp_bearer::testing::TestIssuer;
///
/// let issuer = TestIssuer::new("https://auth.example.com");
/// let token = issuer.token().audience("https://mcp.example.com/mcp").scope("notes:read").claim("tenant", "t1").sign();
/// assert_eq!(token.split('.').count(), 3);
/// ```
#[must_use = "it is no token until it is signed or handed out as an opaque one"]
pub struct TestToken<'a> {
    issuer: &'a TestIssuer,
    now: Duration,
    key: Key,
    header: Map<String, Value>,
    // What signing must not add either.
    without_header: Vec<String>,
    claims: Map<String, Value>,
}

enum Key {
    Current,
    For(Algorithm),
    Named(String),
}

impl<'a> TestToken<'a> {
    pub(super) fn new(issuer: &'a TestIssuer, now: Duration) -> Self {
        let token =
            Self { issuer, now, key: Key::Current, header: Map::new(), without_header: Vec::new(), claims: Map::new() };
        token
            .header("typ", "at+jwt")
            .claim("iss", issuer.url())
            .subject("alice")
            .client_id("test-client")
            .claim("iat", now.as_secs())
            .expires_in(LIFETIME)
            .claim("jti", format!("{:032x}", fastrand::u128(..)))
    }

    /// Adds an audience: one is written as a string, several as an array.
    pub fn audience(mut self, audience: &str) -> Self {
        let audience = Value::from(audience);
        let all = match self.claims.remove("aud") {
            None => audience,
            Some(Value::Array(mut members)) => {
                members.push(audience);
                Value::Array(members)
            }
            Some(first) => Value::Array(vec![first, audience]),
        };
        self.claim("aud", all)
    }

    /// Sets `scope`: scopes with single spaces between them.
    pub fn scope(self, scopes: &str) -> Self {
        self.claim("scope", scopes)
    }

    /// Sets `sub`. Default: `alice`.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// Sets `client_id`. Default: `test-client`.
    pub fn client_id(self, client_id: &str) -> Self {
        self.claim("client_id", client_id)
    }

    /// Sets `exp` to so long from now. Default: five minutes.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        let at = self.now.saturating_add(lifetime).as_secs();
        self.claim("exp", at)
    }

    /// Sets `exp` to so many seconds since 1970-01-01T00:00:00Z.
    pub fn expires_at(self, seconds: i64) -> Self {
        self.claim("exp", seconds)
    }

    /// Was issued two hours ago and expired one hour ago.
    pub fn expired(self) -> Self {
        let before = |hours: u64| self.now.saturating_sub(Duration::from_secs(hours.saturating_mul(3600))).as_secs();
        let (issued, expired) = (before(2), before(1));
        self.claim("iat", issued).claim("exp", expired)
    }

    /// Sets a claim to any value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header to any value: `alg` and `kid` too, whatever then signs.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.without_header.retain(|absent| absent != name);
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a member of the header out, `alg` and `kid` too.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self.without_header.push(name.to_owned());
        self
    }

    /// Signs with a published key for this algorithm, which is made if there is none.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.key = Key::For(algorithm);
        self
    }

    /// Signs with this key, published or no longer.
    pub fn key(mut self, kid: &str) -> Self {
        self.key = Key::Named(kid.to_owned());
        self
    }

    /// The token in its compact form.
    ///
    /// # Panics
    /// If the issuer never had the key.
    #[must_use]
    #[track_caller]
    pub fn sign(mut self) -> String {
        let kid = match &self.key {
            Key::Current => self.issuer.key_id(),
            Key::For(algorithm) => self.issuer.key_for(*algorithm),
            Key::Named(kid) => kid.clone(),
        };
        let key = self.issuer.key(&kid);
        for (name, value) in [("alg", key.algorithm().name()), ("kid", kid.as_str())] {
            if !self.without_header.iter().any(|absent| absent == name) {
                self.header.entry(name).or_insert_with(|| value.into());
            }
        }
        let (header, payload) = (Value::Object(self.header).to_string(), Value::Object(self.claims).to_string());
        compact(&key, header.as_bytes(), payload.as_bytes())
    }

    /// The [`AuthInfo`] that a handler gets for this token, to test the handler without a request.
    ///
    /// Nothing is verified: a token that has expired gives an `AuthInfo` too. No scope implies another one.
    ///
    /// ```
    /// use mcp_bearer::testing::TestIssuer;
    /// use mcp_bearer::{AuthInfo, Rejection};
    ///
    /// fn delete_note(auth: &AuthInfo) -> Result<&'static str, Rejection> {
    ///     auth.require_scopes(["notes:write"])?;
    ///     Ok("deleted")
    /// }
    ///
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let reader = issuer.token().subject("alice").scope("notes:read").auth_info();
    /// assert_eq!(delete_note(&reader).unwrap_err().status(), 403);
    /// let writer = issuer.token().subject("alice").scope("notes:write").auth_info();
    /// assert_eq!(delete_note(&writer).unwrap(), "deleted");
    /// ```
    ///
    /// # Panics
    /// If a registered claim has the wrong type.
    #[must_use]
    #[track_caller]
    #[expect(clippy::panic, reason = "a mistake in a test stops the test")]
    pub fn auth_info(self) -> AuthInfo {
        let json = Value::Object(self.claims).to_string();
        match Claims::from_json(json.clone()) {
            Ok(claims) => AuthInfo::new(claims, Arc::new(Guard::new(METADATA_URL))),
            Err(_) => panic!("a registered claim has the wrong type: {json}"),
        }
    }

    /// A token without meaning of its own: 43 random characters, for which the issuer's introspection endpoint gives
    /// the claims. Nothing of the header comes into it.
    #[must_use]
    pub fn opaque(self) -> String {
        self.issuer.register(self.claims)
    }
}

/// The JWS compact serialisation (RFC 7515, section 7.1).
pub(super) fn compact(key: &SigningKey, header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

impl fmt::Debug for TestToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").field("header", &self.header).field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// The metadata URL in the challenges of a handler under test.
const METADATA_URL: &str = "https://resource.example/.well-known/oauth-protected-resource";
/// Long enough for a test, too short for anything else.
const LIFETIME: Duration = Duration::from_secs(300);
