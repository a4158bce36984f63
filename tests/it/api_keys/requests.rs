//! Requests with API keys: acceptance, rejection, and which code sees a key.

use std::time::Duration;

use axum::Router;
use axum::routing::any;
use http::{Request, StatusCode};
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::testing::{Endpoint, TestClock};
use mcp_bearer::verify::{CheckOutcome, Explanation, TokenCheck};
use mcp_bearer::{AuthInfo, Clock as _, CredentialKind, ResourceServer};
use tower::ServiceExt as _;

use super::{Keyed, with_another_secret};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{Answer, App, METADATA_URL, RESOURCE};

/// How many tokens were introspected.
fn asked(keyed: &Keyed) -> usize {
    keyed.issuer.requests(Endpoint::Introspection)
}

#[tokio::test(start_paused = true)]
async fn a_key_is_accepted_and_its_caller_has_no_invented_claims() {
    let key = ApiKey::generate().unwrap();
    let stored = key.stored_as("ci-2027").identity("ci").scopes(["notes:read"]);
    let keyed = Keyed::new(ApiKeys::new().key(stored)).await;
    assert_eq!(keyed.app().with_token(key.expose()).await.status, StatusCode::OK);
    let handler = async |auth: AuthInfo| {
        assert_eq!(
            (auth.kind(), auth.subject(), auth.api_key_name()),
            (CredentialKind::ApiKey, Some("ci"), Some("ci-2027"))
        );
        assert_eq!((auth.issuer(), auth.identity(), auth.client_id()), (None, None, None));
        assert_eq!((auth.audience().count(), auth.expires_at()), (0, None));
        assert_eq!(auth.scopes().as_str(), "notes:read");
        let mut names: Vec<_> = auth.claims().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["api_key_name", "scope", "sub"]);
        "ok"
    };
    let app = Router::new().route("/mcp", any(handler)).route_layer(keyed.server.bearer_layer());
    let request = Request::get("/mcp").header("authorization", format!("Bearer {}", key.expose()));
    let answer = Answer::of(app.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.body, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_token_with_the_claims_of_a_key_is_not_a_key() {
    let keyed = Keyed::new(ApiKeys::new()).await;
    let token = || keyed.issuer.token().audience(RESOURCE).scope("notes:read").claim("api_key_name", "ci");
    let auth = token().auth_info();
    assert_eq!((auth.kind(), auth.api_key_name()), (CredentialKind::AccessToken, None));
    assert_eq!(keyed.app().with_token(&token().sign()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_gets_the_usual_challenge_and_its_cause_is_logged_without_the_key() {
    let (key, old, unknown) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let typing_error =
        key.expose().replace(&key.expose()[50..], if key.expose().ends_with("abc") { "xyz" } else { "abc" });
    let keys = ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]));
    let clock = TestClock::new();
    let expiry = clock.now();
    let keyed =
        Keyed::new(keys.key(old.stored_as("laptop of \"Ann\"").scopes(["notes:read"]).expires_at(expiry))).await;
    let app = keyed.app();
    for (token, sentence, cause, detail) in [
        (unknown.expose().to_owned(), "The API key is not valid", "api_key_unknown", "no stored key has its id"),
        (with_another_secret(&key), "The API key is not valid", "api_key_unknown", "the digest is another one"),
        (old.expose().to_owned(), "The API key expired", "api_key_expired", "expired 0 s ago"),
        (typing_error, "The API key is malformed", "api_key_malformed", "the checksum does not match"),
        ("mcpk_short".to_owned(), "The API key is malformed", "api_key_malformed", "48 letters and digits"),
        ("mcpk_a.b.c".to_owned(), "The API key is malformed", "api_key_malformed", "48 letters and digits"),
    ] {
        let capture = Capture::of_this_thread();
        let answer = app.with_token(&token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cause}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(
            challenge,
            format!(
                "Bearer error=\"invalid_token\", error_description=\"{sentence}\", resource_metadata=\"{METADATA_URL}\", scope=\"notes:read\""
            )
        );
        let lines: Vec<_> = capture.take().into_iter().map(|(_, line)| line).collect();
        let log = lines.join("\n");
        assert!(log.contains(&format!("cause=\"{cause}\"")) && log.contains(detail), "{log}");
        assert!(!log.contains(&token[5..]) && !answer.body.contains(&token), "{log}");
        // The operator finds the key by its id, without its secret.
        let id = ApiKey::parse(&token).ok().map(|key| format!(" kid={} ", key.id()));
        assert_eq!(id.is_some_and(|id| log.contains(&id)), cause != "api_key_malformed", "{log}");
        assert!(!token.get(17..).is_some_and(|secret| log.contains(secret)), "{log}");
        assert_eq!(log.contains("laptop of"), cause == "api_key_expired", "{log}");
    }
    assert_eq!(app.reached(), 0);
}

#[tokio::test(start_paused = true)]
async fn scopes_of_a_key_are_checked_like_those_of_a_token() {
    let (reader, writer, nobody) =
        (ApiKey::generate().unwrap(), ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = ApiKeys::new()
        .key(reader.stored_as("reader").scopes(["notes:read"]))
        .key(writer.stored_as("writer").scopes(["notes:write"]))
        .key(nobody.stored_as("nobody"));
    let keyed = Keyed::with(keys, |builder| builder.scope_implies("notes:write", ["notes:read"])).await;
    let write = App::new(keyed.server.bearer_layer().required_scopes(["notes:write"]));
    let capture = Capture::of_this_thread();
    for (key, name, reads, writes) in
        [(&reader, "reader", 200, 403), (&writer, "writer", 200, 200), (&nobody, "nobody", 403, 403)]
    {
        assert_eq!(keyed.app().with_token(key.expose()).await.status, reads);
        capture.take();
        let answer = write.with_token(key.expose()).await;
        // The operator reads in the log which key lacks the scope.
        let is_named =
            |(_, line): &(Level, String)| line.contains("scope missing") && line.contains(&format!(" api_key={name} "));
        assert_eq!(capture.take().iter().any(is_named), writes == 403);
        assert_eq!(answer.status, writes);
        if writes == 403 {
            assert!(answer.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_accepted_until_its_expiry_without_clock_skew() {
    let key = ApiKey::generate().unwrap();
    let clock = TestClock::new();
    let expiry = clock.now() + Duration::from_secs(100);
    let keyed = Keyed::new(ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]).expires_at(expiry))).await;
    let app = keyed.app();
    keyed.clock.advance(Duration::from_secs(99));
    assert_eq!(app.with_token(key.expose()).await.status, StatusCode::OK);
    keyed.clock.advance(Duration::from_secs(1));
    assert_eq!(app.with_token(key.expose()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn no_key_is_sent_to_the_authorization_server() {
    let key = ApiKey::generate().unwrap();
    let keyed = Keyed::new(ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]))).await;
    let app = keyed.app();
    let before = asked(&keyed);
    for token in [key.expose(), ApiKey::generate().unwrap().expose(), "mcpk_short", "mcpk_", "mcpk_a.b.c", "mcpk_~"] {
        app.with_token(token).await;
    }
    assert_eq!(asked(&keyed), before);
    // Any other token is not looked up as a key.
    for token in ["mcpk", "MCPK_x", "acme_x"] {
        app.with_token(token).await;
    }
    assert_eq!(asked(&keyed), before + 3);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_of_ones_own_replaces_the_default() {
    let key = ApiKey::generate_with_prefix("acme_live").unwrap();
    let keys = ApiKeys::new().prefix("acme_live").key(key.stored_as("ci").scopes(["notes:read"]));
    let keyed = Keyed::new(keys).await;
    assert_eq!(keyed.app().with_token(key.expose()).await.status, StatusCode::OK);
    let before = asked(&keyed);
    keyed.app().with_token(ApiKey::generate().unwrap().expose()).await;
    assert_eq!(asked(&keyed), before + 1, "a key with another prefix is an opaque token");
}

#[tokio::test(start_paused = true)]
async fn a_server_with_keys_only_names_no_authorization_server() {
    let key = ApiKey::generate().unwrap();
    let capture = Capture::of_this_thread();
    let keys = ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]));
    let server = ResourceServer::builder(RESOURCE).api_keys(keys).build().await.unwrap();
    let log: Vec<_> = capture.take().into_iter().map(|(_, line)| line).collect();
    let warning = "no issuer is published, so the metadata names no authorization server and MCP clients cannot log in: ignore \
                   this if all clients have API keys or log in elsewhere, else add an issuer with an https URL";
    assert!(log.iter().any(|line| line.contains(warning)), "{log:?}");
    assert!(log.iter().any(|line| line.contains("api_keys=\"1\"")), "{log:?}");
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token(key.expose()).await.status, StatusCode::OK);
    for token in ["opaque", "a.b.c"] {
        let answer = app.with_token(token).await;
        assert_eq!((answer.status, answer.body.contains("The API key is malformed")), (StatusCode::UNAUTHORIZED, true));
    }
    let metadata = server.metadata_service().oneshot(Request::get(METADATA_URL).body(()).unwrap()).await.unwrap();
    let document: serde_json::Value = serde_json::from_str(metadata.body()).unwrap();
    assert_eq!((&document["resource"], document.get("authorization_servers")), (&RESOURCE.into(), None));
}

#[tokio::test(start_paused = true)]
async fn keys_are_not_in_the_metadata() {
    let key = ApiKey::generate().unwrap();
    let keyed = Keyed::new(ApiKeys::new().key(key.stored_as("ci").scopes(["notes:read"]))).await;
    let metadata = keyed.server.metadata_service().oneshot(Request::get(METADATA_URL).body(()).unwrap()).await.unwrap();
    let text = metadata.into_body();
    assert!(
        text.contains(r#""authorization_servers":["https://auth.example.com"]"#) && !text.contains("mcpk"),
        "{text}"
    );
}

fn outcome_of(explanation: &Explanation, check: TokenCheck) -> Option<CheckOutcome> {
    explanation.checks().iter().find(|row| row.check() == check).map(|row| row.outcome())
}

#[tokio::test(start_paused = true)]
async fn an_explanation_of_a_key_has_one_row_for_it() {
    let key = ApiKey::generate().unwrap();
    let keyed = Keyed::new(ApiKeys::new().key(key.stored_as("ci"))).await;
    let explanation = keyed.server.explain(key.expose()).await;
    assert!(explanation.is_accepted());
    assert_eq!(outcome_of(&explanation, TokenCheck::ApiKey), Some(CheckOutcome::Passed));
    assert_eq!(outcome_of(&explanation, TokenCheck::Length), Some(CheckOutcome::Passed));
    assert_eq!(outcome_of(&explanation, TokenCheck::Signature), Some(CheckOutcome::NotNeeded));
    let explanation = keyed.server.explain(&with_another_secret(&key)).await;
    let failed = explanation.failed().unwrap();
    assert_eq!((failed.check(), failed.cause()), (TokenCheck::ApiKey, Some("api_key_unknown")));
    // Only the revocation list comes after the key.
    assert_eq!(outcome_of(&explanation, TokenCheck::RevocationList), Some(CheckOutcome::NotReached));
    assert_eq!(explanation.to_string().matches("not reached").count(), 1, "{explanation}");
    let explanation = keyed.server.explain("opaque").await;
    assert!(explanation.checks().iter().all(|row| row.check() != TokenCheck::ApiKey));
}
