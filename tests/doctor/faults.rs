//! Each deliberate fault is named as the first cause, with its repair.

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::any;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};

use crate::deployment::{Deployment, endpoint, working};

/// A row of the table: a fault, the id of the first cause, the exit status, and texts that the cause must have.
type Row = (&'static str, fn(&mut Deployment), &'static str, i32, &'static [&'static str]);

const FAULTS: &[Row] = &[
    (
        "the issuer with a slash at the end",
        issuer_with_slash,
        "issuer.identity",
        1,
        &[
            "slash at the end",
            "Issuer::discover(\"{issuer}\")",
            "\"expected\": \"{issuer}/\"",
            "\"found\": \"{issuer}\"",
        ],
    ),
    (
        "localhost instead of 127.0.0.1",
        issuer_by_name,
        "issuer.identity",
        1,
        &["both names mean this machine", "Issuer::discover(\"{issuer}\")"],
    ),
    (
        "an issuer path that does not exist",
        issuer_with_wrong_path,
        "issuer.metadata",
        1,
        &[
            "none of the 3 URLs",
            "/.well-known/oauth-authorization-server/realms/x: status 404",
            "/realms/x/.well-known/openid-configuration: status 404",
            "path of the issuer",
        ],
    ),
    (
        "an issuer that redirects",
        issuer_redirects,
        "issuer.metadata",
        1,
        &["redirect to \"https://login.example.com/start?...\"", "not followed"],
    ),
    (
        "an issuer that sends a login page",
        issuer_sends_html,
        "issuer.metadata",
        1,
        &["HTML", "check the URL of the issuer"],
    ),
    ("metadata that needs credentials", issuer_forbids, "issuer.metadata", 1, &["status 403", ".jwks_uri("]),
    ("an issuer with an outage", issuer_fails, "issuer.metadata", 2, &["status 503"]),
    (
        "no PKCE",
        |it| it.issuer.set_metadata_member("code_challenge_methods_supported", Value::Null),
        "issuer.pkce",
        1,
        &["MCP clients refuse", "[\\\"S256\\\"]"],
    ),
    (
        "PKCE without S256",
        |it| it.issuer.set_metadata_member("code_challenge_methods_supported", vec!["plain"]),
        "issuer.pkce",
        1,
        &["\"found\": \"plain\""],
    ),
    (
        "an empty key set",
        |it| it.issuer.publish_key_set(json!({"keys": []})),
        "issuer.keys",
        1,
        &["the key set is empty"],
    ),
    (
        "only keys that cannot be used",
        unusable_keys,
        "issuer.keys",
        1,
        &["no published key can verify", "kid \\\"curve\\\": not used", "not supported", "it is not for signatures"],
    ),
    (
        "a document that is not a key set",
        |it| it.issuer.publish_key_set(json!({"key": []})),
        "issuer.key_set",
        1,
        &["an array \\\"keys\\\" (RFC 7517, section 5)"],
    ),
    ("a wrong jwks_uri", wrong_jwks_uri, "issuer.key_set", 1, &["/nowhere: status 404", "correct `jwks_uri`"]),
    ("neither keys nor introspection", no_endpoints, "issuer.key_set", 1, &["neither `jwks_uri` nor"]),
    (
        "the metadata router forgotten",
        |it| it.app = without_metadata,
        "resource.metadata",
        1,
        &["status 404", ".merge(server.metadata_router())"],
    ),
    (
        "the metadata router nested below /api",
        |it| it.app = nested_metadata,
        "resource.metadata",
        1,
        &["/api/.well-known/oauth-protected-resource/mcp: found", "outermost router"],
    ),
    (
        "a layer over the metadata",
        |it| it.app = covered_metadata,
        "resource.metadata",
        1,
        &["status 401", "without a token", ".route_layer(server.bearer_layer())"],
    ),
    (
        "a gateway that redirects the metadata",
        |it| it.app = redirected_metadata,
        "resource.metadata",
        1,
        &["a redirect to", "serve the document at this URL"],
    ),
    (
        "metadata with another resource",
        another_resource,
        "resource.identity",
        1,
        &["differ in the path", "\"found\": \"{origin}/other\"", "ResourceServer::builder(\\\"{origin}/mcp\\\")"],
    ),
    ("a resource with a slash at the end", resource_with_slash, "resource.identity", 1, &["slash at the end"]),
    (
        "a given resource with a slash at the end",
        given_resource_with_slash,
        "mcp.address",
        1,
        &["\"found\": \"{origin}/mcp\"", "--resource {origin}/mcp"],
    ),
    (
        "metadata of another authorization server",
        another_issuer,
        "resource.authorization_servers",
        1,
        &["another authorization server", "Issuer::discover(\\\"{issuer}\\\")"],
    ),
    (
        "an endpoint without a layer",
        |it| it.app = unprotected,
        "mcp.protected",
        1,
        &["not protected", "gets 200", ".route_layer(server.bearer_layer())"],
    ),
    (
        "a handler that rejects the message before the layer",
        |it| it.app = handler_first,
        "mcp.protected",
        1,
        &["gets 406 instead of 401"],
    ),
    (
        "a gateway that responds with 403",
        |it| it.app = forbidden,
        "mcp.protected",
        1,
        &["403 instead of 401", "gateway"],
    ),
    (
        "a challenge without resource_metadata",
        |it| it.app = bare_challenge,
        "mcp.resource_metadata",
        1,
        &["does not have `resource_metadata`", "{origin}/.well-known/oauth-protected-resource/mcp"],
    ),
    ("a 401 without a challenge", |it| it.app = no_challenge, "mcp.challenge", 1, &["`WWW-Authenticate`", "gateway"]),
    ("a 401 of another scheme", |it| it.app = basic_challenge, "mcp.challenge", 1, &["scheme `Bearer`"]),
    ("a server that accepts every token", |it| it.app = accepts_all_tokens, "mcp.invalid_token", 1, &["made-up token"]),
    (
        "layer instead of route_layer",
        |it| it.app = layer_over_fallback,
        "mcp.unknown_path",
        1,
        &["401 instead of 404", "not .layer(..)"],
    ),
    (
        "the CORS layer inside of the bearer layer",
        |it| it.app = cors_inside,
        "mcp.cors",
        1,
        &["cannot read the 401", "outside of the bearer layer", ".layer(server.cors_layer())"],
    ),
    ("no CORS layer", |it| it.app = without_cors, "mcp.cors", 1, &["cannot read the 401"]),
    (
        "CORS without exposed headers",
        |it| it.app = cors_hides_challenge,
        "mcp.cors",
        1,
        &["cannot read the challenge", "Access-Control-Expose-Headers: WWW-Authenticate"],
    ),
    (
        "a redirect to the slash",
        |it| it.app = redirects_to_slash,
        "mcp.address",
        1,
        &["redirects with status 308", "with and without the slash", "\"found\": \"/mcp/\""],
    ),
    (
        "an endpoint at another path",
        |it| it.more_arguments = vec!["--mcp".into(), format!("{}/mpc", it.origin)],
        "mcp.address",
        1,
        &["{origin}/mpc does not exist", "--mcp"],
    ),
    (
        "an endpoint that is not the resource",
        |it| {
            it.app = |server| {
                let other = Router::new().route("/other", any(async || "{}")).route_layer(server.bearer_layer());
                working(server).merge(other.layer(server.cors_layer()))
            };
            it.more_arguments = vec!["--mcp".into(), format!("{}/other", it.origin)];
        },
        "mcp.resource",
        1,
        &["another URL than the resource", "ResourceServer::builder(\"{origin}/other\")"],
    ),
    (
        "a resource server that cannot reach the keys",
        cut_off,
        "mcp.invalid_token",
        2,
        &["gets 503", "let the server reach its authorization server"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_the_first_cause_with_its_repair() {
    assert!(FAULTS.len() >= 20);
    let mut wrong = Vec::new();
    for (what, prepare, cause, exit_status, texts) in FAULTS {
        let mut deployment = Deployment::new().await;
        prepare(&mut deployment);
        let (issuer, origin) = (deployment.issuer.url().to_owned(), deployment.origin.clone());
        let run = deployment.examine(&["--json"]).await;
        let texts = texts.iter().map(|text| text.replace("{issuer}", &issuer).replace("{origin}", &origin));
        wrong.extend(run.compared_with(what, cause, *exit_status, texts));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn issuer_with_slash(it: &mut Deployment) {
    it.given_issuer.push('/');
    it.configured_issuer = Issuer::discover(it.given_issuer.as_str());
}

fn issuer_by_name(it: &mut Deployment) {
    it.given_issuer = it.given_issuer.replace("127.0.0.1", "localhost");
    it.configured_issuer = Issuer::discover(it.given_issuer.as_str());
}

fn issuer_with_wrong_path(it: &mut Deployment) {
    it.given_issuer.push_str("/realms/x");
    it.configured_issuer = Issuer::discover(it.given_issuer.as_str());
}

fn metadata_fault(it: &Deployment, fault: &Fault) {
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
        it.issuer.fault(endpoint, fault.clone());
    }
}

fn issuer_redirects(it: &mut Deployment) {
    metadata_fault(it, &Fault::Redirect("https://login.example.com/start?state=secret".to_owned()));
}

fn issuer_sends_html(it: &mut Deployment) {
    metadata_fault(it, &Fault::Html);
}

fn issuer_forbids(it: &mut Deployment) {
    metadata_fault(it, &Fault::Status(403));
}

fn issuer_fails(it: &mut Deployment) {
    metadata_fault(it, &Fault::Status(503));
}

fn unusable_keys(it: &mut Deployment) {
    let curve = json!({"kty": "EC", "crv": "secp256k1", "kid": "curve"});
    it.issuer.publish_key_set(json!({"keys": [curve, {"kty": "RSA", "use": "enc", "kid": "encryption"}]}));
}

fn wrong_jwks_uri(it: &mut Deployment) {
    it.issuer.set_metadata_member("jwks_uri", format!("{}/nowhere", it.issuer.url()));
}

fn no_endpoints(it: &mut Deployment) {
    it.issuer.set_metadata_member("jwks_uri", Value::Null);
    it.issuer.set_metadata_member("introspection_endpoint", Value::Null);
}

fn another_resource(it: &mut Deployment) {
    it.configured_resource = format!("{}/other", it.origin);
}

fn resource_with_slash(it: &mut Deployment) {
    it.configured_resource.push('/');
}

fn given_resource_with_slash(it: &mut Deployment) {
    it.given_resource.push('/');
}

fn another_issuer(it: &mut Deployment) {
    it.configured_issuer = Issuer::discover("https://other.example.com").jwks_uri("https://other.example.com/jwks");
}

fn cut_off(it: &mut Deployment) {
    // Nothing listens at this port.
    it.configured_issuer = Issuer::discover(it.issuer.url()).jwks_uri("http://127.0.0.1:1/jwks");
}

fn protected(server: &ResourceServer) -> Router {
    endpoint().route_layer(server.bearer_layer()).layer(server.cors_layer())
}

fn without_metadata(server: &ResourceServer) -> Router {
    protected(server)
}

fn nested_metadata(server: &ResourceServer) -> Router {
    protected(server).nest("/api", server.metadata_router())
}

/// A layer that rejects every request without a token.
fn covered_metadata(server: &ResourceServer) -> Router {
    working(server).layer(from_fn(async |request: Request<_>, next: Next| {
        match request.headers().get("authorization") {
            None => (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response(),
            Some(_) => next.run(request).await,
        }
    }))
}

fn redirected_metadata(server: &ResourceServer) -> Router {
    let path = "/.well-known/oauth-protected-resource/mcp";
    protected(server).route(path, any(async || Redirect::temporary("/login")))
}

fn unprotected(server: &ResourceServer) -> Router {
    endpoint().layer(server.cors_layer()).merge(server.metadata_router())
}

fn handler_first(server: &ResourceServer) -> Router {
    let endpoint = Router::new().route("/mcp", any(async || StatusCode::NOT_ACCEPTABLE));
    endpoint.layer(server.cors_layer()).merge(server.metadata_router())
}

fn forbidden(server: &ResourceServer) -> Router {
    let endpoint = Router::new().route("/mcp", any(async || StatusCode::FORBIDDEN));
    endpoint.merge(server.metadata_router())
}

/// Replaces the challenge of every 401, as a gateway does.
fn with_challenge(server: &ResourceServer, challenge: Option<&'static str>) -> Router {
    let replace = move |mut response: Response| async move {
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            let challenge = challenge.map(|text| (header::WWW_AUTHENTICATE, HeaderValue::from_static(text)));
            response.headers_mut().extend(challenge);
        }
        response
    };
    working(server).layer(map_response(replace))
}

fn bare_challenge(server: &ResourceServer) -> Router {
    with_challenge(server, Some("Bearer error=\"invalid_token\", scope=\"mcp:tools\""))
}

fn no_challenge(server: &ResourceServer) -> Router {
    with_challenge(server, None)
}

fn basic_challenge(server: &ResourceServer) -> Router {
    with_challenge(server, Some("Basic realm=\"gateway\""))
}

fn accepts_all_tokens(server: &ResourceServer) -> Router {
    let skip = async |request: Request<_>, next: Next| match request.headers().get("authorization") {
        Some(_) => StatusCode::OK.into_response(),
        None => next.run(request).await,
    };
    working(server).layer(from_fn(skip))
}

fn layer_over_fallback(server: &ResourceServer) -> Router {
    let fallback = endpoint().fallback(async || StatusCode::NOT_FOUND);
    fallback.layer(server.bearer_layer()).layer(server.cors_layer()).merge(server.metadata_router())
}

fn cors_inside(server: &ResourceServer) -> Router {
    endpoint().layer(server.cors_layer()).route_layer(server.bearer_layer()).merge(server.metadata_router())
}

fn without_cors(server: &ResourceServer) -> Router {
    endpoint().route_layer(server.bearer_layer()).merge(server.metadata_router())
}

fn cors_hides_challenge(server: &ResourceServer) -> Router {
    let hides = server.cors_layer().expose_headers([header::CONTENT_LENGTH]);
    endpoint().route_layer(server.bearer_layer()).layer(hides).merge(server.metadata_router())
}

fn redirects_to_slash(server: &ResourceServer) -> Router {
    let redirect = any(async || Redirect::permanent("/mcp/"));
    Router::new().route("/mcp", redirect).merge(server.metadata_router())
}
