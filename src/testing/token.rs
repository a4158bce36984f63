use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::dpop::TestDpopKey;
use super::issuer::TestIssuer;
use crate::bearer::{AuthInfo, Guard};
use crate::claims::Claims;
use crate::jose::{Algorithm, Thumbprint};
use crate::sender::Sender;

/// A token before it is signed.
///
/// It starts as an access token of RFC 9068: `typ` is `at+jwt`, `iss` the issuer, `sub` `alice`, `client_id` `test-client`,
/// `iat` now, `exp` in five minutes, and `jti` random. It has neither `aud` nor `scope`.
///
/// ```
/// use mcp_bearer::testing::TestIssuer;
///
/// let issuer = TestIssuer::new("https://auth.example.com");
/// let token = issuer.token().audience("https://mcp.example.com/mcp").scope("notes:read").claim("tenant", "t1").sign();
/// assert_eq!(token.split('.').count(), 3);
/// ```
#[must_use = "call `sign`, `opaque` or `auth_info`"]
pub struct TestToken<'a> {
    issuer: &'a TestIssuer,
    now: Duration,
    key: Key,
    header: Map<String, Value>,
    // The members that signing must not add.
    without_header: Vec<String>,
    claims: Map<String, Value>,
}

enum Key {
    Current,
    For(Algorithm),
    Named(String),
}

impl TestIssuer {
    /// A token of this issuer that expires in five minutes. Add at least an audience.
    pub fn token(&self) -> TestToken<'_> {
        TestToken::new(self, self.state.clock.since_epoch())
    }

    /// Signs any header and payload with a key that this issuer has or had.
    ///
    /// # Panics
    /// If the issuer never had a key with this id.
    #[must_use]
    #[track_caller]
    pub fn sign_raw(&self, kid: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.key(kid).sign_compact(header.as_ref(), payload.as_ref())
    }
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

    /// Adds an audience. One is written as a string, several as an array.
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

    /// Sets `scope`: a list separated by single spaces.
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

    /// Sets `exp` to this time from now. Default: five minutes.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        let at = self.now.saturating_add(lifetime).as_secs();
        self.claim("exp", at)
    }

    /// Sets `exp` to these seconds since 1970-01-01T00:00:00Z.
    pub fn expires_at(self, seconds: i64) -> Self {
        self.claim("exp", seconds)
    }

    /// Sets `iat` to two hours ago and `exp` to one hour ago.
    pub fn expired(self) -> Self {
        let before = |hours: u64| self.now.saturating_sub(Duration::from_secs(hours.saturating_mul(3600))).as_secs();
        let (issued, expired) = (before(2), before(1));
        self.claim("iat", issued).claim("exp", expired)
    }

    /// Binds the token to the key of DPoP proofs: sets `cnf` with the member `jkt` (RFC 9449, section 6.1).
    ///
    /// ```
    /// use mcp_bearer::testing::TestIssuer;
    ///
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let key = issuer.dpop_key();
    /// let token = issuer.token().audience("https://mcp.example.com/mcp").bound_to(&key).opaque();
    /// let answer = issuer.introspect(&token);
    /// assert_eq!(answer["token_type"], "DPoP");
    /// assert_eq!(answer["cnf"]["jkt"], key.thumbprint().to_string());
    /// ```
    pub fn bound_to(self, key: &TestDpopKey) -> Self {
        self.confirmed_by("jkt", key.thumbprint())
    }

    /// Binds the token to a client certificate: sets `cnf` with the member `x5t#S256` (RFC 8705, section 3.1). The thumbprint
    /// is the SHA-256 digest of the certificate in DER.
    ///
    /// ```
    /// use mcp_bearer::jose::Thumbprint;
    /// use mcp_bearer::testing::TestIssuer;
    ///
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let certificate = Thumbprint::from_bytes([7; 32]);
    /// let token = issuer.token().audience("https://mcp.example.com/mcp").bound_to_certificate(certificate).sign();
    /// assert_eq!(issuer.introspect(&token)["cnf"]["x5t#S256"], certificate.to_string());
    /// ```
    pub fn bound_to_certificate(self, thumbprint: Thumbprint) -> Self {
        self.confirmed_by("x5t#S256", thumbprint)
    }

    /// Adds a member to `cnf` (RFC 7800, section 3.1).
    fn confirmed_by(mut self, member: &str, thumbprint: Thumbprint) -> Self {
        let mut members = match self.claims.remove("cnf") {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        members.insert(member.to_owned(), thumbprint.to_string().into());
        self.claim("cnf", members)
    }

    /// Sets a claim to any value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header to any value. `alg` and `kid` do not change the key that signs.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.without_header.retain(|absent| absent != name);
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a member of the header, also `alg` and `kid`.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self.without_header.push(name.to_owned());
        self
    }

    /// Signs with a published key for this algorithm. If there is none, one is made and published.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.key = Key::For(algorithm);
        self
    }

    /// Signs with the key that has this id, published or not.
    pub fn key(mut self, kid: &str) -> Self {
        self.key = Key::Named(kid.to_owned());
        self
    }

    /// Signs the token (JWS compact serialization).
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
        key.sign_compact(header.as_bytes(), payload.as_bytes())
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
            Ok(claims) => {
                let sender = Sender::of_claims(&claims);
                AuthInfo::new(claims, Arc::new(Guard::new(METADATA_URL)), sender)
            }
            Err(_) => panic!("a registered claim has the wrong type: {json}"),
        }
    }

    /// Issues an opaque token of 43 random characters. The introspection endpoint of the issuer returns its claims, without
    /// the header.
    #[must_use]
    pub fn opaque(self) -> String {
        self.issuer.register(self.claims)
    }
}

impl fmt::Debug for TestToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").field("header", &self.header).field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// The metadata URL in the challenges of a handler under test.
const METADATA_URL: &str = "https://resource.example/.well-known/oauth-protected-resource";
/// Long enough for a test.
const LIFETIME: Duration = Duration::from_secs(300);
