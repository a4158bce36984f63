//! An authorization server like somebody's, and a resource server that trusts it.

use axum::Router;
use axum::routing::get;
use mcp_bearer::Clock as _;
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

/// An authorization server, and the clock that it shares with whoever trusts it.
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

    /// The issuer as a resource server is told of it that knows nothing but its URL.
    pub fn by_default(&self) -> Issuer {
        self.issuer.issuer()
    }

    /// The same, asked about every token.
    pub fn asked(&self) -> Issuer {
        self.by_default().introspect_all(credentials())
    }

    /// A resource server that trusts this issuer, configured so.
    pub fn trusted_as(&self, issuer: Issuer) -> Door {
        self.door(|server| server.issuer(issuer))
    }

    /// A resource server that is configured by hand.
    pub fn door(&self, configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Door {
        Door::new(&build(configure(ResourceServer::builder(RESOURCE).clock(self.clock.clone()))).unwrap())
    }

    /// What becomes of these claims under this configuration: in a JWT, and in an answer about an opaque token.
    pub async fn judge(&self, configure: impl Fn(Issuer) -> Issuer, claims: &Value) -> [Result<Who, RejectionKind>; 2] {
        let (here, asked) = (self.trusted_as(configure(self.by_default())), self.trusted_as(configure(self.asked())));
        [here.judge(&self.sign(claims)).await, asked.judge(&self.opaque(claims)).await]
    }

    /// The claims of a good token.
    pub fn claims(&self) -> Value {
        let now = self.clock.since_epoch().as_secs();
        json!({"iss": self.issuer.url(), "aud": RESOURCE, "sub": "alice", "iat": now, "exp": now + 300})
    }

    /// A JWT with a good header and these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"typ": "at+jwt"}), claims)
    }

    /// A JWT with these claims, and a header with these members beside `alg` and `kid`; `null` takes one away.
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

    /// An opaque token, active with these claims.
    pub fn opaque(&self, claims: &Value) -> String {
        let token = self.issuer.token().opaque();
        self.answer(&token, claims);
        token
    }

    /// Says of a token that it is active with these claims.
    pub fn answer(&self, token: &str, claims: &Value) {
        self.issuer.introspection_answer(token, with(claims.clone(), json!({"active": true})));
    }
}

/// What an operator adds to the configuration of an issuer.
pub type Configure = fn(Issuer) -> Issuer;

/// A guarded application that says who is calling.
#[derive(Clone)]
pub struct Door {
    router: Router,
}

/// Client, scopes and subject.
pub type Who = (Option<String>, String, Option<String>);

impl Door {
    pub fn new(server: &ResourceServer) -> Self {
        Self::behind(server.bearer_layer())
    }

    /// The same for those who have this scope.
    pub fn requiring(server: &ResourceServer, scope: &str) -> Self {
        Self::behind(requiring(server, &[scope]))
    }

    fn behind(layer: BearerAuthLayer) -> Self {
        Self { router: Router::new().route("/mcp", get(who)).route_layer(layer) }
    }

    /// Who is calling, or why nobody is.
    pub async fn judge(&self, token: &str) -> Result<Who, RejectionKind> {
        let answer = self.answer(token).await;
        match answer.rejection {
            Some(rejection) => Err(rejection.kind()),
            None => Ok(serde_json::from_str(&answer.body).unwrap()),
        }
    }

    /// The same as a word.
    pub async fn verdict(&self, token: &str) -> String {
        self.answer(token).await.verdict()
    }

    pub async fn answer(&self, token: &str) -> Answer {
        let request = http::Request::get("/mcp").header("authorization", format!("Bearer {token}"));
        Answer::of(self.router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap()).await
    }
}

async fn who(auth: AuthInfo) -> String {
    json!([auth.client_id(), auth.scopes().as_str(), auth.subject()]).to_string()
}

/// Builds where no runtime is at hand, so that nothing is fetched in the background.
pub fn build(builder: ResourceServerBuilder) -> Result<ResourceServer, BuildError> {
    std::thread::spawn(move || builder.build_lazy()).join().unwrap()
}

/// Who this server is to the authorization server.
pub fn credentials() -> ClientCredentials {
    ClientCredentials::basic("mcp-server", "s3cret")
}

pub const fn invalid(failure: CheckFailure) -> RejectionKind {
    RejectionKind::InvalidToken(failure)
}

/// A value with some members changed; `null` takes one away.
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
