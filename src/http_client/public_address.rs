use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet. An IPv6 address with an embedded IPv4 address is as public as that.
pub(crate) fn is_public(address: IpAddr) -> bool {
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
    if let Some(embedded) = embedded_v4(address) {
        return is_public_v4(embedded);
    }
    let [first, second, _, _, fifth, sixth, seventh, eighth] = address.segments();
    // ISATAP (RFC 5214, section 6.1): packets go to the IPv4 address in the last four bytes.
    if matches!((fifth, sixth), (0 | 0x200, 0x5efe)) && !is_public_v4(joined(seventh, eighth)) {
        return false;
    }
    // Only 2000::/3 is assigned (RFC 4291). Of it, the addresses for documentation (RFC 3849, RFC 9637) and for protocols
    // such as Teredo (2001::/23) cannot be reached directly.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8)) && first & 0xfff0 != 0x3ff0
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = address.segments();
    match (first, second, third, fourth, fifth, sixth) {
        // IPv4-mapped and IPv4-compatible (RFC 4291), NAT64 (RFC 6052).
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(joined(seventh, eighth)),
        // 6to4 (RFC 3056).
        (0x2002, ..) => Some(joined(second, third)),
        _ => None,
    }
}

/// The address of Azure's platform services: <https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>.
const AZURE_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "100.128.0.1",
            "2606:4700::1111",
            "2620:0:860::5efe:808:808",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inward in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "168.63.129.16",
            "192.88.99.1",
            "2620:0:860::5efe:a00:1",
            "fe80::5efe:808:808",
            "2620:0:860:0:200:5efe:10.0.0.1",
            "64:ff9b:1::a00:1",
            "::ffff:0:10.0.0.1",
            "fec0::1",
            "100::1",
            "3ffe::1",
            "2001:20::1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(inward.parse().unwrap()), "{inward}");
        }
    }
}
