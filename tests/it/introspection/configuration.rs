//! A configuration mistake fails at build. The error message says what to change.

use std::time::Duration;

use mcp_bearer::BuildErrorKind as Kind;
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::{Algorithm, JwkSet};
use mcp_bearer::keys::{KeyError, KeySetFuture, KeySource};
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
use mcp_bearer::{Issuer, ResourceServer, ResourceServerBuilder};

use super::credentials;
use super::stub::ENDPOINT;
use crate::support::{ISSUER, RESOURCE};

struct NoVerifier;

impl TokenVerifier for NoVerifier {
    async fn verify(&self, _: &str) -> Result<Verified, VerifyError> {
        Err(CheckFailure::Inactive.into())
    }
}

impl KeySource for NoVerifier {
    fn key_set<'a>(&'a self, _: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async { Err(KeyError::Unknown) })
    }
}

fn with(issuer: Issuer) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer)
}

fn all() -> Issuer {
    Issuer::discover(ISSUER).introspect_all(credentials())
}

fn opaque() -> Issuer {
    Issuer::discover(ISSUER).introspect_opaque(credentials())
}

/// Plain http for the introspection endpoint alone.
fn at_http(issuer: Issuer) -> Issuer {
    let introspected = issuer.introspect_opaque(credentials()).introspection_endpoint("http://hydra:4445/introspect");
    introspected.dangerously_allow_http_introspection()
}

fn fixed() -> Issuer {
    Issuer::with_jwks(ISSUER, JwkSet::from_json(TestIssuer::new(ISSUER).jwk_set().to_string()).unwrap())
}

fn metadata(members: &str) -> AuthorizationServerMetadata {
    AuthorizationServerMetadata::from_json(format!(r#"{{"issuer":"{ISSUER}"{members}}}"#)).unwrap()
}

/// Both ways to configure introspection.
const METHODS: [fn(Issuer, Introspection) -> Issuer; 2] = [
    |issuer, introspection| issuer.introspect_all(introspection),
    |issuer, introspection| issuer.introspect_opaque(introspection),
];
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn times_are_in_their_ranges() {
    let introspection = || Introspection::new(credentials());
    let positive = |time| introspection().positive_cache(time);
    let negative = |time| introspection().negative_cache(time);
    let stale = |time| introspection().stale_on_error(time);
    for (name, set, longest) in [
        ("positive_cache", &positive as &dyn Fn(Duration) -> Introspection, 300 * SECOND),
        ("negative_cache", &negative, 60 * SECOND),
        ("stale_on_error", &stale, 60 * SECOND),
    ] {
        for way in METHODS {
            let build = |time| with(way(Issuer::discover(ISSUER), set(time))).build_lazy();
            for time in [Duration::ZERO, MILLISECOND, longest] {
                assert!(build(time).is_ok(), "{name} {time:?}");
            }
            for time in [longest + MILLISECOND, Duration::MAX] {
                let error = build(time).unwrap_err();
                assert_eq!(error.kind(), Kind::Setting, "{name} {time:?}");
                assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
            }
        }
    }
    let of_setting =
        |introspection: Introspection| with(Issuer::discover(ISSUER).introspect_all(introspection)).build_lazy();
    for (requests, is_valid) in [(0, false), (1, true), (8, true), (64, true), (65, false), (usize::MAX, false)] {
        let error = of_setting(introspection().max_in_flight(requests)).err();
        assert_eq!(error.is_none(), is_valid, "{requests}");
        let shows_it = |text: String| text.contains("`max_in_flight`") && text.contains(&requests.to_string());
        assert!(error.is_none_or(|error| shows_it(error.to_string())), "{requests}");
    }
    for (time, is_valid) in [
        (Duration::ZERO, false),
        (99 * MILLISECOND, false),
        (100 * MILLISECOND, true),
        (30 * SECOND, true),
        (30 * SECOND + MILLISECOND, false),
        (Duration::MAX, false),
    ] {
        let error = of_setting(introspection().time_limit(time)).err();
        assert_eq!(error.is_none(), is_valid, "{time:?}");
        assert!(error.is_none_or(|error| error.to_string().contains("`time_limit`")), "{time:?}");
        let is_valid = time <= 30 * SECOND;
        let error = of_setting(introspection().max_wait(time)).err();
        assert_eq!(error.is_none(), is_valid, "{time:?}");
        assert!(error.is_none_or(|error| error.to_string().contains("`max_wait`")), "{time:?}");
    }
    for (interval, is_valid) in [
        (Duration::ZERO, false),
        (SECOND - MILLISECOND, false),
        (SECOND, true),
        (3600 * SECOND, true),
        (3600 * SECOND + MILLISECOND, false),
        (Duration::MAX, false),
    ] {
        let built = with(opaque().revocation_check(interval)).build_lazy();
        assert_eq!(built.is_ok(), is_valid, "{interval:?}");
        assert!(built.err().is_none_or(|error| error.to_string().contains("`revocation_check`")), "{interval:?}");
    }
}

#[test]
fn configuration_mistakes_fail_at_build() {
    let day = 24 * 3600 * SECOND;
    let key = || super::credentials::private_key();
    let of = |credentials: ClientCredentials| with(Issuer::discover(ISSUER).introspect_all(credentials));
    let uri = "https://auth.example.com/jwks";
    for (what, builder, kind, named) in [
        ("no client", of(ClientCredentials::basic("", "secret")), Kind::Setting, "client identifier"),
        ("no client in the form", of(ClientCredentials::post("", "secret")), Kind::Setting, "client identifier"),
        ("no client for a key", of(ClientCredentials::private_key_jwt("", key())), Kind::Setting, "client identifier"),
        ("no secret", of(ClientCredentials::basic("id", "")), Kind::Setting, "client secret"),
        ("no secret in the form", of(ClientCredentials::post("id", "")), Kind::Setting, "client secret"),
        (
            "no secret, opaque",
            with(Issuer::discover(ISSUER).introspect_opaque(ClientCredentials::basic("id", ""))),
            Kind::Setting,
            "client secret",
        ),
        (
            "check without credentials",
            with(Issuer::discover(ISSUER).revocation_check(SECOND)),
            Kind::Setting,
            "`introspect_opaque`",
        ),
        ("check of introspected tokens", with(all().revocation_check(SECOND)), Kind::Setting, "`introspect_opaque`"),
        (
            "idle endpoint",
            with(Issuer::discover(ISSUER).introspection_endpoint(ENDPOINT)),
            Kind::Setting,
            "`introspection_endpoint`",
        ),
        (
            "idle endpoint of a verifier",
            with(Issuer::with_verifier(ISSUER, NoVerifier).introspection_endpoint(ENDPOINT)),
            Kind::Setting,
            "`introspection_endpoint`",
        ),
        (
            "verifier that is not used",
            with(Issuer::with_verifier(ISSUER, NoVerifier).introspect_all(credentials())),
            Kind::Setting,
            "`introspect_all`",
        ),
        (
            "verifier beside opaque",
            with(Issuer::with_verifier(ISSUER, NoVerifier).introspect_opaque(credentials())),
            Kind::Setting,
            "`introspect_opaque`",
        ),
        (
            "keys that are not used",
            with(fixed().introspect_all(credentials()).introspection_endpoint(ENDPOINT)),
            Kind::Setting,
            "`introspect_all`",
        ),
        (
            "source that is not used",
            with(
                Issuer::with_key_source(ISSUER, NoVerifier)
                    .introspect_all(credentials())
                    .introspection_endpoint(ENDPOINT),
            ),
            Kind::Setting,
            "`introspect_all`",
        ),
        ("idle jwks_uri", with(all().jwks_uri(uri)), Kind::Setting, "`jwks_uri`"),
        ("idle algorithms", with(all().algorithms([Algorithm::ES256])), Kind::Setting, "`algorithms`"),
        ("idle type", with(all().require_at_jwt()), Kind::Setting, "`require_at_jwt`"),
        ("idle lifetime", with(all().key_set_lifetime(day)), Kind::Setting, "`key_set_lifetime`"),
        ("idle grace", with(all().last_known_good(day)), Kind::Setting, "`last_known_good`"),
        (
            "idle well-known URL",
            with(all().introspection_endpoint(ENDPOINT).well_known_url("https://h/m")),
            Kind::Setting,
            "`well_known_url`",
        ),
        (
            "idle map",
            with(all().introspection_endpoint(ENDPOINT).map_metadata(|_| ())),
            Kind::Setting,
            "`map_metadata`",
        ),
        (
            "idle map, opaque",
            with(opaque().introspection_endpoint(ENDPOINT).jwks_uri(uri).map_metadata(|_| ())),
            Kind::Setting,
            "`map_metadata`",
        ),
        (
            "idle tenants",
            with(all().introspection_endpoint(ENDPOINT).tenant_template("https://h/{tenantid}", ["t1"])),
            Kind::Setting,
            "`tenant_template`",
        ),
        ("no endpoint", with(fixed().introspect_opaque(credentials())), Kind::Issuer, "`introspection_endpoint`"),
        (
            "no endpoint, with a source",
            with(Issuer::with_key_source(ISSUER, NoVerifier).introspect_opaque(credentials())),
            Kind::Issuer,
            "`introspection_endpoint`",
        ),
        (
            "metadata without an endpoint",
            with(Issuer::with_metadata(metadata("")).introspect_all(credentials())),
            Kind::Issuer,
            "\"introspection_endpoint\"",
        ),
        (
            "metadata without keys",
            with(
                Issuer::with_metadata(metadata(r#","introspection_endpoint":"https://h/i""#))
                    .introspect_opaque(credentials()),
            ),
            Kind::Issuer,
            "\"jwks_uri\"",
        ),
        (
            "http endpoint",
            with(all().introspection_endpoint("http://auth.example.com/introspect")),
            Kind::Issuer,
            "`dangerously_allow_http_introspection()`",
        ),
        (
            "http beside an https endpoint",
            with(all().introspection_endpoint(ENDPOINT).dangerously_allow_http_introspection()),
            Kind::Setting,
            "has the scheme https; remove it",
        ),
        (
            "http beside an endpoint on loopback",
            with(all().introspection_endpoint("http://127.0.0.1:1/i").dangerously_allow_http_introspection()),
            Kind::Setting,
            "\"http://127.0.0.1:1/i\" is on loopback; remove it",
        ),
        (
            "http without an endpoint",
            with(all().dangerously_allow_http_introspection()),
            Kind::Setting,
            "without `introspection_endpoint`",
        ),
        (
            "http without introspection",
            with(Issuer::discover(ISSUER).dangerously_allow_http_introspection()),
            Kind::Setting,
            "without `introspection_endpoint`",
        ),
        (
            "http for introspection, and an http issuer",
            with(at_http(Issuer::discover("http://auth.internal"))),
            Kind::Issuer,
            "\"http://auth.internal\"",
        ),
        (
            "http for introspection, and an http key set",
            with(at_http(Issuer::discover(ISSUER)).jwks_uri("http://auth.internal/jwks")),
            Kind::Issuer,
            "\"http://auth.internal/jwks\"",
        ),
        (
            "http for introspection, and http metadata",
            with(at_http(Issuer::discover(ISSUER)).well_known_url("http://auth.internal/metadata")),
            Kind::Issuer,
            "\"http://auth.internal/metadata\"",
        ),
        ("relative endpoint", with(all().introspection_endpoint("/introspect")), Kind::Issuer, "\"/introspect\""),
        ("endpoint of a file", with(all().introspection_endpoint("file:///introspect")), Kind::Issuer, "https"),
        (
            "endpoint with a password",
            with(all().introspection_endpoint("https://id:secret@auth.example.com/")),
            Kind::Issuer,
            "password",
        ),
        ("empty endpoint", with(all().introspection_endpoint("")), Kind::Issuer, "empty"),
        (
            "no clients",
            with(all().dangerously_accept_clients_without_audience([""; 0])),
            Kind::Setting,
            "`dangerously_accept_clients_without_audience`",
        ),
        (
            "an empty client",
            with(all().dangerously_accept_clients_without_audience(["web", ""])),
            Kind::Setting,
            "`dangerously_accept_clients_without_audience`",
        ),
        ("another name twice", with(all().also_issued_as(ISSUER)), Kind::Issuer, ISSUER),
        ("another name that is invalid", with(all().also_issued_as("h x")), Kind::Issuer, "space"),
        (
            "template without a placeholder",
            with(all().tenant_template("https://h/common", ["t1"])),
            Kind::Issuer,
            "{tenantid}",
        ),
        (
            "template without tenants",
            with(all().tenant_template("https://h/{tenantid}", [""; 0])),
            Kind::Issuer,
            "tenants",
        ),
        (
            "tenant that is a path",
            with(all().tenant_template("https://h/{tenantid}", ["a/b"])),
            Kind::Issuer,
            "tenants",
        ),
        (
            "two issuers with opaque tokens",
            with(all()).issuer(Issuer::discover("https://other.example.com").introspect_opaque(credentials())),
            Kind::Issuer,
            "`route_opaque`",
        ),
        (
            "a verifier beside one",
            with(all()).issuer(Issuer::with_verifier("https://other.example.com", NoVerifier)),
            Kind::Issuer,
            "`route_opaque`",
        ),
        ("idle route", with(Issuer::discover(ISSUER)).route_opaque(|_| Some(ISSUER)), Kind::Issuer, "`route_opaque`"),
        (
            "a name of another issuer",
            with(all().also_issued_as("https://other.example.com"))
                .issuer(Issuer::discover("https://other.example.com")),
            Kind::Issuer,
            "https://other.example.com",
        ),
    ] {
        let error = builder.build_lazy().expect_err(what);
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains(named) && text.len() > 20 && !text.contains(['\r', '\n']), "{what}: {text}");
    }
    if !Algorithm::ES512.is_supported() {
        let error = with(opaque().algorithms([Algorithm::ES512])).build_lazy().unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("`aws-lc-rs`")), (Kind::Algorithm, true));
    }
}

#[test]
fn valid_combinations_build() {
    let uri = "https://auth.example.com/jwks";
    let loopback = || Issuer::discover("http://127.0.0.1:8080").introspect_all(credentials());
    for (what, builder) in [
        ("all", with(all())),
        ("opaque", with(opaque())),
        ("opaque with rules for JWTs", with(opaque().algorithms([Algorithm::ES256]).require_at_jwt())),
        ("all, by a map", with(all().map_metadata(|_| ()))),
        ("fixed keys and an endpoint", with(fixed().introspect_opaque(credentials()).introspection_endpoint(ENDPOINT))),
        (
            "own keys and an endpoint",
            with(
                Issuer::with_key_source(ISSUER, NoVerifier)
                    .introspect_opaque(credentials())
                    .introspection_endpoint(ENDPOINT),
            ),
        ),
        ("no metadata", with(opaque().introspection_endpoint(ENDPOINT).jwks_uri(uri))),
        ("keys by discovery", with(opaque().introspection_endpoint(ENDPOINT).map_metadata(|_| ()))),
        ("endpoint by discovery", with(opaque().jwks_uri(uri).map_metadata(|_| ()))),
        (
            "given metadata",
            with(
                Issuer::with_metadata(metadata(r#","introspection_endpoint":"https://h/i""#))
                    .introspect_all(credentials()),
            ),
        ),
        (
            "a client without a secret",
            with(Issuer::discover(ISSUER).introspect_all(ClientCredentials::bearer(String::new))),
        ),
        ("another name", with(all().also_issued_as("https://other.example.com"))),
        ("one route for one issuer", with(all()).route_opaque(|_| Some(ISSUER))),
        (
            "a route for two",
            with(all())
                .issuer(Issuer::with_verifier("https://other.example.com", NoVerifier))
                .route_opaque(|_| Some(ISSUER)),
        ),
        ("http for the endpoint alone", with(at_http(Issuer::discover(ISSUER)))),
        ("loopback", with(loopback().introspection_endpoint("http://127.0.0.1:8080/introspect"))),
        (
            "http by name",
            with(
                Issuer::discover("http://auth.internal")
                    .dangerously_allow_http()
                    .introspect_all(credentials())
                    .introspection_endpoint("http://auth.internal/i"),
            ),
        ),
    ] {
        builder.build_lazy().expect(what);
    }
}
