//! Decides which addresses a request may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::{AddressPolicy, authority};
use crate::identifier::is_loopback_name;

/// The decision of an [`AddressPolicy`] about one URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    PublicOnly,
    Forbidden,
}

impl AddressPolicy {
    /// The addresses that a request to `url` may connect to.
    pub(super) fn reach(&self, url: &Url) -> Reach {
        let Self::NoMorePrivateThan(trusted) = self else { return Reach::Anywhere };
        let is_private = |url: &Url| url.host().is_some_and(is_private_as_written);
        if *authority(url) == **trusted || Url::parse(&["https://", trusted].concat()).is_ok_and(|url| is_private(&url))
        {
            return Reach::Anywhere;
        }
        if url.has_host() && !is_private(url) { Reach::PublicOnly } else { Reach::Forbidden }
    }
}

/// Whether a host is private without a look at DNS.
fn is_private_as_written(host: Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_loopback_name(name),
        Host::Ipv4(address) => !is_public(address.into()),
        Host::Ipv6(address) => !is_public(address.into()),
    }
}

/// Whether an address is on the public internet. An IPv6 address with an embedded IPv4 address is as public as that.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared address space (RFC 6598), protocol assignments (RFC 6890), benchmarking (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        // The former relays of 6to4 (RFC 7526), and Azure's platform services, which only virtual machines reach.
        || (a == 192 && b == 88 && c == 99)
        || address == AZURE_PLATFORM)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, ..] = address.segments();
    let [_, _, a, b, c, d, .., w, x, y, z] = address.octets();
    let (after_prefix, at_end) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(w, x, y, z));
    match (first, second, third, fourth, fifth, sixth) {
        // IPv4-mapped and IPv4-compatible (RFC 4291), NAT64 (RFC 6052).
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => is_public_v4(at_end),
        // 6to4 (RFC 3056).
        (0x2002, ..) => is_public_v4(after_prefix),
        // ISATAP (RFC 5214, section 6.1): packets go to the IPv4 address in the last four bytes.
        (.., 0 | 0x200, 0x5efe) if !is_public_v4(at_end) => false,
        // Of 2000::/3, the addresses for documentation (RFC 3849, RFC 9637) and for protocols such as Teredo (2001::/23)
        // cannot be reached directly.
        (0x2001, 0..0x0200 | 0x0db8, ..) | (0x3ff0..=0x3fff, ..) => false,
        // No other addresses are assigned (RFC 4291).
        _ => first & 0xe000 == 0x2000,
    }
}

/// The address of Azure's platform services: <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>.
const AZURE_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

#[cfg(test)]
mod tests;
