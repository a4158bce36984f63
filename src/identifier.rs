//! Issuer identifiers and resource identifiers, as text and as parsed URL.
//!
//! Clients and authorization servers compare identifiers byte by byte (RFC 8414, section 4; RFC 9728, section 3.3). The
//! text is kept because `url::Url` changes it: it adds a slash to an origin without a path.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// An authorization server's issuer identifier: an https URL without query and fragment (RFC 8414, section 2).
///
/// ```
/// use mcp_bearer::IssuerUrl;
///
/// let issuer = IssuerUrl::new("https://auth.example.com")?;
/// assert_eq!(issuer.as_str(), "https://auth.example.com");
/// assert!(IssuerUrl::new("http://auth.example.com").is_err());
/// # Ok::<(), mcp_bearer::InvalidIdentifier>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IssuerUrl {
    text: Box<str>,
    url: Url,
}

/// A protected resource's identifier: an https URL without fragment (RFC 9728, section 1.2).
pub(crate) struct ResourceUrl {
    /// The text, exactly as it was given.
    pub(crate) text: Box<str>,
    pub(crate) url: Url,
}

/// The error for a text that is not a valid identifier. Its message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {what}")]
pub struct InvalidIdentifier {
    text: Box<str>,
    what: &'static str,
}

/// The hosts for which plain http is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    LoopbackOnly,
    Anywhere,
}

impl IssuerUrl {
    /// Parses an issuer identifier. Its scheme must be https, or http for a loopback host.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] if the text is not such a URL, or has a query, a fragment, a user or a dot segment.
    pub fn new(text: &str) -> Result<Self, InvalidIdentifier> {
        Self::parse(text, PlainHttp::LoopbackOnly)
    }

    pub(crate) fn parse(text: &str, plain_http: PlainHttp) -> Result<Self, InvalidIdentifier> {
        let url = endpoint(text, plain_http)?;
        match url.query() {
            Some(_) => Err(invalid(text, "has a query: an issuer identifier has none (RFC 8414, section 2)")),
            None => Ok(Self { text: text.into(), url }),
        }
    }

    /// The text, exactly as it was given.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }
}

impl ResourceUrl {
    pub(crate) fn parse(text: &str, plain_http: PlainHttp) -> Result<Self, InvalidIdentifier> {
        Ok(Self { text: text.into(), url: endpoint(text, plain_http)? })
    }
}

/// Checks an issuer name that is only compared. It may be any text, since no document is fetched from it.
pub(crate) fn check_name(text: &str) -> Result<(), InvalidIdentifier> {
    ensure(!text.is_empty(), text, "is empty: give the text that tokens carry as `iss`")?;
    ensure(text.len() <= MAX_IDENTIFIER, "the name", "is longer than 2048 bytes: give a shorter one")?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    ensure(is_plain, text, "has a space, a quote, a control character or a character beyond ASCII: remove it")
}

/// Parses the URL of an identifier or of an endpoint.
pub(crate) fn endpoint(text: &str, plain_http: PlainHttp) -> Result<Url, InvalidIdentifier> {
    ensure(!text.is_empty(), text, "is empty: give an absolute https URL")?;
    ensure(text.len() <= MAX_IDENTIFIER, "the identifier", "is longer than 2048 bytes: give a shorter URL")?;
    // `Url::parse` trims spaces, removes tabs and line breaks, and replaces backslashes. The text is used as it is, also in
    // headers, which cannot contain them.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>');
    ensure(
        text.bytes().all(is_plain),
        text,
        "has a space, a control character, a quote, a backslash or a character beyond ASCII: percent-encode it",
    )?;
    let url = Url::parse(text).map_err(|_| invalid(text, NOT_ABSOLUTE))?;
    ensure(url.host_str().is_some_and(|host| !host.is_empty()), text, NO_HOST)?;
    let is_http = url.scheme() == "http";
    ensure(is_http || url.scheme() == "https", text, "has a scheme other than https: use https")?;
    ensure(
        !is_http || plain_http == PlainHttp::Anywhere || is_loopback(&url),
        text,
        "has the scheme http, which is accepted only for loopback hosts: use https, or call `dangerously_allow_http()` for a host inside a private \
         network",
    )?;
    ensure(url.fragment().is_none(), text, "has a fragment: remove the '#' and what follows")?;
    // `Url::parse` accepts `https:user@host/x://y`, where the user precedes the first `://`.
    let after_scheme = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
    let after_scheme = after_scheme.ok_or_else(|| invalid(text, NOT_ABSOLUTE))?;
    let end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at_checked(end).unwrap_or((after_scheme, ""));
    ensure(!authority.contains('@'), text, "has a user or a password in it: remove them")?;
    // Parsers read `https:///host` and `https://h//p/../q` in different ways.
    ensure(!authority.is_empty(), text, NO_HOST)?;
    let path = rest.split('?').next().unwrap_or_default();
    ensure(
        !path.split('/').any(is_dot_segment),
        text,
        "has a '.' or '..' segment in its path: write the path it means",
    )?;
    Ok(url)
}

fn ensure(holds: bool, text: &str, what: &'static str) -> Result<(), InvalidIdentifier> {
    if holds { Ok(()) } else { Err(invalid(text, what)) }
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn invalid(text: &str, what: &'static str) -> InvalidIdentifier {
    InvalidIdentifier { text: text.into(), what }
}

/// Whether the host of a URL is a loopback address or `localhost` (RFC 6761, section 6.3; RFC 8252, section 7.3).
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a host name is `localhost` or ends in `.localhost` (RFC 6761, section 6.3).
pub(crate) fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IssuerUrl").field(&self.text).finish()
    }
}

impl AsRef<str> for IssuerUrl {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// The longest identifier in bytes. Identifiers are written into headers and log lines.
const MAX_IDENTIFIER: usize = 2048;
const NOT_ABSOLUTE: &str = "is not an absolute URL: write it as https://host/path";
const NO_HOST: &str = "names no host: write it as https://host/path";

#[cfg(test)]
impl ResourceUrl {
    pub(crate) fn new(text: &str) -> Result<Self, InvalidIdentifier> {
        Self::parse(text, PlainHttp::LoopbackOnly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_as_it_was_given() {
        for text in [
            "https://auth.example.com",
            "https://auth.example.com/",
            "https://tenant.example.com:443/realms/demo",
            "HTTPS://Auth.Example.COM/Path",
            "http://127.0.0.1:9000",
            "http://localhost:9000/x",
            "http://[::1]:9000/x",
        ] {
            assert_eq!(IssuerUrl::new(text).unwrap().as_str(), text);
            assert_eq!(&*ResourceUrl::new(text).unwrap().text, text);
        }
        assert!(ResourceUrl::new("https://h/mcp?x=1").is_ok());
    }

    #[test]
    fn invalid_identifiers_are_rejected() {
        for text in [
            "",
            " ",
            "acme.com",
            "/mcp",
            "https://",
            "https:///mcp",
            "https:/h/mcp",
            "https:h",
            "https:user@h/x://y",
            "https:h/../x://y",
            "http:user@localhost/x://y",
            "ftp://h/x",
            "file:///etc/passwd",
            "http://example.com/mcp",
            "http://127.0.0.1.example.com/mcp",
            "https://h/mcp#f",
            "https://h/mcp#",
            "https://user@h/mcp",
            "https://user:password@h/mcp",
            "https://@h/mcp",
            "https://h/a/../b",
            "https://h/a/%2E%2e/b",
            "https://h/./b",
            "https://h/mcp ",
            " https://h/mcp",
            "https://h/m\ncp",
            "https://h/m\"cp",
            "https://h\\mcp",
            "https://h/é",
        ] {
            assert!(ResourceUrl::new(text).is_err(), "{text:?}");
            assert!(IssuerUrl::new(text).is_err(), "{text:?}");
        }
        assert!(IssuerUrl::new("https://h/mcp?x=1").is_err());
    }

    #[test]
    fn plain_http_for_other_hosts_needs_a_setting() {
        assert!(IssuerUrl::parse("http://auth.internal", PlainHttp::Anywhere).is_ok());
    }
}
