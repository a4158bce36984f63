//! F: scopes, and what the response to a rejected request contains (RFC 6750, section 3; RFC 9728, section 5.1).

use axum::Router;
use axum::body::Body;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{BuildError, BuildErrorKind, Issuer, ResourceServer};
use serde_json::{Value, json};

use super::trial::{self, Trial, bearer, with};
use crate::support::{Answer, App, METADATA_URL, RESOURCE, requiring};
use crate::transport;

/// A token with these changes to its claims.
fn token(trial: &Trial, changes: &Value) -> String {
    trial.with_payload(with(with(trial.claims(), json!({"scope": null})), changes.clone()).to_string())
}

#[tokio::test]
async fn a_challenge_for_missing_scopes_lists_all_required_scopes() {
    let trial = Trial::warm().await;
    let app = App::new(trial.fixture.server.bearer_layer().required_scopes(["a", "b", "c"]));
    for (id, scope) in [("F01", json!("a")), ("F01", json!("a c")), ("F01", json!("mcp:tools")), ("F02", json!(""))] {
        let answer = app.with_token(&token(&trial, &json!({"scope": scope}))).await;
        assert_eq!(answer.verdict(), "R403", "{id} {scope}");
        let expected = [
            ("error", "insufficient_scope"),
            ("error_description", "The access token does not grant what this operation needs"),
            ("resource_metadata", METADATA_URL),
            ("scope", "a b c"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(answer.challenge().unwrap(), expected, "{id} {scope}");
    }
    assert_eq!(app.reached(), 0);
    assert_eq!(app.with_token(&token(&trial, &json!({"scope": "c b a"}))).await.verdict(), "OK");
}

#[tokio::test]
async fn scopes_are_read_from_one_claim_and_compared_by_byte() {
    let trial = Trial::warm().await;
    let app = |scopes: &[&str]| App::new(requiring(&trial.fixture.server, scopes));
    let (free, read, both) = (app(&[]), app(&["read"]), app(&["read", "write"]));
    for (id, app, claims, verdict) in [
        ("F02", &free, json!({}), "OK"),
        ("F02", &free, json!({"scope": ""}), "OK"),
        ("F02", &read, json!({}), "R403"),
        ("F02", &read, json!({"scope": ""}), "R403"),
        ("F02", &read, json!({"scope": " "}), "R403"),
        ("F04", &both, json!({"scope": "  read   write "}), "OK"),
        ("F04", &both, json!({"scope": "read\twrite"}), "R403"),
        ("F04", &both, json!({"scope": "read\nwrite"}), "R403"),
        ("F04", &both, json!({"scope": "read\u{a0}write"}), "R403"),
        ("F04", &both, json!({"scope": "read\u{2003}write"}), "R403"),
        ("F04", &both, json!({"scope": "read,write"}), "R403"),
        ("F04", &both, json!({"scope": "read, write"}), "R403"),
        ("F04", &both, json!({"scp": ["read write"]}), "R403"),
        ("F05", &read, json!({"scope": "Read"}), "R403"),
        ("F05", &read, json!({"scope": "read:all"}), "R403"),
        ("F05", &read, json!({"scope": "reader"}), "R403"),
        ("F05", &read, json!({"scope": "xread"}), "R403"),
        ("F05", &read, json!({"scp": [" read"]}), "R403"),
        ("F05", &read, json!({"scope": "read\u{200b}"}), "R403"),
        ("F05", &read, json!({"scope": "re\u{430}d"}), "R403"),
        ("F05", &read, json!({"scope": "*"}), "R403"),
        ("F05", &read, json!({"scope": "\"read\""}), "R403"),
        ("F06", &both, json!({"scope": "read read write"}), "OK"),
        ("F06", &both, json!({"scope": "write read"}), "OK"),
        ("F08", &both, json!({"scope": "read", "scp": ["write"]}), "R403"),
        ("F08", &both, json!({"scope": "read", "scopes": ["write"], "roles": ["write"]}), "R403"),
        ("F08", &read, json!({"scope": "", "scp": ["read"]}), "R403"),
        ("F08", &read, json!({"scope": "x", "permissions": ["read"]}), "R403"),
        ("F08", &read, json!({"scp": ["read"]}), "OK"),
        ("F08", &both, json!({"scp": "read write"}), "OK"),
        ("F08", &both, json!({"scopes": ["read", "write"]}), "OK"),
        // A claim that is not a list of scopes is ignored.
        ("F08", &read, json!({"scope": {"read": true}}), "R401"),
        ("F08", &read, json!({"scope": 1}), "R401"),
        ("F08", &read, json!({"scp": ["read", 1]}), "R401"),
    ] {
        let reached = app.reached();
        let answer = app.with_token(&token(&trial, &claims)).await;
        assert_eq!(answer.verdict(), verdict, "{id} {claims}");
        assert_eq!(app.reached(), reached + usize::from(verdict == "OK"), "{id} {claims}");
    }
}

#[tokio::test]
async fn no_part_of_a_token_is_in_a_response() {
    let trial = Trial::warm().await;
    for (id, text) in [
        ("F09", "marker\", error=\"x"),
        ("F09", "marker\\"),
        ("F09", "marker\r\nX-Evil: marker"),
        ("F09", "marker\u{0}\u{e9}"),
        ("F09", "<script>marker</script>"),
    ] {
        let header = |member: &str| with(trial.header(), json!({member: text})).to_string();
        let payload = |member: &str| with(trial.claims(), json!({member: text})).to_string();
        for (verdict, token) in [
            ("R401", trial.with_header(header("kid"))),
            ("R401", trial.with_header(header("alg"))),
            ("R401", trial.with_header(header("typ"))),
            ("R401", trial.with_payload(payload("iss"))),
            ("R401", trial.with_payload(payload("aud"))),
            ("R401", trial.with_payload(payload("exp"))),
            ("R403", trial.with_payload(payload("scope"))),
        ] {
            let answer = trial.token(id, text, &token, verdict).await;
            let seen = format!("{:?}{}", answer.headers, answer.body);
            assert!(!seen.contains("marker") && !seen.to_lowercase().contains("x-evil"), "{id} {text:?}: {seen}");
        }
    }
}

#[test]
fn a_value_that_a_header_cannot_contain_is_a_build_error() {
    type Build = fn(&str) -> Result<ResourceServer, BuildError>;
    fn builder(resource: &str) -> mcp_bearer::ResourceServerBuilder {
        ResourceServer::builder(resource).issuer(Issuer::discover("https://auth.example.com"))
    }
    let realm: Build = |text| trial::server(builder(RESOURCE).realm(text));
    let scope: Build = |text| trial::server(builder(RESOURCE).scopes_supported([text]));
    let layer: Build = |text| {
        let server = trial::server(builder(RESOURCE)).unwrap();
        server.bearer_layer().try_required_scopes([text]).map(|_| server)
    };
    let any: Build = |text| {
        let server = trial::server(builder(RESOURCE)).unwrap();
        server.bearer_layer().try_any_scope([text]).map(|_| server)
    };
    let resource: Build = |text| trial::server(builder(&format!("https://mcp.example.com/{text}")));
    use BuildErrorKind as K;
    let long = "x".repeat(64 << 10);
    for (id, text) in [
        ("F10", "a\r\nX-Evil: y"),
        ("F10", "a\nb"),
        ("F10", "a\rb"),
        ("F10", "a\0b"),
        ("F10", "a\u{e9}"),
        ("F10", "a\u{7f}"),
        ("F10", "a\tb"),
    ] {
        for (build, kind) in
            [(realm, K::Setting), (scope, K::Scope), (layer, K::Scope), (any, K::Scope), (resource, K::Resource)]
        {
            assert_eq!(build(text).map(|_| ()).unwrap_err().kind(), kind, "{id} {text:?}");
        }
    }
    for (id, text) in [("F10", "a\"b"), ("F10", "a\\b"), ("F10", "a b"), ("F10", "")] {
        for build in [scope, layer, any] {
            assert_eq!(build(text).map(|_| ()).unwrap_err().kind(), K::Scope, "{id} {text:?}");
        }
    }
    for (id, text) in [("F10", "a\"b"), ("F10", "a\\b"), ("F10", "a b"), ("F10", long.as_str())] {
        assert_eq!(resource(text).map(|_| ()).unwrap_err().kind(), K::Resource, "{id}");
    }
    assert_eq!(realm(&long).map(|_| ()).unwrap_err().kind(), K::Setting, "F10");
}

#[tokio::test]
async fn a_realm_is_escaped() {
    for (id, realm) in
        [("F10", "with \"quotes\""), ("F10", "back\\slash"), ("F10", "a\", error=\"x"), ("F10", "a, Basic x")]
    {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).realm(realm));
        let answer = trial.app.send(Request::get("/mcp").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.parameter("realm").as_deref(), Some(realm), "{id}");
        assert_eq!(answer.challenge().unwrap().len(), 3, "{id} {realm}");
    }
}

#[tokio::test]
async fn challenges_from_other_code_are_kept() {
    const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"x\"");
    let lines = |answer: &Answer| -> Vec<String> {
        let values = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        values.map(|value| value.to_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
    };
    let trial = Trial::warm().await;
    let layer = trial.fixture.server.bearer_layer();
    async fn basic(mut response: Response) -> Response {
        response.headers_mut().append(header::WWW_AUTHENTICATE, BASIC);
        response
    }
    let send = async |router: Router, request| Answer::of(transport::send(router, request).await).await;
    // An outer layer appends a challenge, an inner handler sends its own, and `on_rejection` builds a response.
    let outside = Router::new().route("/mcp", get(|| async {})).route_layer(layer.clone()).layer(map_response(basic));
    let unauthorized = || async { (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, BASIC)]) };
    let inside = Router::new().route("/mcp", get(unauthorized)).route_layer(layer.clone());
    let custom = layer.on_rejection(|rejection| {
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = rejection.status();
        response.headers_mut().append(header::WWW_AUTHENTICATE, BASIC);
        response
    });
    let custom = Router::new().route("/mcp", get(|| async {})).route_layer(custom);
    for (id, router, token, expected) in [
        ("F12", &outside, "invalid".to_owned(), &["Bearer", "Basic"][..]),
        ("F12", &inside, trial.fixture.token(), &["Basic"]),
        ("F12", &inside, "invalid".to_owned(), &["Bearer"]),
        ("F12", &custom, "invalid".to_owned(), &["Bearer", "Basic"]),
    ] {
        let answer = send(router.clone(), bearer(&token)).await;
        assert_eq!(answer.status, 401, "{id}");
        assert_eq!(lines(&answer), expected, "{id}");
        for value in answer.headers.get_all(header::WWW_AUTHENTICATE) {
            let has_error = value.to_str().unwrap().contains("error=");
            assert!(!has_error || value.as_bytes().starts_with(b"Bearer"), "{id} {value:?}");
        }
    }
    // A response that `on_rejection` only modifies contains our challenge once.
    let decorated = trial.fixture.server.bearer_layer().on_rejection(|rejection| rejection.to_response());
    let decorated = Router::new().route("/mcp", get(|| async {})).route_layer(decorated);
    assert_eq!(lines(&send(decorated, bearer("invalid")).await), ["Bearer"], "F12");
}

#[tokio::test]
async fn a_challenge_never_repeats_the_host_of_a_request() {
    let trial = Trial::cold();
    for (id, uri, name, value) in [
        ("F13", "/mcp", "host", "evil.example.com"),
        ("F13", "/mcp", "x-forwarded-host", "evil.example.com"),
        ("F13", "/mcp", "x-forwarded-proto", "http"),
        ("F13", "/mcp", "x-forwarded-prefix", "/evil"),
        ("F13", "/mcp", "x-original-url", "/evil"),
        ("F13", "/mcp", "forwarded", "host=evil.example.com;proto=http"),
        ("F13", "http://evil.example.com/mcp", "host", "evil.example.com"),
    ] {
        let request = Request::get(uri).header(name, value).body(Body::empty()).unwrap();
        // `request` asserts that the metadata URL is the configured one.
        let answer = trial.request(id, name, request, "R401N").await;
        assert!(!format!("{:?}{}", answer.headers, answer.body).contains("evil"), "{id} {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_never_reported_as_an_invalid_token() {
    for (id, fault) in [
        ("F14", Fault::Status(500)),
        ("F14", Fault::Status(404)),
        ("F14", Fault::Drop),
        ("F14", Fault::Garbage),
        ("F14", Fault::Html),
        ("F14", Fault::Delay(std::time::Duration::from_secs(60))),
    ] {
        let trial = Trial::cold();
        trial.fixture.issuer.fault(Endpoint::KeySet, fault.clone());
        trial.token(id, &format!("{fault:?}"), &trial.fixture.token(), "R503").await;
        // A token that is invalid without its signature is still rejected with 401.
        trial.reject(id, "expired", &trial.fixture.issuer.token().audience(RESOURCE).expired().sign()).await;
    }
    let trial = Trial::warm().await;
    trial.fixture.issuer.stop();
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn a_challenge_never_contains_offline_access() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).scopes_supported(["offline_access"]));
    let required = ["offline_access", "mcp:tools"];
    let app = App::new(trial.fixture.server.bearer_layer().required_scopes(required));
    let valid = trial.fixture.token();
    for (id, answer, status) in [
        ("F16", app.send(Request::get("/mcp").body(Body::empty()).unwrap()).await, 401),
        ("F16", app.with_token("invalid").await, 401),
        ("F16", app.with_token(&valid).await, 403),
    ] {
        assert_eq!(answer.status, status, "{id}");
        assert_eq!(answer.parameter("scope").as_deref(), Some("mcp:tools"), "{id}");
    }
    let document: Value = serde_json::from_slice(trial.fixture.server.metadata_service().document()).unwrap();
    assert_eq!(document["scopes_supported"], json!(["mcp:tools"]), "F16");
}

#[tokio::test]
async fn a_broad_scope_implies_a_narrow_one_only_if_configured() {
    for (id, rules, scope, verdict) in [
        ("F17", &[][..], "files", "R403"),
        ("F17", &[("files", "files:read")][..], "files", "OK"),
        ("F17", &[("files", "files:read")][..], "file", "R403"),
        ("F17", &[("files:read", "files")][..], "files", "R403"),
        ("F17", &[("admin", "files"), ("files", "files:read")][..], "admin", "OK"),
    ] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let accepted = issuer.issuer();
        let trial = Trial::of(issuer, clock, |server| {
            let imply = |server: mcp_bearer::ResourceServerBuilder, (broad, narrow): &(&str, &str)| {
                server.scope_implies(*broad, [*narrow])
            };
            rules.iter().fold(server.issuer(accepted), imply)
        });
        let app = App::new(trial.fixture.server.bearer_layer().required_scopes(["files:read"]));
        let answer = app.with_token(&token(&trial, &json!({"scope": scope}))).await;
        assert_eq!(answer.verdict(), verdict, "{id} {rules:?} {scope}");
    }
}
