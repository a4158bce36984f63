//! The subject of the benchmarks: an issuer, a server and a token, and a function that sends a request through the
//! layer.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses only parts of it")]

use std::convert::Infallible;
use std::future::{Future as _, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Empty;
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{Dpop, SenderConstraint};
use mcp_bearer::testing::{TestClient, TestIssuer, TestToken};
use mcp_bearer::{AuthInfo, ResourceServer, ResourceServerBuilder};
use serde_json::Value;
use tower::{Layer as _, Service};

pub const RESOURCE: &str = "https://mcp.example.com/mcp";

/// The algorithms that are compared with the raw check.
pub const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

/// The approximate sizes of a typical token, of a token with a few dozen groups, and of the longest token that servers
/// accept.
pub const SIZES: [usize; 3] = [600, 2_048, 8_192];

pub struct Subject {
    pub issuer: TestIssuer,
    pub server: ResourceServer,
    pub header: HeaderValue,
}

impl Subject {
    /// Creates a subject with a typical token.
    pub fn new(algorithm: Algorithm) -> Self {
        Self::sized(algorithm, 600)
    }

    /// Creates a subject with a token of about `size` bytes, whose signature is checked with each request.
    pub fn sized(algorithm: Algorithm, size: usize) -> Self {
        Self::with(algorithm, size, |builder| builder.cache_verified_tokens(0))
    }

    /// Creates a subject with a token of about `size` bytes, and with additional settings of the server.
    pub fn with(
        algorithm: Algorithm,
        size: usize,
        configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder,
    ) -> Self {
        let issuer = TestIssuer::builder("https://auth.example.com").algorithm(algorithm).build();
        let server = build(configure(builder().issuer(issuer.issuer())));
        let header = bearer(&token_of_size(&issuer, size));
        Self { issuer, server, header }
    }

    /// Creates a subject whose key set has `keys` keys. The last one signs the token.
    pub fn among_keys(algorithm: Algorithm, keys: usize) -> Self {
        let issuer = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::ES256).build();
        (2..keys).for_each(|_| _ = issuer.add_key(Algorithm::ES256));
        let kid = if keys == 1 && algorithm == Algorithm::ES256 { issuer.key_id() } else { issuer.add_key(algorithm) };
        if keys == 1 && algorithm != Algorithm::ES256 {
            issuer.remove_key(&issuer.key_id());
        }
        let server = build(builder().issuer(issuer.issuer()).cache_verified_tokens(0));
        let header = bearer(&typical(issuer.token()).key(&kid).sign());
        Self { issuer, server, header }
    }

    /// Creates a subject with a cached introspection result.
    pub fn introspected(is_opaque: bool) -> Self {
        let issuer = TestIssuer::new("https://auth.example.com");
        let introspection = Introspection::new(ClientCredentials::basic("mcp-server", "secret"));
        let introspection = introspection.positive_cache(Duration::from_secs(300));
        let server = build(builder().issuer(issuer.issuer().introspect_all(introspection)));
        let token = typical(issuer.token()).expires_in(Duration::from_secs(3600));
        let header = bearer(&if is_opaque { token.opaque() } else { token.sign() });
        let subject = Self { issuer, server, header };
        // The first request introspects the token.
        let request = request(&subject.header);
        assert!(runtime().block_on(subject.service().call(request)).unwrap().status().is_success());
        subject
    }

    /// Creates a subject with an RS256 token that is bound to the key of a client, which is for ES256.
    pub fn sender_constrained() -> (Self, TestClient) {
        let issuer = TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::RS256).build();
        // The store of proofs has places for all requests of a benchmark.
        let dpop = Dpop::new().max_proofs_per_key(1_000_000).max_proofs(1_000_000);
        let builder = builder().issuer(issuer.issuer()).sender_constraint(SenderConstraint::Dpop).dpop(dpop);
        let server = build(builder.cache_verified_tokens(0));
        let client = TestClient::dpop();
        let header = bearer(&typical(issuer.token()).bound_to(client.key()).sign());
        (Self { issuer, server, header }, client)
    }

    /// Creates a request with the token, and with a new proof of the client.
    pub fn request_with_proof(&self, client: &TestClient) -> Request<()> {
        let token = self.header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        client.request("GET", RESOURCE, token).body(()).unwrap()
    }

    pub fn service(&self) -> BearerAuth<Handler> {
        self.server.bearer_layer().required_scopes(["mcp:tools"]).layer(Handler)
    }

    /// Returns the signed bytes and the signature.
    pub fn signed_parts(&self) -> (Vec<u8>, Vec<u8>) {
        signed_parts_of(self.header.to_str().unwrap().strip_prefix("Bearer ").unwrap())
    }

    /// Returns the parsed key for the bare signature check.
    pub fn raw_key(&self, algorithm: Algorithm) -> ParsedPublicKey {
        let set = self.issuer.jwk_set();
        let keys = set.get("keys").and_then(Value::as_array).unwrap();
        let key = keys.last().unwrap();
        let member = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name).and_then(Value::as_str).unwrap()).unwrap();
        let point = || [vec![4], member("x"), member("y")].concat();
        match algorithm {
            Algorithm::RS256 => aws_lc_rs::rsa::PublicKeyComponents { n: member("n"), e: member("e") }
                .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::ES256 => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point()),
            Algorithm::ES384 => ParsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point()),
            _ => ParsedPublicKey::new(&signature::ED25519, member("x")),
        }
        .unwrap()
    }
}

/// Returns requests that are rejected without a request to the issuer, by cause.
pub fn rejections(issuer: &TestIssuer) -> Vec<(&'static str, HeaderValue)> {
    let valid = || typical(issuer.token());
    let other_issuer = TestIssuer::new("https://other-issuer.example.com");
    let mut forged = valid().sign();
    let other = valid().subject("mallory").sign();
    let (signed, _) = forged.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    forged = format!("{signed}.{signature}");
    vec![
        ("two tokens", HeaderValue::from_static("Bearer a b")),
        ("garbage", HeaderValue::from_static("Bearer garbage")),
        ("three parts of garbage", bearer(&format!("{}.{}.{}", "A".repeat(60), "A".repeat(400), "A".repeat(86)))),
        ("alg: none", bearer(&valid().header("alg", "none").sign())),
        ("unknown issuer", bearer(&typical(other_issuer.token()).sign())),
        ("another audience", bearer(&issuer.token().audience("https://other.example.com").sign())),
        ("expired", bearer(&valid().expired().sign())),
        ("invalid signature", bearer(&forged)),
        ("too few scopes", bearer(&issuer.token().audience(RESOURCE).scope("notes:read").sign())),
    ]
}

/// A handler that only reads the caller's subject.
#[derive(Clone)]
pub struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(request.extensions().get::<AuthInfo>().unwrap().subject().is_some());
        ready(Ok(Response::new(Empty::new())))
    }
}

/// Sends a request and returns the response, which must be ready at once.
pub fn call<S>(service: &mut S, request: Request<()>) -> S::Response
where
    S: Service<Request<()>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => unreachable!("the keys are available"),
    }
}

pub fn request(header: &HeaderValue) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert(header::AUTHORIZATION, header.clone());
    request
}

pub fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).unwrap()
}

pub fn builder() -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).scopes_supported(["mcp:tools"])
}

fn build(builder: ResourceServerBuilder) -> ResourceServer {
    runtime().block_on(builder.build()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn typical(token: TestToken<'_>) -> TestToken<'_> {
    token.audience(RESOURCE).scope("mcp:tools notes:read")
}

/// Adds groups to a token until it has the size.
fn token_of_size(issuer: &TestIssuer, size: usize) -> String {
    let token = |groups: usize| {
        let groups: Vec<String> = (0..groups).map(|number| format!("/departments/of/group-{number:04}")).collect();
        let token = typical(issuer.token());
        if groups.is_empty() { token.sign() } else { token.claim("groups", groups).sign() }
    };
    // One group takes 40 characters in base64url.
    let bare = token(0);
    match size.saturating_sub(bare.len()) {
        0 => bare,
        missing => token(missing.div_ceil(40)),
    }
}

/// The signed bytes and the signature of a JWT.
pub fn signed_parts_of(jwt: &str) -> (Vec<u8>, Vec<u8>) {
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    (message.into(), URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// The point of a P-256 JWK.
#[allow(dead_code, reason = "not every benchmark uses it")]
pub fn p256_point(jwk: &Value) -> Vec<u8> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name).and_then(Value::as_str).unwrap()).unwrap();
    [vec![4], member("x"), member("y")].concat()
}

/// Imports a point of P-256.
#[allow(dead_code, reason = "not every benchmark uses it")]
pub fn raw_p256_key(point: &[u8]) -> ParsedPublicKey {
    ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).unwrap()
}
