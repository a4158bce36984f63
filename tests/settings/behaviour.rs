//! A server that is configured by a file does what a server does that is configured by code.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{Request, StatusCode};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::issuer::providers;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::settings::Settings;
use mcp_bearer::testing::{Endpoint, Fault, TestClient, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use tower::ServiceExt as _;

use crate::secrets::Folder;
use crate::{ISSUER, RESOURCE, toml, with};

const COMPLETE: &str = r#"
    resource = "https://mcp.example.com/mcp"
    scopes_supported = ["notes:read", "notes:write"]
    required_scopes = ["mcp:tools"]
    allowed_origins = ["https://app.example.com"]
    scope_implies = { "notes:write" = ["notes:read"] }
    challenge_scopes = { "notes:read" = "api://notes/read" }
    initial_scopes = ["notes:write"]
    metadata_url = "https://mcp.example.com/meta"
    realm = "notes"

    [metadata]
    resource_name = "Notes"
    resource_name_in = { fr = "Les notes" }
    resource_documentation = "https://example.com/docs"
    resource_signing_alg_values_supported = ["ES256"]
    members = { signed = false }

    [[issuers]]
    url = "https://auth.example.com"
    algorithms = ["ES256"]
    audiences = ["api://notes"]
    scope_claims = ["/permissions"]
    [issuers.introspection]
    client_id = "rs"
    client_secret = "hush-hush"

    [[issuers]]
    keycloak = { url = "https://kc.example.com", realm = "demo" }

    [mcp]
    tools = { add_note = ["notes:write"] }
    any_tool = ["notes:read"]
    max_body = 2048
"#;

fn settings() -> Settings {
    toml(COMPLETE)
}

fn auth() -> TestIssuer {
    TestIssuer::builder(ISSUER).introspection_client("rs", "hush-hush").build()
}

fn server(settings: &Settings, auth: &TestIssuer) -> ResourceServer {
    settings.builder_with(|issuer| issuer.http_client(auth.http_client())).unwrap().build_lazy().unwrap()
}

/// The same configuration in code.
fn by_code(auth: &TestIssuer) -> ResourceServer {
    let introspection = Introspection::new(ClientCredentials::basic("rs", "hush-hush"));
    let issuer = Issuer::discover(ISSUER)
        .algorithms([Algorithm::ES256])
        .accept_audience("api://notes")
        .scope_claim("/permissions")
        .introspect_opaque(introspection)
        .http_client(auth.http_client());
    ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .issuer(providers::keycloak("https://kc.example.com", "demo").http_client(auth.http_client()))
        .scopes_supported(["notes:read", "notes:write"])
        .scope_implies("notes:write", ["notes:read"])
        .challenge_scope("notes:read", "api://notes/read")
        .initial_scopes(["notes:write"])
        .metadata_url("https://mcp.example.com/meta")
        .realm("notes")
        .metadata(|metadata| {
            metadata
                .resource_name("Notes")
                .resource_name_in("fr", "Les notes")
                .resource_documentation("https://example.com/docs")
                .resource_signing_alg_values_supported([Algorithm::ES256])
                .member("signed", false)
        })
        .build_lazy()
        .unwrap()
}

fn call(token: &str, tool: &str) -> Request<Body> {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#);
    let request = Request::post("/mcp").header("content-type", "application/json");
    request.header("authorization", format!("Bearer {token}")).body(Body::from(body)).unwrap()
}

fn app(settings: &Settings, server: &ResourceServer) -> Router {
    Router::new()
        .route("/mcp", any(|| async { "ok" }))
        .route_layer(settings.mcp_layer(server).unwrap())
        .layer(settings.origin_layer(server).unwrap())
        .merge(server.metadata_router())
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (response.status(), challenge.unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn the_metadata_document_and_the_challenge_are_those_of_the_code() {
    let (auth, settings) = (auth(), settings());
    let (by_file, by_code) = (server(&settings, &auth), by_code(&auth));
    assert_eq!(by_file.metadata_service().document(), by_code.metadata_service().document());
    assert_eq!(by_file.metadata_url(), by_code.metadata_url());
    let layer = by_code.bearer_layer().required_scopes(["mcp:tools"]);
    let code = Router::new().route("/mcp", any(|| async { "ok" })).route_layer(layer);
    let file = settings.bearer_layer(&by_file).unwrap();
    let file = Router::new().route("/mcp", any(|| async { "ok" })).route_layer(file);
    let get = || Request::get("/mcp").body(Body::empty()).unwrap();
    assert_eq!(send(&file, get()).await, send(&code, get()).await);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_accepted_and_rejected_as_the_file_says() {
    let (auth, settings) = (auth(), settings());
    let server = server(&settings, &auth);
    let app = app(&settings, &server);
    let full = "mcp:tools notes:write";
    for (what, token, tool, status, challenge) in [
        ("a valid JWT", auth.token().audience(RESOURCE).scope(full).sign(), "add_note", 200, ""),
        ("another audience", auth.token().audience("api://notes").scope(full).sign(), "add_note", 200, ""),
        ("an opaque token", auth.token().audience(RESOURCE).scope(full).opaque(), "add_note", 200, ""),
        (
            "a scope claim",
            auth.token().audience(RESOURCE).scope("mcp:tools").claim("permissions", "notes:write").sign(),
            "add_note",
            200,
            "",
        ),
        (
            "a wrong audience",
            auth.token().audience("https://other.example").scope(full).sign(),
            "add_note",
            401,
            "invalid_token",
        ),
        (
            "no scope for the tool",
            auth.token().audience(RESOURCE).scope("mcp:tools").sign(),
            "add_note",
            403,
            "notes:write",
        ),
        ("an implied scope", auth.token().audience(RESOURCE).scope(full).sign(), "search", 200, ""),
        (
            "no scope of the layer",
            auth.token().audience(RESOURCE).scope("notes:write").sign(),
            "add_note",
            403,
            "mcp:tools",
        ),
    ] {
        let (found, header) = send(&app, call(&token, tool)).await;
        assert!(found == status && header.contains(challenge), "{what}: {found} {header}");
    }
    let token = auth.token().audience(RESOURCE).scope(full).sign();
    let mut long = call(&token, "add_note");
    *long.body_mut() = Body::from("x".repeat(2049));
    assert_eq!(send(&app, long).await.0, 413);
    let mut foreign = call(&token, "add_note");
    foreign.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(send(&app, foreign).await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_answered_with_503() {
    let (auth, settings) = (auth(), settings());
    let server = server(&settings, &auth);
    let app = app(&settings, &server);
    auth.fault(Endpoint::Introspection, Fault::Status(500));
    let token = auth.token().audience(RESOURCE).scope("mcp:tools notes:write").opaque();
    assert_eq!(send(&app, call(&token, "add_note")).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn the_clock_skew_of_the_file_is_used() {
    let auth = auth();
    let mut settings = settings();
    let late = auth.token().audience(RESOURCE).scope("mcp:tools notes:write").expires_in(Duration::ZERO).sign();
    for (skew, status) in [(None, 200), (Some(0.0), 401)] {
        settings.clock_skew_seconds = skew;
        let server = server(&settings, &auth);
        assert_eq!(send(&app(&settings, &server), call(&late, "add_note")).await.0, status, "{skew:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_credentials_are_sent_where_the_settings_say_so() {
    let introspection = serde_json::json!({ "client_authentication": "none" });
    let of_file = with(serde_json::json!({ "issuers": [{ "url": ISSUER, "introspection": introspection }] }));
    let variables = [
        ("MCP_RESOURCE", RESOURCE),
        ("MCP_ISSUER", ISSUER),
        ("MCP_INTROSPECTION_CLIENT_AUTHENTICATION", "none"),
        ("MCP_INTROSPECTION_ENDPOINT", "https://auth.example.com/introspect"),
    ];
    for settings in [of_file, Settings::from_vars("MCP_", variables, [""; 0])] {
        let auth = TestIssuer::new(ISSUER);
        let app = app(&settings, &server(&settings, &auth));
        assert_eq!(send(&app, call(&auth.token().audience(RESOURCE).opaque(), "search")).await.0, 200);
        let request = auth.last_request(Endpoint::Introspection).unwrap();
        assert_eq!((request.header("authorization"), request.form().len()), (None, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_in_its_file_is_used_without_a_restart() {
    let folder = Folder::new("rotation");
    let path = folder.file("secret", "hush-hush\n");
    let of_file = |authentication: &str| {
        let introspection = serde_json::json!({
            "client_id": "rs",
            "client_secret_file": path,
            "client_authentication": authentication,
            "positive_cache_seconds": 0,
        });
        with(serde_json::json!({ "issuers": [{ "url": ISSUER, "introspection": introspection }] }))
    };
    let variables = [
        ("MCP_RESOURCE", RESOURCE),
        ("MCP_ISSUER", ISSUER),
        ("MCP_INTROSPECTION_CLIENT_ID", "rs"),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", &path),
        ("MCP_INTROSPECTION_CACHE_SECONDS", "0"),
    ];
    let of_variables = Settings::from_vars("MCP_", variables, [""; 0]);
    for settings in [of_file("basic"), of_file("post"), of_variables] {
        folder.file("secret", "hush-hush\n");
        let auth = auth();
        let app = app(&settings, &server(&settings, &auth));
        let token = auth.token().audience(RESOURCE).opaque();
        assert_eq!(send(&app, call(&token, "search")).await.0, 200);
        auth.set_introspection_client("rs", "replaced");
        folder.file("secret", "replaced\n");
        assert_eq!(send(&app, call(&token, "search")).await.0, 200);
        // A secret that is not in the file is not accepted.
        auth.set_introspection_client("rs", "another");
        assert_eq!(send(&app, call(&token, "search")).await.0, 503);
    }
}

#[tokio::test]
async fn a_lazy_server_starts_without_its_issuers() {
    let mut settings = toml(
        r#"
            resource = "http://127.0.0.1:9000/mcp"
            [[issuers]]
            url = "http://127.0.0.1:1/none"
        "#,
    );
    let error = settings.build().await.unwrap_err();
    assert!(error.to_string().contains("http://127.0.0.1:1/none"), "{error}");
    assert_eq!(error.build_error().unwrap().kind(), mcp_bearer::BuildErrorKind::Unreachable);
    settings.lazy = true;
    settings.build().await.unwrap();
}

#[test]
fn a_layer_reports_all_mistakes_in_its_settings() {
    let auth = auth();
    let server = server(&settings(), &auth);
    let mut wrong = settings();
    wrong.required_scopes = vec!["two words".to_owned()];
    wrong.mcp.max_body = Some(0);
    for error in [
        wrong.mcp_layer(&server).unwrap_err(),
        wrong.bearer_layer(&server).unwrap_err(),
        wrong.origin_layer(&server).unwrap_err(),
    ] {
        assert_eq!(
            error.mistakes().map(|mistake| mistake.path()).collect::<Vec<_>>(),
            ["mcp.max_body", "required_scopes[0]"]
        );
    }
}

#[tokio::test]
async fn sender_constrained_tokens_are_accepted_as_the_file_says() {
    let folder = Folder::new("nonces");
    let key = folder.file("nonce_key", "4f1c2d7a90b3e86655f02a8c1d94be37aa60c5d21e9f7b4830d6c1a27be5f908\n");
    let settings = toml(&format!(
        r#"
        resource = "{RESOURCE}"
        sender_constraint = "optional"
        dpop = {{ algorithms = ["ES256"], require_nonces = true, nonce_key_file = "{}", path_behind_proxy = {{ external = "/public", internal = "/" }} }}
        issuers = [{{ url = "{ISSUER}" }}]
        [mcp]
        tools = {{ pay = [] }}
        sender_constrained = ["tools.pay"]
        "#,
        key
    ));
    let auth = auth();
    let server = server(&settings, &auth);
    let document: serde_json::Value = serde_json::from_slice(server.metadata_service().document()).unwrap();
    assert_eq!(document["dpop_signing_alg_values_supported"], serde_json::json!(["ES256"]));
    let app = Router::new().route("/mcp", any(|| async { "ok" })).route_layer(settings.mcp_layer(&server).unwrap());
    let send = |request: Request<String>| app.clone().oneshot(request.map(Body::from));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay"}}"#.to_owned();
    // A bearer token does not satisfy the rule.
    let bearer = auth.token().audience(RESOURCE).sign();
    let request = Request::post("/mcp").header("authorization", format!("Bearer {bearer}")).body(call.clone()).unwrap();
    assert_eq!(send(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // A bound token does, with a proof for the URL in front of the proxy, and with a nonce.
    let client = TestClient::with_key(auth.dpop_key());
    let token = auth.token().audience(RESOURCE).bound_to(client.key()).sign();
    let url = "https://mcp.example.com/public/mcp";
    let request = || client.request("POST", url, &token).uri("/mcp").body(call.clone()).unwrap();
    let rejected = send(request()).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert!(client.accept_nonce(rejected.headers()));
    let accepted = send(request()).await.unwrap();
    assert_eq!(accepted.status(), StatusCode::OK);
    assert!(accepted.headers().contains_key("dpop-nonce"));
}
