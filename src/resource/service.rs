use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

/// The service that responds with the protected resource metadata (RFC 9728, section 3.2).
///
/// Make it with [`ResourceServer::metadata_service`](crate::ResourceServer::metadata_service). It never waits: the
/// document is serialized when the server is built. For a request to one of its [URL paths](Self::paths), GET and HEAD
/// get 200 or 304, OPTIONS gets 204, and other methods get 405. Requests to other URL paths get 404. Web pages of all
/// origins may read the document.
///
/// ```
/// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
/// use mcp_bearer::ResourceServer;
///
/// fn print_metadata(server: &ResourceServer) {
///     let service = server.metadata_service();
///     println!("{}", String::from_utf8_lossy(service.document()));
///     assert!(service.paths().any(|path| path == "/.well-known/oauth-protected-resource/mcp"));
/// }
/// # let auth = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
/// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer()).build_lazy().unwrap();
/// # print_metadata(&server);
/// # }
/// ```
#[derive(Clone)]
pub struct MetadataService {
    state: Arc<State>,
}

struct State {
    document: Bytes,
    etag: HeaderValue,
    paths: Vec<String>,
}

impl MetadataService {
    pub(crate) fn new(document: Vec<u8>, paths: Vec<String>) -> Self {
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", fingerprint(&document)));
        // The fallback is never used: hexadecimal digits in quotes are a valid header value.
        let etag = etag.unwrap_or(HeaderValue::from_static("\"1\""));
        Self { state: Arc::new(State { document: document.into(), etag, paths }) }
    }

    /// The URL paths of the document: routes to this service.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.state.paths.iter().map(AsRef::as_ref)
    }

    /// The document, as JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.state.document
    }

    fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<MetadataBody> {
        let (status, body) = match *method {
            _ if !self.state.paths.iter().any(|served| served == path) => (StatusCode::NOT_FOUND, None),
            Method::GET | Method::HEAD if self.has_current_etag(headers) => (StatusCode::NOT_MODIFIED, None),
            Method::GET | Method::HEAD => (StatusCode::OK, Some(self.state.document.clone())),
            Method::OPTIONS => (StatusCode::NO_CONTENT, None),
            _ => (StatusCode::METHOD_NOT_ALLOWED, None),
        };
        let length = body.as_ref().map(Bytes::len);
        let mut response = Response::new(MetadataBody(body.filter(|_| *method != Method::HEAD)));
        *response.status_mut() = status;
        let response_headers = response.headers_mut();
        response_headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response_headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        match status {
            StatusCode::OK | StatusCode::NOT_MODIFIED => {
                response_headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
                response_headers.insert(header::ETAG, self.state.etag.clone());
            }
            StatusCode::NO_CONTENT => allow_cross_origin(response_headers, headers),
            StatusCode::METHOD_NOT_ALLOWED => {
                response_headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
            }
            _ => {}
        }
        if let Some(length) = length {
            response_headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response_headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }

    /// Whether the client already has the current document: `If-None-Match` has its entity tag, or `*`. `W/` before a
    /// tag is ignored (weak comparison; RFC 9110, section 13.1.2).
    fn has_current_etag(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.state.etag.as_bytes())
    }
}

impl<B> Service<Request<B>> for MetadataService {
    type Response = Response<MetadataBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(request.method(), request.uri().path(), request.headers())))
    }
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataService").field("paths", &self.state.paths).finish_non_exhaustive()
    }
}

/// The body of a response of [`MetadataService`].
#[derive(Debug, Default)]
pub struct MetadataBody(Option<Bytes>);

impl Body for MetadataBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

fn allow_cross_origin(response_headers: &mut HeaderMap, request_headers: &HeaderMap) {
    response_headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    response_headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    response_headers.insert(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    // A web page may send any header, because no header gives access to more than this public document.
    if let Some(names) = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response_headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
}

/// The FNV-1a hash of the document, for its entity tag. All replicas compute the same tag, so a client gets 304 from
/// any of them. The hash is not cryptographic, because it protects no secret.
fn fingerprint(document: &[u8]) -> u64 {
    document.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const METHODS: &str = "GET, HEAD, OPTIONS";
