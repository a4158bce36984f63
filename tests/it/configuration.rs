//! A configuration mistake fails at build. The error message says what to change.

use std::time::Duration;

use mcp_bearer::BuildErrorKind as Kind;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::{Algorithm, JwkSet};
use mcp_bearer::testing::{TestHttpClient, TestIssuer};
use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
use mcp_bearer::{Issuer, ResourceServer, ResourceServerBuilder};

use crate::support::{ISSUER, RESOURCE};

fn valid() -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(Issuer::discover(ISSUER))
}

fn with(issuer: Issuer) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer)
}

fn client() -> TestHttpClient {
    TestIssuer::new(ISSUER).http_client()
}

struct NoVerifier;

impl TokenVerifier for NoVerifier {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Err(CheckFailure::Inactive.into())
    }
}

fn one_key() -> JwkSet {
    JwkSet::from_json(TestIssuer::new(ISSUER).jwk_set().to_string()).unwrap()
}

#[test]
fn configuration_mistakes_fail_at_build() {
    valid().build_lazy().unwrap();
    let discover = || Issuer::discover(ISSUER);
    let day = Duration::from_secs(24 * 3600);
    for (what, builder, kind) in [
        ("no issuer", ResourceServer::builder(RESOURCE), Kind::Issuer),
        ("one issuer twice", valid().issuer(discover()), Kind::Issuer),
        ("no resource", ResourceServer::builder("").issuer(discover()), Kind::Resource),
        ("relative resource", ResourceServer::builder("/mcp").issuer(discover()), Kind::Resource),
        ("http resource", ResourceServer::builder("http://mcp.example.com").issuer(discover()), Kind::Resource),
        ("fragment", ResourceServer::builder("https://h/mcp#x").issuer(discover()), Kind::Resource),
        ("newline", ResourceServer::builder("https://h/m\r\ncp").issuer(discover()), Kind::Resource),
        ("user", ResourceServer::builder("https://u@h/mcp").issuer(discover()), Kind::Resource),
        ("issuer with a query", with(Issuer::discover("https://h/?x=1")), Kind::Issuer),
        ("issuer over http", with(Issuer::discover("http://auth.example.com")), Kind::Issuer),
        ("issuer with a space", with(Issuer::oidc("https://h ")), Kind::Issuer),
        ("issuer that is not a URL", with(Issuer::oauth("acme.com")), Kind::Issuer),
        ("jwks_uri over http", with(discover().jwks_uri("http://h/jwks")), Kind::Issuer),
        ("jwks_uri of a file", with(discover().jwks_uri("file:///jwks")), Kind::Issuer),
        ("well-known URL", with(discover().well_known_url("/well-known")), Kind::Issuer),
        ("no algorithm", with(discover().algorithms([])), Kind::Algorithm),
        (
            "idle well-known URL",
            with(discover().jwks_uri("https://h/jwks").well_known_url("https://h/m")),
            Kind::Setting,
        ),
        ("idle map", with(discover().jwks_uri("https://h/jwks").map_metadata(|_| ())), Kind::Setting),
        ("idle jwks_uri", with(Issuer::with_jwks(ISSUER, one_key()).jwks_uri("https://h/jwks")), Kind::Setting),
        ("idle client", with(Issuer::with_jwks(ISSUER, one_key()).http_client(client())), Kind::Setting),
        ("idle lifetime", with(Issuer::with_jwks(ISSUER, one_key()).key_set_lifetime(day)), Kind::Setting),
        ("idle grace", with(Issuer::with_jwks(ISSUER, one_key()).last_known_good(day)), Kind::Setting),
        ("idle type", with(Issuer::with_verifier(ISSUER, NoVerifier).require_at_jwt()), Kind::Setting),
        ("idle list", with(Issuer::with_verifier(ISSUER, NoVerifier).algorithms([Algorithm::ES256])), Kind::Setting),
        ("short lifetime", with(discover().key_set_lifetime(Duration::from_secs(59))), Kind::Setting),
        ("long lifetime", with(discover().key_set_lifetime(day + Duration::from_secs(1))), Kind::Setting),
        ("long grace", with(discover().last_known_good(Duration::MAX)), Kind::Setting),
        ("no pointer", with(discover().scope_claim("permissions")), Kind::Setting),
        ("empty alias", with(discover().accept_audience("")), Kind::Setting),
        ("empty audience", valid().accept_audience(""), Kind::Setting),
        ("skew", valid().clock_skew(Duration::from_secs(301)), Kind::Setting),
        ("endless skew", valid().clock_skew(Duration::MAX), Kind::Setting),
        ("lifetime of nothing", valid().max_token_lifetime(Duration::ZERO), Kind::Setting),
        ("endless memory", valid().cache_verified_tokens(usize::MAX), Kind::Setting),
        ("idle memory", with(Issuer::with_verifier(ISSUER, NoVerifier)).cache_verified_tokens(1), Kind::Setting),
        ("scope with a space", valid().scopes_supported(["two words"]), Kind::Scope),
        ("scope with a quote", valid().scopes_supported(["a\"b"]), Kind::Scope),
        ("scope with CR LF", valid().scopes_supported(["a\r\nb"]), Kind::Scope),
        ("empty scope", valid().scopes_supported([""]), Kind::Scope),
        ("circle", valid().scope_implies("a", ["b"]).scope_implies("b", ["a"]), Kind::Scope),
        ("implied scope", valid().scope_implies("a", ["b c"]), Kind::Scope),
        ("realm with CR LF", valid().realm("a\r\nb"), Kind::Setting),
        ("realm beyond ASCII", valid().realm("caf\u{e9}"), Kind::Setting),
        ("empty realm", valid().realm(""), Kind::Setting),
        ("long realm", valid().realm("x".repeat(65_536)), Kind::Setting),
        ("metadata path", valid().metadata_path("well-known"), Kind::Setting),
        ("metadata path with a parameter", valid().metadata_path("/{x}"), Kind::Setting),
        ("metadata of another resource", valid().metadata(|m| m.member("resource", "https://evil")), Kind::Metadata),
    ] {
        let error = builder.build_lazy().expect_err(what);
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let text = error.to_string();
        assert!(text.len() > 20 && !text.contains(['\r', '\n']), "{what}: {text}");
    }
    let server = valid().build_lazy().unwrap();
    for scopes in [&["a b"][..], &["a\r\n"], &[""], &["a\\"]] {
        assert_eq!(server.bearer_layer().try_required_scopes(scopes).unwrap_err().kind(), Kind::Scope);
        assert_eq!(server.bearer_layer().try_any_scope(scopes).unwrap_err().kind(), Kind::Scope);
    }
    let layer = || server.bearer_layer();
    for (setting, empty) in
        [("required_scopes", layer().try_required_scopes([""; 0])), ("any_scope", layer().try_any_scope([""; 0]))]
    {
        let error = empty.unwrap_err();
        assert_eq!(error.kind(), Kind::Scope);
        let text = error.to_string();
        assert!(text.starts_with(&format!("`{setting}` needs at least one scope")) && text.contains("remove the call"));
    }
}

#[test]
fn the_cache_of_verified_tokens_can_be_switched_off_and_is_off_without_local_verification() {
    let own = || ResourceServer::builder(RESOURCE).issuer(Issuer::with_verifier(ISSUER, NoVerifier));
    own().build_lazy().unwrap();
    own().cache_verified_tokens(0).build_lazy().unwrap();
    valid().cache_verified_tokens(0).build_lazy().unwrap();
    let error = own().cache_verified_tokens(1).build_lazy().unwrap_err();
    let expected = "`cache_verified_tokens` needs at least one issuer whose JWTs are verified locally";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn key_sets_and_metadata_are_checked_when_they_are_parsed() {
    assert!(JwkSet::from_json(r#"{"keys":[]}"#).is_err());
    assert!(AuthorizationServerMetadata::from_json(r#"{"issuer":"https://as#x"}"#).is_err());
    let bare = AuthorizationServerMetadata::from_json(r#"{"issuer":"https://as.example.com"}"#).unwrap();
    assert_eq!(with(Issuer::with_metadata(bare)).build_lazy().unwrap_err().kind(), Kind::Issuer);
}

#[test]
fn plain_http_needs_an_explicit_setting() {
    let issuer = Issuer::discover("http://auth.internal").dangerously_allow_http();
    ResourceServer::builder("http://mcp.internal/mcp").dangerously_allow_http().issuer(issuer).build_lazy().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_invalid_configuration_causes_no_request() {
    let issuer = TestIssuer::new(ISSUER);
    let builder = ResourceServer::builder("nonsense").issuer(issuer.issuer());
    assert_eq!(builder.build().await.unwrap_err().kind(), Kind::Resource);
    assert_eq!(issuer.total_requests(), 0);
}

#[test]
fn debug_output_is_short() {
    let issuer = TestIssuer::new(ISSUER);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build_lazy().unwrap();
    let printed = format!("{server:?} {:?} {:?}", server.bearer_layer(), issuer.issuer());
    assert!(printed.contains(ISSUER) && printed.len() < 600, "{printed}");
}
