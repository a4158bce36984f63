//! I: metadata of authorization servers (RFC 8414, section 3.3; OpenID Connect Discovery 1.0, section 4.3).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::http_client::FetchErrorKind;
use mcp_bearer::http_client::{HttpClient, HttpErrorKind, HttpFuture, RequestLimits, ReqwestClient};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestIssuer};
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};

use super::canned::{Canned, KEYS, Page};
use super::trial::{self, Trial, base64url, with};
use crate::support::{ISSUER, RESOURCE};

const OAUTH: &str = "https://auth.example.com/.well-known/oauth-authorization-server";
const OIDC: &str = "https://auth.example.com/.well-known/openid-configuration";

fn last_error(trial: &Trial) -> FetchErrorKind {
    trial.fixture.server.health().issuers()[0].last_error().unwrap().kind()
}

#[tokio::test]
async fn metadata_of_another_issuer_is_never_used() {
    for (id, named, error) in [
        ("I01", json!("https://evil.example.com"), FetchErrorKind::IssuerMismatch),
        ("I01", json!("https://auth.example.com/"), FetchErrorKind::IssuerMismatch),
        ("I01", json!("https://AUTH.example.com"), FetchErrorKind::IssuerMismatch),
        ("I01", json!("http://auth.example.com"), FetchErrorKind::IssuerMismatch),
        ("I01", json!("https://auth.example.com:443"), FetchErrorKind::IssuerMismatch),
        ("I01", json!(" https://auth.example.com"), FetchErrorKind::IssuerMismatch),
        ("E20", json!("https://auth.example.com/{tenantid}"), FetchErrorKind::IssuerMismatch),
        ("I01", json!(""), FetchErrorKind::IssuerMismatch),
        ("I01", json!(null), FetchErrorKind::Document),
        ("I01", json!(1), FetchErrorKind::Document),
        ("I01", json!(["https://auth.example.com"]), FetchErrorKind::Document),
    ] {
        let trial = Trial::cold();
        trial.fixture.issuer.set_metadata_member("issuer", named.clone());
        trial.token(id, &named.to_string(), &trial.fixture.token(), "R503").await;
        assert_eq!(last_error(&trial), error, "{id} {named}");
        assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), 0, "{id} {named}");
        assert_eq!(trial.fixture.server.warm_up().await.unwrap_err().kind(), BuildErrorKind::Unreachable, "{id}");
    }
}

#[tokio::test]
async fn a_server_cannot_publish_metadata_for_another_issuer() {
    // The metadata of `evil` contains the issuer of the honest server, and the key set of `evil`.
    let (honest, clock) = trial::issuer(Algorithm::ES256);
    let evil = TestIssuer::builder("https://evil.example.com").metadata_member("issuer", ISSUER);
    let evil = evil.clock(clock.clone()).build();
    let accepted = [evil.issuer(), honest.issuer()];
    let trial = Trial::of(honest, clock, |server| accepted.into_iter().fold(server, |server, one| server.issuer(one)));
    let forged = |iss: &str| {
        let token = evil.token().audience(RESOURCE).scope("mcp:tools").claim("iss", iss);
        token.header("kid", trial.fixture.issuer.key_id()).sign()
    };
    trial.token("I02", "evil as itself", &forged("https://evil.example.com"), "R503").await;
    trial.token("I02", "evil as honest", &forged(ISSUER), "R401").await;
    assert_eq!(evil.requests(Endpoint::KeySet), 0, "I02");
    trial.accept_a_valid_token().await;
}

#[test]
fn an_issuer_is_an_https_url_without_query_and_fragment() {
    for (id, url) in [
        ("I04", "https://auth.example.com?x=1"),
        ("I04", "https://auth.example.com?"),
        ("I04", "https://auth.example.com#x"),
        ("I04", "https://user@auth.example.com"),
        ("I04", "https://user:secret@auth.example.com"),
        ("I04", "http://auth.example.com"),
        ("I04", "http://127.0.0.1.example.com"),
        ("I04", "/auth"),
        ("I04", "auth.example.com"),
        ("I04", ""),
        ("I04", " "),
        ("I04", "https://auth.example.com "),
        ("I04", " https://auth.example.com"),
        ("I04", "https://auth.example.com/a b"),
        ("I04", "https://auth.example.com/\r\n"),
        ("I04", "https://auth.example.com/a/../b"),
        ("I04", "https://"),
        ("I04", "ftp://auth.example.com"),
        ("I04", "javascript:alert(1)"),
    ] {
        let made: [fn(&str) -> Issuer; 3] =
            [|url| Issuer::discover(url), |url| Issuer::oidc(url), |url| Issuer::oauth(url)];
        for issuer in made {
            let error = trial::server(ResourceServer::builder(RESOURCE).issuer(issuer(url))).unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Issuer, "{id} {url:?} {error}");
        }
    }
}

#[tokio::test]
async fn an_invalid_page_at_one_location_does_not_hide_the_metadata_at_the_other() {
    for (id, fault) in [
        ("I05", Fault::Html),
        ("I05", Fault::Garbage),
        ("I05", Fault::Document(json!({"name": "some app", "version": 1}))),
        ("I05", Fault::Document(json!([]))),
        (
            "I05",
            Fault::Document(json!({"issuer": "https://evil.example.com", "jwks_uri": "https://evil.example.com/"})),
        ),
        ("I05", Fault::Document(json!({"issuer": ISSUER}))),
        ("I05", Fault::Status(404)),
        ("I05", Fault::Status(500)),
        ("I05", Fault::Truncated),
        ("I09", Fault::Redirect("https://evil.example.com/metadata".to_owned())),
        ("I09", Fault::Redirect("http://127.0.0.1/metadata".to_owned())),
        ("I12", Fault::Oversize),
    ] {
        let trial = Trial::cold();
        trial.fixture.issuer.fault(Endpoint::OauthMetadata, fault.clone());
        trial.token(id, &format!("{fault:?}"), &trial.fixture.token(), "OK").await;
        assert_eq!(trial.fixture.issuer.stray_requests(), 0, "{id} {fault:?}");
        // The metadata of the failed location is not replaced by something else.
        let trial = Trial::cold();
        trial.fixture.issuer.fault(Endpoint::OauthMetadata, fault.clone());
        trial.fixture.issuer.fault(Endpoint::OidcMetadata, fault.clone());
        trial.token(id, &format!("both {fault:?}"), &trial.fixture.token(), "R503").await;
        assert_eq!(trial.fixture.issuer.stray_requests(), 0, "{id} {fault:?}");
        assert_eq!(trial.fixture.issuer.requests(Endpoint::KeySet), 0, "{id} {fault:?}");
    }
}

#[tokio::test]
async fn documents_that_disagree_are_never_merged() {
    let document = |members: Value| Page::ok(with(json!({"issuer": ISSUER}), members).to_string());
    let elsewhere = "https://auth.example.com/elsewhere";
    for (id, oauth, oidc, urls) in [
        ("I06", json!({"jwks_uri": KEYS}), json!({"jwks_uri": elsewhere}), &[OAUTH, KEYS][..]),
        ("I06", json!({}), json!({"jwks_uri": KEYS}), &[OAUTH, OIDC, KEYS]),
        (
            "I06",
            json!({"issuer": "https://evil", "jwks_uri": elsewhere}),
            json!({"jwks_uri": KEYS}),
            &[OAUTH, OIDC, KEYS],
        ),
    ] {
        let canned = Canned::default();
        let trial = canned.discovering();
        canned.set(KEYS, Page::ok(trial.fixture.issuer.jwk_set().to_string()));
        canned.set(OAUTH, document(oauth.clone()));
        canned.set(OIDC, document(oidc));
        trial.token(id, &oauth.to_string(), &trial.fixture.token(), "OK").await;
        assert_eq!(canned.urls(), urls, "{id} {oauth}");
    }
    // Each location serves one half of the metadata. The halves are not merged.
    let canned = Canned::default();
    let trial = canned.discovering();
    canned.set(KEYS, Page::ok(trial.fixture.issuer.jwk_set().to_string()));
    canned.set(OAUTH, document(json!({})));
    canned.set(OIDC, document(json!({"issuer": null, "jwks_uri": KEYS})));
    trial.token("I06", "two halves", &trial.fixture.token(), "R503").await;
    assert_eq!(canned.urls(), [OAUTH, OIDC], "I06");
}

/// An HTTP client that serves metadata for a public address. All other requests go over the real network.
struct PublicMetadata {
    jwks_uri: String,
    network: ReqwestClient,
}

impl HttpClient for PublicMetadata {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        if request.uri().host() == Some("8.8.8.8") {
            let document = json!({"issuer": "https://8.8.8.8", "jwks_uri": self.jwks_uri}).to_string();
            return Box::pin(std::future::ready(Ok(Response::new(document.into()))));
        }
        self.network.send(request, limits)
    }
}

#[tokio::test]
async fn metadata_cannot_point_into_the_private_network() {
    use std::error::Error as _;
    let canary = TestIssuer::serve().unwrap();
    let port = canary.url().rsplit(':').next().unwrap().to_owned();
    for (id, uri) in [
        ("I08", format!("http://127.0.0.1:{port}/jwks")),
        // The name is public, but it resolves to a loopback address.
        ("I08", format!("http://localhost:{port}/jwks")),
        ("I08", format!("http://anything.localhost:{port}/jwks")),
        ("I08", format!("http://[::1]:{port}/jwks")),
        ("I08", format!("https://[::ffff:127.0.0.1]:{port}/jwks")),
        ("I08", "https://169.254.169.254/latest/meta-data".to_owned()),
        ("I08", "https://10.0.0.1/jwks".to_owned()),
        ("I08", "https://192.168.1.1/jwks".to_owned()),
        ("I08", "https://[fd00::1]/jwks".to_owned()),
        ("I08", "https://0.0.0.0/jwks".to_owned()),
    ] {
        let client = PublicMetadata { jwks_uri: uri.clone(), network: ReqwestClient::new().unwrap() };
        let issuer = Issuer::discover("https://8.8.8.8").http_client(client);
        let server = trial::server(ResourceServer::builder(RESOURCE).issuer(issuer)).unwrap();
        server.warm_up().await.unwrap_err();
        let health = server.health();
        let error = health.issuers()[0].last_error().unwrap();
        assert_eq!(error.kind(), FetchErrorKind::NoResponse, "{id} {uri}");
        let cause = error.source().unwrap().downcast_ref::<mcp_bearer::http_client::HttpError>().unwrap();
        // The machine may not resolve every name. If it does, the connection must be forbidden.
        let unknown_name = uri.contains("anything.") && cause.kind() == HttpErrorKind::Connect;
        assert!(unknown_name || cause.kind() == HttpErrorKind::ForbiddenAddress, "{id} {uri}: {cause:?}");
        assert_eq!(canary.total_requests(), 0, "{id} {uri}");
    }
    // The operator may configure a private address, and its metadata may then lead to private addresses.
    let server = ResourceServer::builder(RESOURCE).issuer(Issuer::discover(canary.url())).build().await.unwrap();
    assert!(server.health().is_ready());
}

#[tokio::test(start_paused = true)]
async fn metadata_is_bounded_in_size_time_and_depth() {
    let trial = Trial::cold();
    let (oauth, oidc) = (Endpoint::OauthMetadata, Endpoint::OidcMetadata);
    for endpoint in [oauth, oidc] {
        trial.fixture.issuer.fault(endpoint, Fault::Delay(Duration::from_secs(3600)));
    }
    let start = tokio::time::Instant::now();
    trial.token("I12", "slow", &trial.fixture.token(), "R503").await;
    assert!(start.elapsed() <= Duration::from_secs(6), "I12: {:?}", start.elapsed());
    let valid = |members: &str| format!("{{\"issuer\":\"{ISSUER}\",\"jwks_uri\":\"{KEYS}\"{members}}}");
    let others = r#"{"iss":"https://evil","issuer":"https://evil","jwks_uri":"https://evil/","signed_metadata":"x"}"#;
    for (id, what, document, verdict) in [
        ("I12", "5 MiB", format!("{}{}", " ".repeat(5 << 20), valid("")), "R503"),
        ("I12", "issuer twice", valid(&format!(",\"issuer\":\"{ISSUER}\"")), "R503"),
        ("I12", "another issuer", valid(",\"issuer\":\"https://evil\""), "R503"),
        ("I12", "an escaped issuer", valid(",\"issue\\u0072\":\"https://evil\""), "R503"),
        ("I12", "jwks_uri twice", valid(",\"jwks_uri\":\"https://evil/\""), "R503"),
        ("I12", "deep", valid(&format!(",\"x\":{}{}", "[".repeat(200), "]".repeat(200))), "R503"),
        ("I12", "very deep", valid(&format!(",\"x\":{}", "[".repeat(100_000))), "R503"),
        ("I13", "malformed", valid(",\"signed_metadata\":\"a.b.c\""), "OK"),
        ("I13", "no text", valid(",\"signed_metadata\":{\"issuer\":\"https://evil\"}"), "OK"),
        ("I13", "of another", valid(&format!(",\"signed_metadata\":\"e30.{}.AA\"", base64url(others))), "OK"),
        ("control", "plain", valid(""), "OK"),
    ] {
        let canned = Canned::default();
        let trial = canned.discovering();
        canned.set(KEYS, Page::ok(trial.fixture.issuer.jwk_set().to_string()));
        canned.set(OAUTH, Page::ok(document));
        trial.token(id, what, &trial.fixture.token(), verdict).await;
        let foreign = canned.urls().iter().filter(|url| ![OAUTH, OIDC, KEYS].contains(&url.as_str())).count();
        assert_eq!(foreign, 0, "{id} {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_that_changes_is_followed_unless_the_issuer_changes() {
    const HOURS: Duration = Duration::from_secs(2 * 3600);
    let trial = Trial::warm().await;
    let token = || {
        let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools");
        token.expires_in(Duration::from_secs(86_400)).sign()
    };
    trial.fixture.issuer.move_key_set("/keys/2");
    trial.fixture.issuer.rotate();
    tokio::time::advance(HOURS).await;
    trial.token("I14", "the key set moved", &token(), "OK").await;
    // From now on the metadata contains another issuer. The last valid metadata is kept, and the keys are still
    // fetched.
    trial.fixture.issuer.set_metadata_member("issuer", "https://evil.example.com");
    trial.fixture.issuer.rotate();
    let before = trial.fixture.issuer.requests(Endpoint::OauthMetadata);
    tokio::time::advance(HOURS).await;
    trial.token("I14", "the issuer changed", &token(), "OK").await;
    assert!(trial.fixture.issuer.requests(Endpoint::OauthMetadata) > before, "I14: the metadata was not read again");
    assert_eq!(trial.fixture.issuer.stray_requests(), 0, "I14");
}
