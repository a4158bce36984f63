//! An application behind the layer, and checks of its responses.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::routing::any;
use axum::{Extension, Router};
use http::{HeaderMap, Request, Response, StatusCode, header};
use mcp_bearer::bearer::{BearerAuthLayer, RejectionKind};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::verify::VerifyError;
use mcp_bearer::{AuthInfo, Rejection, ResourceServer, ResourceServerBuilder};
use serde_json::Value;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;

use crate::transport::{self, Socket, over_a_socket};

pub const ISSUER: &str = "https://auth.example.com";
pub const RESOURCE: &str = "https://mcp.example.com/mcp";
pub const METADATA_URL: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

/// The kind of a rejection during an outage of unknown length.
pub fn unavailable() -> RejectionKind {
    Rejection::from(VerifyError::unavailable(None)).kind()
}

/// All algorithms. A build may support fewer.
pub const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

/// An issuer, a server that accepts its tokens, and their common clock.
pub struct Fixture {
    pub issuer: TestIssuer,
    pub clock: TestClock,
    pub server: ResourceServer,
}

impl Fixture {
    /// A server that has fetched its keys.
    pub async fn new() -> Self {
        let fixture = Self::cold();
        fixture.server.warm_up().await.unwrap();
        fixture
    }

    /// A server that has fetched nothing.
    pub fn cold() -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
        // Built outside of a Tokio runtime, so that nothing is fetched in the background.
        let (built, given) = (issuer.issuer(), clock.clone());
        let server = std::thread::spawn(move || {
            ResourceServer::builder(RESOURCE).issuer(built).scopes_supported(["mcp:tools"]).clock(given).build_lazy()
        });
        Self { issuer, clock, server: server.join().unwrap().unwrap() }
    }

    /// A valid token.
    pub fn token(&self) -> String {
        self.issuer.token().audience(RESOURCE).scope("mcp:tools").sign()
    }

    /// The application with `mcp:tools` as a required scope.
    pub fn app(&self) -> App {
        App::new(self.server.bearer_layer().required_scopes(["mcp:tools"]))
    }
}

/// Builds a server outside of a tokio runtime. It does not have a background task, so it sends no request
/// before the first token.
pub fn quiet(builder: ResourceServerBuilder) -> ResourceServer {
    std::thread::spawn(move || builder.build_lazy()).join().unwrap().unwrap()
}

/// `authorization_servers` of the metadata.
pub async fn published(server: &ResourceServer) -> Value {
    let request = Request::get(server.metadata_url()).body(Body::empty()).unwrap();
    let response = server.metadata_service().oneshot(request).await.unwrap();
    Answer::of(response).await.json()["authorization_servers"].take()
}

/// The layer with these required scopes, of which there may be none.
pub fn requiring(server: &ResourceServer, scopes: &[&str]) -> BearerAuthLayer {
    let required: Vec<_> = scopes.iter().filter(|scope| !scope.is_empty()).collect();
    let layer = server.bearer_layer();
    if required.is_empty() { layer } else { layer.required_scopes(required) }
}

/// A JSON file of the shared test data. If it does not exist, prints a message and returns `None`.
pub fn collection(variable: &str, folder: &str, file: &str) -> Option<Value> {
    let file = located(variable, folder, file)?;
    Some(serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
}

/// The path of shared test data: in `../shared/<folder>`, or in the folder given by the environment variable. If it
/// does not exist, prints a message and returns `None`, or panics in continuous integration.
pub fn located(variable: &str, folder: &str, name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(folder);
    let path = std::env::var_os(variable).map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    let skipped = format!("SKIPPED: {} is not there; name its folder by {variable}", path.display());
    assert!(std::env::var_os("CI").is_none(), "{skipped}");
    // Written directly to stderr, since the test runner hides the captured output of passing tests.
    std::io::stderr().write_all(format!("{skipped}\n").as_bytes()).unwrap();
    None
}

/// An application that counts the requests that reach its handler.
#[derive(Clone)]
pub struct App {
    router: Router,
    reached: Arc<AtomicUsize>,
    socket: Arc<OnceCell<Socket>>,
}

impl App {
    pub fn new(layer: BearerAuthLayer) -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let router =
            Router::new().route("/mcp", any(handler)).route_layer(layer).layer(Extension(Arc::clone(&reached)));
        Self { router, reached, socket: Arc::default() }
    }

    /// The number of requests that reached the handler.
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// The router, for use behind another layer.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let credentials = Credentials::of(&request);
        let response = match over_a_socket() && !transport::is_too_long(&request) {
            true => self.socket.get_or_init(|| Socket::open(self.router())).await.send(request).await,
            false => self.router().oneshot(request).await.unwrap(),
        };
        let answer = Answer::of(response).await;
        credentials.assert_not_in("the answer", &format!("{answer:?}"));
        answer
    }

    /// Sends a GET request with this `Authorization` header.
    pub async fn get(&self, authorization: &str) -> Answer {
        self.send(Request::get("/mcp").header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap()).await
    }

    /// Sends a GET request with this token.
    pub async fn with_token(&self, token: &str) -> Answer {
        self.get(&format!("Bearer {token}")).await
    }
}

async fn handler(Extension(reached): Extension<Arc<AtomicUsize>>, auth: Option<AuthInfo>) -> String {
    reached.fetch_add(1, Ordering::SeqCst);
    auth.map_or_else(|| "anonymous".to_owned(), |auth| auth.subject().unwrap_or("service").to_owned())
}

/// The credentials and the proofs of a request, which must not appear in logs or responses.
pub struct Credentials(Vec<u8>);

impl Credentials {
    pub fn of<B>(request: &Request<B>) -> Self {
        let tokens = request.headers().get_all(header::AUTHORIZATION).iter();
        let values = tokens.chain(request.headers().get_all("dpop"));
        Self(values.flat_map(|value| value.as_bytes().iter().take(MAX_SEARCHED).chain(b" ")).copied().collect())
    }

    /// Asserts that the text contains no twelve consecutive characters of the token or of a proof.
    pub fn assert_not_in(&self, place: &str, text: &str) {
        let words = self.0.split(|byte| !(byte.is_ascii_alphanumeric() || b"-_+/~=".contains(byte)));
        for piece in words.flat_map(|word| word.chunks_exact(12)).filter_map(|piece| std::str::from_utf8(piece).ok()) {
            assert!(!text.contains(piece), "{place} contains {piece} of the token: {text}");
        }
    }
}

/// The length up to which a header is searched for in responses. A longer header is rejected by its length.
const MAX_SEARCHED: usize = 16 * 1024;

/// A response with its complete body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    pub rejection: Option<mcp_bearer::bearer::Rejection>,
}

impl Answer {
    pub async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body_util::BodyExt,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
            rejection: parts.extensions.get().cloned(),
        }
    }

    /// The value of a header, which must appear only once.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        let mut values = self.headers.get_all(name.as_ref()).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{} appears twice", name.as_ref());
        value
    }

    /// The scheme and the parameters of each challenge, parsed by an independent parser.
    pub fn challenges(&self) -> Vec<(String, Vec<(String, String)>)> {
        let Some(header) = self.header("www-authenticate") else { return Vec::new() };
        let challenges = http_auth::parse_challenges(header).unwrap();
        let parameters = |challenge: &http_auth::ChallengeRef<'_>| {
            challenge.params.iter().map(|(name, value)| ((*name).to_owned(), value.to_unescaped())).collect()
        };
        challenges.iter().map(|challenge| (challenge.scheme.to_owned(), parameters(challenge))).collect()
    }

    /// The parameters of the only challenge.
    pub fn challenge(&self) -> Option<Vec<(String, String)>> {
        let mut challenges = self.challenges();
        assert!(challenges.len() <= 1, "{challenges:?}");
        let (scheme, parameters) = challenges.pop()?;
        assert_eq!(scheme, "Bearer");
        Some(parameters)
    }

    /// One parameter of the challenge.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.challenge()?.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// One parameter of the challenge for the scheme `DPoP`.
    pub fn dpop_parameter(&self, name: &str) -> Option<String> {
        let (_, parameters) = self.challenges().into_iter().find(|(scheme, _)| scheme == "DPoP")?;
        parameters.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The error code in the body. It must equal the one in the challenges, if there are any.
    pub fn error(&self) -> Option<String> {
        if self.body.is_empty() {
            return None;
        }
        let code = self.json()["error"].as_str().map(str::to_owned);
        let challenges = self.challenges();
        let errors = challenges.iter().flat_map(|(_, parameters)| parameters).filter(|(name, _)| name == "error");
        let errors: Vec<_> = errors.map(|(_, error)| error).collect();
        assert!(
            challenges.is_empty() || (!errors.is_empty() && errors.iter().all(|error| Some(*error) == code.as_ref())),
            "{self:?}"
        );
        code
    }

    /// The status and the error code as a short text, such as `R401`.
    pub fn verdict(&self) -> String {
        if self.status == StatusCode::OK {
            return "OK".to_owned();
        }
        match (self.status.as_u16(), self.error().as_deref()) {
            (401, None) => "R401N".to_owned(),
            (401, Some("invalid_token")) => "R401".to_owned(),
            (401, Some("invalid_dpop_proof")) => "P401".to_owned(),
            (401, Some("use_dpop_nonce")) => "N401".to_owned(),
            (400, Some("invalid_request")) => "R400".to_owned(),
            (403, Some("insufficient_scope")) => "R403".to_owned(),
            (503, Some("temporarily_unavailable")) => "R503".to_owned(),
            (status, error) => format!("{status} {error:?}"),
        }
    }
}
