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
        // URLs in a document from a private host may have private addresses.
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
