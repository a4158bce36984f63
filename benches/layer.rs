//! The whole layer as a tower service, beside the raw signature check of the same bytes in the same run.
//!
//! `cargo bench --bench layer`. Only ratios mean anything: the floor is the check itself, with a key parsed once.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot start says so")]

use std::convert::Infallible;
use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response, header};
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{AuthInfo, ResourceServer};
use serde_json::Value;
use tower::{Layer as _, Service};

const RESOURCE: &str = "https://mcp.example.com/mcp";

fn accepted(criterion: &mut Criterion) {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let subject = Subject::new(algorithm);
        let mut group = criterion.benchmark_group(algorithm.name());
        let (message, signature) = subject.signed_parts();
        let key = subject.raw_key(algorithm);
        group.bench_function("raw check", |bencher| {
            bencher.iter(|| key.verify_sig(black_box(&message), black_box(&signature)).unwrap());
        });
        let mut service = subject.service();
        group.bench_function("layer", |bencher| {
            bencher.iter(|| assert!(call(&mut service, black_box(&subject.header)).status().is_success()));
        });
        group.finish();
    }
}

/// The ratio that counts: the two measured in alternation, so that whatever else the machine does hits both. The
/// median of the rounds is printed.
fn ratios(_: &mut Criterion) {
    println!("\nlayer / raw check, median of {ROUNDS} alternating rounds of {CALLS} calls");
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        let subject = Subject::new(algorithm);
        let (message, signature) = subject.signed_parts();
        let (key, mut service) = (subject.raw_key(algorithm), subject.service());
        let mut ratios: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let raw = time(|| key.verify_sig(black_box(&message), black_box(&signature)).unwrap());
                let layer = time(|| assert!(call(&mut service, black_box(&subject.header)).status().is_success()));
                layer / raw
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("{:6} {:.3}", algorithm.name(), ratios.get(ROUNDS / 2).unwrap());
    }
}

fn time(mut call: impl FnMut()) -> f64 {
    let start = std::time::Instant::now();
    (0..CALLS).for_each(|_| call());
    start.elapsed().as_secs_f64()
}

const ROUNDS: usize = 301;
const CALLS: usize = 20;

fn refused(criterion: &mut Criterion) {
    let subject = Subject::new(Algorithm::ES256);
    let mut service = subject.service();
    let mut group = criterion.benchmark_group("refused");
    for (name, value) in [
        ("garbage", "Bearer garbage".to_owned()),
        ("three parts of garbage", format!("Bearer {}.{}.{}", "A".repeat(60), "A".repeat(400), "A".repeat(86))),
        ("two tokens", "Bearer a b".to_owned()),
    ] {
        let header = HeaderValue::try_from(value).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(call(&mut service, black_box(&header)).status().is_client_error()));
        });
    }
    group.finish();
}

/// Tokens that the authorization server was asked about before.
fn introspected(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("introspected, cached");
    for (name, is_opaque) in [("opaque", true), ("JWT", false)] {
        let subject = Subject::introspected(is_opaque);
        let mut service = subject.service();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(call(&mut service, black_box(&subject.header)).status().is_success()));
        });
    }
    group.finish();
}

/// One issuer, one server and one token.
struct Subject {
    issuer: TestIssuer,
    server: ResourceServer,
    header: HeaderValue,
}

impl Subject {
    fn new(algorithm: Algorithm) -> Self {
        let issuer = TestIssuer::builder("https://auth.example.com").algorithm(algorithm).build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).scopes_supported(["mcp:tools"]);
        let server = runtime.block_on(builder.build()).unwrap();
        let token = issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").sign();
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        Self { issuer, server, header }
    }

    fn introspected(is_opaque: bool) -> Self {
        let issuer = TestIssuer::new("https://auth.example.com");
        let introspection = Introspection::new(ClientCredentials::basic("mcp-server", "secret"));
        let introspection = introspection.positive_cache(Duration::from_secs(300));
        let builder = ResourceServer::builder(RESOURCE).issuer(issuer.issuer().introspection(introspection));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(builder.build()).unwrap();
        let token =
            issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").expires_in(Duration::from_secs(3600));
        let token = if is_opaque { token.opaque() } else { token.sign() };
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let subject = Self { issuer, server, header };
        // The first request asks.
        let mut request = Request::new(());
        request.headers_mut().insert(header::AUTHORIZATION, subject.header.clone());
        assert!(runtime.block_on(subject.service().call(request)).unwrap().status().is_success());
        subject
    }

    fn service(&self) -> BearerAuth<Handler> {
        self.server.bearer_layer().required_scopes(["mcp:tools"]).unwrap().layer(Handler)
    }

    fn signed_parts(&self) -> (Vec<u8>, Vec<u8>) {
        let token = self.header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        (message.into(), URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    fn raw_key(&self, algorithm: Algorithm) -> ParsedPublicKey {
        let set = self.issuer.jwk_set();
        let member = |name: &str| {
            let text = set.pointer(&format!("/keys/0/{name}")).and_then(Value::as_str).unwrap();
            URL_SAFE_NO_PAD.decode(text).unwrap()
        };
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

/// A handler that does nothing but look at who calls.
#[derive(Clone)]
struct Handler;

impl Service<Request<()>> for Handler {
    type Response = Response<http_body_util::Empty<bytes::Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(request.extensions().get::<AuthInfo>().unwrap().subject().is_some());
        std::future::ready(Ok(Response::new(http_body_util::Empty::new())))
    }
}

fn call<S>(service: &mut S, header: &HeaderValue) -> S::Response
where
    S: Service<Request<()>, Error = Infallible>,
{
    let mut request = Request::new(());
    request.headers_mut().insert(header::AUTHORIZATION, header.clone());
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let response = std::pin::pin!(service.call(request));
    match response.poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => unreachable!("the keys are at hand"),
    }
}

criterion_group!(benches, ratios, accepted, introspected, refused);
criterion_main!(benches);
