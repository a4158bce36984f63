//! An authorization server that introspects opaque tokens only: 400 `unsupported_token_type` for every JWT, valid or
//! not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{Issuer, issuer::AuthorizationServerMetadata};
use serde_json::json;
use tokio::time::advance;
use tracing::Level;

use super::credentials;
use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE, quiet};

/// A client that answers by the path of the request.
#[derive(Clone)]
struct Server {
    /// The response for the key set. Without it, the metadata contains no `jwks_uri`.
    keys: Option<(u16, String)>,
    introspections: Arc<AtomicUsize>,
}

impl Server {
    fn new(keys: Option<(u16, String)>) -> Self {
        Self { keys, introspections: Arc::default() }
    }

    fn app(&self) -> App {
        let issuer = Issuer::discover(ISSUER).introspect_all(credentials()).http_client(self.clone());
        App::new(quiet(ResourceServer::builder(RESOURCE).issuer(issuer).clock(TestClock::new())).bearer_layer())
    }

    fn introspections(&self) -> usize {
        self.introspections.load(Ordering::SeqCst)
    }

    fn answer(&self, path: &str) -> (u16, String) {
        let jwks_uri = self.keys.as_ref().map(|_| format!("{ISSUER}/jwks"));
        match path {
            "/introspect" => {
                self.introspections.fetch_add(1, Ordering::SeqCst);
                (400, json!({ "error": "unsupported_token_type" }).to_string())
            }
            "/jwks" => self.keys.clone().unwrap_or((404, String::new())),
            _ => {
                let endpoint = format!("{ISSUER}/introspect");
                let metadata = json!({ "issuer": ISSUER, "introspection_endpoint": endpoint, "jwks_uri": jwks_uri });
                (200, metadata.to_string())
            }
        }
    }
}

impl HttpClient for Server {
    fn send(&self, request: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let (status, body) = self.answer(request.uri().path());
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status.try_into().unwrap();
        Box::pin(async move { Ok(response) })
    }
}

/// An issuer that signs tokens, with the time of the server.
fn signer() -> TestIssuer {
    TestIssuer::builder(ISSUER).clock(TestClock::new()).build()
}

fn valid(issuer: &TestIssuer) -> String {
    issuer.token().audience(RESOURCE).scope("mcp:tools").sign()
}

async fn rejection_kind(app: &App, token: &str) -> RejectionKind {
    app.with_token(token).await.rejection.unwrap().kind()
}

#[tokio::test(start_paused = true)]
async fn a_valid_jwt_is_503_and_logged_as_an_error_with_the_remedy() {
    let issuer = signer();
    let server = Server::new(Some((200, issuer.jwk_set().to_string())));
    let app = server.app();
    let capture = Capture::of_this_thread();
    let token = valid(&issuer);
    // The second attempt uses the cached result.
    for _ in 0..2 {
        capture.take();
        assert_eq!(rejection_kind(&app, &token).await, RejectionKind::Misconfigured);
        let log = capture.take();
        let is_named = |(level, line): &(Level, String)| *level == Level::ERROR && line.contains("`introspect_opaque`");
        assert!(log.iter().any(is_named), "{log:?}");
        assert_eq!(server.introspections(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_jwt_is_401_without_an_error_in_the_log() {
    use CheckFailure as F;
    let (issuer, other) = (signer(), signer());
    let server = Server::new(Some((200, issuer.jwk_set().to_string())));
    let app = server.app();
    let capture = Capture::of_this_thread();
    let good = || issuer.token().audience(RESOURCE).scope("mcp:tools");
    let (signed, forged) = (good().sign(), good().sign());
    let forged = format!("{}.{}", signed.rsplit_once('.').unwrap().0, forged.rsplit_once('.').unwrap().1);
    for (what, token, expected) in [
        ("another signature", forged, F::Signature),
        ("a key of another issuer", valid(&other), F::Signature),
        ("for another audience", issuer.token().audience("https://other.example.com").sign(), F::Audience),
        ("an ID token", good().claim("nonce", "n").without_header("typ").sign(), F::TokenType),
        ("no algorithm", good().header("alg", "none").sign(), F::Algorithm),
        ("an HMAC algorithm", good().header("alg", "HS256").sign(), F::Algorithm),
        ("opaque", "opaque".to_owned(), F::Inactive),
        ("two dots", "abc.def.ghi".to_owned(), F::Inactive),
        ("encrypted", "eyJhbGciOiJkaXIifQ..aaaa.bbbb.cccc".to_owned(), F::Inactive),
    ] {
        for _ in 0..2 {
            assert_eq!(rejection_kind(&app, &token).await, RejectionKind::InvalidToken(expected), "{what}");
        }
    }
    let log = capture.take();
    assert!(!log.iter().any(|(level, _)| *level == Level::ERROR), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_jwt_that_no_key_set_can_verify_is_503() {
    let issuer = signer();
    let token = valid(&issuer);
    for keys in [None, Some((500, String::new())), Some((200, "{}".to_owned()))] {
        let app = Server::new(keys.clone()).app();
        for _ in 0..2 {
            let kind = rejection_kind(&app, &token).await;
            assert!(matches!(kind, RejectionKind::Unavailable { .. }), "{keys:?}: {kind:?}");
            advance(std::time::Duration::from_secs(61)).await;
        }
        // An opaque token is still introspected.
        assert_eq!(rejection_kind(&app, "opaque").await, RejectionKind::InvalidToken(CheckFailure::Inactive));
    }
    // Configured metadata without a key set.
    let document = json!({ "issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect") });
    let metadata = AuthorizationServerMetadata::from_json(document.to_string()).unwrap();
    let configured = Issuer::with_metadata(metadata).introspect_all(credentials()).http_client(Server::new(None));
    let server = ResourceServer::builder(RESOURCE).issuer(configured).clock(TestClock::new()).build_lazy().unwrap();
    let app = App::new(server.bearer_layer());
    assert_eq!(rejection_kind(&app, &token).await, RejectionKind::Misconfigured);
}
