use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use tower_service::Service;
use url::{Position, Url};

use super::ResourceServer;
use crate::error::BoxError;
use crate::escape::Escaped;
use crate::resource::{CoveredMetadata, SelfCheckRequest};

impl ResourceServer {
    /// Checks that the routes and layers of an application fit together. Call it in a test of the application.
    ///
    /// It sends requests to `app` in memory, without a network and without a token:
    ///
    /// 1. GET of the path of the [metadata URL](Self::metadata_url). The response must be 200 with the document of this
    ///    server, and must not come from a bearer layer that covers the document.
    /// 2. GET of the path of the resource identifier. The response must be 401 with a challenge that names the metadata URL.
    ///    If it is 405, a POST follows, because an MCP endpoint or a REST route may have only POST. If it does not have a
    ///    challenge, a request with malformed credentials follows: a layer that [allows anonymous
    ///    requests](crate::BearerAuthLayer::allow_anonymous) rejects it.
    /// 3. GET of a path that does not exist. The response must be 404, which clients need when they search for metadata.
    ///
    /// If no layer covers the route of the resource, its handler runs with an empty body. `app` is a `Router` of axum, or any
    /// other tower service for requests with the body [`SelfCheckBody`].
    ///
    /// ```
    /// # #[cfg(all(feature = "axum", feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use axum::{Router, routing::get};
    /// use mcp_bearer::ResourceServer;
    /// use mcp_bearer::testing::TestIssuer;
    ///
    /// fn app(server: &ResourceServer) -> Router {
    ///     Router::new()
    ///         .route("/notes", get(|| async { "notes" }))
    ///         .route_layer(server.bearer_layer())
    ///         .merge(server.metadata_router())
    /// }
    ///
    /// #[tokio::main] // in a test: #[tokio::test]
    /// async fn main() {
    ///     let auth = TestIssuer::new("https://auth.example.com");
    ///     let server = ResourceServer::builder("https://api.example.com/notes").issuer(auth.issuer()).build_lazy().unwrap();
    ///     server.self_check(&app(&server)).await.unwrap();
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first mistake that is found. Its [kind](SelfCheckError::kind) names the mistake, and its text says what to change.
    pub async fn self_check<S, B>(&self, app: &S) -> Result<(), SelfCheckError>
    where
        S: Service<Request<SelfCheckBody>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        self.check_wiring(app, None).await
    }

    /// [`self_check`](Self::self_check) with another path for the second request.
    ///
    /// It is for an application behind a gateway that changes paths, and for a resource identifier without a route of its
    /// own, such as `https://api.example.com`. `path` is the path of a protected route, as `app` sees it.
    ///
    /// # Errors
    /// Those of `self_check`.
    pub async fn self_check_at<S, B>(&self, app: &S, path: &str) -> Result<(), SelfCheckError>
    where
        S: Service<Request<SelfCheckBody>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        self.check_wiring(app, Some(path)).await
    }

    async fn check_wiring<S, B>(&self, app: &S, route: Option<&str>) -> Result<(), SelfCheckError>
    where
        S: Service<Request<SelfCheckBody>, Response = Response<B>> + Clone,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        let resource = resource_of(self.metadata.document()).unwrap_or_default();
        let url = Url::parse(&resource).map_err(|error| failed(error.to_string(), error))?;
        let metadata_url = Url::parse(self.metadata_url()).map_err(|error| failed(error.to_string(), error))?;
        let check = WiringCheck {
            app,
            host: &url[Position::BeforeHost..Position::AfterPort],
            resource: &resource,
            metadata_url: self.metadata_url(),
        };
        check.metadata(&metadata_url[Position::BeforePath..Position::AfterQuery]).await?;
        check.protected_route(route.unwrap_or(&url[Position::BeforePath..Position::AfterQuery])).await?;
        check.unknown_path().await
    }
}

/// The empty body of the requests of [`ResourceServer::self_check`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SelfCheckBody;

impl Body for SelfCheckBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// The mistake in the routes or layers of an application that [`ResourceServer::self_check`] found.
///
/// `Display` is one sentence that says what is wrong and what to change.
#[derive(thiserror::Error)]
#[error("{message}")]
pub struct SelfCheckError {
    kind: SelfCheckErrorKind,
    message: Box<str>,
    source: Option<BoxError>,
}

/// The mistakes that [`ResourceServer::self_check`] finds.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SelfCheckErrorKind {
    /// No route leads to the metadata document: `metadata_router()` is not merged, or is nested below a path.
    MetadataMissing,
    /// A bearer layer covers the metadata document: `metadata_router()` is merged before the layer is added.
    MetadataCovered,
    /// The metadata URL has another response than the document of this server.
    MetadataDiffers,
    /// No route leads to the resource.
    ResourceMissing,
    /// A request without a token is not rejected by a bearer layer.
    LayerMissing,
    /// A layer of another server protects the route.
    LayerOfAnotherServer,
    /// The response has a challenge, and another status than 401.
    StatusChanged,
    /// A path that does not exist gets 401: the bearer layer is added with `layer` and not with `route_layer`.
    LayerCoversUnknownPaths,
    /// A path that does not exist gets another status than 404.
    UnknownPathAnswered,
    /// The service of the application returns an error, or a path cannot be requested.
    Failed,
}

impl SelfCheckError {
    /// The mistake.
    #[must_use]
    pub const fn kind(&self) -> SelfCheckErrorKind {
        self.kind
    }
}

impl fmt::Debug for SelfCheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The requests of one check.
struct WiringCheck<'c, S> {
    app: &'c S,
    host: &'c str,
    resource: &'c str,
    metadata_url: &'c str,
}

impl<S, B> WiringCheck<'_, S>
where
    S: Service<Request<SelfCheckBody>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    async fn metadata(&self, path: &str) -> Result<(), SelfCheckError> {
        let response = self.send(&Method::GET, path, None).await?;
        let status = response.status();
        if response.extensions().get::<CoveredMetadata>().is_some() || is_refused(status) {
            return Err(error(
                SelfCheckErrorKind::MetadataCovered,
                format!(
                    "a layer covers the metadata document at {path:?}: merge `server.metadata_router()` after the layers \
                     that reject requests"
                ),
            ));
        }
        if status == StatusCode::NOT_FOUND {
            return Err(error(
                SelfCheckErrorKind::MetadataMissing,
                format!(
                    "no route leads to the metadata document, because GET {path:?} gets 404: merge \
                     `server.metadata_router()` into the outermost router, and not into one that is nested below a path"
                ),
            ));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        match resource_of(&body) {
            Some(found) if status == StatusCode::OK && found == self.resource => Ok(()),
            found => Err(error(
                SelfCheckErrorKind::MetadataDiffers,
                format!(
                    "GET {path:?} gets {} with {}, and not 200 with the metadata document of {:?}: let \
                     `server.metadata_router()` of this server answer at this path",
                    status.as_u16(),
                    match &found {
                        Some(found) => format!("the resource {}", quoted(found)),
                        None => "another document".to_owned(),
                    },
                    self.resource,
                ),
            )),
        }
    }

    async fn protected_route(&self, path: &str) -> Result<(), SelfCheckError> {
        let mut method = Method::GET;
        loop {
            let response = self.send(&method, path, None).await?;
            let status = response.status();
            match Challenge::read(response.headers(), self.metadata_url) {
                Challenge::Own if status == StatusCode::UNAUTHORIZED => return Ok(()),
                Challenge::Own => {
                    return Err(error(
                        SelfCheckErrorKind::StatusChanged,
                        format!(
                            "{method} {path:?} without a token gets a challenge with the status {}, and clients start a \
                             login only at 401: keep the status in `on_rejection` and in outer layers",
                            status.as_u16()
                        ),
                    ));
                }
                Challenge::Other(found) => {
                    return Err(error(
                        SelfCheckErrorKind::LayerOfAnotherServer,
                        format!(
                            "{method} {path:?} without a token gets a challenge that names the metadata URL {}, and not {:?}: \
                             protect the route with a layer of this server",
                            quoted(&found),
                            self.metadata_url,
                        ),
                    ));
                }
                Challenge::None => {}
            }
            // A layer that allows anonymous requests rejects malformed credentials, without I/O.
            let malformed = self.send(&method, path, Some("Bearer")).await?;
            if matches!(Challenge::read(malformed.headers(), self.metadata_url), Challenge::Own) {
                return Ok(());
            }
            match status {
                StatusCode::METHOD_NOT_ALLOWED if method == Method::GET => method = Method::POST,
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                    return Err(error(
                        SelfCheckErrorKind::ResourceMissing,
                        format!(
                            "no route leads to the resource {:?}, because {method} {path:?} gets {}: add a route for GET or \
                             POST, or call `self_check_at` with the path of a protected route",
                            self.resource,
                            status.as_u16(),
                        ),
                    ));
                }
                _ => {
                    return Err(error(
                        SelfCheckErrorKind::LayerMissing,
                        format!(
                            "{method} {path:?} without a token gets {}, and not 401 with a challenge: add \
                             `.route_layer(server.bearer_layer())` or `.route_layer(server.mcp_layer(..))` after the route",
                            status.as_u16()
                        ),
                    ));
                }
            }
        }
    }

    async fn unknown_path(&self) -> Result<(), SelfCheckError> {
        match self.send(&Method::GET, UNKNOWN_PATH, None).await?.status() {
            StatusCode::NOT_FOUND => Ok(()),
            StatusCode::UNAUTHORIZED => Err(error(
                SelfCheckErrorKind::LayerCoversUnknownPaths,
                format!(
                    "a path that does not exist, {UNKNOWN_PATH:?}, gets 401 and not 404: add the bearer layer with \
                     `route_layer` and not with `layer`"
                ),
            )),
            other => Err(error(
                SelfCheckErrorKind::UnknownPathAnswered,
                format!(
                    "a path that does not exist, {UNKNOWN_PATH:?}, gets {} and not 404, so a fallback answers it, and needs no \
                     token unless a layer covers it: let the fallback answer 404 below \"/.well-known/\", where clients \
                     search for metadata",
                    other.as_u16()
                ),
            )),
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        credentials: Option<&str>,
    ) -> Result<Response<B>, SelfCheckError> {
        let wrong_path = |error: http::Error| failed(format!("the path {} cannot be requested", quoted(path)), error);
        let uri: Uri = path.parse().map_err(|error: http::uri::InvalidUri| wrong_path(error.into()))?;
        let mut request = Request::builder().method(method).uri(uri).header(header::HOST, self.host);
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        let request = request.extension(SelfCheckRequest).body(SelfCheckBody).map_err(wrong_path)?;
        let mut service = self.app.clone();
        let response = async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        };
        response.await.map_err(|source| SelfCheckError {
            kind: SelfCheckErrorKind::Failed,
            message: format!("the application cannot answer {method} {path:?}").into(),
            source: Some(source.into()),
        })
    }
}

/// The challenge of a response, by the metadata URL that it names.
enum Challenge {
    None,
    Own,
    Other(String),
}

impl Challenge {
    fn read(headers: &HeaderMap, metadata_url: &str) -> Self {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        // A URL does not contain a quotation mark or a backslash, so the value is not escaped.
        let mut urls =
            values.filter_map(|value| value.split_once("resource_metadata=\"")?.1.split('"').next()).peekable();
        match urls.peek().copied() {
            None => Self::None,
            Some(_) if urls.any(|url| url == metadata_url) => Self::Own,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

/// The member `resource` of a metadata document.
fn resource_of(document: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(document).ok()?;
    document.get("resource").and_then(Value::as_str).map(str::to_owned)
}

fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", Escaped(text, MAX_FOUND))
}

fn error(kind: SelfCheckErrorKind, message: String) -> SelfCheckError {
    SelfCheckError { kind, message: message.into(), source: None }
}

fn failed(message: String, source: impl StdError + Send + Sync + 'static) -> SelfCheckError {
    SelfCheckError { kind: SelfCheckErrorKind::Failed, message: message.into(), source: Some(Box::new(source)) }
}

/// No application has a route at this path. Clients search for metadata below `/.well-known/`.
const UNKNOWN_PATH: &str = "/.well-known/mcp-bearer-self-check";
/// In bytes. A metadata document is much shorter.
const MAX_DOCUMENT: usize = 1024 * 1024;
/// The most characters of a text of the application in an error.
const MAX_FOUND: usize = 128;
