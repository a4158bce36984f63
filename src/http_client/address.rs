use std::net::{IpAddr, SocketAddr};

use url::Url;

#[cfg(feature = "reqwest")]
use super::public_address::is_public;

/// The addresses that a request may connect to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any address. The operator configured the URL, or it is from a document that was fetched from a private address.
    Any,
    /// Only public addresses, because the URL is from a document that somebody else wrote. The value is the host of the URL that
    /// the operator configured, with its port unless that is 443. It has two exceptions:
    ///
    /// 1. A request to exactly this host and port may connect to any address.
    /// 2. If the host is `localhost` or is written as a private address, every address is allowed.
    ///
    /// DNS records do not make this host a private one, because an attacker may control them.
    NoMorePrivateThan(Box<str>),
}

/// The address that a response came from.
///
/// An [`HttpClient`](super::HttpClient) adds it to the extensions of a response. The URLs of a metadata document may be private
/// if it came from a private address. Without this extension they may not.
///
/// ```
/// use mcp_bearer::http_client::RemoteAddress;
///
/// let mut response = http::Response::new("{}");
/// response.extensions_mut().insert(RemoteAddress::new(([192, 0, 2, 1], 443).into()));
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddress(pub SocketAddr);

/// The decision of an [`AddressPolicy`] about one URL.
#[cfg(feature = "reqwest")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Anywhere,
    PublicOnly,
    Forbidden,
}

impl RemoteAddress {
    /// The address of the server.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Whether only a host on a private network can have this address.
    pub(crate) fn is_private(self) -> bool {
        match self.0.ip().to_canonical() {
            IpAddr::V4(address) => {
                let is_shared = matches!(address.octets(), [100, 64..=127, ..]);
                address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
            }
            IpAddr::V6(address) => {
                address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
            }
        }
    }
}

impl AddressPolicy {
    /// The policy for the URLs in a document that was fetched from a configured URL.
    pub(crate) fn for_document_at(url: &Url) -> Self {
        Self::NoMorePrivateThan(authority(url).into())
    }

    /// The addresses that a request to `url` may connect to.
    #[cfg(feature = "reqwest")]
    pub(crate) fn reach(&self, url: &Url) -> Reach {
        use url::Host;

        let Self::NoMorePrivateThan(trusted) = self else { return Reach::Anywhere };
        if *authority(url) == **trusted || is_private_as_written(trusted) {
            return Reach::Anywhere;
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(name)) if crate::identifier::is_loopback_name(name) => return Reach::Forbidden,
            Some(Host::Domain(_)) => return Reach::PublicOnly,
            None => return Reach::Forbidden,
        };
        if is_public(address) { Reach::PublicOnly } else { Reach::Forbidden }
    }
}

/// The host of a URL, with its port unless that is 443.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match url.port_or_known_default() {
        None | Some(443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

#[cfg(feature = "reqwest")]
fn is_private_as_written(authority: &str) -> bool {
    use url::Host;

    let Ok(url) = Url::parse(&["https://", authority].concat()) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => crate::identifier::is_loopback_name(name),
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        None => false,
    }
}

#[cfg(all(test, feature = "reqwest"))]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_a_document_are_limited_by_the_configured_url() {
        use Reach::{Anywhere, Forbidden, PublicOnly};
        for (written, named, expected) in [
            ("https://as.example", "https://as.example/jwks", Anywhere),
            ("https://as.example/a", "https://AS.example:443/jwks", Anywhere),
            ("https://as.example", "https://as.example./jwks", Anywhere),
            ("https://as.example:8443", "https://as.example:8443/jwks", Anywhere),
            // Another port, or another name, is another server.
            ("https://as.example", "https://as.example:8443/jwks", PublicOnly),
            ("https://as.example:8443", "https://as.example/jwks", PublicOnly),
            ("https://as.example", "http://as.example/jwks", PublicOnly),
            ("http://as.example", "https://as.example/jwks", PublicOnly),
            ("https://as.example", "https://x.as.example/jwks", PublicOnly),
            ("https://as.example", "https://keys.example/jwks", PublicOnly),
            ("https://as.example", "https://8.8.8.8/jwks", PublicOnly),
            ("https://as.example", "https://10.0.0.1/jwks", Forbidden),
            ("https://as.example", "http://127.0.0.1:8080/jwks", Forbidden),
            ("https://as.example", "http://[::1]/jwks", Forbidden),
            ("https://as.example", "http://localhost:8080/jwks", Forbidden),
            ("https://as.example", "http://as.localhost/jwks", Forbidden),
            ("https://8.8.8.8", "https://169.254.169.254/", Forbidden),
            ("https://8.8.8.8", "https://8.8.8.8/jwks", Anywhere),
            // A private host may name private addresses.
            ("https://10.1.2.3", "https://10.9.9.9/jwks", Anywhere),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081/jwks", Anywhere),
            ("http://[::1]:8080", "http://127.0.0.1:8081/jwks", Anywhere),
            ("http://localhost:8080", "http://localhost:8081/jwks", Anywhere),
            ("http://keycloak.localhost", "https://10.0.0.1/jwks", Anywhere),
            ("https://localhost.example", "https://10.0.0.1/jwks", Forbidden),
        ] {
            let [written, named] = [written, named].map(|url| Url::parse(url).unwrap());
            assert_eq!(AddressPolicy::for_document_at(&written).reach(&named), expected, "{written} names {named}");
            assert_eq!(AddressPolicy::Any.reach(&named), Anywhere);
        }
    }
}
