//! The server under test, and the checks that every response must pass.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body::Frame;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::server::ResourceServerBuilder;
use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::{BuildError, ResourceServer};
use serde_json::{Value, json};

use super::canned::{Canned, INTROSPECT};
use crate::capture::Capture;
use crate::support::{Answer, App, Credentials, Fixture, ISSUER, METADATA_URL, RESOURCE};

/// An application behind the layer, and the issuer that it trusts. Every response is checked against the common rules.
pub struct Trial {
    pub fixture: Fixture,
    pub app: App,
    log: Capture,
    logged: AtomicUsize,
    // The authorization server that replaces the pages of the issuer, if any.
    pages: Option<Canned>,
    offers_dpop: bool,
}

impl Trial {
    /// A server that has fetched its keys. A token causes every further fetch.
    pub async fn warm() -> Self {
        let trial = Self::cold();
        trial.fixture.server.warm_up().await.unwrap();
        trial
    }

    /// A server that has fetched nothing. A key lookup for a token is visible as a request.
    pub fn cold() -> Self {
        let (issuer, clock) = issuer(Algorithm::ES256);
        let accepted = issuer.issuer();
        Self::of(issuer, clock, |server| server.issuer(accepted))
    }

    /// A server that introspects every token at a configured endpoint.
    pub fn introspecting(introspection: impl Into<Introspection>) -> Self {
        let (issuer, clock) = issuer(Algorithm::ES256);
        let accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_all(introspection);
        Self::of(issuer, clock, |server| server.issuer(accepted))
    }

    /// A server with its own configuration.
    pub fn of(
        issuer: TestIssuer,
        clock: TestClock,
        configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder,
    ) -> Self {
        let server = server(configure(ResourceServer::builder(RESOURCE).clock(clock.clone()))).unwrap();
        let fixture = Fixture { issuer, clock, server };
        let app = fixture.app();
        Self {
            fixture,
            app,
            log: Capture::of_this_thread(),
            logged: AtomicUsize::new(0),
            pages: None,
            offers_dpop: false,
        }
    }

    /// Uses these pages instead of those of the issuer.
    pub fn shown(self, pages: &Canned) -> Self {
        Self { pages: Some(pages.clone()), ..self }
    }

    /// Expects that each challenge for the scheme `Bearer` is followed by one for the scheme `DPoP`.
    pub fn offering_dpop(self) -> Self {
        Self { offers_dpop: true, ..self }
    }

    /// Sends a request. Asserts that the response has this verdict and passes all common checks.
    pub async fn request(&self, id: &str, what: &str, request: Request<Body>, verdict: &str) -> Answer {
        let (reached, is_head) = (self.app.reached(), request.method() == Method::HEAD);
        let credentials = Credentials::of(&request);
        let answer = self.app.send(request).await;
        let (log, logged) = self.log.since(self.logged.load(Ordering::Relaxed));
        self.logged.store(logged, Ordering::Relaxed);
        credentials.assert_not_in("the log", &log);
        assert_eq!(self.fixture.issuer.stray_requests(), 0, "{id} {what}: another server received a request");
        let urls = self.pages.as_ref().map(Canned::urls).unwrap_or_default();
        assert!(
            urls.iter().all(|url| url.starts_with(ISSUER)),
            "{id} {what}: another server received a request: {urls:?}"
        );
        if !is_head {
            assert_eq!(answer.verdict(), verdict, "{id} {what}: {answer:?}");
        }
        let passed = usize::from(verdict == "OK");
        assert_eq!(self.app.reached(), reached + passed, "{id} {what}: the handler");
        if verdict != "OK" {
            assert_rejection(&answer, self.offers_dpop, &format!("{id} {what}"));
        }
        answer
    }

    /// Sends a GET request with a token. Asserts that the response has this verdict.
    pub async fn token(&self, id: &str, what: &str, token: &str, verdict: &str) -> Answer {
        self.request(id, what, bearer(token), verdict).await
    }

    /// Asserts that the token is rejected as invalid and causes no request.
    pub async fn reject(&self, id: &str, what: &str, token: &str) -> Answer {
        let before = self.requests();
        let answer = self.token(id, what, token, "R401").await;
        assert_eq!(self.requests(), before, "{id} {what}: the token caused a request");
        answer
    }

    /// Asserts that a valid token passes, so the earlier rejections had their own cause.
    pub async fn accept_a_valid_token(&self) {
        self.token("control", "a valid token", &self.fixture.token(), "OK").await;
    }

    /// The number of introspection requests that the issuer received.
    pub fn introspections(&self) -> usize {
        self.fixture.issuer.requests(Endpoint::Introspection)
    }

    /// The numbers of requests to the issuer and to other servers.
    pub fn requests(&self) -> (usize, usize) {
        let issuer = &self.fixture.issuer;
        (issuer.total_requests(), issuer.stray_requests())
    }

    /// The header of a valid token.
    pub fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.fixture.issuer.key_id()})
    }

    /// The claims of a valid token.
    pub fn claims(&self) -> Value {
        let now = self.fixture.clock.since_epoch().as_secs();
        json!({"iss": self.fixture.issuer.url(), "sub": "alice", "client_id": "test-client", "aud": RESOURCE,
            "exp": now + 300, "iat": now, "jti": "1", "scope": "mcp:tools"})
    }

    /// A token with exactly these bytes, signed by the issuer.
    pub fn sign(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.fixture.issuer.sign_raw(&self.fixture.issuer.key_id(), header, payload)
    }

    /// A signed token with a valid header and this payload.
    pub fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        self.sign(self.header().to_string(), payload)
    }

    /// A signed token with valid claims and this header.
    pub fn with_header(&self, header: impl AsRef<[u8]>) -> String {
        self.sign(header, self.claims().to_string())
    }
}

/// An issuer, and the clock that it shares with the server.
pub fn issuer(algorithm: Algorithm) -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    (TestIssuer::builder(ISSUER).algorithm(algorithm).clock(clock.clone()).build(), clock)
}

/// The client credentials of this server at the issuer.
pub fn credentials() -> ClientCredentials {
    ClientCredentials::basic("mcp-server", "s3cret")
}

/// Builds the server outside of a Tokio runtime, so that nothing is fetched in the background.
pub fn server(builder: ResourceServerBuilder) -> Result<ResourceServer, BuildError> {
    std::thread::spawn(move || builder.scopes_supported(["mcp:tools"]).build_lazy()).join().unwrap()
}

pub fn bearer(token: &str) -> Request<Body> {
    Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap()
}

/// Asserts the properties that every rejection has.
pub fn assert_rejection(answer: &Answer, offers_dpop: bool, what: &str) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    let challenges = answer.challenges();
    let [(scheme, bearer), others @ ..] = challenges.as_slice() else {
        assert_eq!(answer.status, 503, "{what}: only an outage may omit the challenge");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{what}: Retry-After {seconds}");
        return;
    };
    // Older clients read only the first challenge.
    assert_eq!(scheme, "Bearer", "{what}");
    let is_about_the_proof = matches!(answer.verdict().as_str(), "P401" | "N401");
    let error = ["error", "error_description"];
    let has_error = !answer.body.is_empty() && !is_about_the_proof;
    let expected: Vec<_> = error.iter().filter(|_| has_error).chain(&["resource_metadata", "scope"]).copied().collect();
    assert_eq!(names(bearer), expected, "{what}");
    assert_eq!(value(bearer, "resource_metadata"), Some(METADATA_URL), "{what}");
    assert_eq!(value(bearer, "scope"), Some("mcp:tools"), "{what}");
    for (scheme, parameters) in others {
        assert_eq!(scheme, "DPoP", "{what}");
        let expected: Vec<_> = error.iter().filter(|_| !answer.body.is_empty()).chain(&["algs"]).copied().collect();
        assert_eq!(names(parameters), expected, "{what}");
    }
    assert_eq!(others.len(), usize::from(offers_dpop), "{what}: {others:?}");
    let described = challenges.iter().filter_map(|(_, parameters)| value(parameters, "error_description"));
    let described: Vec<_> = described.collect();
    assert_eq!(described.is_empty(), answer.body.is_empty(), "{what}");
    for description in described {
        assert_eq!(answer.json()["error_description"], *description, "{what}");
    }
}

fn names(parameters: &[(String, String)]) -> Vec<&str> {
    parameters.iter().map(|(name, _)| name.as_str()).collect()
}

fn value<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The three parts of a token.
pub fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().unwrap()
}

/// The value with some members changed. `null` removes a member.
pub fn with(mut value: Value, changes: Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        value[name] = change.clone();
    }
    value.as_object_mut().unwrap().retain(|name, member| !member.is_null() || changes.get(name).is_none());
    value
}

/// The Ed25519 key of RFC 8037, appendix A. Its private half is public, so tests can sign with it as an issuer or as an
/// attacker.
pub mod own_key {
    use super::*;

    pub const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    // The PKCS #8 encoding before the private key (RFC 8410, section 7).
    const PREFIX: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

    pub fn jwk(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid})
    }

    /// The key pair as PKCS #8.
    pub fn pkcs8() -> Vec<u8> {
        [PREFIX, &from_base64url(D)].concat()
    }

    /// The signature over the text, in base64url.
    pub fn signature(text: &str) -> String {
        let key = jsonwebtoken::EncodingKey::from_ed_der(&pkcs8());
        jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::EdDSA).unwrap()
    }

    pub fn sign(header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        format!("{text}.{}", signature(&text))
    }
}

/// A token with this header, signed with HMAC.
pub fn hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let text = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let algorithm = header["alg"].as_str().unwrap().parse().unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    format!("{text}.{}", jsonwebtoken::crypto::sign(text.as_bytes(), &key, algorithm).unwrap())
}

/// A body that records whether it was polled.
#[derive(Clone, Default)]
pub struct RecordingBody(Arc<AtomicBool>);

impl RecordingBody {
    pub fn was_read(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl http_body::Body for RecordingBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.store(true, Ordering::SeqCst);
        Poll::Ready(None)
    }
}
