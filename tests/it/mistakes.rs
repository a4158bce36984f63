//! The messages for common mistakes in the configuration: each shows the value and the repair.

use std::time::Duration;

use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::{Issuer, McpScopes, ResourceServer, ResourceServerBuilder};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{ISSUER, RESOURCE};

fn resource(resource: &str) -> ResourceServerBuilder {
    ResourceServer::builder(resource).issuer(Issuer::discover(ISSUER))
}

fn issuer(issuer: Issuer) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer)
}

#[test]
fn a_mistake_in_the_builder_is_one_sentence_with_the_repair() {
    let introspected = |url: &str| Issuer::discover(url).introspect_opaque(ClientCredentials::basic("rs", "secret"));
    for (builder, parts) in [
        (resource("htps://mcp.example.com/mcp"), &["\"htps://mcp.example.com/mcp\"", "use https"][..]),
        (resource("mcp.example.com"), &["\"mcp.example.com\"", "write it as https://host/path"]),
        (resource("https://mcp.example.com/mcp#x"), &["\"https://mcp.example.com/mcp#x\"", "remove the '#'"]),
        (resource("https://mcp.example.com/a b"), &["\"https://mcp.example.com/a b\"", "percent-encode"]),
        (resource("http://mcp.example.com/mcp"), &["use https", "`dangerously_allow_http()`"]),
        (issuer(Issuer::discover("http://keycloak:8080/realms/demo")), &["use https", "`dangerously_allow_http()`"]),
        (
            issuer(Issuer::discover("https://auth.example.com/.well-known/openid-configuration")),
            &["Issuer::discover(\"https://auth.example.com\")"],
        ),
        (ResourceServer::builder(RESOURCE), &["no issuer is configured", "call `issuer`"]),
        (resource(RESOURCE).issuer(Issuer::discover(ISSUER)), &[ISSUER, "configured twice", "remove one"]),
        (
            resource(RESOURCE).scope_implies("a", ["b"]).scope_implies("b", ["a"]),
            &["implies itself", "remove one `scope_implies`"],
        ),
        (
            resource(RESOURCE).clock_skew(Duration::from_secs(900)),
            &["`clock_skew` is 900 s", "use between 0 s and 300 s"],
        ),
        (issuer(Issuer::discover(ISSUER).scope_claim("permissions")), &["\"permissions\"", "\"/permissions\""]),
        (
            ResourceServer::builder(RESOURCE)
                .issuer(introspected(ISSUER))
                .issuer(introspected("https://b.example.com")),
            &["several issuers verify opaque tokens", "call `route_opaque`"],
        ),
        (
            issuer(Issuer::discover(ISSUER).revocation_check(Duration::from_secs(60))),
            &["`revocation_check`", "introspect_opaque"],
        ),
        (resource(RESOURCE).scopes_supported(["notes:read notes:write"]), &["\"notes:read notes:write\"", "space"]),
    ] {
        let message = builder.build_lazy().unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(!message.contains('\n') && message.len() < 400, "{message}");
    }
}

#[test]
fn a_scope_that_the_metadata_does_not_name_is_a_warning() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let server = resource(RESOURCE).scopes_supported(["orders:read"]).build_lazy().unwrap();
    let warned = |scope: &str| {
        let lines = capture.take().into_iter().filter(|(level, _)| *level == Level::WARN);
        let expected = format!("`scopes_supported` does not name scope={scope:?}");
        lines.map(|(_, line)| line).filter(|line| line.contains(&expected)).count()
    };
    _ = server.bearer_layer().required_scopes(["orders:raed"]);
    assert_eq!(warned("orders:raed"), 1);
    _ = server.mcp_layer(McpScopes::new().tool("order", ["orders:wriet"]));
    assert_eq!(warned("orders:wriet"), 1);
    _ = server.bearer_layer().required_scopes(["orders:read"]);
    assert_eq!(warned("orders:read"), 0);
}
