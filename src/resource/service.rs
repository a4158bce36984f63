use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tower_service::Service;

use super::{CoveredMetadata, MetadataReach, SelfCheckRequest};
use crate::error::BuildError;
use crate::identifier::{self, PlainHttp, ResourceUrl};

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
    document: Arc<str>,
    etag: HeaderValue,
    paths: Arc<[String]>,
    reach: Arc<MetadataReach>,
}

impl MetadataService {
    pub(crate) fn new(document: String, well_known: &WellKnown) -> Self {
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", fingerprint(document.as_bytes())));
        // The fallback is never used: hexadecimal digits in quotes are a valid header value.
        let etag = etag.unwrap_or(HeaderValue::from_static("\"1\""));
        Self { document: document.into(), etag, paths: well_known.paths.as_slice().into(), reach: Arc::default() }
    }

    /// The URL paths of the document: routes to this service.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(AsRef::as_ref)
    }

    /// The document, as JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        self.document.as_bytes()
    }

    /// The response to a request, as the service sends it, for servers without tower.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::request::Parts;
    /// use http::Response;
    /// use mcp_bearer::ResourceServer;
    ///
    /// async fn handle(server: &ResourceServer, request: &Parts) -> Response<Bytes> {
    ///     let metadata = server.metadata_service();
    ///     if metadata.paths().any(|path| path == request.uri.path()) {
    ///         return metadata.respond(request);
    ///     }
    ///     match server.authenticate(request).await {
    ///         Ok(accepted) => Response::new(Bytes::from(format!("{:?}", accepted.auth_info().subject()))),
    ///         Err(rejection) => rejection.to_response(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn respond(&self, request: &Parts) -> Response<Bytes> {
        let path = request.uri.path();
        self.note_request(path, &request.extensions);
        self.answer(&request.method, path, &request.headers).map(Bytes::from)
    }

    pub(crate) const fn reach(&self) -> &Arc<MetadataReach> {
        &self.reach
    }

    /// Whether a request that a bearer layer received is for the document. The layer then answers it in the place of this
    /// service.
    #[inline]
    pub(crate) fn is_asked_by<B>(&self, request: &Request<B>) -> bool {
        self.serves(request.uri().path()) && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// The response of this service to a request that a bearer layer received, with one line in the log.
    #[cold]
    pub(crate) fn respond_covered<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let path = request.uri().path();
        self.reach.log_cover(path);
        self.note_request(path, request.extensions());
        let mut response = self.answer(request.method(), path, request.headers());
        response.extensions_mut().insert(CoveredMetadata);
        response.map(Bytes::from)
    }

    #[inline]
    fn serves(&self, path: &str) -> bool {
        self.paths.iter().any(|served| served == path)
    }

    fn note_request(&self, path: &str, extensions: &Extensions) {
        if self.serves(path) && extensions.get::<SelfCheckRequest>().is_none() {
            self.reach.request();
        }
    }

    fn answer(&self, method: &Method, path: &str, request_headers: &HeaderMap) -> Response<String> {
        let status = match *method {
            _ if !self.serves(path) => StatusCode::NOT_FOUND,
            Method::GET | Method::HEAD if self.has_current_etag(request_headers) => StatusCode::NOT_MODIFIED,
            Method::GET | Method::HEAD => StatusCode::OK,
            Method::OPTIONS => StatusCode::NO_CONTENT,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        let has_body = status == StatusCode::OK && *method == Method::GET;
        let mut response = Response::new(if has_body { String::from(&*self.document) } else { String::new() });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if matches!(status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
            headers.insert(header::ETAG, self.etag.clone());
        }
        if status == StatusCode::OK {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.document.len()));
        }
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::METHOD_NOT_ALLOWED) {
            headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
        }
        if status == StatusCode::NO_CONTENT {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            // A web page may send any header, because no header gives access to more than this public document.
            if let Some(names) = request_headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
        }
        response
    }

    /// Whether `If-None-Match` has the entity tag of the document, or `*`. `W/` before a tag is ignored (weak comparison;
    /// RFC 9110, section 13.1.2).
    fn has_current_etag(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes())
    }
}

impl<B> Service<Request<B>> for MetadataService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        self.note_request(path, request.extensions());
        ready(Ok(self.answer(request.method(), path, request.headers())))
    }
}

impl fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataService").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// The URL of the protected resource metadata (RFC 9728, section 3.1): the well-known part is between the host and the path,
/// and the query stays at the end.
#[derive(Debug)]
pub(crate) struct WellKnown {
    /// The absolute URL in challenges.
    pub(crate) url: String,
    /// The local paths of the document, each once.
    paths: Vec<String>,
}

impl WellKnown {
    pub(crate) fn new(resource: &ResourceUrl, at_root: bool) -> Self {
        let url = &resource.url;
        // The path `/` means the same as an empty path. Any other slash at the end has a meaning.
        let path = if url.path() == "/" { "" } else { url.path() };
        let query = url.query().map(|query| ["?", query].concat()).unwrap_or_default();
        let mut paths = vec![[PREFIX, path].concat()];
        // Some clients remove the slash at the end.
        paths.extend(path.strip_suffix('/').map(|path| [PREFIX, path].concat()));
        if at_root && !path.is_empty() {
            paths.push(PREFIX.to_owned());
        }
        Self { url: [&url.origin().ascii_serialization(), PREFIX, path, &query].concat(), paths }
    }

    /// Changes the URL in challenges, and serves its path as well.
    pub(crate) fn move_to(
        &mut self,
        text: &str,
        resource: &ResourceUrl,
        plain_http: PlainHttp,
    ) -> Result<(), BuildError> {
        let url = identifier::endpoint(text, plain_http)
            .map_err(|error| BuildError::setting(format!("the metadata URL {error}")))?;
        let origin = resource.url.origin();
        if url.origin() != origin {
            let origin = origin.ascii_serialization();
            return Err(BuildError::setting(format!(
                "the metadata URL {text:?} has another origin than the resource; use a URL with the origin {origin:?}"
            )));
        }
        self.url = text.to_owned();
        self.add(url.path());
        Ok(())
    }

    /// Serves the document at another path as well.
    pub(crate) fn serve_at(&mut self, path: &str) -> Result<(), BuildError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'{' | b'}');
        if !path.starts_with('/') || !path.bytes().all(is_plain) {
            return Err(BuildError::setting(format!(
                "the metadata path {path:?} is not a plain path; start it with '/', and remove query, fragment and braces"
            )));
        }
        self.add(path);
        Ok(())
    }

    fn add(&mut self, path: &str) {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }
}

/// The FNV-1a hash of the document, for its entity tag. All replicas compute the same tag, so a client gets 304 from
/// any of them. The hash is not cryptographic, because it protects no secret.
fn fingerprint(document: &[u8]) -> u64 {
    document.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const METHODS: &str = "GET, HEAD, OPTIONS";
const PREFIX: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_from_the_resource() {
        for (resource, url, paths) in [
            ("https://h", "https://h/.well-known/oauth-protected-resource", &[""][..]),
            ("https://h/", "https://h/.well-known/oauth-protected-resource", &[""]),
            ("https://h/mcp", "https://h/.well-known/oauth-protected-resource/mcp", &["/mcp"]),
            ("https://h/mcp/", "https://h/.well-known/oauth-protected-resource/mcp/", &["/mcp/", "/mcp"]),
            ("https://h/a/b", "https://h/.well-known/oauth-protected-resource/a/b", &["/a/b"]),
            ("https://h//", "https://h/.well-known/oauth-protected-resource//", &["//", "/"]),
            ("https://h/mcp//", "https://h/.well-known/oauth-protected-resource/mcp//", &["/mcp//", "/mcp/"]),
            ("https://h:8443/x", "https://h:8443/.well-known/oauth-protected-resource/x", &["/x"]),
            ("HTTPS://H.example:443/x", "https://h.example/.well-known/oauth-protected-resource/x", &["/x"]),
            ("https://h/mcp?x=1", "https://h/.well-known/oauth-protected-resource/mcp?x=1", &["/mcp"]),
            ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/.well-known/oauth-protected-resource/mcp", &["/mcp"]),
        ] {
            let well_known = WellKnown::new(&ResourceUrl::new(resource).unwrap(), false);
            let paths: Vec<_> = paths.iter().map(|path| format!("{PREFIX}{path}")).collect();
            assert_eq!((well_known.url.as_str(), well_known.paths), (url, paths), "{resource}");
        }
        let aliased = WellKnown::new(&ResourceUrl::new("https://h/mcp").unwrap(), true);
        assert_eq!(aliased.paths, [format!("{PREFIX}/mcp"), PREFIX.to_owned()]);
    }
}
