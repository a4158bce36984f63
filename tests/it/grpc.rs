//! gRPC requests: a rejection is a gRPC status (gRPC over HTTP/2, "Responses").

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::{Request, StatusCode, header};
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::testing::{Endpoint, Fault};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::support::{Answer, Fixture, METADATA_URL, RESOURCE};

/// A codec whose messages are bytes.
#[derive(Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

fn router(layer: BearerAuthLayer, reached: Arc<AtomicUsize>) -> Router {
    let handler = move || {
        reached.fetch_add(1, Ordering::SeqCst);
        async { "" }
    };
    Router::new().route("/notes.Notes/Add", any(handler)).route_layer(layer)
}

/// The status that a tonic client gets for a call with this `Authorization`.
async fn call(layer: &BearerAuthLayer, authorization: Option<&str>) -> Status {
    let reached = Arc::new(AtomicUsize::new(0));
    let service = router(layer.clone(), Arc::clone(&reached)).map_request(|request: Request<tonic::body::Body>| {
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/grpc");
        request.map(axum::body::Body::new)
    });
    let mut client = Grpc::new(service);
    let mut request = tonic::Request::new(Bytes::from_static(b"note"));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    client.ready().await.unwrap();
    let response = client.unary(request, "/notes.Notes/Add".parse().unwrap(), Plain).await;
    assert_eq!(reached.load(Ordering::SeqCst), 0);
    response.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_tonic_client_reads_the_status_of_each_rejection() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    let scopeless = format!("Bearer {}", fixture.issuer.token().audience(RESOURCE).sign());
    for (authorization, code, message, has_error) in [
        (None, Code::Unauthenticated, "An access token is needed", false),
        (Some("Basic x"), Code::Unauthenticated, "An access token is needed", false),
        (Some("Bearer"), Code::Unauthenticated, "The request must carry exactly one bearer token", true),
        (Some("Bearer garbage"), Code::Unauthenticated, "The access token is not a JWT", true),
        (
            Some(scopeless.as_str()),
            Code::PermissionDenied,
            "The access token does not grant what this operation needs",
            true,
        ),
    ] {
        let status = call(&layer, authorization).await;
        assert_eq!((status.code(), status.message()), (code, message), "{authorization:?}");
        let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
        assert!(challenge.contains(METADATA_URL), "{challenge}");
        assert_eq!(challenge.contains("error="), has_error, "{challenge}");
    }
    let cold = Fixture::cold();
    cold.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    let status = call(&cold.server.bearer_layer(), Some(&format!("Bearer {}", cold.token()))).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.metadata().get("retry-after").is_some());
    assert_eq!(status.metadata().get("www-authenticate"), None);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_a_response_of_headers_only() {
    let fixture = Fixture::new().await;
    let customized = fixture.server.bearer_layer().on_rejection(|rejection| {
        let response = http::Response::builder().status(rejection.status()).header("x-request-id", "7");
        let response = response.header(header::CONTENT_TYPE, "text/html").header(header::CONTENT_LENGTH, "4");
        response.header("grpc-status", "0").body(Bytes::from_static(b"<p/>")).unwrap()
    });
    let origins = fixture.server.allowed_origins([""; 0]);
    let router = |layer: BearerAuthLayer| router(layer, Arc::default()).layer(origins.clone());
    let plain = router(fixture.server.bearer_layer());
    let customized = router(customized);
    let send = async |router: &Router, content_type: &str, more: &[(&str, &str)]| {
        let request = Request::post("/notes.Notes/Add").header(header::CONTENT_TYPE, content_type);
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        Answer::of(response).await
    };
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+json",
        "Application/gRPC",
        "application/grpc;charset=utf-8",
        " application/grpc",
        "application/grpc-web",
        "application/grpc-web-text+proto",
    ] {
        for router in [&plain, &customized] {
            let answer = send(router, content_type, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{content_type}");
            assert_eq!(answer.body, "", "{content_type}");
            assert_eq!(answer.header("content-type"), Some("application/grpc"));
            assert_eq!(answer.header("grpc-status"), Some("16"));
            assert_eq!(answer.header("grpc-message"), Some("An access token is needed"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.header("content-length").is_none_or(|length| length == "0"));
            assert!(answer.parameter("resource_metadata").is_some());
            assert_eq!(answer.rejection.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(send(&customized, content_type, &[]).await.header("x-request-id"), Some("7"));
        let origin = send(&plain, content_type, &[("origin", "https://evil.example")]).await;
        assert_eq!((origin.status, origin.header("grpc-status")), (StatusCode::OK, Some("7")));
    }
    for content_type in
        ["application/json", "application/grpcx", "application/json; x=application/grpc", "text/grpc", ""]
    {
        let answer = send(&plain, content_type, &[]).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::UNAUTHORIZED, None), "{content_type}");
    }
}
