//! The check of the `Origin` header.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::ORIGIN;
use http::{HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::bearer::{BearerBody, Guard, Rejection, ResponseFuture, readable_by};
use crate::error::{BuildError, BuildErrorKind};
use crate::events::RequestInfo;
use crate::identifier;

/// Rejects requests from web pages of other origins with 403 (MCP transport, "Security Warning").
///
/// | `Origin` header | result |
/// |---|---|
/// | absent: not a browser, or a navigation | passes |
/// | one of the allowed origins | passes |
/// | any other value, `null`, an empty value, or more than one field | 403 |
///
/// Make it with [`ResourceServer::allowed_origins`](crate::ResourceServer::allowed_origins).
#[derive(Debug, Clone)]
pub struct OriginLayer {
    rules: Arc<OriginRules>,
}

/// The configuration that all requests share.
#[derive(Debug)]
struct OriginRules {
    origins: Vec<AllowedOrigin>,
    guard: Arc<Guard>,
    rejection: Rejection,
}

/// An origin whose pages may send requests (RFC 6454, section 6.2).
#[derive(Debug)]
struct AllowedOrigin {
    /// Scheme, host and port in lower case, without the default port of the scheme.
    text: Box<str>,
    /// Whether every port is allowed. The text then has none.
    any_port: bool,
}

impl OriginLayer {
    /// A request from another origin gets `rejection`.
    pub(crate) fn new(
        origins: impl IntoIterator<Item = impl AsRef<str>>,
        guard: &Arc<Guard>,
        rejection: Rejection,
    ) -> Result<Self, BuildError> {
        let origins = origins.into_iter().map(|origin| AllowedOrigin::parse(origin.as_ref()));
        let rules = OriginRules { origins: origins.collect::<Result<_, _>>()?, guard: Arc::clone(guard), rejection };
        Ok(Self { rules: Arc::new(rules) })
    }
}

/// Checks an allowed origin without a server.
#[cfg(feature = "settings")]
pub(crate) fn check_origin(text: &str) -> Result<(), BuildError> {
    AllowedOrigin::parse(text).map(drop)
}

impl<S> Layer<S> for OriginLayer {
    type Service = OriginCheck<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginCheck { inner, rules: Arc::clone(&self.rules) }
    }
}

/// The service that [`OriginLayer`] makes.
#[derive(Debug, Clone)]
pub struct OriginCheck<S> {
    inner: S,
    rules: Arc<OriginRules>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for OriginCheck<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<BearerBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if self.rules.allow(request.headers()) {
            return ResponseFuture::inner(self.inner.call(request));
        }
        let rejection = self.rules.rejection.clone().logged(&self.rules.guard, Some(RequestInfo::from(&request)));
        ResponseFuture::answered(readable_by(request.headers(), &rejection, rejection.to_response()))
    }
}

impl OriginRules {
    /// Whether a request has no `Origin` header, or one with an allowed origin.
    fn allow(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(ORIGIN).iter();
        match (fields.next(), fields.next()) {
            (None, _) => true,
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| {
                let origin = without_default_port(origin.trim_ascii());
                self.origins.iter().any(|allowed| allowed.is(origin))
            }),
            (Some(_), Some(_)) => false,
        }
    }
}

impl AllowedOrigin {
    fn parse(text: &str) -> Result<Self, BuildError> {
        let wrong =
            |what: &str| Err(BuildError::new(BuildErrorKind::Setting, format!("the allowed origin {text:?} {what}")));
        if text == "*" {
            return wrong("allows every page: name the origins of the pages that may send requests");
        }
        if text == "null" {
            return wrong("is the origin of pages that anybody can make: remove it");
        }
        let (base, any_port) = text.strip_suffix(":*").map_or((text, false), |base| (base, true));
        let form = "is not an origin: write it as https://host or https://host:port";
        let Some((scheme, authority)) = base.split_once("://") else { return wrong(form) };
        if authority.ends_with('/') {
            return wrong("ends with a slash: remove it, because an origin does not have a path");
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\' | b'*');
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return wrong(form);
        }
        let Ok(url) = Url::parse(base) else { return wrong(form) };
        if any_port && (!identifier::is_loopback(&url) || url.port().is_some()) {
            return wrong("has the port `*`, which only a loopback host may have: name the port");
        }
        let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        // Browser extensions and desktop applications have other schemes, whose origins are compared as text.
        let text = if is_web { url.origin().ascii_serialization() } else { base.to_ascii_lowercase() };
        Ok(Self { text: text.into(), any_port })
    }

    fn is(&self, origin: &str) -> bool {
        let Some((start, port)) = origin.split_at_checked(self.text.len()) else { return false };
        let is_port = |text: &str| {
            let digits = text.strip_prefix(':').unwrap_or_default();
            !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        start.eq_ignore_ascii_case(&self.text) && (port.is_empty() || self.any_port && is_port(port))
    }
}

/// Removes the default port of the scheme. Browsers omit it, and other clients may write it.
fn without_default_port(origin: &str) -> &str {
    let has_scheme = |scheme: &str| origin.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let port = if has_scheme("https://") {
        ":443"
    } else if has_scheme("http://") {
        ":80"
    } else {
        return origin;
    };
    origin.strip_suffix(port).unwrap_or(origin)
}
