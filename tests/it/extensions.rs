//! Request extensions: only the bearer layer sets the identity of the caller, whatever the extensions contained before.

use axum::body::Body;
use axum::routing::any;
use axum::{Extension, Router};
use http::{Extensions, Request, header};
use mcp_bearer::AuthInfo;
use mcp_bearer::bearer::{BearerAuthLayer, RejectionKind};
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, RESOURCE};

/// The extensions that a bearer layer adds to a request, as a handler could copy them.
async fn extensions_of(layer: BearerAuthLayer, token: Option<&str>) -> Extensions {
    let (sender, receiver) = std::sync::mpsc::channel();
    let copy = move |request: Request<Body>| {
        let sender = sender.clone();
        async move { sender.send(request.extensions().clone()).unwrap() }
    };
    let app = Router::new().route("/", any(copy)).route_layer(layer);
    let request = match token {
        Some(token) => Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => Request::get("/"),
    };
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    receiver.recv().unwrap()
}

/// Extensions copied from other requests: an identity, and everything else that a layer added.
struct Copies {
    identity: AuthInfo,
    of_mallory: Extensions,
    anonymous: Extensions,
}

impl Copies {
    async fn new(fixture: &Fixture) -> Self {
        let token = fixture.issuer.token().audience(RESOURCE).subject("mallory").scope("mcp:tools admin").sign();
        let layer = fixture.server.bearer_layer();
        let of_mallory = extensions_of(layer.clone(), Some(&token)).await;
        let anonymous = extensions_of(layer.allow_anonymous(), None).await;
        Self { identity: of_mallory.get::<AuthInfo>().unwrap().clone(), of_mallory, anonymous }
    }

    /// One request for each combination of copies, and one without copies.
    fn forged(&self, request: impl Fn() -> Request<Body>) -> Vec<(&'static str, Request<Body>)> {
        let with = |change: &dyn Fn(&mut Extensions)| {
            let mut request = request();
            change(request.extensions_mut());
            request
        };
        vec![
            ("nothing", request()),
            ("the identity", with(&|extensions| drop(extensions.insert(self.identity.clone())))),
            ("all of mallory's request", with(&|extensions| extensions.extend(self.of_mallory.clone()))),
            ("all of an anonymous request", with(&|extensions| extensions.extend(self.anonymous.clone()))),
            (
                "all of both",
                with(&|extensions| {
                    extensions.extend(self.of_mallory.clone());
                    extensions.extend(self.anonymous.clone());
                }),
            ),
        ]
    }
}

/// The caller according to the extensions.
async fn caller(request: Request<Body>) -> String {
    let (parts, _) = request.into_parts();
    match AuthInfo::from_parts(&parts) {
        Ok(auth) => auth.subject().unwrap_or("service").to_owned(),
        Err(rejection) if rejection.kind() == RejectionKind::MissingToken => "nobody".to_owned(),
        Err(rejection) => format!("{:?}", rejection.kind()),
    }
}

async fn required(auth: AuthInfo) -> String {
    auth.subject().unwrap_or("service").to_owned()
}

async fn optional(auth: Option<AuthInfo>) -> String {
    auth.map_or_else(|| "nobody".to_owned(), |auth| auth.subject().unwrap_or("service").to_owned())
}

fn app(layer: BearerAuthLayer) -> Router {
    let routes = Router::new().route("/", any(caller)).route("/required", any(required));
    routes.route("/optional", any(optional)).route_layer(layer)
}

fn request(path: &str, authorization: Option<&str>) -> Request<Body> {
    let request = Request::get(path);
    let request = match authorization {
        Some(value) => request.header(header::AUTHORIZATION, value),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

fn preflight(path: &str) -> Request<Body> {
    let request = Request::options(path).header(header::ORIGIN, "https://app.example.com");
    request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST").body(Body::empty()).unwrap()
}

async fn outcome(app: &Router, request: Request<Body>) -> String {
    let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
    if answer.status == 200 { answer.body } else { answer.verdict() }
}

#[tokio::test(start_paused = true)]
async fn an_identity_from_before_the_layer_is_always_removed() {
    let fixture = Fixture::new().await;
    let copies = Copies::new(&fixture).await;
    let strict = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let open = strict.clone().allow_anonymous();
    let alice = format!("Bearer {}", fixture.token());
    let invalid = "Bearer garbage".to_owned();
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).sign());
    // The layer, the path, the credentials (`None` is a preflight), and the outcome.
    for (layer, path, authorization, expected) in [
        (&open, "/", Some(None), "nobody"),
        (&open, "/optional", Some(None), "nobody"),
        (&open, "/required", Some(None), "R401N"),
        (&open, "/", Some(Some(&alice)), "alice"),
        (&open, "/optional", Some(Some(&alice)), "alice"),
        (&open, "/required", Some(Some(&alice)), "alice"),
        (&open, "/", Some(Some(&invalid)), "R401"),
        (&open, "/", Some(Some(&scopeless)), "R403"),
        (&open, "/", None, "nobody"),
        (&open, "/optional", None, "nobody"),
        (&open, "/required", None, "R401N"),
        (&strict, "/", Some(None), "R401N"),
        (&strict, "/", Some(Some(&alice)), "alice"),
        (&strict, "/optional", Some(Some(&alice)), "alice"),
        (&strict, "/", Some(Some(&invalid)), "R401"),
        (&strict, "/", Some(Some(&scopeless)), "R403"),
        (&strict, "/", None, "nobody"),
        (&strict, "/optional", None, "R401N"),
        (&strict, "/required", None, "R401N"),
    ] {
        let app = app(layer.clone());
        let send = || match authorization {
            Some(authorization) => request(path, authorization.map(String::as_str)),
            None => preflight(path),
        };
        for (copied, request) in copies.forged(send) {
            assert_eq!(outcome(&app, request).await, expected, "{copied}: {authorization:?} to {path} of {layer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_is_removed_while_the_verification_is_pending() {
    for (is_down, expected) in [(false, "alice"), (true, "R503")] {
        let copies = Copies::new(&Fixture::new().await).await;
        for index in 0..5 {
            // The server has fetched nothing, so each request has to wait for the keys.
            let fixture = Fixture::cold();
            if is_down {
                fixture.issuer.stop();
            }
            let app = app(fixture.server.bearer_layer().allow_anonymous());
            let authorization = format!("Bearer {}", fixture.token());
            let (copied, request) = copies.forged(|| request("/", Some(&authorization))).swap_remove(index);
            assert_eq!(outcome(&app, request).await, expected, "{copied}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_uses_the_requirements_of_an_outer_layer_but_never_its_identity() {
    let fixture = Fixture::new().await;
    let copies = Copies::new(&fixture).await;
    let layer = || fixture.server.bearer_layer();
    let inner = layer().required_scopes(["b"]);
    let outer = layer().required_scopes(["a"]);
    let token = |scope: &str| {
        format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).subject("alice").scope(scope).sign())
    };
    // A layer between both replaces the identity of the outer one.
    let routes = || Router::new().route("/", any(caller)).route_layer(inner.clone());
    let honest = routes().route_layer(outer.clone());
    let replaced = routes().route_layer(Extension(copies.identity.clone())).route_layer(outer.clone());
    let half_open = routes().route_layer(outer.clone().allow_anonymous());
    for (app, scope, expected, challenge) in [
        (&honest, Some("a b"), "alice", None),
        (&honest, Some("a"), "R403", Some("a b")),
        (&honest, Some("b"), "R403", Some("a")),
        (&honest, None, "R401N", Some("a")),
        (&replaced, Some("a b"), "alice", None),
        (&replaced, Some("a"), "R403", Some("b")),
        (&replaced, Some("b"), "R403", Some("a")),
        (&replaced, None, "R401N", Some("a")),
        (&half_open, Some("a b"), "alice", None),
        (&half_open, None, "R401N", Some("a b")),
    ] {
        let token = scope.map(token);
        for (copied, request) in copies.forged(|| request("/", token.as_deref())) {
            let answer = Answer::of(app.clone().oneshot(request).await.unwrap()).await;
            let seen = if answer.status == 200 { answer.body.clone() } else { answer.verdict() };
            assert_eq!(seen, expected, "{copied}: {scope:?}");
            assert_eq!(answer.parameter("scope").as_deref(), challenge, "{copied}: {scope:?}");
        }
    }
    for (copied, request) in copies.forged(|| preflight("/")) {
        assert_eq!(outcome(&honest, request).await, "nobody", "{copied}");
    }
}
