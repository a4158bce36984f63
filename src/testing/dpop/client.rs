use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Request, Response, header, request};
use tower_service::Service;

use super::key::TestDpopKey;
use super::proof::TestProof;

/// A client that sends requests with a bound access token and a DPoP proof (RFC 9449, section 7).
///
/// It keeps the last nonce of the server, so use one client per server. [`send`](Self::send) sends requests to a tower service,
/// such as an axum `Router`. For any other HTTP client, [`headers`](Self::headers) makes the headers of a request.
#[derive(Debug)]
pub struct TestClient {
    key: TestDpopKey,
    nonce: Mutex<Option<String>>,
}

impl TestClient {
    /// A client with a new ES256 key, whose proofs have the time of the system clock.
    #[must_use]
    pub fn dpop() -> Self {
        Self::with_key(TestDpopKey::new())
    }

    /// A client with this key. `TestClient::with_key(issuer.dpop_key())` uses the clock of an issuer.
    #[must_use]
    pub const fn with_key(key: TestDpopKey) -> Self {
        Self { key, nonce: Mutex::new(None) }
    }

    /// The key that its tokens must be [bound to](crate::testing::TestToken::bound_to).
    #[must_use]
    pub const fn key(&self) -> &TestDpopKey {
        &self.key
    }

    /// The last nonce that the server sent.
    #[must_use]
    pub fn nonce(&self) -> Option<String> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A proof with the last nonce of the server, and without an access token: for a token request (RFC 9449, section 5).
    pub fn proof(&self, method: impl AsRef<str>, url: &str) -> TestProof {
        let proof = self.key.proof(method, url);
        match self.nonce() {
            Some(nonce) => proof.nonce(&nonce),
            None => proof,
        }
    }

    /// The headers `Authorization` and `DPoP` of a request with this access token. Each call makes a new proof.
    ///
    /// With reqwest: `http.get(url).headers(client.headers("GET", url, &token)).send()`. If
    /// [`accept_nonce`](Self::accept_nonce) returns `true` for the headers of the response, send the request again with new
    /// headers.
    ///
    /// # Panics
    /// If the token has characters that a header cannot have.
    #[must_use]
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a mistake in a test stops the test")]
    pub fn headers(&self, method: impl AsRef<str>, url: &str, token: &str) -> HeaderMap {
        let proof = self.proof(method, url).access_token(token).sign();
        let value = |text: String| HeaderValue::try_from(text).expect("a header value");
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value(format!("DPoP {token}")));
        headers.insert("dpop", value(proof));
        headers
    }

    /// Starts a request with the [`headers`](Self::headers) of this access token.
    ///
    /// ```
    /// use mcp_bearer::testing::{TestClient, TestIssuer};
    ///
    /// let issuer = TestIssuer::new("https://auth.example.com");
    /// let client = TestClient::with_key(issuer.dpop_key());
    /// let token = issuer.token().audience("https://mcp.example.com/mcp").bound_to(client.key()).sign();
    /// let request = client.request("GET", "https://mcp.example.com/mcp", &token).body(())?;
    /// assert_eq!(request.headers()["authorization"], format!("DPoP {token}"));
    /// assert!(request.headers().contains_key("dpop"));
    /// # Ok::<(), http::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`headers`](Self::headers).
    #[track_caller]
    pub fn request(&self, method: impl AsRef<str>, url: &str, token: &str) -> request::Builder {
        let mut request = Request::builder().method(method.as_ref()).uri(url);
        if let Some(headers) = request.headers_mut() {
            *headers = self.headers(method, url, token);
        }
        request
    }

    /// Keeps the nonce in the header `DPoP-Nonce` of a response. Returns whether the server asks for the same request with this
    /// nonce (`use_dpop_nonce`; RFC 9449, section 9).
    pub fn accept_nonce(&self, response: &HeaderMap) -> bool {
        let Some(nonce) = response.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()) else { return false };
        *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce.to_owned());
        let mut challenges = response.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        challenges.any(|challenge| challenge.contains("error=\"use_dpop_nonce\""))
    }

    /// Sends a request with this access token to a tower service. If the server asks for a nonce, the client sends the request
    /// again with it, once.
    ///
    /// The URI of the request must be absolute, because it is the URL of the proof. The body must be `Clone`, such as a
    /// `String`.
    ///
    /// # Errors
    /// Those of the service.
    ///
    /// # Panics
    /// If the URI is not absolute, and as [`headers`](Self::headers).
    pub async fn send<S, B, R>(&self, mut service: S, request: Request<B>, token: &str) -> Result<Response<R>, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: Clone,
    {
        let url = request.uri().to_string();
        assert!(
            request.uri().authority().is_some(),
            "the URI {url:?} is not absolute: use https://mcp.example.com/mcp"
        );
        let mut is_repeated = false;
        loop {
            let mut attempt = request.clone();
            attempt.headers_mut().extend(self.headers(request.method(), &url, token));
            poll_fn(|context| service.poll_ready(context)).await?;
            let response = service.call(attempt).await?;
            if !self.accept_nonce(response.headers()) || is_repeated {
                return Ok(response);
            }
            is_repeated = true;
        }
    }
}
