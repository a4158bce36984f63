//! The manual: one chapter for each task. It contains only documentation.
//!
//! | I want to | chapter |
//! |---|---|
//! | protect a first server | [`getting_started`] |
//! | know what is checked on each request | [`request_checks`] |
//! | protect an MCP server that is built with rmcp | [`mcp_servers`] |
//! | require scopes per tool, prompt and resource | [`mcp_scopes`] |
//! | require scopes per REST route | [`rest_routes`] |
//! | configure one or several authorization servers | [`authorization_servers`] |
//! | know what to set in Keycloak, Logto, Auth0, Hydra, Spring, Entra ID, Okta, Cognito, Dex or WorkOS | [`servers`] |
//! | configure a server from a file or from environment variables | [`configuration`] |
//! | accept opaque tokens, or notice revocation | [`introspection`] |
//! | reject tokens before they expire, as after a logout | [`revocation`](crate::revocation) |
//! | accept sessions of a database, or tokens of a vendor | [`own_verifier`] |
//! | accept API keys beside access tokens | [`api_keys`] |
//! | make stolen tokens useless, with DPoP or client certificates | [`sender_constrained`] |
//! | bind tokens to client certificates, behind a TLS server or a proxy | [`mutual_tls`] |
//! | run several replicas, and revoke tokens on all of them | [`replicas`] |
//! | know what is cached, and what a request costs | [`caching`] |
//! | survive outages and key rotation | [`outages`] |
//! | start without the authorization server, and answer readiness probes | [`startup`] |
//! | protect a server of actix-web, poem, warp, hyper or tonic, or a WebSocket | [`without_a_framework`] |
//! | start fast in a serverless function | [`serverless`] |
//! | test my handlers | [`testing`] |
//! | develop without an authorization server | [`development`] |
//! | run behind a gateway, a proxy or in containers | [`gateways`] |
//! | read the token from the header of a proxy, such as Cloudflare Access | [`other_headers`] |
//! | find out why a request is rejected, or why a client cannot log in | [`troubleshooting`] |
//! | find out from outside why a deployment does not work | [`doctor`] |
//! | read the log, or write an audit log | [`logging`] |
//! | collect metrics and traces | [`metrics`] |
//! | understand status codes and errors, or change the response | [`errors`] |
//! | choose features, or do without axum | [`features`] |
//!
//! Each example is a complete program or function. All of them are compiled as tests, and run unless they serve forever.
//! The programs for other frameworks are compiled and tested in `examples/frameworks`.
//!
#![doc = include_str!("../assets/flow.svg")]
// The examples use these features, so a test run without them leaves the examples out.
#![cfg(any(
    not(doctest),
    all(
        feature = "axum",
        feature = "aws-lc-rs",
        feature = "cors",
        feature = "reqwest",
        feature = "rmcp",
        feature = "schema",
        feature = "testing"
    )
))]

#[doc = include_str!("guide/getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("guide/request_checks.md")]
pub mod request_checks {}

#[doc = include_str!("guide/mcp_servers.md")]
pub mod mcp_servers {}

#[doc = include_str!("guide/mcp_scopes.md")]
pub mod mcp_scopes {}

#[doc = include_str!("guide/rest_routes.md")]
pub mod rest_routes {}

#[doc = include_str!("guide/authorization_servers.md")]
pub mod authorization_servers {}

#[doc = include_str!("guide/servers.md")]
pub mod servers {
    #[doc = include_str!("guide/servers/keycloak.md")]
    pub mod keycloak {}

    #[doc = include_str!("guide/servers/logto.md")]
    pub mod logto {}

    #[doc = include_str!("guide/servers/auth0.md")]
    pub mod auth0 {}

    #[doc = include_str!("guide/servers/hydra.md")]
    pub mod hydra {}

    #[doc = include_str!("guide/servers/spring.md")]
    pub mod spring {}

    #[doc = include_str!("guide/servers/entra.md")]
    pub mod entra {}

    #[doc = include_str!("guide/servers/okta.md")]
    pub mod okta {}

    #[doc = include_str!("guide/servers/cognito.md")]
    pub mod cognito {}

    #[doc = include_str!("guide/servers/dex.md")]
    pub mod dex {}

    #[doc = include_str!("guide/servers/workos.md")]
    pub mod workos {}
}

#[doc = include_str!("guide/configuration.md")]
#[doc = "```toml"]
#[doc = include_str!("../examples/settings.toml")]
#[doc = "```"]
pub mod configuration {}

#[doc = include_str!("guide/introspection.md")]
pub mod introspection {}

#[doc = include_str!("guide/own_verifier.md")]
pub mod own_verifier {}

#[doc = include_str!("guide/api_keys.md")]
pub mod api_keys {}

#[doc = include_str!("guide/sender_constrained.md")]
pub mod sender_constrained {}

#[doc = include_str!("guide/mutual_tls.md")]
pub mod mutual_tls {}

#[doc = include_str!("guide/replicas.md")]
pub mod replicas {}

#[doc = include_str!("guide/caching.md")]
pub mod caching {}

#[doc = include_str!("guide/outages.md")]
pub mod outages {}

#[doc = include_str!("guide/startup.md")]
pub mod startup {}

#[doc = include_str!("guide/without_a_framework.md")]
pub mod without_a_framework {}

#[doc = include_str!("guide/serverless.md")]
pub mod serverless {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/development.md")]
pub mod development {}

#[doc = include_str!("guide/gateways.md")]
pub mod gateways {}

#[doc = include_str!("guide/other_headers.md")]
pub mod other_headers {}

#[doc = include_str!("guide/doctor.md")]
pub mod doctor {}

#[doc = include_str!("guide/troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("guide/logging.md")]
pub mod logging {}

#[doc = include_str!("guide/metrics.md")]
pub mod metrics {}

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/features.md")]
pub mod features {}
