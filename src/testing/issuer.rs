use std::fmt;
use std::io;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::builder::TestIssuerBuilder;
use super::documents::Endpoint;
use super::fault::Fault;
use super::http_client::TestHttpClient;
use super::requests::ReceivedRequest;
use super::signing_key::SigningKey;
use super::socket::{Socket, router};
use super::state::{Scripted, State};
use super::token::{TestToken, compact};
use crate::issuer::Issuer;
use crate::jose::Algorithm;

/// An authorization server that publishes, signs, rotates and fails as a test tells it to.
///
/// See the [module](super).
pub struct TestIssuer {
    state: Arc<State>,
    socket: Option<Socket>,
}

/// Where it is.
impl TestIssuer {
    /// An issuer in memory that signs with ES256 and publishes both metadata documents.
    ///
    /// # Panics
    /// If `url` is no issuer identifier (RFC 8414, section 2).
    #[must_use]
    #[track_caller]
    pub fn new(url: &str) -> Self {
        Self::builder(url).build()
    }

    /// The same on a free loopback port: its URL is `http://127.0.0.1:PORT`.
    ///
    /// It needs no runtime, and outlives the one that it was started in. Dropping it frees the port.
    ///
    /// # Errors
    /// What the operating system says if there is no port to be had.
    pub fn serve() -> io::Result<Self> {
        Self::builder("http://127.0.0.1:0").serve()
    }

    /// The same with a path, such as `/tenant`: its URL is `http://127.0.0.1:PORT/tenant`.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and [`io::ErrorKind::InvalidInput`] if `path` cannot stand in an issuer identifier.
    pub fn serve_at(path: &str) -> io::Result<Self> {
        Self::builder(&format!("http://127.0.0.1:0{path}")).serve()
    }

    /// An issuer with an algorithm, documents or a clock of your choice.
    pub fn builder(url: &str) -> TestIssuerBuilder {
        TestIssuerBuilder::new(url)
    }

    pub(super) const fn from_parts(state: Arc<State>, socket: Option<Socket>) -> Self {
        Self { state, socket }
    }

    /// The issuer identifier.
    #[must_use]
    pub fn url(&self) -> &str {
        self.state.url.as_str()
    }

    /// This issuer as a resource server is told of it: found by discovery, and reached without a socket.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        Issuer::discover(self.url()).http_client(self.http_client())
    }

    /// An HTTP client that reaches this issuer without a socket, and nothing else.
    #[must_use]
    pub fn http_client(&self) -> TestHttpClient {
        TestHttpClient::new(Arc::clone(&self.state))
    }

    /// All its endpoints as an axum router, to be merged into a server of yours as its fallback.
    pub fn router(&self) -> axum::Router {
        router(Arc::clone(&self.state))
    }

    /// Goes away: connections are cut and new ones refused, in memory too.
    pub fn stop(&self) {
        self.state.set_up(false);
        if let Some(socket) = &self.socket {
            socket.stop();
        }
    }

    /// Comes back at the same URL with the same keys.
    ///
    /// # Errors
    /// What the operating system says if somebody else has the port now.
    pub fn restart(&self) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            socket.restart(&self.state)?;
        }
        self.state.set_up(true);
        Ok(())
    }
}

/// What it signs.
impl TestIssuer {
    /// A token that names this issuer, is good for five minutes, and lacks only an audience.
    pub fn token(&self) -> TestToken<'_> {
        TestToken::new(self, self.state.clock.since_epoch())
    }

    /// Any header and any payload, byte for byte, with a valid signature by a key that this issuer has or had.
    ///
    /// # Panics
    /// If there never was a key with this id.
    #[must_use]
    #[track_caller]
    pub fn sign_raw(&self, kid: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        compact(&self.key(kid), header.as_ref(), payload.as_ref())
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a test's own mistake stops the test")]
    pub(super) fn key(&self, kid: &str) -> Arc<SigningKey> {
        let found = self.state.lock().ring.find(kid);
        found.unwrap_or_else(|| panic!("{} never had a key {kid:?}", self.url()))
    }

    /// The published key for an algorithm, made if there is none.
    pub(super) fn key_for(&self, algorithm: Algorithm) -> String {
        let published = self.state.lock().ring.published_for(algorithm).map(str::to_owned);
        published.unwrap_or_else(|| self.add_key(algorithm))
    }
}

/// What it says of tokens.
impl TestIssuer {
    /// What the introspection endpoint says of a token now (RFC 7662, section 2.2).
    ///
    /// Active are the opaque tokens that were handed out here and the tokens signed with a key that is published, up to
    /// their `exp`: `{"active": true, "token_type": "Bearer"}` and all claims, whose own `token_type` would win. All
    /// else is `{"active": false}`.
    #[must_use]
    pub fn introspect(&self, token: &str) -> Value {
        self.state.introspect(&self.state.lock(), token)
    }

    /// Says exactly this of a token, until it is revoked.
    pub fn introspection_answer(&self, token: &str, answer: impl Into<Value>) {
        self.state.lock().tokens.answer_with(token, answer.into());
    }

    /// Makes a token inactive, as a request to the revocation endpoint does. A signature is none the worse for it.
    pub fn revoke(&self, token: &str) {
        self.state.revoke(&mut self.state.lock(), token);
    }

    pub(super) fn register(&self, claims: Map<String, Value>) -> String {
        self.state.lock().tokens.register(claims, self.state.clock.since_epoch())
    }
}

/// Its keys.
impl TestIssuer {
    /// The id of the key that signs when a token names neither a key nor an algorithm.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.state.lock().ring.current().to_owned()
    }

    /// Replaces the signing key by a new one of the same algorithm and returns its id. The old one is no longer
    /// published, but still signs with [`TestToken::key`].
    pub fn rotate(&self) -> String {
        self.state.publish(|changing| changing.ring.rotate())
    }

    /// Publishes one more key and returns its id.
    pub fn add_key(&self, algorithm: Algorithm) -> String {
        self.state.publish(|changing| changing.ring.add(algorithm))
    }

    /// Publishes a key no longer. If it was the signing key, the newest one left takes its place.
    ///
    /// # Panics
    /// If no key with this id is published.
    #[track_caller]
    pub fn remove_key(&self, kid: &str) {
        let was_published = self.state.publish(|changing| changing.ring.remove(kid));
        assert!(was_published, "{} publishes no key {kid:?}", self.url());
    }

    /// Publishes this document in place of the key set, until [`heal`](Self::heal).
    pub fn publish_key_set(&self, document: Value) {
        self.state.publish(|changing| changing.ring.override_document(Some(document)));
    }

    /// The key set as published.
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        self.state.lock().ring.document()
    }
}

/// Its metadata.
impl TestIssuer {
    /// The metadata as published, the same under every well-known path.
    #[must_use]
    pub fn metadata(&self) -> Value {
        self.state.metadata(&self.state.lock())
    }

    /// Sets a member of the metadata; `null` takes it away.
    pub fn set_metadata_member(&self, name: &str, value: impl Into<Value>) {
        self.state.publish(|changing| changing.members.insert(name.to_owned(), value.into()));
    }

    /// Moves the key set to another absolute path, such as `/keys/2`, and says so in the metadata.
    pub fn move_key_set(&self, path: &str) {
        self.state.publish(|changing| changing.paths.move_key_set(path));
    }
}

/// What goes wrong.
impl TestIssuer {
    /// Makes an endpoint fail until [`heal`](Self::heal), on top of the faults that it already has.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.script(endpoint, Scripted { fault, remaining: None });
    }

    /// Makes an endpoint fail for the next `times` requests.
    pub fn fault_times(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        if times > 0 {
            self.script(endpoint, Scripted { fault, remaining: Some(times) });
        }
    }

    fn script(&self, endpoint: Endpoint, scripted: Scripted) {
        self.state.lock().faults.entry(endpoint).or_default().push(scripted);
    }

    /// Ends all faults, and the document of [`publish_key_set`](Self::publish_key_set).
    pub fn heal(&self) {
        self.state.publish(|changing| {
            changing.faults.clear();
            changing.ring.override_document(None);
        });
    }
}

/// What it was asked.
impl TestIssuer {
    /// How many requests for this endpoint arrived.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.state.lock().log.count(endpoint)
    }

    /// How many requests arrived, whatever for.
    #[must_use]
    pub fn total_requests(&self) -> usize {
        self.state.lock().log.total()
    }

    /// How many requests of its [`http_client`](Self::http_client) found it [stopped](Self::stop). On a socket nobody
    /// is there to count.
    #[must_use]
    pub fn refused_requests(&self) -> usize {
        self.state.lock().log.refused()
    }

    /// How many requests its [`http_client`](Self::http_client) was asked to send to somebody else.
    #[must_use]
    pub fn stray_requests(&self) -> usize {
        self.state.lock().log.strays()
    }

    /// The last request for this endpoint.
    #[must_use]
    pub fn last_request(&self, endpoint: Endpoint) -> Option<ReceivedRequest> {
        let changing = self.state.lock();
        changing.log.recent().iter().rev().find(|request| request.endpoint() == endpoint).cloned()
    }

    /// The last thousand requests, oldest first.
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
