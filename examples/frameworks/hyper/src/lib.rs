//! A server of plain hyper, without tower and without a framework: two routes, of which one needs an access token.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mcp_bearer::resource::MetadataService;
use mcp_bearer::{BearerAuthLayer, Rejection, ResourceServer};
use tokio::net::TcpListener;

/// Serves the notes and the metadata document. It never returns.
pub async fn serve(listener: TcpListener, server: ResourceServer) {
    let app = Arc::new(App::new(&server));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // For example, too many files are open. Without the pause, the loop would occupy a processor.
            Err(_) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(app.respond(request).await));
            // The timer lets hyper close connections whose request does not arrive in time.
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // An error ends this connection only. Most often, the client closed it.
            drop(connection.await);
        });
    }
}

/// The state that all connections share.
struct App {
    /// Verifies the access token, and requires a scope.
    readers: BearerAuthLayer,
    /// Answers with the metadata document, from which clients learn where to get a token.
    metadata: MetadataService,
}

impl App {
    fn new(server: &ResourceServer) -> Self {
        Self { readers: server.bearer_layer().required_scopes(["notes:read"]), metadata: server.metadata_service() }
    }

    /// The routes. The metadata document needs no token, and unknown paths get 404.
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // The body remains for the handlers.
        let (parts, _body) = request.into_parts();
        let path = parts.uri.path();
        if self.metadata.paths().any(|served| served == path) {
            return self.metadata.respond(&parts).map(Full::new);
        }
        match path {
            "/notes" => {
                self.list_notes(&parts).await.unwrap_or_else(|rejection| rejection.to_response().map(Full::new))
            }
            _ => not_found(),
        }
    }

    /// A route that needs an access token. An error becomes the response of [`Rejection::to_response`].
    async fn list_notes(&self, request: &Parts) -> Result<Response<Full<Bytes>>, Rejection> {
        let authenticated = self.readers.authenticate(request).await?;
        let user = authenticated.auth_info().subject().unwrap_or("a service");
        let mut response = Response::new(Full::from(format!("the notes of {user}")));
        response.headers_mut().extend(authenticated.response_headers().clone());
        Ok(response)
    }
}

fn not_found() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
