use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::error::{BuildError, BuildErrorKind};
use crate::identifier;

/// The origins whose pages may call (RFC 6454, section 6.2).
#[derive(Debug, Clone)]
pub(crate) struct AllowedOrigins {
    origins: Vec<AllowedOrigin>,
}

#[derive(Debug, Clone)]
struct AllowedOrigin {
    /// Scheme, host and port in lower case, without the default port of the scheme.
    text: Box<str>,
    /// Whether the text has no port because every port is allowed.
    any_port: bool,
}

impl AllowedOrigins {
    pub(crate) fn new<I>(origins: I) -> Result<Self, BuildError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let origins = origins.into_iter().map(|origin| AllowedOrigin::parse(origin.as_ref()));
        Ok(Self { origins: origins.collect::<Result<_, _>>()? })
    }

    /// Whether a request may pass: it has no `Origin`, or one of the list.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(ORIGIN).iter();
        match (fields.next(), fields.next()) {
            (None, _) => true,
            (Some(origin), None) => self.contains(origin),
            (Some(_), Some(_)) => false,
        }
    }

    fn contains(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = without_default_port(origin.trim_matches([' ', '\t']));
        self.origins.iter().any(|allowed| allowed.is(origin))
    }
}

impl AllowedOrigin {
    fn parse(text: &str) -> Result<Self, BuildError> {
        let wrong =
            |what: &str| Err(BuildError::new(BuildErrorKind::Setting, format!("the allowed origin {text:?} {what}")));
        if text == "*" {
            return wrong("stands for every page: name the origins of the pages that may call");
        }
        if text == "null" {
            return wrong("is what browsers send for pages without an origin, which anybody can make: remove it");
        }
        let (base, any_port) = text.strip_suffix(":*").map_or((text, false), |base| (base, true));
        let form = "is not an origin: write it as https://host or https://host:port";
        let Some((scheme, authority)) = base.split_once("://") else { return wrong(form) };
        if authority.ends_with('/') {
            return wrong("ends with a slash: remove it, an origin has no path");
        }
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\' | b'*');
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return wrong(form);
        }
        let Ok(url) = Url::parse(base) else { return wrong(form) };
        if any_port && (!identifier::is_loopback(&url) || url.port().is_some()) {
            return wrong("has `*` as its port, which only a loopback host may have: name the port");
        }
        let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        // Browser extensions and desktop shells have schemes of their own; nothing is known about those.
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

/// Browsers leave the default port out; a client that writes it means the same origin.
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
