//! The development identity: the caller of each request without credentials that comes from this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::PeerAddr;
use crate::claims::{Claims, CredentialKind};
use crate::error::{BuildError, BuildErrorKind};
use crate::events::{Detail, RequestInfo};
use crate::resource::SelfCheckRequest;
use crate::scope::Scopes;

/// The caller of requests without credentials on a developer's machine: a subject and scopes.
///
/// It is the argument of
/// [`dangerously_trust_everyone_on_loopback`](crate::ResourceServerBuilder::dangerously_trust_everyone_on_loopback).
///
/// ```
/// use mcp_bearer::DevelopmentIdentity;
///
/// let identity = DevelopmentIdentity::new("dev").scopes(["notes:read", "notes:write"]);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DevelopmentIdentity {
    subject: Box<str>,
    scopes: Vec<String>,
}

/// The development identity of a server.
pub(crate) struct Development {
    claims: Claims,
    /// When the last request with the identity was logged.
    logged_at: Mutex<Option<Instant>>,
}

/// Why a request is not accepted by a server with a development identity.
pub(super) enum NotLocal {
    /// The address of the client is unknown.
    Unknown,
    /// The sign of another machine, or of a web page from elsewhere.
    Outside(Box<Detail>),
}

impl DevelopmentIdentity {
    /// An identity with this subject and without scopes.
    ///
    /// [`build`](crate::ResourceServerBuilder::build) returns [`BuildErrorKind::Setting`] if the subject is empty.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self { subject: subject.into(), scopes: Vec::new() }
    }

    /// Adds scopes. They are checked like those of a token.
    ///
    /// [`build`](crate::ResourceServerBuilder::build) returns [`BuildErrorKind::Scope`] if one is not a scope (RFC 6749, section 3.3).
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }
}

impl Development {
    /// The identity of the server for the resource on `host`.
    ///
    /// # Errors
    /// An error if the host is not a loopback host, or if the subject is empty or a text is not a scope.
    pub(crate) fn new(identity: &DevelopmentIdentity, host: &str) -> Result<Self, BuildError> {
        if !is_loopback_authority(host) {
            return Err(BuildError::setting(format!(
                "`dangerously_trust_everyone_on_loopback` needs a resource on this machine, and its host is {host:?}; use \
                 `localhost`, `127.0.0.1` or `[::1]`, or remove the call"
            )));
        }
        if identity.subject.is_empty() {
            return Err(BuildError::setting(
                "the subject of the `DevelopmentIdentity` is empty; name it, as in \"dev\"",
            ));
        }
        let scopes =
            Scopes::new(&identity.scopes).map_err(|error| BuildError::new(BuildErrorKind::Scope, error.to_string()))?;
        let mut members = Map::new();
        members.insert("sub".to_owned(), Value::from(&*identity.subject));
        if !scopes.is_empty() {
            members.insert("scope".to_owned(), Value::from(scopes.as_str()));
        }
        let claims = Claims::from_credential(CredentialKind::Development, None, members);
        let claims =
            claims.map_err(|_| BuildError::setting("the `DevelopmentIdentity` is not valid; change its subject"))?;
        Ok(Self { claims, logged_at: Mutex::new(None) })
    }

    /// Checks that a request comes from this machine, and returns the identity if it does not have credentials. `None` means that the
    /// request is judged as by any other server.
    pub(super) fn identify(
        &self,
        request: RequestInfo<'_>,
        extensions: &Extensions,
        has_credentials: bool,
    ) -> Result<Option<Claims>, NotLocal> {
        // The check sends its requests without a connection, and looks for a challenge.
        if extensions.get::<SelfCheckRequest>().is_some() {
            return Ok(None);
        }
        if PeerAddr::all_in(extensions).next().is_none() {
            return Err(NotLocal::Unknown);
        }
        if let Some(detail) = outside(request, extensions) {
            return Err(NotLocal::Outside(detail));
        }
        if has_credentials {
            return Ok(None);
        }
        if self.is_log_due() {
            tracing::warn!(target: "mcp_bearer", "requests without credentials are accepted as the development identity");
        }
        Ok(Some(self.claims.clone()))
    }

    /// Whether the use of the identity is logged now: once a minute.
    fn is_log_due(&self) -> bool {
        let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged_at.is_none_or(|logged_at| logged_at.elapsed() >= LOG_INTERVAL);
        if is_due {
            *logged_at = Some(Instant::now());
        }
        is_due
    }
}

/// The sign that a request does not come from this machine. `None` if there is none.
fn outside(request: RequestInfo<'_>, extensions: &Extensions) -> Option<Box<Detail>> {
    let headers = request.headers();
    let is_loopback = |peer: &IpAddr| peer.to_canonical().is_loopback();
    if let Some(peer) = PeerAddr::all_in(extensions).map(|peer| peer.ip()).find(|peer| !is_loopback(peer)) {
        return Some(Detail::mismatch(["a loopback address of the client"], [peer.to_string().as_str()]));
    }
    let is_of_proxy = |name: &&str| PROXY_HEADERS.contains(name) || name.starts_with(FORWARDED);
    if let Some(name) = headers.keys().map(HeaderName::as_str).find(is_of_proxy) {
        return Some(Detail::mismatch(["no header of a proxy"], [name]));
    }
    let hosts = || request.authority().into_iter().map(str::as_bytes).chain(values(headers, &header::HOST));
    let is_one_host = headers.get_all(header::HOST).iter().count() <= 1 && hosts().next().is_some();
    if !is_one_host || !hosts().all(|host| text(host).is_some_and(is_loopback_authority)) {
        return Some(mismatch("one loopback host, such as `localhost`", hosts()));
    }
    let origins = || values(headers, &header::ORIGIN);
    match (origins().next(), origins().nth(1)) {
        (None, _) => {
            // Pages of other sites can send a GET request without `Origin`.
            let is_cross_site = values(headers, &SEC_FETCH_SITE).any(|site| site != b"same-origin" && site != b"none");
            is_cross_site.then(|| mismatch("a page of a loopback origin", values(headers, &SEC_FETCH_SITE)))
        }
        (Some(origin), None) if text(origin).is_some_and(is_loopback_origin) => None,
        _ => Some(mismatch("a page of a loopback origin", origins())),
    }
}

fn values<'r>(headers: &'r HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn mismatch<'v>(expected: &str, found: impl Iterator<Item = &'v [u8]>) -> Box<Detail> {
    Detail::mismatch([expected], found.map(|value| text(value).unwrap_or("not text")))
}

/// Whether an origin is `http://` or `https://` and a loopback host. `null` is not.
fn is_loopback_origin(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback_authority)
}

/// Whether a host, with or without a port, is `localhost` or a loopback address. A name below `localhost` is not, because some
/// systems ask a DNS server for it.
fn is_loopback_authority(authority: &str) -> bool {
    let (host, rest) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, rest))) => (address.parse::<Ipv6Addr>().ok().map(IpAddr::V6), rest),
        Some(None) => return false,
        None => {
            let (host, rest) =
                authority.split_at_checked(authority.find(':').unwrap_or(authority.len())).unwrap_or_default();
            let is_name = host.eq_ignore_ascii_case("localhost");
            let address = if is_name { Some(Ipv4Addr::LOCALHOST) } else { host.parse().ok() };
            (address.map(IpAddr::V4), rest)
        }
    };
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok();
    let is_valid = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    is_valid && host.is_some_and(|host| host.to_canonical().is_loopback())
}

impl std::fmt::Debug for Development {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Development").finish_non_exhaustive()
    }
}

/// The identity is in use for as long as the log has such lines.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// The start of the names of common headers of proxies.
const FORWARDED: &str = "x-forwarded-";
/// Headers that only proxies add: RFC 7239, RFC 9110, section 7.6.3, and common ones.
const PROXY_HEADERS: [&str; 9] = [
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-real-ip",
];
/// The relation of a page to this server, as its browser says it (Fetch Metadata Request Headers).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_names_and_addresses_of_this_machine_are_loopback() {
        for (authority, expected) in [
            ("localhost", true),
            ("LocalHost:8000", true),
            ("127.0.0.1", true),
            ("127.255.0.3:1", true),
            ("[::1]", true),
            ("[::1]:65535", true),
            ("[0:0:0:0:0:0:0:1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("", false),
            (":80", false),
            ("localhost:", false),
            ("localhost:65536", false),
            ("localhost:+80", false),
            ("localhost:80:80", false),
            ("localhost.", false),
            ("a.localhost", false),
            ("localhost.evil.example", false),
            ("localhost@evil.example", false),
            ("evil.example@localhost", false),
            ("localhost, evil.example", false),
            (" localhost", false),
            ("127.1", false),
            ("127.0.0.01", false),
            ("0x7f.0.0.1", false),
            ("2130706433", false),
            ("0.0.0.0", false),
            ("128.0.0.1", false),
            ("127.0.0.1.evil.example", false),
            ("::1", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[::]", false),
            ("[::2]", false),
            ("[fe80::1%25lo]", false),
            ("[127.0.0.1]", false),
            ("[::ffff:192.0.2.1]", false),
        ] {
            assert_eq!(is_loopback_authority(authority), expected, "{authority:?}");
            assert_eq!(is_loopback_origin(&format!("http://{authority}")), expected, "{authority:?}");
        }
        for origin in ["null", "", "localhost", "file://localhost", "http://localhost/", "HTTP://localhost"] {
            assert!(!is_loopback_origin(origin), "{origin:?}");
        }
    }
}
