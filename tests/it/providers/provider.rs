//! An authorization server with the URL and algorithm of a vendor, and a resource server that trusts it.

use axum::Router;
use axum::routing::get;
use mcp_bearer::bearer::{BearerAuthLayer, RejectionKind};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::server::ResourceServerBuilder;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{AuthInfo, BuildError, Issuer, ResourceServer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Answer, RESOURCE, requiring};

/// An authorization server and the clock that it shares with its resource servers.
pub struct Provider {
    pub issuer: TestIssuer,
    pub clock: TestClock,
}

impl Provider {
    pub fn new(url: &str) -> Self {
        Self::signing_with(url, Algorithm::ES256)
    }

    pub fn signing_with(url: &str, algorithm: Algorithm) -> Self {
        let clock = TestClock::new();
        Self { issuer: TestIssuer::builder(url).algorithm(algorithm).clock(clock.clone()).build(), clock }
    }

    /// The issuer, configured by its URL only.
    pub fn by_default(&self) -> Issuer {
        self.issuer.issuer()
    }

    /// The issuer with introspection of every token.
    pub fn introspecting(&self) -> Issuer {
        self.by_default().introspect_all(credentials())
    }

    /// An application behind a server that trusts this issuer.
    pub fn trusted_as(&self, issuer: Issuer) -> TestApp {
        self.app(|server| server.issuer(issuer))
    }

    /// An application behind a server with this configuration.
    pub fn app(&self, configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> TestApp {
        TestApp::new(&build(configure(ResourceServer::builder(RESOURCE).clock(self.clock.clone()))).unwrap())
    }

    /// The outcomes for these claims: in a JWT, and in the introspection response for an opaque token.
    pub async fn outcomes(
        &self,
        configure: impl Fn(Issuer) -> Issuer,
        claims: &Value,
    ) -> [Result<Caller, RejectionKind>; 2] {
        let (local, introspected) =
            (self.trusted_as(configure(self.by_default())), self.trusted_as(configure(self.introspecting())));
        [local.outcome(&self.sign(claims)).await, introspected.outcome(&self.opaque(claims)).await]
    }

    /// The claims of a valid token.
    pub fn claims(&self) -> Value {
        let now = self.clock.since_epoch().as_secs();
        json!({"iss": self.issuer.url(), "aud": RESOURCE, "sub": "alice", "iat": now, "exp": now + 300})
    }

    /// A JWT with a valid header and these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"typ": "at+jwt"}), claims)
    }

    /// A JWT with these claims, and with these header members beside `alg` and `kid`. `null` removes a member.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let mut token = self.issuer.token();
        for default in ["iss", "sub", "client_id", "iat", "exp", "jti"] {
            token = token.without(default);
        }
        token = token.without_header("typ");
        for (name, value) in header.as_object().unwrap() {
            token = if value.is_null() { token.without_header(name) } else { token.header(name, value.clone()) };
        }
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value.clone());
        }
        token.sign()
    }

    /// An opaque token that is active with these claims.
    pub fn opaque(&self, claims: &Value) -> String {
        let token = self.issuer.token().opaque();
        self.answer(&token, claims);
        token
    }

    /// Reports the token as active with these claims.
    pub fn answer(&self, token: &str, claims: &Value) {
        self.issuer.introspection_answer(token, with(claims.clone(), json!({"active": true})));
    }
}

/// A change to the configuration of an issuer.
pub type Configure = fn(Issuer) -> Issuer;

/// An application behind the layer that returns the caller.
#[derive(Clone)]
pub struct TestApp {
    router: Router,
}

/// The client, the scopes and the subject of an accepted token.
pub type Caller = (Option<String>, String, Option<String>);

impl TestApp {
    pub fn new(server: &ResourceServer) -> Self {
        let Self { router } = Self::behind(server.bearer_layer());
        Self { router: router.merge(server.metadata_router()) }
    }

    /// Requires this scope.
    pub fn requiring(server: &ResourceServer, scope: &str) -> Self {
        Self::behind(requiring(server, &[scope]))
    }

    fn behind(layer: BearerAuthLayer) -> Self {
        Self { router: Router::new().route("/mcp", get(caller)).route_layer(layer) }
    }

    /// The caller, or the reason for the rejection.
    pub async fn outcome(&self, token: &str) -> Result<Caller, RejectionKind> {
        let answer = self.answer(token).await;
        match answer.rejection {
            Some(rejection) => Err(rejection.kind()),
            None => Ok(serde_json::from_str(&answer.body).unwrap()),
        }
    }

    /// The verdict as a short text, such as `OK` or `R401`.
    pub async fn verdict(&self, token: &str) -> String {
        self.answer(token).await.verdict()
    }

    pub async fn answer(&self, token: &str) -> Answer {
        let request = http::Request::get("/mcp").header("authorization", format!("Bearer {token}"));
        Answer::of(self.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap()).await
    }
}

async fn caller(auth: AuthInfo) -> String {
    json!([auth.client_id(), auth.scopes().as_str(), auth.subject()]).to_string()
}

/// Builds the server outside of a Tokio runtime, so that nothing is fetched in the background.
pub fn build(builder: ResourceServerBuilder) -> Result<ResourceServer, BuildError> {
    std::thread::spawn(move || builder.build_lazy()).join().unwrap()
}

/// The client credentials of this server at the authorization server.
pub fn credentials() -> ClientCredentials {
    ClientCredentials::basic("mcp-server", "s3cret")
}

pub const fn invalid(failure: CheckFailure) -> RejectionKind {
    RejectionKind::InvalidToken(failure)
}

/// The value with some members changed. `null` removes a member.
pub fn with(mut value: Value, changes: Value) -> Value {
    let members = value.as_object_mut().unwrap();
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(members.remove(name)),
            change => drop(members.insert(name.clone(), change.clone())),
        }
    }
    value
}
