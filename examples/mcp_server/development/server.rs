use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mcp_bearer::testing::{TestIssuer, TestToken};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use super::authorize::{self, Consent};
use super::secret::{self, SecretMaker};
use super::token::{self, Grant, IssuedCode, IssuedToken};
use super::vault::Vault;
use super::{proof, register, revoke};

/// The configuration of the development authorization server.
pub(crate) struct Configuration {
    /// The address to listen on. The server only starts on loopback.
    pub(crate) bind: SocketAddr,
    /// The only resource that its tokens are valid for.
    pub(crate) resource: String,
    /// The scopes for a request without `scope`.
    pub(crate) default_scopes: Vec<String>,
    /// The scopes that a client may request.
    pub(crate) scopes: Vec<String>,
    /// Whether to bind tokens to the key of a DPoP proof. Otherwise, proofs are ignored.
    pub(crate) supports_dpop: bool,
}

/// A running development authorization server.
pub(crate) struct AuthorizationServer {
    shared: Arc<Shared>,
}

/// The format of the access tokens.
#[derive(Debug, Clone, Copy)]
enum AccessTokens {
    Jwt,
    Opaque,
}

/// The state that all endpoints share.
pub(crate) struct Shared {
    pub(crate) issuer: TestIssuer,
    access: AccessTokens,
    /// The credentials of the MCP server, which is the only client that may introspect.
    introspection_secret: String,
    pub(crate) resource: String,
    pub(crate) default_scopes: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) supports_dpop: bool,
    pub(crate) secrets: SecretMaker,
    pub(crate) consents: Vault<Consent>,
    pub(crate) codes: Vault<IssuedCode>,
    pub(crate) refresh_tokens: Vault<Grant>,
    pub(crate) access_tokens: Vault<IssuedToken>,
    /// The logins of used codes and refresh tokens.
    pub(crate) used: Vault<String>,
    /// The used DPoP proofs.
    pub(crate) proofs: Vault<()>,
    address: SocketAddr,
}

impl AuthorizationServer {
    /// Starts the server on the current runtime. Its access tokens are JWTs.
    pub(crate) async fn start(configuration: Configuration) -> io::Result<Self> {
        Self::start_with(configuration, AccessTokens::Jwt).await
    }

    /// Starts the server with opaque access tokens, which the MCP server introspects.
    pub(crate) async fn start_opaque(configuration: Configuration) -> io::Result<Self> {
        Self::start_with(configuration, AccessTokens::Opaque).await
    }

    async fn start_with(configuration: Configuration, access: AccessTokens) -> io::Result<Self> {
        let Configuration { bind, resource, default_scopes, mut scopes, supports_dpop } = configuration;
        if !bind.ip().is_loopback() {
            let what = "the development authorization server does not check passwords, so it listens on loopback only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        scopes.push(token::OFFLINE_ACCESS.into());
        let introspection_secret = secret::random();
        // `null` leaves the member out.
        let dpop_algorithms = if supports_dpop { Value::from(proof::algorithm_names()) } else { Value::Null };
        let with_secret = ["client_secret_basic", "client_secret_post"];
        let issuer = TestIssuer::builder(&format!("http://{address}"))
            .introspection_client(INTROSPECTION_CLIENT, &introspection_secret)
            .metadata_member("scopes_supported", scopes.clone())
            .metadata_member("dpop_signing_alg_values_supported", dpop_algorithms)
            .metadata_member("introspection_endpoint_auth_methods_supported", with_secret.to_vec())
            .metadata_member("revocation_endpoint_auth_methods_supported", [&["none"], &with_secret[..]].concat())
            .build();
        let shared = Arc::new(Shared {
            issuer,
            access,
            introspection_secret,
            resource,
            default_scopes,
            scopes,
            supports_dpop,
            secrets: SecretMaker::new(),
            consents: Vault::new(CONSENT_LIFETIME),
            codes: Vault::new(CODE_LIFETIME),
            refresh_tokens: Vault::new(REFRESH_LIFETIME),
            access_tokens: Vault::new(token::TOKEN_LIFETIME),
            used: Vault::new(REFRESH_LIFETIME),
            // A proof is accepted this long before and after its `iat`.
            proofs: Vault::new(proof::PROOF_LIFETIME * 2),
            address,
        });
        let app = app(&shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { shared })
    }

    /// The issuer identifier.
    pub(crate) fn url(&self) -> &str {
        self.shared.issuer.url()
    }

    /// The id and secret of the MCP server for introspection. Each start creates a new secret.
    pub(crate) fn introspection_client(&self) -> (&str, &str) {
        (INTROSPECTION_CLIENT, &self.shared.introspection_secret)
    }

    /// Issues a token for alice without a login.
    pub(crate) fn ready_token(&self, client_id: &str, lifetime: Duration) -> String {
        let scopes = token::for_resource(&self.shared.scopes);
        let token = self.shared.issuer.token().audience(&self.shared.resource).scope(&scopes);
        self.shared.access_token(token.client_id(client_id).expires_in(lifetime))
    }
}

impl Shared {
    pub(crate) fn access_token(&self, token: TestToken<'_>) -> String {
        match self.access {
            AccessTokens::Jwt => token.sign(),
            AccessTokens::Opaque => token.opaque(),
        }
    }
}

fn app(shared: &Arc<Shared>) -> Router {
    // Web pages on this machine, such as MCP Inspector, may read these endpoints. Other web pages may not: otherwise
    // any web site could get a token while this server runs.
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| is_loopback_origin(origin)))
        .allow_methods([Method::GET, Method::POST])
        // The value `*` does not include `Authorization` (Fetch, section 3.3.4).
        .allow_headers(AllowHeaders::mirror_request());
    let for_programs = Router::new()
        .route("/register", post(register::register))
        .route("/token", post(token::token))
        // This route replaces that of the test issuer, which does not know the registered clients.
        .route("/revoke", post(revoke::revoke))
        .with_state(Arc::clone(shared))
        .fallback_service(shared.issuer.router())
        .layer(cors);
    // The consent page is outside of the CORS layer, so that no script can read its request id.
    Router::new()
        .route("/authorize", get(authorize::ask).post(authorize::decide))
        .with_state(Arc::clone(shared))
        .fallback_service(for_programs)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), only_for_this_host))
}

/// Rejects requests with another host name, as a protection against DNS rebinding.
async fn only_for_this_host(State(server): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let address = server.address;
    if host == address.to_string() || host == format!("localhost:{}", address.port()) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "this server only accepts requests to its loopback address\n").into_response()
    }
}

fn is_loopback_origin(origin: &HeaderValue) -> bool {
    let Some(url) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The client id of the MCP server. It cannot be a registered client, whose id contains dots.
const INTROSPECTION_CLIENT: &str = "mcp-server";
/// The time that a user has to read the consent page.
const CONSENT_LIFETIME: Duration = Duration::from_secs(600);
/// RFC 6749, section 4.1.2 recommends at most ten minutes; a redirect takes seconds.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// Enough for a day of work.
const REFRESH_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Much larger than every valid request.
const MAX_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> Configuration {
        let (bind, resource) = (SocketAddr::from(([127, 0, 0, 1], 0)), "http://127.0.0.1:9000/mcp".to_owned());
        let (default_scopes, scopes) = (vec!["a".into()], vec!["a".into(), "b".into()]);
        Configuration { bind, resource, default_scopes, scopes, supports_dpop: false }
    }

    #[tokio::test]
    async fn only_the_mcp_server_may_introspect() {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for server in [
            AuthorizationServer::start(configuration()).await.unwrap(),
            AuthorizationServer::start_opaque(configuration()).await.unwrap(),
        ] {
            let token = server.ready_token("curl", Duration::from_secs(60));
            let ask = || http.post(format!("{}/introspect", server.url())).form(&[("token", &token)]);
            let (id, secret) = server.introspection_client();
            let answer: Value = ask().basic_auth(id, Some(secret)).send().await.unwrap().json().await.unwrap();
            assert_eq!((&answer["active"], &answer["scope"]), (&json!(true), &json!("a b")));
            assert_eq!(answer["aud"], "http://127.0.0.1:9000/mcp");
            assert_eq!(ask().send().await.unwrap().status(), 401);
            assert_eq!(ask().basic_auth(id, Some("guess")).send().await.unwrap().status(), 401);
        }
    }

    #[tokio::test]
    async fn an_opaque_token_is_not_a_jwt() {
        let [signed, opaque] = [
            AuthorizationServer::start(configuration()).await.unwrap(),
            AuthorizationServer::start_opaque(configuration()).await.unwrap(),
        ]
        .map(|server| server.ready_token("curl", Duration::from_secs(60)));
        assert_eq!((signed.split('.').count(), opaque.split('.').count()), (3, 1));
    }
}
