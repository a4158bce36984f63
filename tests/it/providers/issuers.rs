//! Point 2: issuers are equal byte for byte or different. Auth0's ends with a slash; Descope and Scalekit have several for
//! one key set, and so has Entra with its v1 and v2 tokens and its tenants.

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
async fn an_issuer_is_compared_byte_for_byte() {
    for (configured, iss, is_good) in [
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
        for verdict in provider.judge(|issuer| issuer, &claims).await {
            assert_eq!(verdict.err(), (!is_good).then_some(invalid(CheckFailure::Issuer)), "{configured} {iss}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn further_issuers_of_one_key_set_are_accepted_by_their_exact_names() {
    let descope = ["https://api.descope.com/P1", "https://api.descope.com/v1/apps/agentic/P1/MS1"];
    for (configured, also, iss, is_good) in [
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
        for verdict in provider.judge(configure, &claims).await {
            assert_eq!(verdict.err(), (!is_good).then_some(invalid(CheckFailure::Issuer)), "{also:?} {iss}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_issuer_lends_its_name_and_nothing_else() {
    let also = "https://sts.windows.net/fa15d692/";
    let provider = Provider::new(LOGIN);
    // It has keys of its own, and they are nobody's here.
    let stranger = Provider::new(also);
    let door = provider.trusted_as(provider.by_default().also_issued_as(also));
    assert_eq!(door.verdict(&provider.sign(&stranger.claims())).await, "OK");
    let forged = stranger.sign_with(&json!({"typ": "at+jwt", "kid": provider.issuer.key_id()}), &stranger.claims());
    assert_eq!(door.judge(&forged).await, Err(invalid(CheckFailure::Signature)));
    assert_eq!((provider.issuer.stray_requests(), stranger.issuer.total_requests()), (0, 0));
    // It is not published, and metadata in its name is another issuer's.
    let server = build(ResourceServer::builder(RESOURCE).issuer(provider.by_default().also_issued_as(also))).unwrap();
    let request = http::Request::get("/.well-known/oauth-protected-resource/mcp").body(axum::body::Body::empty());
    let document = Answer::of(server.metadata_service().oneshot(request.unwrap()).await.unwrap()).await;
    assert_eq!(document.json()["authorization_servers"], json!([LOGIN]));
    provider.issuer.set_metadata_member("issuer", also);
    let door = provider.trusted_as(provider.by_default().also_issued_as(also));
    assert_eq!(door.verdict(&provider.sign(&provider.claims())).await, "R503");
    // Two issuers cannot go by one name.
    let twice = ResourceServer::builder(RESOURCE).issuer(stranger.by_default());
    let twice = build(twice.issuer(provider.by_default().also_issued_as(also)));
    assert_eq!(twice.unwrap_err().kind(), BuildErrorKind::Issuer);
    let twice = ResourceServer::builder(RESOURCE).issuer(provider.by_default().also_issued_as(LOGIN));
    assert_eq!(build(twice).unwrap_err().kind(), BuildErrorKind::Issuer);
}

/// Entra's endpoint for several tenants, whose metadata names none of them.
fn entra(endpoint: &str) -> Provider {
    let clock = TestClock::new();
    let builder = TestIssuer::builder(&format!("{LOGIN}/{endpoint}/v2.0")).metadata_member("issuer", TEMPLATE);
    Provider { issuer: builder.clock(clock.clone()).build(), clock }
}

fn iss(tenant: &str) -> String {
    TEMPLATE.replace("{tenantid}", tenant)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_template_accepts_the_tenants_of_its_list_and_no_other() {
    for endpoint in ["common", "organizations"] {
        let provider = entra(endpoint);
        let configure = |issuer: Issuer| issuer.tenant_template(TEMPLATE, ["72f988bf", "fa15d692"]);
        let door = provider.trusted_as(configure(provider.by_default()));
        let asked = provider.trusted_as(configure(provider.asked()));
        for (iss, is_good) in [
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
            let refused = (!is_good).then_some(invalid(CheckFailure::Issuer));
            assert_eq!(door.judge(&provider.sign(&claims)).await.err(), refused, "{endpoint} {iss}");
            assert_eq!(asked.judge(&provider.opaque(&claims)).await.err(), refused, "{endpoint} {iss}, answered");
        }
        // An answer that does not say whose the token is could be about a token of any tenant.
        let nobodys = with(provider.claims(), json!({"iss": null}));
        assert_eq!(asked.judge(&provider.opaque(&nobodys)).await, Err(invalid(CheckFailure::Issuer)), "{endpoint}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_in_braces_is_nobodys_name_without_its_template() {
    let configurations: [(&str, Configure, bool); 5] = [
        ("none", |issuer| issuer, false),
        ("the name alone", |issuer| issuer.also_issued_as("https://login.microsoftonline.com/72f988bf/v2.0"), false),
        ("another", |issuer| issuer.tenant_template(format!("{TEMPLATE}/"), ["72f988bf"]), false),
        (
            "of another host",
            |issuer| issuer.tenant_template("https://sts.windows.net/{tenantid}/", ["72f988bf"]),
            false,
        ),
        ("the right one", |issuer| issuer.tenant_template(TEMPLATE, ["72f988bf"]), true),
    ];
    for (what, configure, is_right) in configurations {
        let provider = entra("common");
        let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone());
        let built = server.issuer(configure(provider.by_default())).build().await;
        assert_eq!(built.err().map(|error| error.kind()), (!is_right).then_some(BuildErrorKind::Unreachable), "{what}");
        assert_eq!(provider.issuer.requests(Endpoint::KeySet), usize::from(is_right), "{what}");
        let door = provider.trusted_as(configure(provider.by_default()));
        let token = provider.sign(&with(provider.claims(), json!({"iss": iss("72f988bf")})));
        assert_eq!(door.verdict(&token).await == "OK", is_right, "{what}");
    }
    // And a template is none for metadata that names one tenant.
    let provider = Provider::new(&iss("72f988bf"));
    let server = ResourceServer::builder(RESOURCE).clock(provider.clock.clone());
    let built = server.issuer(provider.by_default().tenant_template(TEMPLATE, ["72f988bf"])).build().await;
    assert_eq!(built.unwrap_err().kind(), BuildErrorKind::Unreachable);
}

#[test]
fn tenants_are_listed_by_plain_identifiers() {
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
    // A template is for metadata that is found.
    let idle = entra("common").by_default().jwks_uri(format!("{LOGIN}/common/discovery/v2.0/keys"));
    let idle = ResourceServer::builder(RESOURCE).issuer(idle.tenant_template(TEMPLATE, ["72f988bf"]));
    assert_eq!(build(idle).unwrap_err().kind(), BuildErrorKind::Setting);
}

#[test]
fn what_is_no_url_is_no_issuer() {
    // FusionAuth's default.
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
