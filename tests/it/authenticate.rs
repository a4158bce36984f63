//! `authenticate` decides about a request as the layer does.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, header};
use mcp_bearer::bearer::{BearerAuthLayer, RejectionKind};
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::{AuthInfo, Rejection};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

/// A request with these headers.
fn request(method: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri("/mcp?page=2");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(Body::empty()).unwrap()
}

fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
    request(method, headers).into_parts().0
}

/// The subject of the caller; `None` for an anonymous caller.
type Decision = Result<Option<String>, Answer>;

/// The decision of `authenticate_optional`, or of `authenticate` for a layer that does not allow anonymous requests.
async fn by_function(layer: &BearerAuthLayer, head: &Parts, is_optional: bool) -> Decision {
    let decision = match is_optional {
        true => layer.authenticate_optional(head).await,
        false => layer.authenticate(head).await.map(Some),
    };
    match decision {
        Ok(accepted) => Ok(accepted.map(|accepted| {
            assert!(accepted.response_headers().is_empty());
            let subject = accepted.auth_info().subject().unwrap().to_owned();
            assert_eq!(accepted.into_auth_info().subject(), Some(&*subject));
            subject
        })),
        Err(rejection) => Err(Answer::of(rejection.to_response().map(Body::from)).await),
    }
}

/// The decision of the layer as a tower service.
async fn by_service(layer: &BearerAuthLayer, request: Request<Body>) -> Decision {
    let service = layer.layer(service_fn(async |request: Request<Body>| {
        let auth = AuthInfo::optional_from_parts(&request.into_parts().0).unwrap().cloned();
        let mut response = http::Response::new(Body::empty());
        response.extensions_mut().insert(auth);
        Ok::<_, std::convert::Infallible>(response)
    }));
    let response = service.oneshot(request).await.unwrap();
    match response.extensions().get::<Option<AuthInfo>>() {
        Some(auth) => Ok(auth.as_ref().map(|auth| auth.subject().unwrap().to_owned())),
        None => Err(Answer::of(response).await),
    }
}

/// A short form of a decision, and all parts of the response.
fn comparable(decision: Decision) -> (String, Option<(HeaderMap, String, Option<RejectionKind>)>) {
    match decision {
        Ok(caller) => (caller.unwrap_or_else(|| "anonymous".to_owned()), None),
        Err(answer) => {
            let kind = answer.rejection.map(|rejection| rejection.kind());
            (answer.status.as_str().to_owned(), Some((answer.headers, answer.body, kind)))
        }
    }
}

/// The headers of a request, and the decisions of a layer that needs a token and of one that does not.
type Row<'r> = (&'r [(&'r str, &'r str)], &'r str, &'r str);

#[tokio::test(start_paused = true)]
async fn the_decision_and_the_response_are_those_of_the_layer() {
    let fixture = Fixture::new().await;
    let bearer = |token: &str| format!("Bearer {token}");
    let valid = bearer(&fixture.issuer.token().audience(RESOURCE).subject("alice").scope("mcp:tools").sign());
    let scopeless = bearer(&fixture.issuer.token().audience(RESOURCE).subject("alice").sign());
    let other = bearer(&fixture.issuer.token().audience("https://other.example.com").scope("mcp:tools").sign());
    let closed = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let open = closed.clone().allow_anonymous();
    let rows: [Row<'_>; 9] = [
        (&[("authorization", &valid)], "alice", "alice"),
        (&[("authorization", &scopeless)], "403", "403"),
        (&[("authorization", &other)], "401", "401"),
        (&[("authorization", "Bearer garbage")], "401", "401"),
        (&[("authorization", "Bearer")], "400", "400"),
        (&[("authorization", "Basic x")], "401", "401"),
        (&[("authorization", &valid), ("authorization", &valid)], "400", "400"),
        (&[("authorization", "")], "401", "401"),
        (&[], "401", "anonymous"),
    ];
    for (headers, expected, expected_if_open) in rows {
        for (layer, expected, is_optional) in [(&closed, expected, false), (&open, expected_if_open, true)] {
            let function = comparable(by_function(layer, &head("GET", headers), is_optional).await);
            assert_eq!(function, comparable(by_service(layer, request("GET", headers)).await), "{headers:?}");
            assert_eq!(function.0, expected, "{headers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_alone_requires_no_scope() {
    let fixture = Fixture::new().await;
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).subject("bob").sign());
    let accepted = fixture.server.authenticate(&head("GET", &[("authorization", &scopeless)])).await.unwrap();
    assert_eq!(accepted.auth_info().subject(), Some("bob"));
    let rejection = fixture.server.authenticate(&head("GET", &[])).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::MissingToken);
    assert!(rejection.challenge().unwrap().to_str().unwrap().contains(METADATA_URL));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_token_is_rejected_where_a_token_is_needed() {
    let fixture = Fixture::new().await;
    let open = fixture.server.bearer_layer().allow_anonymous();
    let preflight = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")];
    for (layer, head, is_accepted) in [
        (&open, head("GET", &[]), true),
        (&open, head("OPTIONS", &preflight), true),
        (&fixture.server.bearer_layer(), head("GET", &[]), false),
        (&fixture.server.bearer_layer(), head("OPTIONS", &preflight), false),
    ] {
        assert_eq!(layer.authenticate(&head).await.unwrap_err().kind(), RejectionKind::MissingToken);
        let optional = layer.authenticate_optional(&head).await;
        assert_eq!(optional.map_err(|rejection| rejection.kind()).is_ok(), is_accepted, "{head:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_needs_a_key_waits_for_it_and_an_outage_is_503() {
    let fixture = Fixture::cold();
    let token = format!("Bearer {}", fixture.token());
    let head = head("GET", &[("authorization", &token)]);
    fixture.issuer.fault_times(Endpoint::KeySet, Fault::Status(500), 10);
    let rejection = fixture.server.authenticate(&head).await.unwrap_err();
    assert!(matches!(rejection.kind(), RejectionKind::Unavailable { .. }), "{rejection:?}");
    assert!(rejection.to_response().headers().contains_key(header::RETRY_AFTER));
    fixture.issuer.heal();
    tokio::time::advance(Duration::from_secs(120)).await;
    // A task of a multi-threaded runtime can hold the future.
    let server = fixture.server.clone();
    let task = tokio::spawn(async move { server.authenticate(&head).await.map(|accepted| accepted.into_auth_info()) });
    assert!(task.await.unwrap().unwrap().has_scope("mcp:tools"));
}

#[tokio::test(start_paused = true)]
async fn inside_of_a_layer_the_scopes_of_both_are_required() {
    let fixture = Fixture::new().await;
    let token = format!("Bearer {}", fixture.token());
    let mut head = head("GET", &[("authorization", &token)]);
    let outer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let accepted = outer.authenticate(&head).await.unwrap();
    head.extensions.insert(accepted.into_auth_info());
    let inner = fixture.server.bearer_layer().required_scopes(["notes:write"]);
    let rejection = inner.authenticate(&head).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::InsufficientScope);
    let challenge = rejection.challenge().unwrap();
    assert!(challenge.to_str().unwrap().contains("scope=\"mcp:tools notes:write\""), "{challenge:?}");
}

#[tokio::test(start_paused = true)]
async fn the_rejection_of_a_handler_names_the_request() {
    let fixture = Fixture::new().await;
    let token = format!("Bearer {}", fixture.token());
    let log = Capture::of_this_thread();
    let accepted = fixture.server.authenticate(&head("PUT", &[("authorization", &token)])).await.unwrap();
    let rejection = accepted.auth_info().require_scopes(["notes:write"]).unwrap_err();
    assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
    let lines = log.take();
    let line = lines.iter().find(|(_, line)| line.contains("scope missing")).map(|(_, line)| line.as_str()).unwrap();
    assert!(line.contains("PUT") && line.contains("/mcp") && !line.contains("page=2"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invalid_tokens_causes_few_requests_to_the_issuer_and_few_log_lines() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let valid = fixture.token();
    let (_, rest) = valid.split_once('.').unwrap();
    let with_key_id = |number: usize| {
        let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"made up {number}"}}"#);
        format!("Bearer {}.{rest}", URL_SAFE_NO_PAD.encode(header))
    };
    let expired = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).expired().sign());
    let before = fixture.issuer.total_requests();
    let log = Capture::of_this_thread();
    for number in 0..10_000 {
        let authorization = match number % 5 {
            0 => format!("Bearer garbage-{number}"),
            1 => expired.clone(),
            2 => "Basic eA==".to_owned(),
            _ => with_key_id(number),
        };
        let rejection = layer.authenticate(&head("GET", &[("authorization", &authorization)])).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "{authorization}");
    }
    assert_eq!(fixture.issuer.total_requests() - before, 2, "the limit of fetches for unknown key ids");
    tokio::time::sleep(Duration::from_secs(61)).await;
    // For each of the four causes, three lines and a summary.
    let lines: Vec<_> = log.take().into_iter().filter(|(level, _)| *level <= Level::INFO).collect();
    assert!((16..=20).contains(&lines.len()), "{lines:#?}");
    for cause in ["not_jwt", "expired", "other_scheme", "unknown_key"] {
        let count = lines.iter().filter(|(_, line)| line.contains(&format!("cause=\"{cause}\""))).count();
        assert_eq!(count, 4, "{cause}: {lines:#?}");
    }
    let valid = format!("Bearer {valid}");
    assert!(layer.authenticate(&head("GET", &[("authorization", &valid)])).await.is_ok());
}

/// The gRPC status of a rejection, as a tonic client reads it from headers.
fn grpc_status(rejection: &Rejection) -> tonic::Status {
    let headers = rejection.to_grpc_status_headers();
    assert!(!headers.contains_key(header::CONTENT_TYPE));
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    tonic::Status::from_header_map(&headers).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_also_a_grpc_status() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).sign());
    for (authorization, code) in [
        ("", tonic::Code::Unauthenticated),
        ("Bearer", tonic::Code::Unauthenticated),
        ("Bearer garbage", tonic::Code::Unauthenticated),
        (&*scopeless, tonic::Code::PermissionDenied),
    ] {
        let rejection = layer.authenticate(&head("POST", &[("authorization", authorization)])).await.unwrap_err();
        let status = grpc_status(&rejection);
        assert_eq!((status.code(), status.message()), (code, rejection.description()), "{authorization}");
        let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
        assert!(challenge.contains(METADATA_URL), "{challenge}");
    }
    let cold = Fixture::cold();
    cold.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let token = format!("Bearer {}", cold.token());
    let rejection = cold.server.authenticate(&head("POST", &[("authorization", &token)])).await.unwrap_err();
    let status = grpc_status(&rejection);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.metadata().contains_key("retry-after"));
    assert_eq!(status.metadata().get("www-authenticate"), None);
}
