//! How the metadata of an issuer is found, and which documents are rejected.

use std::time::Duration;

use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::testing::{Documents, Endpoint, Fault, TestIssuer};
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::json;

use crate::support::{App, ISSUER, RESOURCE};

async fn build(issuer: Issuer) -> Result<ResourceServer, BuildError> {
    ResourceServer::builder(RESOURCE).issuer(issuer).build().await
}

async fn accepts(server: &ResourceServer, issuer: &TestIssuer) -> bool {
    let token = issuer.token().audience(RESOURCE).sign();
    App::new(server.bearer_layer()).with_token(&token).await.verdict() == "OK"
}

#[tokio::test(start_paused = true)]
async fn all_three_locations_are_tried_in_order() {
    for (url, documents, paths) in [
        (ISSUER, Documents::Both, &["/.well-known/oauth-authorization-server"][..]),
        (ISSUER, Documents::Oidc, &["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]),
        ("https://auth.example.com/tenant", Documents::OAuth, &["/.well-known/oauth-authorization-server/tenant"]),
        (
            "https://auth.example.com/tenant",
            Documents::OidcAppended,
            &[
                "/.well-known/oauth-authorization-server/tenant",
                "/.well-known/openid-configuration/tenant",
                "/tenant/.well-known/openid-configuration",
            ],
        ),
    ] {
        let issuer = TestIssuer::builder(url).documents(documents).build();
        let server = build(issuer.issuer()).await.unwrap();
        assert!(accepts(&server, &issuer).await);
        let requests = issuer.recent_requests();
        let request_paths: Vec<&str> = requests.iter().map(|request| request.path()).take(paths.len()).collect();
        assert_eq!(request_paths, paths, "{url}");
        assert_eq!(requests.len(), paths.len() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_can_be_limited_to_one_specification() {
    let url = "https://auth.example.com/tenant";
    let oidc = TestIssuer::builder(url).documents(Documents::OidcAppended).build();
    let oauth = TestIssuer::builder(url).documents(Documents::OAuth).build();
    build(Issuer::oidc(url).http_client(oidc.http_client())).await.unwrap();
    build(Issuer::oauth(url).http_client(oauth.http_client())).await.unwrap();
    assert!(build(Issuer::oidc(url).http_client(oauth.http_client())).await.is_err());
    assert!(build(Issuer::oauth(url).http_client(oidc.http_client())).await.is_err());
    assert_eq!((oidc.total_requests(), oauth.total_requests()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn metadata_of_another_issuer_is_never_used() {
    for named in [
        json!("https://auth.example.com/"),
        json!("https://AUTH.example.com"),
        json!("http://auth.example.com"),
        json!("https://evil.example.com"),
        json!(null),
        json!(1),
        json!([ISSUER]),
    ] {
        let issuer = TestIssuer::builder(ISSUER).metadata_member("issuer", named.clone()).build();
        let error = build(issuer.issuer()).await.unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Unreachable, "{named}");
        assert_eq!(issuer.requests(Endpoint::KeySet), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_page_at_one_location_does_not_hide_the_metadata_at_another() {
    for fault in [
        Fault::Html,
        Fault::Garbage,
        Fault::Truncated,
        Fault::Oversize,
        Fault::Status(500),
        Fault::Document(json!({"issuer": ISSUER})),
        Fault::Document(json!([])),
        Fault::Document(json!({"issuer": "https://evil.example.com", "jwks_uri": "https://evil.example.com/jwks"})),
        Fault::Document(json!({"issuer": ISSUER, "jwks_uri": "http://auth.example.com/jwks"})),
        Fault::Redirect("https://auth.example.com/.well-known/openid-configuration".to_owned()),
    ] {
        let name = format!("{fault:?}");
        let issuer = TestIssuer::new(ISSUER);
        issuer.fault(Endpoint::OauthMetadata, fault);
        let server = build(issuer.issuer()).await.expect(&name);
        assert!(accepts(&server, &issuer).await, "{name}");
        assert_eq!(issuer.stray_requests(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_gets_one_attempt_instead_of_three() {
    let issuer = TestIssuer::builder("https://auth.example.com/tenant").build();
    issuer.stop();
    let error = build(issuer.issuer()).await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("build_lazy") && text.contains("no response from https://auth.example.com"), "{text}");
    // A refused connection is retried once.
    assert_eq!(issuer.refused_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_location_times_out_after_five_seconds_and_the_next_is_tried() {
    let issuer = TestIssuer::new(ISSUER);
    issuer.fault(Endpoint::OauthMetadata, Fault::Delay(Duration::from_secs(3600)));
    let before = tokio::time::Instant::now();
    build(issuer.issuer()).await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 5);
    issuer.fault(Endpoint::OidcMetadata, Fault::Delay(Duration::from_secs(3600)));
    let before = tokio::time::Instant::now();
    build(issuer.issuer()).await.unwrap_err();
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_gets_one_retry() {
    for status in [502, 503, 504] {
        let issuer = TestIssuer::new(ISSUER);
        issuer.fault_times(Endpoint::KeySet, Fault::Status(status), 1);
        build(issuer.issuer()).await.unwrap();
        assert_eq!(issuer.requests(Endpoint::KeySet), 2);
    }
    let issuer = TestIssuer::new(ISSUER);
    issuer.fault_times(Endpoint::KeySet, Fault::Status(500), 1);
    build(issuer.issuer()).await.unwrap_err();
    assert_eq!(issuer.requests(Endpoint::KeySet), 1);
}

#[tokio::test(start_paused = true)]
async fn map_metadata_can_repair_a_document() {
    let issuer = TestIssuer::builder(ISSUER).metadata_member("issuer", "https://auth.example.com/").build();
    let repaired = issuer.issuer().map_metadata(|document| document["issuer"] = json!(ISSUER));
    assert!(accepts(&build(repaired).await.unwrap(), &issuer).await);
    let spoiled = issuer.issuer().map_metadata(|document| *document = json!(1));
    build(spoiled).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_well_known_url_can_be_configured() {
    let issuer = TestIssuer::builder(ISSUER).documents(Documents::Oidc).build();
    let given = issuer.issuer().well_known_url("https://auth.example.com/.well-known/openid-configuration");
    build(given).await.unwrap();
    assert_eq!(issuer.total_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn configured_metadata_urls_and_key_sets_need_no_discovery() {
    let issuer = TestIssuer::new(ISSUER);
    let uri = issuer.metadata()["jwks_uri"].as_str().unwrap().to_owned();
    let metadata = AuthorizationServerMetadata::from_json(issuer.metadata().to_string()).unwrap();
    assert_eq!(metadata.jwks_uri(), Some(uri.as_str()));
    for configured in [
        Issuer::with_metadata(metadata).http_client(issuer.http_client()),
        issuer.issuer().jwks_uri(uri),
        Issuer::with_jwks(ISSUER, JwkSet::from_json(issuer.jwk_set().to_string()).unwrap()),
    ] {
        assert!(accepts(&build(configured).await.unwrap(), &issuer).await);
    }
    assert_eq!((issuer.total_requests(), issuer.requests(Endpoint::KeySet)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn metadata_is_fetched_again_after_the_key_set_has_moved_and_after_an_hour() {
    let issuer = TestIssuer::new(ISSUER);
    let server = build(issuer.issuer()).await.unwrap();
    issuer.move_key_set("/moved/jwks");
    issuer.rotate();
    assert!(accepts(&server, &issuer).await);
    // The ETag of the old key set must not be sent to the new URL.
    assert_eq!(issuer.last_request(Endpoint::KeySet).unwrap().header("if-none-match"), None);
    assert_eq!(issuer.requests(Endpoint::OauthMetadata), 2);
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(290)).await;
        assert!(accepts(&server, &issuer).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // 2.4 hours, with a lifetime of 54 to 66 minutes each.
    assert!(
        (3..=5).contains(&issuer.requests(Endpoint::OauthMetadata)),
        "{}",
        issuer.requests(Endpoint::OauthMetadata)
    );
}

#[tokio::test(start_paused = true)]
async fn hanging_metadata_does_not_delay_every_fetch_of_keys() {
    let issuer = TestIssuer::new(ISSUER);
    let server = build(issuer.issuer()).await.unwrap();
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OidcMetadata] {
        issuer.fault(endpoint, Fault::Delay(Duration::from_secs(3600)));
    }
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    // The key set has expired, so the first request has to wait for the metadata.
    assert!(!accepts(&server, &issuer).await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(accepts(&server, &issuer).await);
    issuer.rotate();
    let before = tokio::time::Instant::now();
    assert!(accepts(&server, &issuer).await);
    assert!(before.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn metadata_with_another_issuer_does_not_replace_the_old_metadata() {
    let issuer = TestIssuer::new(ISSUER);
    let server = build(issuer.issuer()).await.unwrap();
    issuer.set_metadata_member("issuer", "https://evil.example.com");
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(290)).await;
        assert!(accepts(&server, &issuer).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(issuer.requests(Endpoint::OauthMetadata) > 1);
}

#[tokio::test(start_paused = true)]
async fn clones_of_an_issuer_share_discovery_and_keys() {
    let issuer = TestIssuer::new(ISSUER);
    let shared = issuer.issuer();
    for resource in ["https://api.example.com/notes", "https://api.example.com/files"] {
        ResourceServer::builder(resource).issuer(shared.clone()).build().await.unwrap();
    }
    assert_eq!(issuer.total_requests(), 2);
    let independent = shared.clone().key_set_lifetime(Duration::from_secs(60));
    build(independent).await.unwrap();
    assert_eq!(issuer.total_requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_discovery_counts_as_a_failed_fetch() {
    let auth = TestIssuer::new("https://auth.example.com");
    let issuer = auth
        .issuer()
        .map_metadata(|_| panic!("the application's code"))
        .introspect_all(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    // The back-off grows to a minute with full jitter, so 26 attempts are expected. Without a back-off, an attempt would
    // follow every 250 ms: 2400 attempts.
    let attempts = auth.requests(Endpoint::OauthMetadata);
    assert!((5..60).contains(&attempts), "{attempts}");
    assert!(!server.health().is_ready());
}

#[test]
fn the_urls_of_the_metadata_are_those_that_are_tried() {
    let issuer = Issuer::discover("https://auth.example.com/t");
    assert_eq!(issuer.metadata_urls().unwrap().len(), 3);
    let oidc = "https://auth.example.com/t/.well-known/openid-configuration";
    assert_eq!(Issuer::oidc("https://auth.example.com/t").metadata_urls().unwrap(), [oidc]);
    let elsewhere = issuer.clone().well_known_url("https://h/document");
    assert_eq!(elsewhere.metadata_urls().unwrap(), ["https://h/document"]);
    assert_eq!(Issuer::discover("http://keycloak:8080").metadata_urls().unwrap_err().kind(), BuildErrorKind::Issuer);
    assert!(Issuer::discover("http://keycloak:8080").dangerously_allow_http().metadata_urls().is_ok());
}
