//! A token is explained, and never printed.

use std::sync::Arc;

use axum::Router;
use axum::http::Request;
use axum::middleware::{Next, from_fn};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{Endpoint, Fault, TestToken};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};

use crate::deployment::{Deployment, working};
use crate::program::{Run, run};

/// A row of the table: a token, the id of the first cause, the exit status, and texts that the cause must have. The function
/// can change the deployment too.
type Row = (&'static str, fn(&mut Deployment) -> String, &'static str, i32, &'static [&'static str]);

const TOKENS: &[Row] = &[
    (
        "the audience of another resource",
        |it| for_audience(it, "https://other.example.com/mcp"),
        "token.audience",
        1,
        &[
            "audience mismatch",
            "\"cause\": \"audience\"",
            "\"expected\": \"{origin}/mcp\"",
            "\"found\": \"https://other.example.com/mcp\"",
            "parameter `resource` (RFC 8707)",
            "resource=http%3A%2F%2F127.0.0.1%3A",
        ],
    ),
    (
        "an audience with a slash at the end",
        |it| for_audience(it, &format!("{}/", it.given_resource)),
        "token.audience",
        1,
        &["slash at the end", "ResourceServer::builder(\"{origin}/mcp\").accept_audience(\"{origin}/mcp/\")"],
    ),
    (
        "no audience",
        |it| it.issuer.token().sign(),
        "token.audience",
        1,
        &[
            "no audience",
            "\"cause\": \"no_audience\"",
            "dangerously_accept_clients_without_audience",
            "resource=http%3A",
        ],
    ),
    (
        "an expired token",
        |it| valid(it).expired().sign(),
        "token.times",
        1,
        &["the token is rejected: expired", "the token expired 36", "get a new token"],
    ),
    ("a token without an expiry", |it| valid(it).without("exp").sign(), "token.times", 1, &["no expiry", "`exp`"]),
    (
        "a token that is valid later",
        |it| valid(it).claim("nbf", 4_000_000_000_u64).expires_at(4_000_000_300).sign(),
        "token.times",
        1,
        &["not valid yet", "clock of this machine"],
    ),
    (
        "a token of another issuer",
        |it| valid(it).claim("iss", "https://other.example.com").sign(),
        "token.issuer",
        1,
        &[
            "issuer not accepted",
            "\"expected\": \"{issuer}\"",
            "\"found\": \"https://other.example.com\"",
            "configure the issuer exactly as `iss` names it",
        ],
    ),
    (
        "a slash at the end of `iss`",
        |it| valid(it).claim("iss", format!("{}/", it.issuer.url())).sign(),
        "token.issuer",
        1,
        &["slash at the end", "Issuer::discover(\"{issuer}\").also_issued_as(\"{issuer}/\")"],
    ),
    (
        "several audiences, one of which has a slash at the end",
        |it| {
            let audiences = valid(it).without("aud").audience("https://auth.example.com/userinfo");
            audiences.audience(&format!("{}/", it.given_resource)).sign()
        },
        "token.audience",
        1,
        &["slash at the end", ".accept_audience(\"{origin}/mcp/\")"],
    ),
    ("a token without `iss`", |it| valid(it).without("iss").sign(), "token.issuer", 1, &["\\\"iss\\\" is missing"]),
    (
        "an opaque token at a server that verifies JWTs",
        |it| valid(it).opaque(),
        "token.form",
        1,
        &["it is opaque, and the server accepts only JWTs", "\"cause\": \"not_jwt\"", ".introspect_opaque("],
    ),
    (
        "an opaque token that cannot be introspected",
        |it| {
            it.issuer.set_metadata_member("introspection_endpoint", Value::Null);
            it.app = without_descriptions;
            "opaque-1".to_owned()
        },
        "token.form",
        1,
        &["nobody can verify the token", "let the authorization server issue JWTs"],
    ),
    (
        "an opaque token at a server that introspects",
        |it| {
            let configured = Issuer::discover(it.issuer.url());
            it.configured_issuer = configured.introspect_opaque(ClientCredentials::basic("rs", "secret"));
            valid(it).opaque()
        },
        "token.form",
        2,
        &["only your server, which has the credentials", "server.explain(token).await"],
    ),
    (
        "a JWT of an issuer without keys",
        |it| {
            it.issuer.set_metadata_member("jwks_uri", Value::Null);
            let configured = Issuer::discover(it.issuer.url());
            it.configured_issuer = configured.introspect_all(ClientCredentials::basic("rs", "secret"));
            valid(it).sign()
        },
        "token.key",
        2,
        &["cannot be verified", "only introspection can verify the token"],
    ),
    (
        "an incomplete token",
        |it| valid(it).sign().rsplit_once('.').unwrap().0.to_owned(),
        "token.form",
        1,
        &["not a JWT in compact form", "unchanged and complete"],
    ),
    (
        "an encrypted token",
        |_| "e30.AA.AA.AA.AA".to_owned(),
        "token.form",
        1,
        &["an encrypted JWT", "issue signed tokens"],
    ),
    (
        "a token that is too long",
        |it| valid(it).claim("groups", "x".repeat(60_000)).sign(),
        "token.length",
        1,
        &["too long", "`max_token_length`"],
    ),
    (
        "a logout token",
        |it| valid(it).header("typ", "logout+jwt").sign(),
        "token.header",
        1,
        &["not an access token", "\"found\": \"logout+jwt\""],
    ),
    ("a MAC instead of a signature", |it| valid(it).header("alg", "HS256").sign(), "token.header", 1, &["\"HS256\""]),
    ("a claim of a wrong type", |it| valid(it).claim("exp", "1").sign(), "token.claims", 1, &["\\\"exp\\\""]),
    (
        "a token that is bound to a key",
        |it| valid(it).claim("cnf", json!({"jkt": "x"})).sign(),
        "token.kind",
        1,
        &["sender-constrained", "DPoP"],
    ),
    (
        "a key that is not published",
        |it| valid(it).header("kid", "other").sign(),
        "token.key",
        1,
        &["unknown key", "another environment"],
    ),
    (
        "an invalid signature",
        |it| format!("{}.AAAA", valid(it).sign().rsplit_once('.').unwrap().0),
        "token.signature",
        1,
        &["invalid signature", "complete"],
    ),
    // Causes that explain why the token is rejected come before it.
    (
        "a wrong issuer and the token of the right one",
        |it| {
            it.given_issuer.push('/');
            it.configured_issuer = Issuer::discover(it.given_issuer.as_str());
            valid(it).sign()
        },
        "issuer.identity",
        1,
        &["slash at the end"],
    ),
    (
        "another resource in the server, and a token for it",
        |it| {
            it.configured_resource.push('/');
            for_audience(it, &it.configured_resource)
        },
        "resource.identity",
        1,
        &["slash at the end"],
    ),
    (
        "another issuer in the server, and a token of it",
        |it| {
            let other = "https://other.example.com";
            it.configured_issuer = Issuer::discover(other).jwks_uri("https://other.example.com/jwks");
            valid(it).claim("iss", other).sign()
        },
        "resource.authorization_servers",
        1,
        &["another authorization server"],
    ),
    (
        "an empty key set",
        |it| {
            let token = valid(it).sign();
            it.issuer.publish_key_set(json!({"keys": []}));
            token
        },
        "issuer.keys",
        1,
        &["the key set is empty"],
    ),
    (
        "a key set that cannot be fetched",
        |it| {
            let token = valid(it).sign();
            it.issuer.fault(Endpoint::KeySet, Fault::Status(500));
            token
        },
        "issuer.key_set",
        2,
        &["status 500"],
    ),
];

/// Rows whose token is rejected because of the first cause, so that it is the only one.
const ONLY: &[&str] =
    &["issuer.identity", "resource.identity", "resource.authorization_servers", "issuer.keys", "issuer.key_set"];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_cause_says_why_a_token_is_rejected() {
    let mut wrong = Vec::new();
    for (what, prepare, cause, exit_status, texts) in TOKENS {
        let mut deployment = Deployment::new().await;
        let token = prepare(&mut deployment);
        let (issuer, origin) = (Arc::clone(&deployment.issuer), deployment.origin.clone());
        let run = with_token(deployment, &token, &["--json"]).await;
        let report = run.json();
        if ONLY.contains(cause) && report["causes"] != json!([cause]) {
            wrong.push(format!("{what}: {} instead of only {cause}: {report:#}", report["causes"]));
        }
        let texts = texts.iter().map(|text| text.replace("{issuer}", issuer.url()).replace("{origin}", &origin));
        wrong.extend(run.compared_with(what, cause, *exit_status, texts));
        if [&run.stdout, &run.stderr].iter().any(|printed| shows_a_part(printed, &token)) {
            wrong.push(format!("{what}: the token is printed: {}{}", run.stdout, run.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_of_a_valid_token_passes() {
    for is_in_stdin in [false, true] {
        let mut deployment = Deployment::new().await;
        let token = valid(&deployment).sign();
        deployment.stdin = format!("Bearer {token}\n").into_bytes();
        let argument = if is_in_stdin { "-" } else { &token };
        let run = with_token(deployment, argument, &["--json"]).await;
        let report = run.json();
        assert_eq!(run.exit_status, 0, "{report:#}");
        let checks = report["checks"].as_array().unwrap();
        let of_token = checks.iter().filter(|check| check["id"].as_str().unwrap().starts_with("token."));
        let of_token: Vec<_> = of_token.map(|check| (check["id"].as_str().unwrap(), &check["status"])).collect();
        let ids =
            ["length", "form", "header", "claims", "issuer", "audience", "times", "kind", "key", "signature", "sender"];
        let ids = ids.map(|id| format!("token.{id}"));
        let expected: Vec<_> = ids.iter().map(|id| (id.as_str(), &report["verdict"])).collect();
        assert_eq!((of_token, &report["verdict"]), (expected, &json!("ok")));
        assert!(!shows_a_part(&run.stdout, &token), "{}", run.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_code_accepts_the_tokens_of_others() {
    let resource = format!("{}/mcp", Deployment::new().await.origin);
    for (claim, value) in [
        ("aud", resource.as_str()),
        ("aud", "http://127.0.0.1/mcp"),
        ("aud", "https://other.example.com/mcp/"),
        ("aud", ""),
        ("iss", "https://other.example.com"),
        ("iss", "http://127.0.0.1:1"),
        ("iss", "http://localhost:1"),
    ] {
        let deployment = Deployment::new().await;
        let token = valid(&deployment).claim(claim, value).sign();
        let run = with_token(deployment, &token, &["--json"]).await;
        assert_eq!(run.exit_status, 1, "{}", run.stdout);
        for code in ["accept_audience(", "also_issued_as(", "Issuer::discover("] {
            assert!(!run.stdout.contains(code), "{value}: {code} in {}", run.stdout);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_audience_is_not_a_fault() {
    let mut deployment = Deployment::new().await;
    let token = for_audience(&deployment, "api://notes");
    deployment.more_arguments = ["--accept-audience", "api://notes"].map(str::to_owned).to_vec();
    let run = with_token(deployment, &token, &[]).await;
    assert_eq!(run.exit_status, 0, "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_form_lists_the_checks_of_the_token() {
    let deployment = Deployment::new().await;
    let token = for_audience(&deployment, "other");
    let run = with_token(deployment, &token, &[]).await;
    for line in [
        "1. fault token.audience: the token is rejected: audience mismatch",
        "   found    \"other\"",
        "  ok      token.issuer                    the issuer is configured",
        "Not reached because of token.audience: token.times, token.kind, token.key, token.signature, token.sender",
    ] {
        assert!(run.stdout.lines().any(|found| found == line), "{line} is missing in {}", run.stdout);
    }
    assert!(!shows_a_part(&run.stdout, &token), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_shows_the_output_for_a_rejected_token() {
    let deployment = Deployment::new().await;
    let (token, origin) = (for_audience(&deployment, "https://other.example.com/mcp"), deployment.origin.clone());
    let shown = with_token(deployment, &token, &[]).await.stdout.replace(&origin, "http://127.0.0.1:8000");
    let port = origin.rsplit_once(':').unwrap().1;
    let shown = shown.replace(&format!("%3A{port}%2F"), "%3A8000%2F");
    let guide = include_str!("../../src/guide/doctor.md");
    let sample = guide.split("```text\n").nth(2).unwrap().split("```").next().unwrap();
    assert!(shown.contains(sample), "the guide shows:\n{sample}\nthe program prints:\n{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_describes_the_json_form_of_a_rejected_token() {
    let deployment = Deployment::new().await;
    let token = for_audience(&deployment, "other");
    let report = with_token(deployment, &token, &["--json"]).await.json();
    let guide = include_str!("../../src/guide/doctor.md");
    for check in report["checks"].as_array().unwrap() {
        let names = check.as_object().unwrap().keys().map(String::as_str).chain(check["id"].as_str());
        for name in names {
            assert!(guide.contains(&format!("`{name}`")), "the guide does not describe {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_given_token_is_not_sent() {
    static SENT: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    for is_opaque in [false, true] {
        let mut deployment = Deployment::new().await;
        deployment.app = |server| {
            let record = async |request: Request<_>, next: Next| {
                SENT.lock().unwrap().push(format!("{:?} {:?}", request.uri(), request.headers()));
                next.run(request).await
            };
            working(server).layer(from_fn(record))
        };
        let issuer = Arc::clone(&deployment.issuer);
        let token = if is_opaque { valid(&deployment).opaque() } else { valid(&deployment).sign() };
        with_token(deployment, &token, &[]).await;
        let at_issuer = issuer.recent_requests();
        let at_issuer = at_issuer.iter().map(|request| format!("{request:?} {:?}", request.headers()));
        let sent: Vec<_> = SENT.lock().unwrap().drain(..).chain(at_issuer).collect();
        assert!(sent.iter().all(|request| !shows_a_part(request, &token)), "{sent:?}");
        // The metadata and the key set, each for the survey, for the explanation and for the server.
        assert!((12..=29).contains(&sent.len()), "{}: {sent:#?}", sent.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_of_a_token_are_escaped_and_cut() {
    for hostile in ["\u{1b}[2J\u{202e}\r\n".to_owned(), "x".repeat(5_000)] {
        for claim in ["iss", "aud"] {
            let deployment = Deployment::new().await;
            let token = valid(&deployment).claim(claim, hostile.as_str()).sign();
            let run = with_token(deployment, &token, &[]).await;
            assert_eq!(run.exit_status, 1, "{}", run.stdout);
            assert!(run.stdout.chars().all(|character| matches!(character, '\n' | ' '..='~')), "{}", run.stdout);
            assert!(run.stdout.lines().all(|line| line.len() < 300), "{}", run.stdout);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_wrong_place_is_not_repeated() {
    let identifiers = ["--issuer", "https://auth.example.com", "--resource", "https://h/mcp"];
    for wrong in [
        &["doctor", "--token", "Bearer", "secret-1"][..],
        &["doctor", "secret-1"],
        &["doctor", "--tokn", "secret-1"],
        &["doctor", "--tokn=secret-1"],
        &["doctor", "--json=secret-1"],
        &["doctor", "--token", "a", "--token", "secret-1"],
        &["doctor", "--token", ""],
        &["secret-1"],
    ] {
        let found = run(&[wrong, &identifiers].concat()).await;
        assert_eq!((found.exit_status, found.stdout.as_str()), (2, ""), "{wrong:?}: {}", found.stderr);
        assert!(!found.stderr.contains("secret") && found.stderr.contains("--token"), "{wrong:?}: {}", found.stderr);
    }
}

/// A token that the working deployment accepts, as far as it is not changed.
fn valid(it: &Deployment) -> TestToken<'_> {
    it.issuer.token().audience(&it.given_resource)
}

fn for_audience(it: &Deployment, audience: &str) -> String {
    it.issuer.token().audience(audience).sign()
}

async fn with_token(mut deployment: Deployment, token: &str, format: &[&str]) -> Run {
    deployment.more_arguments.extend([format!("--token={token}")]);
    deployment.examine(format).await
}

/// Whether a text contains one of the parts of a token.
fn shows_a_part(text: &str, token: &str) -> bool {
    token.split('.').any(|part| part.len() > 8 && text.contains(part))
}

/// A gateway that removes the descriptions of errors.
fn without_descriptions(server: &ResourceServer) -> Router {
    use axum::middleware::map_response;
    use axum::response::Response;
    let remove = async |mut response: Response| {
        if let Some(challenge) = response.headers_mut().get_mut("www-authenticate") {
            let text = challenge.to_str().unwrap().replace("error_description", "other");
            *challenge = text.parse().unwrap();
        }
        response
    };
    working(server).layer(map_response(remove))
}
