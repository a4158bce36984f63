//! The output: its JSON form, what it never contains, and the exit status.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderValue, Request};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::routing::get;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;

use crate::deployment::{Deployment, endpoint, working};
use crate::program::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_a_fault_has_the_exit_status_0() {
    let run = Deployment::new().await.examine(&[]).await;
    assert_eq!((run.exit_status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("\nNo fault was found.\n"), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "colours without a terminal: {}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_form_has_the_documented_members() {
    let mut deployment = Deployment::new().await;
    let (issuer, resource) = (deployment.issuer.url().to_owned(), deployment.given_resource.clone());
    deployment.given_issuer.push('/');
    let report = deployment.examine(&["--json"]).await.json();
    let expected = json!({"version": 1, "issuer": format!("{issuer}/"), "resource": resource, "mcp": resource});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&report[name], value);
    }
    assert_eq!((&report["verdict"], &report["causes"]), (&json!("fault"), &json!(["issuer.identity"])));
    let checks = report["checks"].as_array().unwrap();
    let mut ids: Vec<_> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    let guide = include_str!("../../src/guide/doctor.md");
    for check in checks {
        let id = &check["id"];
        assert!(guide.contains(&format!("`{}`", id.as_str().unwrap())), "the guide does not describe {id}");
        assert!(["ok", "note", "unknown", "fault"].contains(&check["status"].as_str().unwrap()));
        for member in check.as_object().unwrap().keys() {
            assert!(guide.contains(&format!("`{member}`")), "the guide does not describe the member {member}");
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), checks.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_shows_the_output_for_a_fault() {
    let mut deployment = Deployment::new().await;
    let (issuer, origin) = (deployment.issuer.url().to_owned(), deployment.origin.clone());
    deployment.given_issuer.push('/');
    let shown = deployment.examine(&[]).await.stdout.replace(&issuer, "http://127.0.0.1:9000");
    let shown = shown.replace(&origin, "http://127.0.0.1:8000");
    let guide = include_str!("../../src/guide/doctor.md");
    let sample = guide.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(shown.starts_with(sample), "the guide shows:\n{sample}\nthe program prints:\n{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_for_browsers_can_be_left_out() {
    let mut deployment = Deployment::new().await;
    deployment.app = |server| endpoint().route_layer(server.bearer_layer()).merge(server.metadata_router());
    deployment.more_arguments = vec!["--no-browser".to_owned()];
    let run = deployment.examine(&["--json"]).await;
    assert_eq!(run.exit_status, 0, "{}", run.stdout);
    assert!(!run.stdout.contains("cors") && !run.stdout.contains("preflight"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_allowed_is_a_note() {
    let mut deployment = Deployment::new().await;
    deployment.app = |server| working(server).layer(server.allowed_origins(["https://app.example.com"]));
    let run = deployment.examine(&[]).await;
    assert!(run.stdout.contains("note    mcp.cors") && run.stdout.contains("`--origin`"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_documents_is_escaped_and_cut() {
    let long = "x".repeat(10_000);
    for hostile in ["http://h/\u{1b}[2J\u{202e}\r\n", &long] {
        let keys = json!({"keys": [{"kid": hostile, "kty": "EC"}]});
        let members = [hostile; 100];
        for issuer in [Some(hostile), None] {
            let mut deployment = Deployment::new().await;
            deployment.issuer.set_metadata_member("scopes_supported", members.to_vec());
            deployment.issuer.set_metadata_member("registration_endpoint", hostile);
            deployment.issuer.publish_key_set(keys.clone());
            if let Some(issuer) = issuer {
                deployment.issuer.set_metadata_member("issuer", issuer);
            }
            deployment.app = hostile_challenge;
            let run = deployment.examine(&[]).await;
            assert_eq!(run.exit_status, 1);
            let is_plain = |character: char| matches!(character, '\n' | ' '..='~');
            assert!(run.stdout.chars().all(is_plain), "{}", run.stdout);
            assert!(run.stdout.lines().all(|line| line.len() < 300), "{}", run.stdout);
            assert!(run.stdout.lines().count() < 100, "{}", run.stdout);
        }
    }
}

fn hostile_challenge(server: &ResourceServer) -> Router {
    let replace = async |mut response: Response| {
        let value = b"Bearer scope=\"\xe2\x80\xae\xff\", resource_metadata=\"http://h/\t\"";
        response.headers_mut().insert("www-authenticate", HeaderValue::from_bytes(value).unwrap());
        response
    };
    working(server).layer(map_response(replace))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credentials_are_printed() {
    for (mcp, exit_status) in [
        ("http://{host}/mcp?api_key=secret", 1),
        ("http://{host}/nothing?api_key=secret", 1),
        ("http://127.0.0.1:1/mcp?api_key=secret", 2),
        ("http://user:secret@{host}/mcp", 2),
    ] {
        let mut deployment = Deployment::new().await;
        let mcp = mcp.replace("{host}", deployment.origin.trim_start_matches("http://"));
        deployment.more_arguments = vec!["--mcp".to_owned(), mcp];
        let run = deployment.examine(&[]).await;
        let printed = [run.stdout, run.stderr].concat();
        assert_eq!(run.exit_status, exit_status, "{printed}");
        // The start of every JWT, such as the made-up token.
        assert!(!printed.contains("secret") && !printed.contains("eyJ"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_arguments_have_the_exit_status_2_and_one_line() {
    for (issuer, resource, expected) in [
        ("auth.example.com", "https://h/mcp", "is not an absolute URL"),
        ("https://auth.example.com", "https://h/mcp#f", "has a fragment"),
        ("https://h/.well-known/openid-configuration", "https://h/mcp", "Issuer::discover(\"https://h\")"),
        ("https://auth.example.com?x=1", "https://h/mcp", "has a query"),
        ("https://auth.example.com/\u{1b}", "https://h/mcp", "\\u{1b}"),
    ] {
        let found = run(&["doctor", "--issuer", issuer, "--resource", resource]).await;
        assert_eq!((found.exit_status, found.stdout.as_str()), (2, ""));
        assert!(found.stderr.starts_with("mcp-bearer doctor: "), "{}", found.stderr);
        assert!(found.stderr.contains(expected) && found.stderr.lines().count() == 1, "{}", found.stderr);
    }
    let found = run(&["doctor", "--issuer", "https://auth.example.com"]).await;
    assert!(found.exit_status == 2 && found.stderr.contains("--resource <URL>"), "{}", found.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_and_the_number_of_requests_are_bounded() {
    let mut deployment = Deployment::new().await;
    let issuer = Arc::clone(&deployment.issuer);
    issuer.fault(Endpoint::KeySet, Fault::Oversize);
    // The resource server does not send requests to the issuer.
    deployment.configured_issuer =
        Issuer::with_jwks(issuer.url(), JwkSet::from_json(issuer.jwk_set().to_string()).unwrap());
    let run = deployment.examine(&[]).await;
    let expected =
        "1. fault issuer.key_set: the key set of the issuer cannot be fetched: the response is longer than 256 KiB";
    assert!(run.stdout.contains(expected), "{}", run.stdout);
    assert_eq!(issuer.total_requests(), 3, "two metadata documents and the key set");
}

/// The requests that reached the resource server of the next test.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_requests_to_the_resource_server_is_bounded() {
    let mut deployment = Deployment::new().await;
    // Without metadata, the program looks for it at other places.
    deployment.app = |server| {
        let count = async |request: Request<_>, next: Next| {
            REQUESTS.fetch_add(1, Ordering::SeqCst);
            next.run(request).await
        };
        endpoint().route_layer(server.bearer_layer()).layer(from_fn(count))
    };
    deployment.given_resource.push_str("/a/b/c/d/e/f/g/h/i/j");
    deployment.examine(&[]).await;
    let requests = REQUESTS.load(Ordering::SeqCst);
    assert!((10..=16).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_allows_only_get_has_no_fault() {
    let mut deployment = Deployment::new().await;
    deployment.app = |server| {
        let notes = get(async || "[]").route_layer(server.bearer_layer());
        let app = Router::new().route("/mcp", notes).layer(server.cors_layer());
        app.merge(server.metadata_router())
    };
    deployment.more_arguments = vec!["--rest".to_owned()];
    let run = deployment.examine(&[]).await;
    assert_eq!(run.exit_status, 0, "{}", run.stdout);
}
