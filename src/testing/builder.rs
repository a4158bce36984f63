use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Host;

use super::client::TrustedClient;
use super::documents::{Documents, Paths};
use super::issuer::TestIssuer;
use super::key_ring::KeyRing;
use super::socket::Socket;
use super::state::IssuerState;
use crate::clock::{Clock, SystemClock};
use crate::identifier::{InvalidIdentifier, IssuerUrl, PlainHttp};
use crate::jose::Algorithm;

/// The configuration of a [`TestIssuer`].
///
/// ```
/// use mcp_bearer::jose::Algorithm;
/// use mcp_bearer::testing::{TestClock, TestIssuer};
///
/// let clock = TestClock::new();
/// let builder = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::EdDSA).clock(clock.clone());
/// let issuer = builder.metadata_member("scopes_supported", vec!["notes:read"]).build();
/// assert_eq!(issuer.metadata()["scopes_supported"][0], "notes:read");
/// ```
#[must_use = "call `build` or `serve`"]
pub struct TestIssuerBuilder {
    url: String,
    algorithm: Algorithm,
    documents: Documents,
    clock: Arc<dyn Clock>,
    members: Map<String, Value>,
    client: Option<TrustedClient>,
}

impl TestIssuer {
    /// Starts the configuration of an issuer: its algorithm, documents, clock and more.
    pub fn builder(url: &str) -> TestIssuerBuilder {
        TestIssuerBuilder::new(url)
    }
}

impl TestIssuerBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            algorithm: Algorithm::ES256,
            documents: Documents::default(),
            clock: Arc::new(SystemClock),
            members: Map::new(),
            client: None,
        }
    }

    /// Signs with this algorithm. Default: ES256. Making an RSA key takes a tenth of a second.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Publishes only these metadata documents. Default: all of them.
    pub fn documents(mut self, documents: Documents) -> Self {
        self.documents = documents;
        self
    }

    /// Uses this clock for `iat` and `exp` of tokens, and to find expired tokens. Default: the system clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets a member of the metadata documents. `null` removes it.
    pub fn metadata_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Requires the credentials of this client for introspection and revocation, by `client_secret_basic` or
    /// `client_secret_post` (RFC 6749, section 2.3.1). Default: credentials are ignored.
    pub fn introspection_client(mut self, id: &str, secret: &str) -> Self {
        self.client = Some(TrustedClient::new(id, secret));
        self
    }

    /// Makes the issuer in memory.
    ///
    /// # Panics
    /// If the URL is not an issuer identifier (RFC 8414, section 2). Plain http is accepted for every host.
    #[must_use]
    #[track_caller]
    #[expect(clippy::panic, reason = "a mistake in a test stops the test")]
    pub fn build(self) -> TestIssuer {
        let url = parse(&self.url).unwrap_or_else(|error| panic!("the issuer {error}"));
        TestIssuer::from_parts(Arc::new(self.state(url)), None)
    }

    /// Makes the issuer on a socket, which listens at the host and port of its URL. Port 0 chooses a free port, which the
    /// URL then contains.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the URL is not a plain http URL of a loopback address. The error of the operating
    /// system if the port is in use.
    pub fn serve(self) -> io::Result<TestIssuer> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let url = parse(&self.url).map_err(|error| invalid(error.to_string()))?;
        let address = match url.url().host() {
            Some(Host::Ipv4(address)) if address.is_loopback() => address.into(),
            Some(Host::Ipv6(address)) if address.is_loopback() => address.into(),
            _ => return Err(invalid(format!("{url} is not a loopback address: use http://127.0.0.1:0"))),
        };
        if url.url().scheme() != "http" {
            return Err(invalid(format!("{url} is not plain http: a test issuer does not support TLS")));
        }
        let port = url.url().port().unwrap_or(DEFAULT_PORT);
        let listener = TcpListener::bind::<(std::net::IpAddr, u16)>((address, port))?;
        let text = match port {
            0 => self.url.replacen(":0", &format!(":{}", listener.local_addr()?.port()), 1),
            _ => self.url.clone(),
        };
        let url = parse(&text).map_err(|error| invalid(error.to_string()))?;
        let state = Arc::new(self.state(url));
        let socket = Socket::start(listener, &state)?;
        Ok(TestIssuer::from_parts(state, Some(socket)))
    }

    fn state(self, url: IssuerUrl) -> IssuerState {
        let paths = Paths::new(&url, self.documents);
        IssuerState::new(url, self.clock, KeyRing::new(self.algorithm), paths, self.members, self.client)
    }
}

impl fmt::Debug for TestIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuerBuilder")
            .field("url", &self.url)
            .field("algorithm", &self.algorithm)
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<IssuerUrl, InvalidIdentifier> {
    IssuerUrl::parse(url, PlainHttp::Anywhere)
}

/// The default port of http (RFC 9110, section 4.2.1).
const DEFAULT_PORT: u16 = 80;
