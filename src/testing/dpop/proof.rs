use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::TestDpopKey;
use crate::testing::signing_key::sha256;

/// A DPoP proof before it is signed (RFC 9449, section 4.2).
///
/// It starts as a valid proof for a request without a token: `typ` is `dpop+jwt`, `alg` and `jwk` are those of the key, `htm` and
/// `htu` those of the request, `iat` is now, and `jti` is random. Each member can be changed or removed.
///
/// ```
/// use mcp_bearer::testing::TestDpopKey;
///
/// let key = TestDpopKey::new();
/// let proof = || key.proof("GET", "https://mcp.example.com/mcp").access_token("token");
///
/// let without_id = proof().without("jti").sign();
/// let wrong_type = proof().header("typ", "JWT").sign();
/// let signed_by_another_key = proof().signed_by(&TestDpopKey::new()).sign();
/// ```
#[must_use = "call `sign`"]
pub struct TestProof {
    signer: TestDpopKey,
    now: Duration,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TestDpopKey {
    /// A proof for a request with this method and URL. Add the [access token](TestProof::access_token), if the request has
    /// one.
    ///
    /// `htu` is the URL without query and fragment (RFC 9449, section 4.2).
    pub fn proof(&self, method: impl AsRef<str>, url: &str) -> TestProof {
        let now = self.now();
        let without_query = url.split(['?', '#']).next().unwrap_or_default();
        TestProof { signer: self.clone(), now, header: Map::new(), claims: Map::new() }
            .header("typ", "dpop+jwt")
            .header("alg", self.pair.algorithm().name())
            .header("jwk", self.public_jwk())
            .claim("htm", method.as_ref())
            .claim("htu", without_query)
            .claim("iat", now.as_secs())
            .claim("jti", format!("{:032x}", fastrand::u128(..)))
    }
}

impl TestProof {
    /// Sets `ath` to the SHA-256 digest of this access token.
    pub fn access_token(self, token: &str) -> Self {
        self.claim("ath", URL_SAFE_NO_PAD.encode(sha256(token)))
    }

    /// Sets `nonce`.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", nonce)
    }

    /// Sets `iat` to these seconds since 1970-01-01T00:00:00Z. Default: now.
    pub fn issued_at(self, seconds: i64) -> Self {
        self.claim("iat", seconds)
    }

    /// Sets `iat` to this time before now.
    pub fn issued_ago(self, age: Duration) -> Self {
        let at = self.now.saturating_sub(age).as_secs();
        self.claim("iat", at)
    }

    /// Sets `iat` to this time after now.
    pub fn issued_in(self, time: Duration) -> Self {
        let at = self.now.saturating_add(time).as_secs();
        self.claim("iat", at)
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

    /// Sets a member of the header to any value. `alg` and `jwk` do not change the key that signs.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a member of the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with another key, and changes neither `alg` nor `jwk`.
    pub fn signed_by(mut self, key: &TestDpopKey) -> Self {
        self.signer = key.clone();
        self
    }

    /// Signs the proof: the value of the header `DPoP`.
    ///
    /// [`TestDpopKey::sign_raw`] signs what is not a JSON object with unique members.
    #[must_use]
    pub fn sign(self) -> String {
        self.signer.sign_raw(Value::Object(self.header).to_string(), Value::Object(self.claims).to_string())
    }
}

impl fmt::Debug for TestProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestProof").field("header", &self.header).field("claims", &self.claims).finish_non_exhaustive()
    }
}
