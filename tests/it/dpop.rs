//! DPoP through the layer (RFC 9449): which tokens and proofs a server accepts, and what a client reads.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, Request, StatusCode, request};
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::events::Event;
use mcp_bearer::sender::{Dpop, NonceKey, ReplayOutcome, ReplayStore, ReplayStoreError, SenderConstraint, UsedProof};
use mcp_bearer::testing::{TestClient, TestClock, TestDpopKey, TestIssuer};
use mcp_bearer::verify::{TokenVerifier, Verified, VerifyError};
use mcp_bearer::{AuthInfo, Issuer, ResourceServer, ResourceServerBuilder};
use serde_json::json;
use tower::ServiceExt as _;

use crate::capture::Capture;
use crate::support::{Answer, ISSUER, METADATA_URL, RESOURCE, quiet};

/// A server that accepts DPoP proofs, an issuer of bound tokens, and their common clock.
struct Bound {
    issuer: TestIssuer,
    clock: TestClock,
    server: ResourceServer,
}

impl Bound {
    async fn new(constraint: SenderConstraint, dpop: Dpop) -> Self {
        Self::with(|builder| builder.sender_constraint(constraint).dpop(dpop)).await
    }

    async fn with(configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock.clone());
        let server = quiet(configure(builder.scopes_supported(["mcp:tools"])));
        server.warm_up().await.unwrap();
        Self { issuer, clock, server }
    }

    async fn optional() -> Self {
        Self::new(SenderConstraint::Optional, Dpop::new()).await
    }

    fn app(&self) -> Router {
        app(self.server.bearer_layer())
    }

    fn client(&self) -> TestClient {
        TestClient::with_key(self.issuer.dpop_key())
    }

    fn bound_to(&self, key: &TestDpopKey) -> String {
        self.issuer.token().audience(RESOURCE).scope("mcp:tools").bound_to(key).sign()
    }

    fn unbound(&self) -> String {
        self.issuer.token().audience(RESOURCE).scope("mcp:tools").sign()
    }
}

fn app(layer: BearerAuthLayer) -> Router {
    Router::new().route("/mcp", get(who).post(who)).route_layer(layer)
}

/// The keys of the sender.
async fn who(auth: AuthInfo) -> String {
    format!("{} {}", auth.sender().label(), auth.sender().dpop_key().map_or_else(String::new, |key| key.to_string()))
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    Answer::of(app.clone().oneshot(request).await.unwrap()).await
}

async fn with_headers(app: &Router, headers: HeaderMap) -> Answer {
    let mut request = Request::get("/mcp").body(Body::empty()).unwrap();
    *request.headers_mut() = headers;
    send(app, request).await
}

/// A request with a token of this scheme and these proofs.
fn presenting(scheme: &str, token: &str, proofs: &[String]) -> Request<Body> {
    let request = Request::get("/mcp").header("authorization", format!("{scheme} {token}"));
    let request = proofs.iter().fold(request, |request: request::Builder, proof| request.header("dpop", proof));
    request.body(Body::empty()).unwrap()
}

/// The error codes of the challenges `Bearer` and `DPoP`, in the order of the header.
fn challenges(answer: &Answer) -> Vec<(String, Option<String>)> {
    let header = answer.header("www-authenticate").unwrap();
    let challenges = http_auth::parse_challenges(header).unwrap();
    let code = |parameters: &[(&str, http_auth::ParamValue<'_>)]| {
        parameters.iter().find(|(name, _)| *name == "error").map(|(_, value)| value.to_unescaped())
    };
    challenges.iter().map(|challenge| (challenge.scheme.to_owned(), code(&challenge.params))).collect()
}

/// Asserts that a request is rejected with 401, with the error in the challenges that it is about, and in the body.
fn assert_rejected(answer: &Answer, code: &str, what: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
    let of_bearer = (code == "invalid_token").then(|| code.to_owned());
    let expected = [("Bearer".to_owned(), of_bearer), ("DPoP".to_owned(), Some(code.to_owned()))];
    assert_eq!(challenges(answer), expected, "{what}");
    assert_eq!(answer.json()["error"], code, "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_with_its_proof_is_accepted_once() {
    let bound = Bound::optional().await;
    let (app, client) = (bound.app(), bound.client());
    let token = bound.bound_to(client.key());
    let headers = client.headers("GET", RESOURCE, &token);
    let answer = with_headers(&app, headers.clone()).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, format!("dpop {}", client.key().thumbprint())));
    // The token is in the cache of verified tokens now, which does not skip the proof.
    assert_rejected(&with_headers(&app, headers).await, "invalid_dpop_proof", "the same proof again");
    assert_eq!(with_headers(&app, client.headers("GET", RESOURCE, &token)).await.status, StatusCode::OK);
    // A bearer token is accepted too.
    let answer = send(&app, presenting("Bearer", &bound.unbound(), &[])).await;
    assert_eq!((answer.status, answer.body.trim()), (StatusCode::OK, "bearer"));
}

#[tokio::test(start_paused = true)]
async fn a_token_and_its_scheme_fit_together() {
    let bound = Bound::optional().await;
    let app = bound.app();
    let (key, other) = (bound.issuer.dpop_key(), bound.issuer.dpop_key());
    let proof = |key: &TestDpopKey, token: &str| key.proof("GET", RESOURCE).access_token(token).sign();
    let (token, unbound) = (bound.bound_to(&key), bound.unbound());
    let unknown = bound.issuer.token().audience(RESOURCE).claim("cnf", json!({ "kid": "k" })).sign();
    let both = json!({ "jkt": key.thumbprint().to_string(), "x5t#S256": key.thumbprint().to_string() });
    let both = bound.issuer.token().audience(RESOURCE).claim("cnf", both).sign();
    let invalid = format!("{token}x");
    for (what, scheme, token, proofs, code) in [
        ("no proof", "DPoP", &token, vec![], "invalid_dpop_proof"),
        ("an empty proof", "DPoP", &token, vec![String::new()], "invalid_dpop_proof"),
        ("two proofs", "DPoP", &token, vec![proof(&key, &token), proof(&key, &token)], "invalid_dpop_proof"),
        ("a bound token as bearer", "Bearer", &token, vec![], "invalid_token"),
        ("a bound token as bearer, with its proof", "Bearer", &token, vec![proof(&key, &token)], "invalid_dpop_proof"),
        ("a bearer token as DPoP", "DPoP", &unbound, vec![proof(&key, &unbound)], "invalid_token"),
        ("a bearer token with a proof", "Bearer", &unbound, vec![proof(&key, &unbound)], "invalid_dpop_proof"),
        ("a bearer token as DPoP without a proof", "DPoP", &unbound, vec![], "invalid_dpop_proof"),
        ("the key of somebody else", "DPoP", &token, vec![proof(&other, &token)], "invalid_token"),
        ("an unknown member of cnf", "DPoP", &unknown, vec![proof(&key, &unknown)], "invalid_token"),
        ("a certificate that is not checked", "DPoP", &both, vec![proof(&key, &both)], "invalid_token"),
        ("an invalid token", "DPoP", &invalid, vec![proof(&key, &invalid)], "invalid_token"),
        ("the proof of another token", "DPoP", &token, vec![proof(&key, &unbound)], "invalid_dpop_proof"),
    ] {
        assert_rejected(&send(&app, presenting(scheme, token, &proofs)).await, code, what);
    }
    for scheme in ["dpop", "DPOP"] {
        let answer = send(&app, presenting(scheme, &token, &[proof(&key, &token)])).await;
        assert_eq!(answer.status, StatusCode::OK, "{scheme}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_credentials_gets_both_challenges() {
    let dpop = Dpop::new().algorithms([mcp_bearer::jose::Algorithm::ES256]);
    let bound = Bound::new(SenderConstraint::Optional, dpop).await;
    let answer = send(
        &app(bound.server.bearer_layer().required_scopes(["mcp:tools"])),
        Request::get("/mcp").body(Body::empty()).unwrap(),
    )
    .await;
    let expected = format!("Bearer resource_metadata=\"{METADATA_URL}\", scope=\"mcp:tools\", DPoP algs=\"ES256\"");
    assert_eq!(answer.header("www-authenticate"), Some(&*expected));
    assert_eq!((answer.status, &*answer.body), (StatusCode::UNAUTHORIZED, ""));
    // A server without the setting does not mention the scheme, and rejects the token.
    let plain = Bound::with(|builder| builder).await;
    let client = plain.client();
    let answer = with_headers(&plain.app(), client.headers("GET", RESOURCE, &plain.bound_to(client.key()))).await;
    assert_eq!(answer.challenge().unwrap(), [("resource_metadata".to_owned(), METADATA_URL.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_advertises_what_is_accepted() {
    let key = |builder: ResourceServerBuilder| {
        builder.dpop(Dpop::new().algorithms([mcp_bearer::jose::Algorithm::ES256, mcp_bearer::jose::Algorithm::EdDSA]))
    };
    let algorithms = json!(["ES256", "EdDSA"]);
    let none = json!(null);
    type Configure = Box<dyn FnOnce(ResourceServerBuilder) -> ResourceServerBuilder>;
    let rows: [(Configure, [serde_json::Value; 3]); 6] = [
        (Box::new(|builder| builder), [none.clone(), none.clone(), none.clone()]),
        (
            Box::new(move |builder| key(builder).sender_constraint(SenderConstraint::Optional)),
            [algorithms.clone(), none.clone(), none.clone()],
        ),
        (
            Box::new(move |builder| key(builder).sender_constraint(SenderConstraint::Required)),
            [algorithms.clone(), json!(true), none.clone()],
        ),
        (
            Box::new(move |builder| key(builder).sender_constraint(SenderConstraint::Dpop)),
            [algorithms.clone(), json!(true), none.clone()],
        ),
        (
            Box::new(move |builder| {
                key(builder).sender_constraint(SenderConstraint::Required).client_certificate_from_connection()
            }),
            [algorithms, none.clone(), json!(true)],
        ),
        (
            Box::new(|builder| builder.sender_constraint(SenderConstraint::Mtls).client_certificate_from_connection()),
            [none.clone(), none.clone(), json!(true)],
        ),
    ];
    for (configure, expected) in rows {
        let bound = Bound::with(configure).await;
        let document: serde_json::Value = serde_json::from_slice(bound.server.metadata_service().document()).unwrap();
        let found = [
            "dpop_signing_alg_values_supported",
            "dpop_bound_access_tokens_required",
            "tls_client_certificate_bound_access_tokens",
        ]
        .map(|name| document[name].clone());
        assert_eq!(found, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_can_require_bound_tokens() {
    let bound = Bound::optional().await;
    let client = bound.client();
    let token = bound.bound_to(client.key());
    for constraint in [SenderConstraint::Required, SenderConstraint::Dpop] {
        let app = app(bound.server.bearer_layer().sender_constraint(constraint));
        assert_rejected(&send(&app, presenting("Bearer", &bound.unbound(), &[])).await, "invalid_token", "bearer");
        assert_eq!(with_headers(&app, client.headers("GET", RESOURCE, &token)).await.status, StatusCode::OK);
    }
    // A route can also accept bearer tokens on a server that requires bound ones.
    let strict = Bound::new(SenderConstraint::Dpop, Dpop::new()).await;
    let bearer = || presenting("Bearer", &strict.unbound(), &[]);
    assert_rejected(&send(&strict.app(), bearer()).await, "invalid_token", "bearer");
    let lenient = app(strict.server.bearer_layer().sender_constraint(SenderConstraint::Optional));
    assert_eq!(send(&lenient, bearer()).await.status, StatusCode::OK);
}

#[test]
fn a_layer_cannot_require_what_the_server_does_not_accept() {
    let builder = || ResourceServer::builder(RESOURCE).issuer(TestIssuer::new(ISSUER).issuer());
    let (plain, dpop) = (builder(), builder().sender_constraint(SenderConstraint::Dpop));
    let (plain, dpop) = (quiet(plain), quiet(dpop));
    for (server, constraint) in [
        (&plain, SenderConstraint::Required),
        (&plain, SenderConstraint::Dpop),
        (&plain, SenderConstraint::Mtls),
        (&dpop, SenderConstraint::Mtls),
    ] {
        let error = server.bearer_layer().try_sender_constraint(constraint).unwrap_err().to_string();
        assert!(error.contains("on the builder"), "{error}");
    }
    assert!(plain.bearer_layer().try_sender_constraint(SenderConstraint::Optional).is_ok());
    let error = plain.bearer_layer().try_require_dpop_nonce().unwrap_err().to_string();
    assert!(error.contains("remove `require_dpop_nonce`"), "{error}");
    assert!(dpop.bearer_layer().try_require_dpop_nonce().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nested_layers_use_a_proof_once() {
    let bound = Bound::optional().await;
    let (outer, inner) = (bound.server.bearer_layer(), bound.server.bearer_layer().required_scopes(["mcp:tools"]));
    let app = Router::new().route("/mcp", get(who)).route_layer(inner).route_layer(outer);
    let client = bound.client();
    let headers = client.headers("GET", RESOURCE, &bound.bound_to(client.key()));
    assert_eq!(with_headers(&app, headers.clone()).await.status, StatusCode::OK);
    assert_rejected(&with_headers(&app, headers).await, "invalid_dpop_proof", "the same proof again");
}

#[tokio::test(start_paused = true)]
async fn the_url_is_that_of_the_resource_whatever_the_headers_say() {
    let bound = Bound::optional().await;
    let client = bound.client();
    let token = bound.bound_to(client.key());
    let accepted = |name: &'static str, value: &'static str, url: &'static str| {
        let (app, mut headers) = (bound.app(), client.headers("GET", url, &token));
        headers.insert(name, value.parse().unwrap());
        async move { with_headers(&app, headers).await.status }
    };
    for name in ["host", "forwarded", "x-forwarded-host", "x-forwarded-proto", "x-original-url"] {
        assert_eq!(accepted(name, "evil.example.com", RESOURCE).await, StatusCode::OK, "{name}");
        let evil = "https://evil.example.com/mcp";
        assert_eq!(accepted(name, "evil.example.com", evil).await, StatusCode::UNAUTHORIZED, "{name}");
    }
    // In a nested router, axum removes the prefix from the path.
    let inner = Router::new().route("/mcp", get(who)).route_layer(bound.server.bearer_layer());
    let nested = Router::new().nest("/api", inner);
    let call = |url: &'static str| {
        let request = client.request("GET", url, &token).uri("/api/mcp").body(Body::empty()).unwrap();
        send(&nested, request)
    };
    assert_eq!(call("https://mcp.example.com/api/mcp").await.status, StatusCode::OK);
    assert_eq!(call(RESOURCE).await.status, StatusCode::UNAUTHORIZED);
    // A proxy replaced the prefix.
    let dpop = Dpop::new().path_behind_proxy("/public", "/");
    let proxied = Bound::new(SenderConstraint::Optional, dpop).await;
    let client = proxied.client();
    let token = proxied.bound_to(client.key());
    let call = |url: &'static str| {
        let request = client.request("GET", url, &token).uri("/mcp").body(Body::empty()).unwrap();
        let app = proxied.app();
        async move { send(&app, request).await.status }
    };
    assert_eq!(call("https://mcp.example.com/public/mcp").await, StatusCode::OK);
    assert_eq!(call(RESOURCE).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_required_nonce_is_sent_with_the_rejection_and_with_each_response() {
    let bound = Bound::new(SenderConstraint::Optional, Dpop::new().require_nonces()).await;
    let (app, client) = (bound.app(), bound.client());
    let token = bound.bound_to(client.key());
    let rejected = with_headers(&app, client.headers("GET", RESOURCE, &token)).await;
    assert_rejected(&rejected, "use_dpop_nonce", "no nonce");
    let first = rejected.header("dpop-nonce").unwrap().to_owned();
    assert!(client.accept_nonce(&rejected.headers));
    let accepted = with_headers(&app, client.headers("GET", RESOURCE, &token)).await;
    assert_eq!(accepted.status, StatusCode::OK);
    assert!(accepted.header("dpop-nonce").is_some());
    assert_eq!(accepted.header("cache-control"), Some("no-store"));
    // A nonce of somebody else, one that has expired, and one of a wrong type.
    let proof = |nonce: serde_json::Value| {
        vec![client.key().proof("GET", RESOURCE).access_token(&token).claim("nonce", nonce).sign()]
    };
    for nonce in [json!("n"), json!(1), json!(""), json!(null), json!([first])] {
        let answer = send(&app, presenting("DPoP", &token, &proof(nonce.clone()))).await;
        assert_rejected(&answer, "use_dpop_nonce", &nonce.to_string());
        assert!(answer.header("dpop-nonce").is_some(), "{nonce}");
    }
    bound.clock.advance(Duration::from_secs(301));
    assert_rejected(&send(&app, presenting("DPoP", &token, &proof(json!(first)))).await, "use_dpop_nonce", "old");
    // Bearer tokens need none, and other rejections have none.
    let bearer = send(&app, presenting("Bearer", &bound.unbound(), &[])).await;
    assert_eq!((bearer.status, bearer.header("dpop-nonce")), (StatusCode::OK, None));
    assert_eq!(send(&app, presenting("DPoP", &token, &[])).await.header("dpop-nonce"), None);
}

#[tokio::test(start_paused = true)]
async fn a_route_can_require_a_nonce() {
    let bound = Bound::optional().await;
    let client = bound.client();
    let token = bound.bound_to(client.key());
    let with_nonces = bound.server.bearer_layer().require_dpop_nonce();
    assert_eq!(with_headers(&bound.app(), client.headers("GET", RESOURCE, &token)).await.header("dpop-nonce"), None);
    let rejected = with_headers(&app(with_nonces.clone()), client.headers("GET", RESOURCE, &token)).await;
    assert_rejected(&rejected, "use_dpop_nonce", "no nonce");
    client.accept_nonce(&rejected.headers);
    // Without tower, the caller adds the headers of the response.
    let head = |headers: HeaderMap| {
        let mut head = Request::get("/mcp").body(()).unwrap().into_parts().0;
        head.headers = headers;
        head
    };
    let accepted = with_nonces.authenticate(&head(client.headers("GET", RESOURCE, &token))).await.unwrap();
    assert!(accepted.response_headers().contains_key("dpop-nonce"));
    assert_eq!(accepted.auth_info().sender().dpop_key(), Some(client.key().thumbprint()));
    let rejection = with_nonces.authenticate(&head(bound.client().headers("GET", RESOURCE, &token))).await.unwrap_err();
    assert!(rejection.to_response().headers().contains_key("dpop-nonce"));
    let accepted = bound.server.authenticate(&head(client.headers("GET", RESOURCE, &token))).await.unwrap();
    assert!(accepted.response_headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_introspected_token_is_bound_too() {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let introspecting = issuer
        .issuer()
        .introspect_opaque(mcp_bearer::introspection::ClientCredentials::basic("server", "a secret of the server"));
    let builder = ResourceServer::builder(RESOURCE).issuer(introspecting).clock(clock);
    let server = quiet(builder.sender_constraint(SenderConstraint::Optional));
    let (app, client) = (app(server.bearer_layer()), TestClient::with_key(issuer.dpop_key()));
    let token = issuer.token().audience(RESOURCE).bound_to(client.key()).opaque();
    for _ in 0..2 {
        let headers = client.headers("GET", RESOURCE, &token);
        assert_eq!(with_headers(&app, headers.clone()).await.status, StatusCode::OK);
        assert_rejected(&with_headers(&app, headers).await, "invalid_dpop_proof", "the same proof again");
    }
    assert_rejected(&send(&app, presenting("Bearer", &token, &[])).await, "invalid_token", "as bearer");
    let other = TestClient::with_key(issuer.dpop_key());
    assert_rejected(&with_headers(&app, other.headers("GET", RESOURCE, &token)).await, "invalid_token", "another key");
}

/// A store that does what a test wants, and counts its calls.
#[derive(Clone)]
struct Scripted(Arc<AtomicUsize>, Script);

type Script = fn() -> Result<ReplayOutcome, ReplayStoreError>;

impl ReplayStore for Scripted {
    fn record(&self, _: &UsedProof) -> impl Future<Output = Result<ReplayOutcome, ReplayStoreError>> + Send {
        self.0.fetch_add(1, Ordering::SeqCst);
        // A panic here is one before the future exists.
        let result = (self.1)();
        async move {
            match result {
                Err(error) if error.to_string() == "hang" => std::future::pending().await,
                result => result,
            }
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// A store that says that it is not shared.
struct OfOneReplica;

impl ReplayStore for OfOneReplica {
    async fn record(&self, _: &UsedProof) -> Result<ReplayOutcome, ReplayStoreError> {
        Ok(ReplayOutcome::New)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_replay_store_is_an_outage() {
    let full = || Ok(ReplayOutcome::Full { retry_after: Duration::from_millis(6_500) });
    let cases: [(Script, Option<&str>); 5] = [
        (|| Ok(ReplayOutcome::New), None),
        (full, Some("7")),
        (|| Err("the connection is closed".into()), Some("5")),
        (|| Err("hang".into()), Some("5")),
        (|| panic!("a panic of the store"), Some("5")),
    ];
    for (script, retry_after) in cases {
        let calls = Arc::new(AtomicUsize::new(0));
        let dpop = Dpop::new().replay_store(Scripted(Arc::clone(&calls), script));
        let bound = Bound::new(SenderConstraint::Optional, dpop).await;
        let (app, client) = (bound.app(), bound.client());
        let token = bound.bound_to(client.key());
        let answer = with_headers(&app, client.headers("GET", RESOURCE, &token)).await;
        assert_eq!(answer.header("retry-after"), retry_after, "{answer:?}");
        assert_eq!(answer.status.as_u16(), if retry_after.is_some() { 503 } else { 200 });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // A bearer token does not need the store, and neither does an invalid token.
        assert_eq!(send(&app, presenting("Bearer", &bound.unbound(), &[])).await.status, StatusCode::OK);
        let invalid = format!("{token}x");
        let answer = with_headers(&app, client.headers("GET", RESOURCE, &invalid)).await;
        assert_rejected(&answer, "invalid_token", "an invalid token");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_with_too_many_proofs_is_slowed_down_and_no_other() {
    let bound = Bound::new(SenderConstraint::Optional, Dpop::new().max_proofs_per_key(10)).await;
    let (app, client, other) = (bound.app(), bound.client(), bound.client());
    let token = bound.bound_to(client.key());
    let first = client.headers("GET", RESOURCE, &token);
    assert_eq!(with_headers(&app, first.clone()).await.status, StatusCode::OK);
    for _ in 1..10 {
        assert_eq!(with_headers(&app, client.headers("GET", RESOURCE, &token)).await.status, StatusCode::OK);
    }
    let answer = with_headers(&app, client.headers("GET", RESOURCE, &token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // No used proof was forgotten.
    assert_rejected(&with_headers(&app, first).await, "invalid_dpop_proof", "the first proof");
    let headers = other.headers("GET", RESOURCE, &bound.bound_to(other.key()));
    assert_eq!(with_headers(&app, headers).await.status, StatusCode::OK);
    bound.clock.advance(Duration::from_secs(61));
    assert_eq!(with_headers(&app, client.headers("GET", RESOURCE, &token)).await.status, StatusCode::OK);
}

#[test]
fn a_wrong_configuration_is_an_error_with_its_repair() {
    let builder = || ResourceServer::builder(RESOURCE).issuer(TestIssuer::new(ISSUER).issuer());
    let optional = || builder().sender_constraint(SenderConstraint::Optional);
    let seconds = Duration::from_secs;
    let store = || Scripted(Arc::default(), || Ok(ReplayOutcome::New));
    for (builder, expected) in [
        (builder().dpop(Dpop::new()), "`dpop` needs `sender_constraint`"),
        (builder().client_certificate_from_connection(), "`sender_constraint` is not called"),
        (builder().sender_constraint(SenderConstraint::Mtls), "needs a source of certificates"),
        (
            builder().sender_constraint(SenderConstraint::Mtls).client_certificate_from_connection().dpop(Dpop::new()),
            "`dpop` has no effect",
        ),
        (optional().dpop(Dpop::new().max_age(seconds(9))), "`max_age` is 9 s; use between 10 s and 300 s"),
        (optional().dpop(Dpop::new().max_age(seconds(301))), "`max_age` is 301 s"),
        (optional().dpop(Dpop::new().nonce_lifetime(seconds(1))), "`nonce_lifetime` is 1 s"),
        (optional().dpop(Dpop::new().max_proofs_per_key(1)), "`max_proofs_per_key` is 1"),
        (optional().dpop(Dpop::new().max_proofs(1)), "`max_proofs` is 1"),
        (optional().dpop(Dpop::new().max_proofs(9_999)), "`max_proofs_per_key` is 10000, more than `max_proofs`"),
        (optional().dpop(Dpop::new().algorithms([])), "`Dpop::algorithms` is empty"),
        (optional().dpop(Dpop::new().path_behind_proxy("api", "/")), "\"api\""),
        (optional().token_from("x-token"), "`token_from` names the header \"x-token\""),
        (optional().replicas_share_state(), "`Dpop::nonce_key`"),
        (
            optional().dpop(Dpop::new().nonce_key(NonceKey::new([1; 32]))).replicas_share_state(),
            "call `shared_state` (feature `redis`), or give `Dpop::replay_store`",
        ),
        (optional().dpop(Dpop::new().replay_store(store())).replicas_share_state(), "`Dpop::nonce_key`"),
        (
            optional()
                .dpop(Dpop::new().replay_store(OfOneReplica).nonce_key(NonceKey::new([1; 32])))
                .replicas_share_state(),
            "each replica has its own used DPoP proofs",
        ),
    ] {
        let error = builder.build_lazy().unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[cfg(feature = "cors")]
#[tokio::test(start_paused = true)]
async fn browsers_may_read_the_nonce() {
    let bound = Bound::optional().await;
    let app = bound.app().layer(bound.server.cors_layer());
    let answer =
        send(&app, Request::get("/mcp").header("origin", "https://app.example.com").body(Body::empty()).unwrap()).await;
    assert!(answer.header("access-control-expose-headers").unwrap().contains("dpop-nonce"));
}

#[tokio::test(start_paused = true)]
async fn the_log_says_why_a_proof_is_rejected() {
    let log = Capture::of_this_thread();
    let bound = Bound::optional().await;
    let (app, client) = (bound.app(), bound.client());
    let token = bound.bound_to(client.key());
    let proof = client.key().proof("POST", RESOURCE).access_token(&token).sign();
    send(&app, presenting("DPoP", &token, std::slice::from_ref(&proof))).await;
    let lines: Vec<_> = log.take().into_iter().map(|(_, line)| line).collect();
    let lines = lines.join("\n");
    for part in [
        "DPoP proof rejected: method mismatch",
        "expected=\"GET\"",
        "found=\"POST\"",
        "kind=\"invalid_proof\"",
        "cause=\"proof_method\"",
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
    assert!(!lines.contains(&token) && !lines.contains(&proof));
}

/// An introspection response and the result of a verifier may omit `cnf`.
#[tokio::test(start_paused = true)]
async fn a_bound_jwt_stays_bound_whatever_its_verified_claims_say() {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
    let client = TestClient::with_key(issuer.dpop_key());
    let other = issuer.dpop_key().thumbprint().to_string();
    let token = || issuer.token().audience(RESOURCE);
    let (bound, twice) = (token().bound_to(client.key()).sign(), token().bound_to(client.key()).sign());
    for (jwt, cnf) in [(&bound, json!(null)), (&twice, json!({ "jkt": other }))] {
        let mut response =
            json!({ "active": true, "iss": ISSUER, "aud": RESOURCE, "sub": "alice", "exp": 4_000_000_000_u64 });
        if !cnf.is_null() {
            response["cnf"] = cnf;
        }
        issuer.introspection_answer(jwt, response);
    }
    let credentials = mcp_bearer::introspection::ClientCredentials::basic("server", "a secret of the server");
    let introspecting = issuer.issuer().introspect_all(credentials);
    let verifying = Issuer::with_verifier(ISSUER, Vouching);
    for issuer in [introspecting, verifying] {
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock.clone());
        let server = quiet(builder.sender_constraint(SenderConstraint::Optional));
        let app = app(server.bearer_layer());
        // The second result comes from the cache.
        for _ in 0..2 {
            assert_rejected(&send(&app, presenting("Bearer", &bound, &[])).await, "invalid_token", "as bearer");
            let answer = with_headers(&app, client.headers("GET", RESOURCE, &bound)).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    }
    let credentials = mcp_bearer::introspection::ClientCredentials::basic("server", "a secret of the server");
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer().introspect_all(credentials)).clock(clock);
    let app = app(quiet(builder.sender_constraint(SenderConstraint::Optional)).bearer_layer());
    let answer = with_headers(&app, client.headers("GET", RESOURCE, &twice)).await;
    assert_rejected(&answer, "invalid_token", "two different keys");
}

/// Accepts every token, and returns no `cnf`.
struct Vouching;

impl TokenVerifier for Vouching {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Ok(Verified::for_this_resource("alice"))
    }
}

/// As when an operator replaces a key that somebody may have seen.
#[tokio::test(start_paused = true)]
async fn a_rotated_nonce_key_accepts_nonces_of_the_previous_key_for_one_lifetime() {
    let (old, new) = (NonceKey::new([1; 32]), NonceKey::new([2; 32]));
    let dpop = Dpop::new().require_nonces().nonce_key(old.clone());
    let bound = Bound::new(SenderConstraint::Dpop, dpop).await;
    let (app, client) = (bound.app(), bound.client());
    let token =
        bound.issuer.token().audience(RESOURCE).expires_in(Duration::from_secs(3_600)).bound_to(client.key()).sign();
    let status = async || with_headers(&app, client.headers("GET", RESOURCE, &token)).await;
    assert!(client.accept_nonce(&status().await.headers));
    bound.server.rotate_nonce_key(new);
    bound.clock.advance(Duration::from_secs(300));
    assert_eq!(status().await.status, StatusCode::OK);
    bound.clock.advance(Duration::from_secs(1));
    let rejected = status().await;
    assert_rejected(&rejected, "use_dpop_nonce", "the previous key");
    assert!(client.accept_nonce(&rejected.headers));
    assert_eq!(status().await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_or_fails_is_an_event() {
    let full = || Ok(ReplayOutcome::Full { retry_after: Duration::from_secs(7) });
    let cases: [(Script, &str); 3] = [
        (full, "replay_store_full"),
        (|| Err("the connection is closed".into()), "replay_store_failed"),
        (|| Ok(ReplayOutcome::Replayed), "proof_rejected"),
    ];
    for (script, name) in cases {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let observed = Arc::clone(&seen);
        let bound = Bound::with(move |builder| {
            let store = Scripted(Arc::default(), script);
            let observer = move |event: &Event<'_>| observed.lock().unwrap().push(event.name());
            let builder = builder.sender_constraint(SenderConstraint::Dpop).observer(observer);
            builder.dpop(Dpop::new().replay_store(store))
        })
        .await;
        let client = bound.client();
        with_headers(&bound.app(), client.headers("GET", RESOURCE, &bound.bound_to(client.key()))).await;
        assert!(seen.lock().unwrap().contains(&name), "{name}: {seen:?}");
    }
}
