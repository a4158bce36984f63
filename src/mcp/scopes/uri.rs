//! The canonical form of a URI: the form that every server reads in the same way.

use std::fmt::Write as _;

use url::Url;

/// The URI of a resource in canonical form. Rules are matched with it once, as it is written.
#[derive(Debug)]
pub(super) struct CanonicalUri<'u> {
    text: &'u str,
    parts: Parts<'u>,
    /// The text with `%2F` and its like decoded; `None` if it has no percent-encoding of a visible ASCII character. A server
    /// that decodes before it splits reads this text.
    decoded: Option<String>,
}

/// Why a URI is not in canonical form, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotCanonical {
    #[error(
        "it has a character that no URI has, such as a backslash, a space, a control character or one beyond ASCII: remove or \
         percent-encode it"
    )]
    Character,
    #[error(
        "its percent-encoding is malformed, in lower case, or of a letter, a digit, `-`, `.`, `_`, `~`, a backslash or a \
         control character: write it like `%C3%A9`, and only where it is needed"
    )]
    Encoding,
    #[error(
        "its scheme is missing, or has other characters than a-z, 0-9, `+`, `-` and `.`: write a scheme in lower case"
    )]
    Scheme,
    #[error("its host has upper-case letters: write them in lower case")]
    HostCase,
    #[error("it has user information before `@`: remove it")]
    UserInformation,
    #[error("it has a colon after its host and no port: remove the colon")]
    EmptyPort,
    #[error("it is a `file` URI with a host: write `file:///`")]
    FileHost,
    #[error("it has a segment `.` or `..`: remove it")]
    DotSegment,
    #[error("it has an empty segment before its last one: remove a slash")]
    EmptySegment,
    #[error("URL parsers read its host, port or path in another way: write it as they do, in the form of {0:?}")]
    OtherReading(String),
}

/// Which of the optional parts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Optional {
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
        let parts = Parts::split(text);
        parts.check_scheme()?;
        parts.check_authority()?;
        check_segments(decoded.as_deref().unwrap_or(text))?;
        parts.check_with_url_parser(text)?;
        Ok(Self { text, parts, decoded })
    }

    pub(super) const fn text(&self) -> &'u str {
        self.text
    }

    pub(super) fn decoded(&self) -> Option<&str> {
        self.decoded.as_deref()
    }

    pub(super) const fn scheme(&self) -> Option<&'u str> {
        self.parts.scheme
    }

    /// Whether `//` follows the scheme.
    pub(super) const fn has_slashes(&self) -> bool {
        self.parts.authority.is_some()
    }

    /// Whether `///` follows the scheme.
    pub(super) fn has_empty_authority(&self) -> bool {
        self.parts.authority == Some("") && !self.parts.path.is_empty()
    }

    pub(super) fn optional(&self) -> Optional {
        Optional {
            port: self.parts.host_and_port().is_some_and(|(_, port)| port.is_some()),
            query: self.parts.query.is_some(),
            fragment: self.parts.fragment.is_some(),
        }
    }

    /// The texts that a careless server may take for this URI: one that overlooks optional parts which it does not expect, or
    /// a slash at the end, or that decodes before it splits.
    pub(super) fn careless_readings(&self, expected: Optional) -> Vec<String> {
        let mut readings = Vec::new();
        for text in std::iter::once(self.text).chain(self.decoded()) {
            let reading = Parts::split(text).with_only(expected);
            readings.extend(reading.strip_suffix('/').map(ToOwned::to_owned));
            readings.push(reading);
        }
        readings
    }
}

impl Optional {
    pub(super) const fn any(self) -> bool {
        self.port || self.query || self.fragment
    }

    /// Whether `other` has every part that is here.
    pub(super) const fn is_within(self, other: Self) -> bool {
        (!self.port || other.port) && (!self.query || other.query) && (!self.fragment || other.fragment)
    }
}

/// The components of a URI (RFC 3986, appendix B).
#[derive(Debug, Clone, Copy)]
struct Parts<'u> {
    scheme: Option<&'u str>,
    authority: Option<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
    fragment: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn split(text: &'u str) -> Self {
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

    /// Without user information.
    fn host_and_port(&self) -> Option<(&'u str, Option<&'u str>)> {
        let authority = self.authority?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // An IPv6 address contains colons, in brackets.
        let address = if host.starts_with('[') { host.find(']').unwrap_or_default() } else { 0 };
        let (before, after) = host.split_at(address);
        Some(match after.find(':') {
            None => (host, None),
            Some(colon) => {
                let (host, port) = host.split_at(before.len().saturating_add(colon));
                (host, port.strip_prefix(':'))
            }
        })
    }

    fn with_only(&self, expected: Optional) -> String {
        let mut text = self.scheme.map(|scheme| format!("{scheme}:")).unwrap_or_default();
        if let Some((host, port)) = self.host_and_port() {
            text.push_str("//");
            text.push_str(host);
            port.filter(|_| expected.port).into_iter().for_each(|port| text.extend([":", port]));
        }
        text.push_str(self.path);
        self.query.filter(|_| expected.query).into_iter().for_each(|query| text.extend(["?", query]));
        self.fragment.filter(|_| expected.fragment).into_iter().for_each(|fragment| text.extend(["#", fragment]));
        text
    }

    fn check_scheme(&self) -> Result<(), NotCanonical> {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
        };
        match self.scheme {
            Some(scheme) if is_scheme(scheme) => Ok(()),
            // A text that is not a URI at all is a name like any other.
            None if self.authority.is_none() => Ok(()),
            _ => Err(NotCanonical::Scheme),
        }
    }

    fn check_authority(&self) -> Result<(), NotCanonical> {
        // The namespace of a URN is compared without case, like a host (RFC 8141, section 3).
        let namespace = self.path.split(':').next().filter(|_| self.scheme == Some("urn"));
        let host = match self.host_and_port() {
            Some((_, Some(""))) => return Err(NotCanonical::EmptyPort),
            Some((host, _)) => host,
            None => namespace.unwrap_or_default(),
        };
        if self.authority.is_some_and(|authority| authority.contains('@')) {
            return Err(NotCanonical::UserInformation);
        }
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

    /// Compares with the URL standard, which knows more spellings of some hosts and paths: `127.1`, `C|`, a default port.
    fn check_with_url_parser(&self, text: &str) -> Result<(), NotCanonical> {
        // If the parser rejects it, there is no other reading.
        let Ok(url) = Url::parse(text) else { return Ok(()) };
        let (host, port) = self.host_and_port().unwrap_or_default();
        let has_port = match url.port() {
            None => port.is_none(),
            Some(number) => port == Some(number.to_string().as_str()),
        };
        if has_port && url.host_str().unwrap_or_default() == host && url.path() == self.path {
            Ok(())
        } else {
            Err(NotCanonical::OtherReading(url.into()))
        }
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn check_segments(text: &str) -> Result<(), NotCanonical> {
    let parts = Parts::split(text);
    let after_scheme = parts.scheme.and_then(|scheme| text.strip_prefix(scheme)?.strip_prefix(':')).unwrap_or(text);
    if after_scheme.split(['/', '?', '#']).any(|segment| matches!(segment, "." | "..")) {
        return Err(NotCanonical::DotSegment);
    }
    if parts.path.contains("//") { Err(NotCanonical::EmptySegment) } else { Ok(()) }
}

/// Decodes the percent-encoding of visible ASCII characters, which may be delimiters in a URI.
pub(super) fn decoded(text: &str) -> Result<Option<String>, NotCanonical> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    let mut is_other = false;
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(NotCanonical::Encoding)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) {
            return Err(NotCanonical::Encoding);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| NotCanonical::Encoding)?;
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => return Err(NotCanonical::Encoding),
            // For some servers a path ends at a NUL, and a backslash is a slash.
            0..=0x1f | 0x7f | b'\\' => return Err(NotCanonical::Encoding),
            0x21..=0x7e => {
                decoded.push(char::from(byte));
                is_other = true;
            }
            _ => _ = write!(decoded, "%{digits}"),
        }
        decoded.push_str(rest);
    }
    Ok(is_other.then_some(decoded))
}

/// Visible ASCII characters that no URI has (RFC 3986, appendix A).
const NOT_IN_URIS: &[u8] = b"\"<>\\^`{|}";

#[cfg(test)]
mod tests;
