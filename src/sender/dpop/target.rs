use std::net::Ipv6Addr;

use smallvec::SmallVec;
use url::{Host, Url};

use crate::error::BuildError;
use crate::escape::{Escaped, MAX_SHOWN};
use crate::identifier::ResourceUrl;

/// The URLs that proofs may be for: scheme, host and port of the configured resource, and the path of the request.
///
/// `Host`, `Forwarded` and similar headers are never read, because a client can write anything into them.
#[derive(Debug, Clone)]
pub(crate) struct ProofTarget {
    /// The configured resource, after the normalization of the URL standard. Its path is not used.
    resource: Url,
    behind_proxy: Option<ProxiedPath>,
}

/// The prefix of paths that a proxy in front of this server replaces.
#[derive(Debug, Clone)]
pub(crate) struct ProxiedPath {
    /// The prefix in the URLs of clients. Empty, or with a slash at its start and none at its end.
    external: Box<str>,
    /// The prefix that the proxy replaces it by, in the same form.
    internal: Box<str>,
}

impl ProofTarget {
    pub(crate) fn new(resource: &ResourceUrl, behind_proxy: Option<&ProxiedPath>) -> Self {
        Self { resource: resource.url.clone(), behind_proxy: behind_proxy.cloned() }
    }

    /// Whether `htu` is the URL of a request with this path (RFC 9449, section 4.3, check 9).
    ///
    /// Both are compared after the normalization of RFC 3986, sections 6.2.2 and 6.2.3. Query and fragment of `htu` are
    /// ignored. A request whose path has dot segments matches no `htu`, because routers do not remove them.
    pub(super) fn matches(&self, htu: &str, path: &str) -> bool {
        let Some(htu) = HttpUri::parse(htu) else { return false };
        htu.scheme.eq_ignore_ascii_case(self.resource.scheme())
            && self.has_host(htu.host)
            && self.has_port(htu.port)
            && self.external(path).any(|external| external.is(&htu.path))
    }

    /// The URL of a request with this path, for the log.
    pub(super) fn url(&self, path: &str) -> String {
        let origin = self.resource.origin().ascii_serialization();
        match (self.external(path).next(), &self.behind_proxy) {
            (Some(ExternalPath { prefix, rest }), _) => [&origin, prefix, rest].concat(),
            (None, Some(proxied)) => format!("a path below {}", proxied.internal),
            (None, None) => origin,
        }
    }

    fn has_host(&self, host: &str) -> bool {
        match self.resource.host() {
            Some(Host::Ipv6(address)) => ipv6(host) == Some(address),
            _ => self.resource.host_str().is_some_and(|own| {
                let lower_case = octets(host).map(|octet| octet.map(Octet::to_ascii_lowercase));
                host == own || lower_case.eq(octets(own))
            }),
        }
    }

    fn has_port(&self, port: &str) -> bool {
        let own = self.resource.port_or_known_default();
        // An empty port is the default port (RFC 3986, section 6.2.3).
        if port.is_empty() { self.resource.port().is_none() } else { port.parse().ok() == own }
    }

    /// The paths that a client may have sent, for a request that arrived with `path`. A path outside of the internal prefix
    /// has none.
    fn external<'p>(&'p self, path: &'p str) -> impl Iterator<Item = ExternalPath<'p>> {
        let (prefix, internal) = match &self.behind_proxy {
            Some(proxied) => (&*proxied.external, &*proxied.internal),
            None => ("", ""),
        };
        let rest = path.strip_prefix(internal).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        // A proxy that removes a prefix makes `/` of the prefix alone, because a path cannot be empty.
        let is_prefix_alone = internal.is_empty() && !prefix.is_empty() && rest == Some("/");
        let alone = is_prefix_alone.then_some(ExternalPath { prefix, rest: "" });
        rest.map(|rest| ExternalPath { prefix, rest }).into_iter().chain(alone)
    }
}

impl ProxiedPath {
    /// A proxy that replaces the prefix `external` of paths by `internal`. `/` is the empty prefix.
    ///
    /// # Errors
    /// [`BuildError`] if one of them is not a path without a slash at its end, or if both are equal.
    pub(crate) fn new(external: &str, internal: &str) -> Result<Self, BuildError> {
        let proxied = Self { external: prefix(external)?, internal: prefix(internal)? };
        if proxied.external == proxied.internal {
            let path = Escaped(external, MAX_SHOWN);
            let message = format!("both paths of `path_behind_proxy` are \"{path}\"; remove the call");
            return Err(BuildError::setting(message));
        }
        Ok(proxied)
    }
}

/// Checks a prefix of paths (RFC 3986, section 3.3). `/` becomes the empty prefix.
fn prefix(path: &str) -> Result<Box<str>, BuildError> {
    let shown = Escaped(path, MAX_SHOWN);
    let mistake = |what: &str| BuildError::setting(format!("the path \"{shown}\" of `path_behind_proxy` {what}"));
    let Some(segments) = path.strip_prefix('/') else {
        return Err(mistake("does not begin with a slash; write a path such as \"/api\""));
    };
    if segments.is_empty() {
        return Ok("".into());
    }
    if path.ends_with('/') {
        return Err(mistake("ends with a slash; remove it"));
    }
    if !has_only(path, b":@/") {
        return Err(mistake(
            "is not a path of RFC 3986, section 3.3; percent-encode other characters, and remove a query",
        ));
    }
    if segments.split('/').any(|segment| segment.is_empty() || dots(segment) > 0) {
        return Err(mistake("has an empty segment or a dot segment; write the normalized path"));
    }
    Ok(path.into())
}

/// A path as a client sent it, in two parts.
struct ExternalPath<'p> {
    prefix: &'p str,
    rest: &'p str,
}

impl ExternalPath<'_> {
    /// Whether both are the same path (RFC 3986, section 6.2.2). An empty path is `/` (section 6.2.3).
    fn is(&self, named: &UriPath<'_>) -> bool {
        let rest = if self.prefix.is_empty() && self.rest.is_empty() { "/" } else { self.rest };
        let mut sent = [self.prefix, rest].into_iter().flat_map(|part| part.split('/').skip(1));
        let mut named = named.0.iter();
        // No segment of `named` is a dot segment, so that one in the request is never equal.
        let are_equal = |one: &str, other: &str| one == other || octets(one).eq(octets(other));
        sent.all(|segment| named.next().is_some_and(|named| are_equal(named, segment))) && named.next().is_none()
    }
}

/// A valid URI with an authority, without its query and its fragment (RFC 3986, section 3).
struct HttpUri<'u> {
    scheme: &'u str,
    host: &'u str,
    /// Digits, or empty.
    port: &'u str,
    path: UriPath<'u>,
}

impl<'u> HttpUri<'u> {
    /// Splits a URI. `None` if it is not valid, or has user information.
    fn parse(uri: &'u str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let rest = rest.strip_prefix("//")?;
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let end_of_address = authority.find(']').and_then(|at| at.checked_add(1));
        let end_of_host = end_of_address.or_else(|| authority.find(':')).unwrap_or(authority.len());
        let (host, port) = authority.split_at_checked(end_of_host)?;
        let port = if port.is_empty() { port } else { port.strip_prefix(':')? };
        let is_host = !host.is_empty() && (has_only(host, b"") || ipv6(host).is_some());
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        let is_valid =
            is_host && is_port && has_only(path, b":@/") && has_only(query, b":@/?") && has_only(fragment, b":@/?");
        is_valid.then(|| Self { scheme, host, port, path: UriPath::parse(path) })
    }
}

/// The segments of a path, after dot segments were removed (RFC 3986, section 5.2.4).
struct UriPath<'u>(SmallVec<[&'u str; USUAL_SEGMENTS]>);

impl<'u> UriPath<'u> {
    /// Reads a path that begins with a slash, or an empty one, which is the same as `/`.
    fn parse(path: &'u str) -> Self {
        let mut kept = SmallVec::new();
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
        while let Some(segment) = segments.next() {
            let dots = dots(segment);
            if dots == 2 {
                kept.pop();
            }
            if dots == 0 {
                kept.push(segment);
            } else if segments.peek().is_none() {
                // The slash before the last dot segment remains.
                kept.push("");
            }
        }
        Self(kept)
    }
}

/// 1 for the segment `.`, 2 for `..`, 0 for every other. A dot may be percent-encoded.
fn dots(segment: &str) -> usize {
    let are_dots = octets(segment).all(|octet| octet == Some(Octet::Plain(b'.')));
    let count = octets(segment).take(3).count();
    if are_dots && count < 3 { count } else { 0 }
}

/// Whether a part of a URI has only unreserved characters, those of `sub-delims`, those in `more`, and percent-encoded ones
/// (RFC 3986, section 2).
fn has_only(text: &str, more: &[u8]) -> bool {
    octets(text).all(|octet| match octet {
        Some(Octet::Plain(byte)) => is_unreserved(byte) || SUB_DELIMS.contains(&byte) || more.contains(&byte),
        Some(Octet::Encoded(_)) => true,
        None => false,
    })
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// A character of a part of a URI, after the normalization of RFC 3986, section 6.2.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Octet {
    /// As it is, or an unreserved character that was percent-encoded.
    Plain(u8),
    /// Percent-encoded, with digits of either case. `%2F` is not a slash.
    Encoded(u8),
}

impl Octet {
    const fn to_ascii_lowercase(self) -> Self {
        match self {
            Self::Plain(byte) => Self::Plain(byte.to_ascii_lowercase()),
            encoded @ Self::Encoded(_) => encoded,
        }
    }
}

/// The characters of a part of a URI. `None` means an invalid percent-encoding.
fn octets(text: &str) -> impl Iterator<Item = Option<Octet>> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
            Some(value.map(|byte| if is_unreserved(byte) { Octet::Plain(byte) } else { Octet::Encoded(byte) }))
        }
        byte => Some(Some(Octet::Plain(byte))),
    })
}

/// RFC 3986, section 2.2.
const SUB_DELIMS: &[u8] = b"!$&'()*+,;=";
/// This many segments are kept on the stack. Most paths have fewer.
const USUAL_SEGMENTS: usize = 16;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
