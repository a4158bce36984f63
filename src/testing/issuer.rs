use std::fmt;
use std::io;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::client::TrustedClient;
use super::documents::Endpoint;
use super::fault::Fault;
use super::http_client::TestHttpClient;
use super::requests::ReceivedRequest;
use super::signing_key::TestSigningKey;
use super::socket::{Socket, router};
use super::state::{IssuerState, Scripted};
use crate::issuer::Issuer;
use crate::jose::Algorithm;

/// An authorization server for tests, in memory or on a loopback socket.
///
/// ```
/// use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
/// use mcp_bearer::{BuildError, ResourceServer};
///
/// const RESOURCE: &str = "https://mcp.example.com/mcp";
///
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
/// # fn main() {}
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// #[tokio::main]
/// async fn main() -> Result<(), BuildError> {
///     let issuer = TestIssuer::new("https://auth.example.com");
///     let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build().await?;
///
///     // A valid token, an expired one, and an opaque one.
///     let valid = issuer.token().audience(RESOURCE).scope("notes:read").sign();
///     let expired = issuer.token().audience(RESOURCE).expired().sign();
///     let opaque = issuer.token().audience(RESOURCE).opaque();
///
///     // A key rotation, an outage, and its end.
///     issuer.rotate();
///     issuer.fault(Endpoint::KeySet, Fault::Status(503));
///     issuer.heal();
///     assert_eq!(issuer.requests(Endpoint::KeySet), 1);
///     Ok(())
/// }
/// ```
pub struct TestIssuer {
    pub(super) state: Arc<IssuerState>,
    socket: Option<Socket>,
}

/// Making an issuer, and its address.
impl TestIssuer {
    /// An issuer in memory that signs with ES256 and publishes all metadata documents.
    ///
    /// # Panics
    /// If `url` is not an issuer identifier (RFC 8414, section 2).
    #[must_use]
    #[track_caller]
    pub fn new(url: &str) -> Self {
        Self::builder(url).build()
    }

    /// An issuer on a free loopback port. Its URL is `http://127.0.0.1:PORT`.
    ///
    /// It needs no tokio runtime. Dropping it frees the port.
    ///
    /// # Errors
    /// The error of the operating system if no port is free.
    pub fn serve() -> io::Result<Self> {
        Self::builder("http://127.0.0.1:0").serve()
    }

    /// An issuer on a free loopback port, with a path such as `/tenant`. Its URL is `http://127.0.0.1:PORT/tenant`.
    ///
    /// # Errors
    /// Those of [`serve`](Self::serve), and [`io::ErrorKind::InvalidInput`] if an issuer identifier cannot have this path.
    pub fn serve_at(path: &str) -> io::Result<Self> {
        Self::builder(&format!("http://127.0.0.1:0{path}")).serve()
    }

    pub(super) const fn from_parts(state: Arc<IssuerState>, socket: Option<Socket>) -> Self {
        Self { state, socket }
    }

    /// The issuer identifier.
    #[must_use]
    pub fn url(&self) -> &str {
        self.state.url.as_str()
    }

    /// The [`Issuer`] for a resource server: it uses discovery, and the HTTP client below.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        Issuer::discover(self.url()).http_client(self.http_client())
    }

    /// An HTTP client that reaches this issuer without a socket, and no other host.
    #[must_use]
    pub fn http_client(&self) -> TestHttpClient {
        TestHttpClient::new(Arc::clone(&self.state))
    }

    /// All endpoints as an axum router, for the fallback of another server.
    pub fn router(&self) -> axum::Router {
        router(Arc::clone(&self.state))
    }

    /// Stops the issuer: connections are closed and new ones refused, in memory too.
    pub fn stop(&self) {
        self.state.set_up(false);
        if let Some(socket) = &self.socket {
            socket.stop();
        }
    }

    /// Starts the issuer again at the same URL with the same keys.
    ///
    /// # Errors
    /// The error of the operating system if the port is now in use.
    pub fn restart(&self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            socket.restart(&self.state)?;
        }
        self.state.set_up(true);
        Ok(())
    }
}

/// Tokens.
impl TestIssuer {
    #[track_caller]
    #[expect(clippy::panic, reason = "a mistake in a test stops the test")]
    pub(super) fn key(&self, kid: &str) -> Arc<TestSigningKey> {
        let found = self.state.lock().ring.find(kid);
        found.unwrap_or_else(|| panic!("{} never had a key {kid:?}", self.url()))
    }

    /// The published key for an algorithm. If there is none, one is made.
    pub(super) fn key_for(&self, algorithm: Algorithm) -> String {
        let published = self.state.lock().ring.published_for(algorithm).map(str::to_owned);
        published.unwrap_or_else(|| self.add_key(algorithm))
    }
}

/// Introspection and revocation.
impl TestIssuer {
    /// The current response of the introspection endpoint for a token (RFC 7662, section 2.2).
    ///
    /// Until their `exp`, opaque tokens of this issuer and tokens signed with a published key are active: the response is
    /// `{"active": true, "token_type": "Bearer"}` and all claims. For a token that is bound to a key, `token_type` is `DPoP`
    /// (RFC 9449, section 6.2). A claim `token_type` replaces both. The response for any other token is `{"active": false}`.
    #[must_use]
    pub fn introspect(&self, token: &str) -> Value {
        self.state.introspect(&self.state.lock(), token)
    }

    /// Sets the introspection response for a token, until it is revoked.
    pub fn introspection_answer(&self, token: &str, answer: impl Into<Value>) {
        self.state.lock().tokens.answer_with(token, answer.into());
    }

    /// Changes the client of [`introspection_client`](super::TestIssuerBuilder::introspection_client), as a rotation of its
    /// secret does.
    pub fn set_introspection_client(&self, id: &str, secret: &str) {
        self.state.lock().client = Some(TrustedClient::new(id, secret));
    }

    /// Makes a token inactive, as a request to the revocation endpoint does. A signature stays valid.
    pub fn revoke(&self, token: &str) {
        self.state.revoke(&mut self.state.lock(), token);
    }

    pub(super) fn register(&self, claims: Map<String, Value>) -> String {
        self.state.lock().tokens.register(claims, self.state.clock.since_epoch())
    }
}

/// Keys.
impl TestIssuer {
    /// The id of the current signing key.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.state.lock().ring.current().to_owned()
    }

    /// Replaces the signing key by a new one of the same algorithm, and returns its id. The old key is no longer published,
    /// and [`TestToken::key`](super::TestToken::key) can still sign with it.
    pub fn rotate(&self) -> String {
        self.state.publish(|changing| changing.ring.rotate())
    }

    /// Publishes another key, and returns its id.
    pub fn add_key(&self, algorithm: Algorithm) -> String {
        self.state.publish(|changing| changing.ring.add(algorithm))
    }

    /// Stops publishing a key. If it was the signing key, the newest published key becomes the signing key.
    ///
    /// # Panics
    /// If no key with this id is published.
    #[track_caller]
    pub fn remove_key(&self, kid: &str) {
        let was_published = self.state.publish(|changing| changing.ring.remove(kid));
        assert!(was_published, "{} publishes no key {kid:?}", self.url());
    }

    /// Publishes this document instead of the key set, until [`heal`](Self::heal).
    pub fn publish_key_set(&self, document: Value) {
        self.state.publish(|changing| changing.ring.override_document(Some(document)));
    }

    /// The published key set.
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        self.state.lock().ring.document()
    }
}

/// Metadata.
impl TestIssuer {
    /// The published metadata, which is the same at every well-known path.
    #[must_use]
    pub fn metadata(&self) -> Value {
        self.state.metadata(&self.state.lock())
    }

    /// Sets a member of the metadata. `null` removes it.
    pub fn set_metadata_member(&self, name: &str, value: impl Into<Value>) {
        self.state.publish(|changing| changing.members.insert(name.to_owned(), value.into()));
    }

    /// Moves the key set to another absolute path, such as `/keys/2`, and changes the metadata.
    pub fn move_key_set(&self, path: &str) {
        self.state.publish(|changing| changing.paths.move_key_set(path));
    }
}

/// Faults.
impl TestIssuer {
    /// Adds a fault to an endpoint, until [`heal`](Self::heal).
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.script(endpoint, Scripted { fault, remaining: None });
    }

    /// Adds a fault to an endpoint for the next `times` requests.
    pub fn fault_times(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        if times > 0 {
            self.script(endpoint, Scripted { fault, remaining: Some(times) });
        }
    }

    fn script(&self, endpoint: Endpoint, scripted: Scripted) {
        self.state.lock().faults.entry(endpoint).or_default().push(scripted);
    }

    /// Removes all faults, and the document of [`publish_key_set`](Self::publish_key_set).
    pub fn heal(&self) {
        self.state.publish(|changing| {
            changing.faults.clear();
            changing.ring.override_document(None);
        });
    }
}

/// Received requests.
impl TestIssuer {
    /// The number of requests that reached this endpoint.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.state.lock().log.count(endpoint)
    }

    /// The number of requests that reached the issuer.
    #[must_use]
    pub fn total_requests(&self) -> usize {
        self.state.lock().log.total()
    }

    /// The number of requests of its [`http_client`](Self::http_client) while it was [stopped](Self::stop). Requests on a
    /// socket are not counted.
    #[must_use]
    pub fn refused_requests(&self) -> usize {
        self.state.lock().log.refused()
    }

    /// The number of requests of its [`http_client`](Self::http_client) to other hosts.
    #[must_use]
    pub fn stray_requests(&self) -> usize {
        self.state.lock().log.strays()
    }

    /// The last request to this endpoint.
    #[must_use]
    pub fn last_request(&self, endpoint: Endpoint) -> Option<ReceivedRequest> {
        let changing = self.state.lock();
        changing.log.recent().iter().rev().find(|request| request.endpoint() == endpoint).cloned()
    }

    /// The last 1,000 requests, oldest first.
    #[must_use]
    pub fn recent_requests(&self) -> Vec<ReceivedRequest> {
        self.state.lock().log.recent().iter().cloned().collect()
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer").field("url", &self.state.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
