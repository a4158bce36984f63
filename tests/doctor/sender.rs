//! Sender-constrained tokens: what the metadata names, what the challenge names, and what a token is bound to.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use mcp_bearer::sender::SenderConstraint;
use mcp_bearer::testing::{TestCertificate, TestDpopKey, TestToken};
use mcp_bearer::{ResourceServer, ResourceServerBuilder};
use serde_json::{Value, json};

use crate::deployment::{Deployment, endpoint, working};

/// A row of the table: a fault, the id of the first cause, and texts that the cause must have. The function returns the token
/// that is explained, or an empty text.
type Row = (&'static str, fn(&mut Deployment) -> String, &'static str, &'static [&'static str]);

const FAULTS: &[Row] = &[
    (
        "a bearer token at a server that requires DPoP",
        |it| {
            it.configure = requires_dpop;
            token(it).sign()
        },
        "token.sender",
        &[
            "the token is rejected: not bound to a key of the client",
            "\"cause\": \"not_sender_constrained\"",
            "`dpop_bound_access_tokens_required`",
            "SenderConstraint::Optional",
        ],
    ),
    (
        "a token that is bound to a certificate at a server that requires DPoP",
        |it| {
            it.configure = |builder| requires_dpop(builder).client_certificate_from_connection();
            bound_to_certificate(it)
        },
        "token.sender",
        &["bound to a client certificate", "\"cause\": \"not_sender_constrained\""],
    ),
    (
        "a bound token at a server without a setting",
        bound_to_key,
        "token.kind",
        &["`cnf` has `jkt`: it is bound to the key of DPoP proofs", "call `sender_constraint` on the builder"],
    ),
    (
        "a token that is bound to a key at a server that accepts certificates",
        |it| {
            it.configure = accepts_certificates;
            bound_to_key(it)
        },
        "token.kind",
        &["`cnf` has `jkt`", "the metadata of the resource names client certificates", "SenderConstraint::Optional"],
    ),
    (
        "a token that is bound to a certificate at a server that accepts DPoP",
        |it| {
            it.configure = accepts_dpop;
            bound_to_certificate(it)
        },
        "token.kind",
        &["`cnf` has `x5t#S256`", "the metadata of the resource names DPoP", "client_certificate_from_connection()"],
    ),
    (
        "an unknown member of `cnf` at a server that accepts DPoP",
        |it| {
            it.configure = accepts_dpop;
            token(it).claim("cnf", json!({"jwk": {}})).sign()
        },
        "token.kind",
        &["`cnf` has a member that servers cannot check", "bind the token with `jkt`"],
    ),
    (
        "a gateway that removes the DPoP challenge",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| with_challenge(server, &[BEARER]);
            String::new()
        },
        "mcp.dpop",
        &["does not have a `DPoP` challenge", "\"expected\": \"ES256 ES384\"", "a gateway must not"],
    ),
    (
        "a DPoP challenge before the Bearer challenge",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| with_challenge(server, &["DPoP algs=\"ES256 ES384\"", BEARER]);
            String::new()
        },
        "mcp.dpop",
        &["comes before the `Bearer` challenge", "read only the first challenge"],
    ),
    (
        "a DPoP challenge without algorithms",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| with_challenge(server, &[BEARER, "DPoP error=\"invalid_token\""]);
            String::new()
        },
        "mcp.dpop",
        &["does not have `algs`", "\"expected\": \"ES256 ES384\""],
    ),
    (
        "a DPoP challenge with other algorithms",
        |it| {
            it.configure = requires_dpop;
            it.app = |server| with_challenge(server, &[BEARER, "DPoP algs=\"ES256 PS256\""]);
            String::new()
        },
        "mcp.dpop",
        &["other algorithms than the metadata", "\"found\": \"ES256 PS256\""],
    ),
    (
        "a DPoP challenge of a server whose metadata does not name DPoP",
        |it| {
            it.app = |server| with_challenge(server, &[BEARER, "DPoP algs=\"ES256\""]);
            bound_to_key(it)
        },
        "mcp.dpop",
        &[
            "the metadata of the resource does not name DPoP",
            "dpop_signing_alg_values_supported",
            "server.metadata_router()",
        ],
    ),
    (
        "a preflight without the header DPoP",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| {
                let names =
                    "authorization content-type last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id";
                let names = names.split(' ').map(HeaderName::from_static).collect::<Vec<_>>();
                let cors = server.cors_layer().allow_headers(names);
                endpoint().route_layer(server.bearer_layer()).layer(cors).merge(server.metadata_router())
            };
            String::new()
        },
        "mcp.preflight",
        &["\"expected\": \"Access-Control-Allow-Headers: dpop\""],
    ),
    (
        "a nonce that web pages cannot read",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| {
                let nonce = async |mut response: Response| {
                    response.headers_mut().insert("dpop-nonce", HeaderValue::from_static("n"));
                    response
                };
                endpoint()
                    .route_layer(server.bearer_layer())
                    .layer(server.cors_layer().expose_headers(EXPOSED))
                    .layer(map_response(nonce))
                    .merge(server.metadata_router())
            };
            String::new()
        },
        "mcp.cors",
        &["\"expected\": \"Access-Control-Expose-Headers: DPoP-Nonce\"", "cannot read the nonce"],
    ),
    (
        "algorithms that are not an array",
        |it| {
            it.configure = accepts_dpop;
            it.app = |server| with_metadata(server, "dpop_signing_alg_values_supported", || json!("ES256"));
            bound_to_key(it)
        },
        "resource.sender_constraint",
        &["`dpop_signing_alg_values_supported` is not an array of names", "\"found\": \"\\\\\\\"ES256\\\\\\\"\""],
    ),
    (
        "a boolean as a string",
        |it| {
            it.app = |server| with_metadata(server, "dpop_bound_access_tokens_required", || json!("true"));
            String::new()
        },
        "resource.sender_constraint",
        &["`dpop_bound_access_tokens_required` is neither true nor false"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_sender_constrained_tokens_is_the_first_cause() {
    let mut wrong = Vec::new();
    for (what, prepare, cause, texts) in FAULTS {
        let mut deployment = Deployment::new().await;
        let token = prepare(&mut deployment);
        let run = explain(deployment, &token).await;
        wrong.extend(run.compared_with(what, cause, 1, texts.iter().map(|text| (*text).to_owned())));
        let causes = run.json()["causes"].clone();
        if causes != json!([cause]) {
            wrong.push(format!("{what}: {causes} instead of only {cause}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_that_the_metadata_accepts_is_not_a_fault() {
    type Case = (fn(ResourceServerBuilder) -> ResourceServerBuilder, fn(&mut Deployment) -> String, bool);
    let cases: &[Case] = &[
        (accepts_dpop, bound_to_key, true),
        (requires_dpop, bound_to_key, true),
        (accepts_certificates, bound_to_certificate, true),
        (|builder| accepts_dpop(builder).client_certificate_from_connection(), bound_to_certificate, true),
        (accepts_dpop, |it| token(it).sign(), false),
        (|builder| builder, |it| token(it).sign(), false),
    ];
    for (configure, prepare, is_bound) in cases {
        let mut deployment = Deployment::new().await;
        deployment.configure = *configure;
        let token = prepare(&mut deployment);
        let run = explain(deployment, &token).await;
        let report = run.json();
        assert_eq!((run.exit_status, &report["causes"]), (0, &json!([])), "{report:#}");
        let [kind, sender] = ["token.kind", "token.sender"].map(|id| check(&report, id));
        assert_eq!(kind["status"], "ok", "{report:#}");
        assert_eq!(kind["message"].as_str().unwrap().contains("what it is bound to"), *is_bound, "{report:#}");
        assert!(!kind["message"].as_str().unwrap().contains("bearer token"), "{report:#}");
        assert_eq!(sender["status"], if *is_bound { "note" } else { "ok" }, "{report:#}");
        let unasked = "the server was not asked with this token, because doctor does not have its key";
        assert_eq!(sender["message"].as_str().unwrap().contains(unasked), *is_bound, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_judged_without_the_metadata() {
    let mut deployment = Deployment::new().await;
    deployment.configure = requires_dpop;
    deployment.app = |server| endpoint().route_layer(server.bearer_layer()).layer(server.cors_layer());
    let token = bound_to_key(&mut deployment);
    let report = explain(deployment, &token).await.json();
    assert_eq!(report["causes"], json!(["resource.metadata"]), "{report:#}");
    for id in ["token.sender", "mcp.dpop"] {
        assert_eq!(check(&report, id)["not_reached_because_of"], "resource.metadata", "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_which_tokens_the_resource_accepts() {
    let mut deployment = Deployment::new().await;
    deployment.configure = requires_dpop;
    let report = explain(deployment, "").await.json();
    let accepted = check(&report, "resource.sender_constraint");
    // The metadata of the issuer does not name DPoP.
    assert_eq!(accepted["status"], "note", "{report:#}");
    assert!(accepted["message"].as_str().unwrap().contains("the authorization server"), "{report:#}");
    assert_eq!(check(&report, "mcp.dpop")["status"], "ok", "{report:#}");

    let mut deployment = Deployment::new().await;
    deployment.configure = accepts_dpop;
    deployment.issuer.set_metadata_member("dpop_signing_alg_values_supported", vec!["ES256"]);
    let report = explain(deployment, "").await.json();
    let accepted = check(&report, "resource.sender_constraint");
    assert_eq!(
        (&accepted["status"], &accepted["message"]),
        (&json!("ok"), &json!("the resource accepts tokens that are bound by DPoP (ES256 ES384), and bearer tokens"))
    );

    let report = explain(Deployment::new().await, "").await.json();
    for id in ["resource.sender_constraint", "mcp.dpop", "token.sender"] {
        assert_eq!(check(&report, id), &Value::Null, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_header_that_is_not_exposed_is_a_note() {
    let mut deployment = Deployment::new().await;
    deployment.configure = accepts_dpop;
    deployment.app = |server| {
        let cors = server.cors_layer().expose_headers(EXPOSED);
        endpoint().route_layer(server.bearer_layer()).layer(cors).merge(server.metadata_router())
    };
    let report = explain(deployment, "").await.json();
    let cors = check(&report, "mcp.cors");
    assert_eq!((&cors["status"], &report["verdict"]), (&json!("note"), &json!("ok")), "{report:#}");
    assert!(cors["message"].as_str().unwrap().contains("DPoP-Nonce"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_dpop_before_a_token_is_removed() {
    let mut deployment = Deployment::new().await;
    deployment.configure = accepts_dpop;
    let token = format!("DPoP {}", bound_to_key(&mut deployment));
    let run = explain(deployment, &token).await;
    assert_eq!(run.exit_status, 0, "{}", run.stdout);
}

fn accepts_dpop(builder: ResourceServerBuilder) -> ResourceServerBuilder {
    builder.sender_constraint(SenderConstraint::Optional).dpop(proofs())
}

fn requires_dpop(builder: ResourceServerBuilder) -> ResourceServerBuilder {
    builder.sender_constraint(SenderConstraint::Dpop).dpop(proofs())
}

fn proofs() -> mcp_bearer::sender::Dpop {
    use mcp_bearer::jose::Algorithm;
    mcp_bearer::sender::Dpop::new().algorithms([Algorithm::ES256, Algorithm::ES384])
}

fn accepts_certificates(builder: ResourceServerBuilder) -> ResourceServerBuilder {
    builder.sender_constraint(SenderConstraint::Mtls).client_certificate_from_connection()
}

/// A token that the working deployment accepts.
fn token(it: &Deployment) -> TestToken<'_> {
    it.issuer.token().audience(&it.given_resource)
}

fn bound_to_key(it: &mut Deployment) -> String {
    token(it).bound_to(&TestDpopKey::new()).sign()
}

fn bound_to_certificate(it: &mut Deployment) -> String {
    token(it).bound_to_certificate(TestCertificate::new("client").thumbprint()).sign()
}

async fn explain(mut deployment: Deployment, token: &str) -> crate::program::Run {
    if !token.is_empty() {
        deployment.more_arguments.push(format!("--token={token}"));
    }
    deployment.examine(&["--json"]).await
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|check| check["id"] == id).unwrap_or(&Value::Null)
}

/// Replaces the challenges of every 401, as a gateway does.
fn with_challenge(server: &ResourceServer, challenges: &'static [&'static str]) -> Router {
    let values = challenges.iter().map(|challenge| challenge.replace("{metadata}", server.metadata_url()));
    let values: Vec<_> = values.map(|value| HeaderValue::try_from(value).unwrap()).collect();
    let replace = move |mut response: Response| {
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            for value in &values {
                response.headers_mut().append(header::WWW_AUTHENTICATE, value.clone());
            }
        }
        std::future::ready(response)
    };
    working(server).layer(map_response(replace))
}

/// The metadata with one more member, as another server publishes it.
fn with_metadata(server: &ResourceServer, name: &'static str, value: fn() -> Value) -> Router {
    let resource = server.metadata_url().replace("/.well-known/oauth-protected-resource", "");
    let issuer = server.health().issuers()[0].issuer().to_owned();
    let mut document =
        json!({"resource": resource, "authorization_servers": [issuer], "scopes_supported": ["mcp:tools"]});
    document[name] = value();
    let metadata = get(move || async move { axum::Json(document) });
    let app = endpoint().route_layer(server.bearer_layer()).layer(server.cors_layer());
    app.merge(Router::new().route("/.well-known/oauth-protected-resource/mcp", metadata).layer(server.cors_layer()))
}

const BEARER: &str = "Bearer error=\"invalid_token\", resource_metadata=\"{metadata}\", scope=\"mcp:tools\"";
/// The exposed headers without `DPoP-Nonce`.
const EXPOSED: [HeaderName; 4] = [
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
];
