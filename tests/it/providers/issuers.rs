//! Issuers are compared byte by byte. The issuer of Auth0 ends with a slash. Descope and Scalekit have several issuers
//! for one key set, and so has Entra with its v1 and v2 tokens and its tenants.

use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::verify::CheckFailure;
use mcp_bearer::{BuildErrorKind, Issuer, ResourceServer};
use serde_json::json;
use tower::ServiceExt as _;

use super::provider::{Configure, Provider, build, credentials, invalid, with};
use crate::support::{Answer, RESOURCE};

const LOGIN: &str = "https://login.microsoftonline.com";
const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

#[tokio::test(start_paused = true)]
async fn an_issuer_is_compared_byte_by_byte() {
    for (configured, iss, is_valid) in [
        ("https://tenant.auth0.com/", "https://tenant.auth0.com/", true),
        ("https://tenant.auth0.com/", "https://tenant.auth0.com", false),
        ("https://tenant.auth0.com", "https://tenant.auth0.com/", false),
        ("https://tenant.auth0.com/", "https://tenant.auth0.com//", false),
        ("https://tenant.auth0.com/", "https://TENANT.auth0.com/", false),
        ("https://tenant.auth0.com/", "https://tenant.auth0.com:443/", false),
        ("https://tenant.auth0.com/", "http://tenant.auth0.com/", false),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms/demo", true),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms/demo/", false),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms/Demo", false),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms/demo2", false),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms/%64emo", false),
        ("https://kc.example.com/realms/demo", "https://kc.example.com/realms", false),
        ("https://t.logto.app/oidc", "https://t.logto.app/oidc", true),
        ("https://t.logto.app/oidc", "https://t.logto.app/oidc/.well-known/openid-configuration", false),
    ] {
        let provider = Provider::new(configured);
        let claims = with(provider.claims(), json!({"iss": iss}));
        for verdict in provider.outcomes(|issuer| issuer, &claims).await {
            assert_eq!(verdict.err(), (!is_valid).then_some(invalid(CheckFailure::Issuer)), "{configured} {iss}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn additional_issuer_names_are_compared_exactly() {
    let descope = ["https://api.descope.com/P1", "https://api.descope.com/v1/apps/agentic/P1/MS1"];
    for (configured, also, iss, is_valid) in [
        ("https://api.descope.com/v1/apps/P1", &[][..], descope[0], false),
        ("https://api.descope.com/v1/apps/P1", &descope, "https://api.descope.com/v1/apps/P1", true),
        ("https://api.descope.com/v1/apps/P1", &descope, descope[0], true),
        ("https://api.descope.com/v1/apps/P1", &descope, descope[1], true),
        ("https://api.descope.com/v1/apps/P1", &descope, "https://api.descope.com/v1/apps/agentic/P1/MS2", false),
        ("https://api.descope.com/v1/apps/P1", &descope, "https://api.descope.com/v1/apps/agentic/P1", false),
        ("https://api.descope.com/v1/apps/P1", &descope, "https://api.descope.com/P1/", false),
        ("https://env.scalekit.com", &["https://env.scalekit.com/resources/res_1"], "https://env.scalekit.com", true),
        (
            "https://env.scalekit.com",
            &["https://env.scalekit.com/resources/res_1"],
            "https://env.scalekit.com/resources/res_1",
            true,
        ),
        (
            "https://env.scalekit.com",
            &["https://env.scalekit.com/resources/res_1"],
            "https://env.scalekit.com/resources/res_2",
            false,
        ),
        (LOGIN, &["https://sts.windows.net/fa15d692/"], "https://sts.windows.net/fa15d692/", true),
        (LOGIN, &["https://sts.windows.net/fa15d692/"], "https://sts.windows.net/fa15d692", false),
        (LOGIN, &["https://sts.windows.net/fa15d692/"], "https://sts.windows.net/", false),
    ] {
        let provider = Provider::new(configured);
        let claims = with(provider.claims(), json!({"iss": iss}));
        let configure = |issuer: Issuer| also.iter().fold(issuer, |issuer, name| issuer.also_issued_as(*name));
        for verdict in provider.outcomes(configure, &claims).await {
            assert_eq!(verdict.err(), (!is_valid).then_some(invalid(CheckFailure::Issuer)), "{also:?} {iss}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_additional_issuer_name_adds_no_keys() {
    let also = "https://sts.windows.net/fa15d692/";
    let provider = Provider::new(LOGIN);
    // The other issuer has its own keys, which are never used here.
    let other = Provider::new(also);
    let app = provider.trusted_as(provider.by_default().also_issued_as(also));
    assert_eq!(app.verdict(&provider.sign(&other.claims())).await, "OK");
    let forged = other.sign_with(&json!({"typ": "at+jwt", "kid": provider.issuer.key_id()}), &other.claims());
    assert_eq!(app.outcome(&forged).await, Err(invalid(CheckFailure::Signature)));
    assert_eq!((provider.issuer.stray_requests(), other.issuer.total_requests()), (0, 0));
    // The additional name is not published, and metadata with this issuer is rejected.
    let server = build(ResourceServer::builder(RESOURCE).issuer(provider.by_default().also_issued_as(also))).unwrap();
    let request = http::Request::get("/.well-known/oauth-protected-resource/mcp").body(axum::body::Body::empty());
    let document = Answer::of(server.metadata_service().oneshot(request.unwrap()).await.unwrap()).await;
    assert_eq!(document.json()["authorization_servers"], json!([LOGIN]));
    provider.issuer.set_metadata_member("issuer", also);
    let app = provider.trusted_as(provider.by_default().also_issued_as(also));
    assert_eq!(app.verdict(&provider.sign(&provider.claims())).await, "R503");
    // Two issuers cannot have the same name.
    let twice = ResourceServer::builder(RESOURCE).issuer(other.by_default());
    let twice = build(twice.issuer(provider.by_default().also_issued_as(also)));
    assert_eq!(twice.unwrap_err().kind(), BuildErrorKind::Issuer);
    let twice = ResourceServer::builder(RESOURCE).issuer(provider.by_default().also_issued_as(LOGIN));
    assert_eq!(build(twice).unwrap_err().kind(), BuildErrorKind::Issuer);
}

/// The Entra endpoint for several tenants, whose metadata contains a placeholder instead of a tenant.
fn entra(endpoint: &str) -> Provider {
    let clock = TestClock::new();
    let builder = TestIssuer::builder(&format!("{LOGIN}/{endpoint}/v2.0")).metadata_member("issuer", TEMPLATE);
    Provider { issuer: builder.clock(clock.clone()).build(), clock }
}

fn iss(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_template_accepts_only_the_listed_tenants() {
    for endpoint in ["common", "organizations"] {
        let provider = entra(endpoint);
        let configure = |issuer: Issuer| issuer.tenant_template(TEMPLATE, ["72f988bf", "fa15d692"]);
        let app = provider.trusted_as(configure(provider.by_default()));
        let introspected = provider.trusted_as(configure(provider.introspecting()));
        for (iss, is_valid) in [
            (iss("72f988bf"), true),
            (iss("fa15d692"), true),
            (iss("another"), false),
            (iss("{tenantid}"), false),
            (iss("common"), false),
            (iss("organizations"), false),
            (iss("72F988BF"), false),
            (iss("72f988bf/fa15d692"), false),
            (iss(""), false),
            (format!("{}/", iss("72f988bf")), false),
            (iss("72f988bf").replace("https", "http"), false),
            (LOGIN.to_owned(), false),
        ] {
            let claims = with(provider.claims(), json!({"iss": iss}));
            let rejected = (!is_valid).then_some(invalid(CheckFailure::Issuer));
            assert_eq!(app.outcome(&provider.sign(&claims)).await.err(), rejected, "{endpoint} {iss}");
            assert_eq!(
                introspected.outcome(&provider.opaque(&claims)).await.err(),
                rejected,
                "{endpoint} {iss}, answered"
            );
        }
        // A response without `iss` could be about a token of any tenant.
        let without_issuer = with(provider.claims(), json!({"iss": null}));
        assert_eq!(
            introspected.outcome(&provider.opaque(&without_issuer)).await,
            Err(invalid(CheckFailure::Issuer)),
            "{endpoint}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_with_a_tenant_placeholder_needs_the_matching_template() {
    let configurations: [(&str, Configure, bool); 5] = [
        ("none", |issuer| issuer, false),
        ("only the name", |issuer| issuer.also_issued_as("https://login.microsoftonline.com/72f988bf/v2.0"), false),
        ("another", |issuer| issuer.tenant_template(format!("{TEMPLATE}/"), ["72f988bf"]), false),
        (
            "of another host",
            |issuer| issuer.tenant_template("https://sts.windows.net/{tenantid}/", ["72f988bf"]),
            false,
        ),
        ("the correct template", |issuer| issuer.tenant_template(TEMPLATE, ["72f988bf"]), true),
    ];
    for (what, configure, is_correct) in configurations {
        let provider = entra("common");
        let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone());
        let built = server.issuer(configure(provider.by_default())).build().await;
        assert_eq!(
            built.err().map(|error| error.kind()),
            (!is_correct).then_some(BuildErrorKind::Unreachable),
            "{what}"
        );
        assert_eq!(provider.issuer.requests(Endpoint::KeySet), usize::from(is_correct), "{what}");
        let app = provider.trusted_as(configure(provider.by_default()));
        let token = provider.sign(&with(provider.claims(), json!({"iss": iss("72f988bf")})));
        assert_eq!(app.verdict(&token).await == "OK", is_correct, "{what}");
    }
    // A template does not match metadata with the name of a tenant.
    let provider = Provider::new(&iss("72f988bf"));
    let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone());
    let built = server.issuer(provider.by_default().tenant_template(TEMPLATE, ["72f988bf"])).build().await;
    assert_eq!(built.unwrap_err().kind(), BuildErrorKind::Unreachable);
}

#[test]
fn tenants_are_plain_identifiers() {
    let built = |template: &str, tenants: &[&str]| {
        let issuer = entra("common").by_default().tenant_template(template, tenants.iter().copied());
        build(ResourceServer::builder(RESOURCE).issuer(issuer)).err().map(|error| error.kind())
    };
    assert_eq!(built(TEMPLATE, &["72f988bf-86f1-41af-91ab-2d7cd011db47", "contoso.onmicrosoft.com", "a_b"]), None);
    for tenant in [
        "",
        " ",
        "*",
        "{tenantid}",
        "a/b",
        "a b",
        "a%2fb",
        "a?b",
        "a#b",
        "a@b",
        "a:b",
        "a\\b",
        "a\nb",
        "\u{e9}",
        ".",
        "..",
    ] {
        for tenants in [&[tenant][..], &["72f988bf", tenant]] {
            assert_eq!(built(TEMPLATE, tenants), Some(BuildErrorKind::Issuer), "{tenants:?}");
        }
    }
    for (template, tenants) in [
        (TEMPLATE, &[][..]),
        (TEMPLATE, &["72f988bf", "72f988bf"]),
        ("https://login.microsoftonline.com/72f988bf/v2.0", &["72f988bf"]),
        ("https://login.microsoftonline.com/{tenantId}/v2.0", &["72f988bf"]),
        ("{tenantid}", &["72f988bf"]),
        ("http://login.microsoftonline.com/{tenantid}/v2.0", &["72f988bf"]),
        ("https://login.microsoftonline.com/v2.0?tenant={tenantid}", &["72f988bf"]),
        ("https://{tenantid}@login.microsoftonline.com/", &["72f988bf"]),
    ] {
        assert_eq!(built(template, tenants), Some(BuildErrorKind::Issuer), "{template} {tenants:?}");
    }
    // A template needs metadata from discovery.
    let idle = entra("common").by_default().jwks_uri(format!("{LOGIN}/common/discovery/v2.0/keys"));
    let idle = ResourceServer::builder(RESOURCE).issuer(idle.tenant_template(TEMPLATE, ["72f988bf"]));
    assert_eq!(build(idle).unwrap_err().kind(), BuildErrorKind::Setting);
}

#[test]
fn an_issuer_that_is_not_a_url_is_a_build_error() {
    // The default issuer of FusionAuth.
    for name in ["acme.com", "acme.com/", "//acme.com", "acme"] {
        for issuer in [
            Issuer::discover(name),
            Issuer::discover(name).introspection_endpoint("https://acme.com/introspect").introspect_all(credentials()),
        ] {
            let built = build(ResourceServer::builder(RESOURCE).issuer(issuer));
            assert_eq!(built.unwrap_err().kind(), BuildErrorKind::Issuer, "{name}");
        }
    }
}
