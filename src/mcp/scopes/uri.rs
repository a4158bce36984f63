//! The canonical form of a URI.
//!
//! **A URI in canonical form is compared with the scope rules as it is written. Any other URI needs the scopes of all
//! rules.** All servers read a canonical URI in the same way. Otherwise they differ in what they do with upper case,
//! `..`, percent-encoding and the like, and the layer cannot know how the server behind it reads a URI.
//! [`CanonicalUri::parse`] checks, in this order:
//!
//! | check | rejected, for example |
//! |---|---|
//! | only characters of a URI (RFC 3986) | `notes:\\1`, `notes://é` |
//! | percent-encoding in upper case, and not of unreserved characters, backslashes and control characters | `notes://%2e%2E/1`, `%6Eotes:1` |
//! | a scheme in lower case; without a scheme, no `//` at the start | `Notes://1`, `//h/1` |
//! | no empty port, no user information, a host in lower case, no host in `file` | `notes://x@h/1`, `file://localhost/a` |
//! | no segment `.` or `..` and no empty one, decoded or not | `notes://a/../b`, `notes://a//b`, `notes://a%2F..` |
//! | the same host, port and path as `url::Url` (WHATWG URL) | `https://127.1/`, `https://h:443/` |

use std::fmt::Write as _;

use url::Url;

/// The URI of a resource in canonical form.
#[derive(Debug)]
pub(super) struct CanonicalUri<'u> {
    text: &'u str,
    components: UriComponents<'u>,
    /// The text with visible ASCII characters decoded; `None` if none is percent-encoded. A server that decodes a URI before
    /// it splits it reads this text.
    decoded: Option<String>,
}

/// Why a URI is not in canonical form, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCanonical {
    #[error(
        "it has a character that is not allowed in a URI; remove backslashes and control characters, and percent-encode any \
         other, such as a space or a non-ASCII character"
    )]
    Character,
    #[error(
        "its percent-encoding is malformed, in lower case, or of a letter, a digit, `-`, `.`, `_`, `~`, a backslash or a \
         control character; write it like `%C3%A9`, and write unreserved characters as they are"
    )]
    Encoding,
    #[error(
        "its scheme is missing or has other characters than a-z, 0-9, `+`, `-` and `.`; write a scheme in lower case"
    )]
    Scheme,
    #[error("its host or URN namespace has upper-case letters; write them in lower case")]
    HostCase,
    #[error("it has user information before `@`; remove it")]
    UserInformation,
    #[error("it has a colon after its host and no port; remove the colon")]
    EmptyPort,
    #[error("it is a `file` URI with a host; write `file:///`")]
    FileHost,
    #[error("it has a segment `.` or `..`; remove it")]
    DotSegment,
    #[error("its path contains `//`; remove one slash")]
    EmptySegment,
    #[error("URL parsers read another host, port or path; write it as they do, in the form of {0:?}")]
    OtherReading(String),
}

/// Which optional components a URI has. A server may ignore them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OptionalComponents {
    pub(super) port: bool,
    pub(super) query: bool,
    pub(super) fragment: bool,
}

impl<'u> CanonicalUri<'u> {
    pub(super) fn parse(text: &'u str) -> Result<Self, NotCanonical> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !NOT_IN_URIS.contains(&byte)) {
            return Err(NotCanonical::Character);
        }
        let decoded = decoded(text)?;
        let components = UriComponents::split(text);
        components.check_scheme()?;
        components.check_authority()?;
        check_segments(decoded.as_deref().unwrap_or(text))?;
        components.check_with_url_parser(text)?;
        Ok(Self { text, components, decoded })
    }

    pub(super) const fn text(&self) -> &'u str {
        self.text
    }

    pub(super) fn decoded(&self) -> Option<&str> {
        self.decoded.as_deref()
    }

    pub(super) const fn scheme(&self) -> Option<&'u str> {
        self.components.scheme
    }

    /// Whether `//` follows the scheme.
    pub(super) const fn has_slashes(&self) -> bool {
        self.components.authority.is_some()
    }

    /// Whether `///` follows the scheme.
    pub(super) fn has_empty_authority(&self) -> bool {
        self.components.authority == Some("") && !self.components.path.is_empty()
    }

    pub(super) fn optional(&self) -> OptionalComponents {
        OptionalComponents {
            port: self.components.host_and_port().is_some_and(|(_, port)| port.is_some()),
            query: self.components.query.is_some(),
            fragment: self.components.fragment.is_some(),
        }
    }

    /// Other forms in which a lenient server may look up this URI, if it uses only the optional components of `expected`.
    ///
    /// It ignores the others. It may decode the URI before it splits it. It may ignore a slash at the end, or add one.
    pub(super) fn lenient_readings(&self, expected: OptionalComponents) -> Vec<String> {
        let mut readings = Vec::new();
        for text in std::iter::once(self.text).chain(self.decoded()) {
            let reading = UriComponents::split(text).with_only(expected);
            readings.push(reading.strip_suffix('/').map_or_else(|| format!("{reading}/"), ToOwned::to_owned));
            readings.push(reading);
        }
        readings
    }
}

impl OptionalComponents {
    pub(super) const fn any(self) -> bool {
        self.port || self.query || self.fragment
    }

    /// Whether `other` has every component that `self` has.
    pub(super) const fn is_within(self, other: Self) -> bool {
        (!self.port || other.port) && (!self.query || other.query) && (!self.fragment || other.fragment)
    }
}

/// The components of a URI (RFC 3986, appendix B).
#[derive(Debug, Clone, Copy)]
struct UriComponents<'u> {
    scheme: Option<&'u str>,
    authority: Option<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
    fragment: Option<&'u str>,
}

impl<'u> UriComponents<'u> {
    fn split(text: &'u str) -> Self {
        let cut = |text: &'u str, at| text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)));
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => (Some(scheme), rest),
            _ => (None, rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
        };
        Self { scheme, authority, path, query, fragment }
    }

    /// The host and the port of the authority, without user information.
    fn host_and_port(&self) -> Option<(&'u str, Option<&'u str>)> {
        let authority = self.authority?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // An IPv6 address has colons in its brackets.
        let address_end = if host.starts_with('[') { host.find(']').unwrap_or_default() } else { 0 };
        let (address, rest) = host.split_at(address_end);
        Some(match rest.find(':') {
            None => (host, None),
            Some(colon) => {
                let (host, port) = host.split_at(address.len().saturating_add(colon));
                (host, port.strip_prefix(':'))
            }
        })
    }

    /// The URI without user information, and without the optional components that are not `expected`.
    fn with_only(&self, expected: OptionalComponents) -> String {
        let mut text = self.scheme.map(|scheme| format!("{scheme}:")).unwrap_or_default();
        if let Some((host, port)) = self.host_and_port() {
            text.extend(["//", host]);
            port.filter(|_| expected.port).into_iter().for_each(|port| text.extend([":", port]));
        }
        text.push_str(self.path);
        self.query.filter(|_| expected.query).into_iter().for_each(|query| text.extend(["?", query]));
        self.fragment.filter(|_| expected.fragment).into_iter().for_each(|fragment| text.extend(["#", fragment]));
        text
    }

    fn check_scheme(&self) -> Result<(), NotCanonical> {
        let is_valid = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
        };
        match self.scheme {
            Some(scheme) if is_valid(scheme) => Ok(()),
            // A text without a scheme is the name of a resource, and is allowed.
            None if self.authority.is_none() => Ok(()),
            _ => Err(NotCanonical::Scheme),
        }
    }

    fn check_authority(&self) -> Result<(), NotCanonical> {
        let host = match self.host_and_port() {
            Some((_, Some(""))) => return Err(NotCanonical::EmptyPort),
            Some((host, _)) => host,
            // The namespace of a URN is compared without case, like a host (RFC 8141, section 3).
            None if self.scheme == Some("urn") => self.path.split(':').next().unwrap_or_default(),
            None => "",
        };
        if self.authority.is_some_and(|authority| authority.contains('@')) {
            return Err(NotCanonical::UserInformation);
        }
        // The two digits of percent-encoding may be in upper case, so they are skipped.
        let mut pieces = host.split('%');
        let unencoded = pieces.next().into_iter().chain(pieces.filter_map(|piece| piece.get(2..)));
        if unencoded.into_iter().any(|piece| piece.bytes().any(|byte| byte.is_ascii_uppercase())) {
            return Err(NotCanonical::HostCase);
        }
        if self.scheme == Some("file") && self.authority.is_some_and(|authority| !authority.is_empty()) {
            return Err(NotCanonical::FileHost);
        }
        Ok(())
    }

    /// The URL standard has more than one spelling of some hosts, ports and paths: `127.1`, `C|`, a default port.
    fn check_with_url_parser(&self, text: &str) -> Result<(), NotCanonical> {
        // If this parser rejects the URI, a server with such a parser rejects it too.
        let Ok(url) = Url::parse(text) else { return Ok(()) };
        let (host, port) = self.host_and_port().unwrap_or_default();
        let has_same_port = url.port().map(|port| port.to_string()).as_deref() == port;
        if has_same_port && url.host_str().unwrap_or_default() == host && url.path() == self.path {
            Ok(())
        } else {
            Err(NotCanonical::OtherReading(url.into()))
        }
    }
}

fn check_segments(text: &str) -> Result<(), NotCanonical> {
    let components = UriComponents::split(text);
    let after_scheme =
        components.scheme.and_then(|scheme| text.strip_prefix(scheme)?.strip_prefix(':')).unwrap_or(text);
    if after_scheme.split(['/', '?', '#']).any(|segment| matches!(segment, "." | "..")) {
        return Err(NotCanonical::DotSegment);
    }
    if components.path.contains("//") { Err(NotCanonical::EmptySegment) } else { Ok(()) }
}

/// Decodes percent-encoded visible ASCII characters, because they may be delimiters in a URI. `None` if there are none.
pub(super) fn decoded(text: &str) -> Result<Option<String>, NotCanonical> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    let mut is_changed = false;
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(NotCanonical::Encoding)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) {
            return Err(NotCanonical::Encoding);
        }
        match u8::from_str_radix(digits, 16).map_err(|_| NotCanonical::Encoding)? {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => return Err(NotCanonical::Encoding),
            // For some servers a path ends at a NUL, and a backslash is a slash.
            0..=0x1f | 0x7f | b'\\' => return Err(NotCanonical::Encoding),
            byte @ 0x21..=0x7e => {
                decoded.push(char::from(byte));
                is_changed = true;
            }
            _ => _ = write!(decoded, "%{digits}"),
        }
        decoded.push_str(rest);
    }
    Ok(is_changed.then_some(decoded))
}

/// Visible ASCII characters that are not allowed in a URI (RFC 3986, appendix A).
const NOT_IN_URIS: &[u8] = b"\"<>\\^`{|}";

#[cfg(test)]
mod tests;
