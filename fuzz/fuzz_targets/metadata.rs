//! Metadata of an authorization server is accepted only from the expected issuer, and without URLs that the crate must
//! not request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::fetched_metadata;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer_fuzz::token::ISSUER;
use mcp_bearer_fuzz::tree::Tree;
use serde_json::Value;
use url::{Host, Url};

fuzz_target!(|json: &[u8]| {
    if let Some(metadata) = fetched_metadata(json, ISSUER) {
        assert_eq!(metadata.issuer().as_str(), ISSUER);
        check(json, &metadata);
    }
    if let Ok(metadata) = AuthorizationServerMetadata::from_json(json) {
        check(json, &metadata);
        assert!(fetched_metadata(json, metadata.issuer().as_str()).is_some());
    }
});

fn check(json: &[u8], metadata: &AuthorizationServerMetadata) {
    let value: Value = serde_json::from_slice(json).expect("the document is JSON");
    assert!(!Tree::parse(json).expect("the document is JSON").repeats_a_name_anywhere());
    assert_eq!(value["issuer"].as_str(), Some(metadata.issuer().as_str()));
    check_address(metadata.issuer().as_str());
    for (name, address) in
        [("jwks_uri", metadata.jwks_uri()), ("introspection_endpoint", metadata.introspection_endpoint())]
    {
        let Some(address) = address else { continue };
        let stated = value[name].as_str().expect("the member is a string");
        assert_eq!(Url::parse(stated).expect("the address is a URL").as_str(), address);
        check_address(stated);
        check_address(address);
    }
}

fn check_address(address: &str) {
    let url = Url::parse(address).expect("the address is a URL");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{address}");
    assert!(address.bytes().all(|byte| byte.is_ascii_graphic()), "{address}");
    let is_loopback = match url.host().expect("the URL has a host") {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.octets()[0] == 127,
        Host::Ipv6(address) => address.is_loopback(),
    };
    assert!(url.scheme() == "https" || (url.scheme() == "http" && is_loopback), "{address}");
}
