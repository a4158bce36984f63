//! The peers, one in each file, and the table of them.
//!
//! Each peer has the fastest configuration in its documentation and source that checks signature, issuer, audience and
//! expiry. It fetches keys as in a deployment, with discovery if it supports that.

#[cfg(feature = "axum-jwt-auth")]
mod axum_jwt_auth;
#[cfg(feature = "jwt-authorizer")]
mod jwt_authorizer;
mod mcp_bearer;
#[cfg(feature = "oauth-resource-server")]
mod oauth_resource_server;
#[cfg(feature = "tower-oauth2-resource-server")]
mod tower_oauth2_resource_server;
#[cfg(feature = "turbomcp-auth")]
mod turbomcp_auth;

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;

use crate::application::unprotected;
use crate::subject::Subject;

/// The names that [`router`] accepts.
///
/// `mcp-bearer-cached` is `mcp-bearer` with its cache of verified tokens, which contains the token of the measurement.
/// `axum-jwt-auth+aws-lc-rs` is `axum-jwt-auth` in an application that also depends on jsonwebtoken and installs its
/// other backend.
pub const NAMES: &[&str] = &[
    "none",
    "mcp-bearer",
    "mcp-bearer-cached",
    #[cfg(feature = "axum-jwt-auth")]
    "axum-jwt-auth",
    #[cfg(feature = "axum-jwt-auth")]
    "axum-jwt-auth+aws-lc-rs",
    #[cfg(feature = "jwt-authorizer")]
    "jwt-authorizer",
    #[cfg(feature = "oauth-resource-server")]
    "oauth-resource-server",
    #[cfg(feature = "tower-oauth2-resource-server")]
    "tower-oauth2-resource-server",
    #[cfg(feature = "turbomcp-auth")]
    "turbomcp-auth",
];

/// Returns an axum application with one route, [`PATH`](crate::PATH), for clients with a token of the subject's issuer.
/// The application has already accepted such a token.
///
/// The name `none` returns the application without protection. The background tasks of a peer run in the current
/// runtime, and the subject's issuer must outlive the router. Use one process for each peer, because some install a
/// backend.
///
/// Returns a [`SetupError`] if the name is unknown, or if the peer does not support the subject.
pub async fn router(name: &str, subject: &Subject) -> Result<Router, SetupError> {
    let router = match name {
        "none" => unprotected(),
        "mcp-bearer" => mcp_bearer::router(subject, None).await?,
        "mcp-bearer-cached" => mcp_bearer::router(subject, Some(10_000)).await?,
        #[cfg(feature = "axum-jwt-auth")]
        "axum-jwt-auth" => axum_jwt_auth::router(subject, axum_jwt_auth::Backend::RustCrypto).await?,
        #[cfg(feature = "axum-jwt-auth")]
        "axum-jwt-auth+aws-lc-rs" => axum_jwt_auth::router(subject, axum_jwt_auth::Backend::AwsLcRs).await?,
        #[cfg(feature = "jwt-authorizer")]
        "jwt-authorizer" => jwt_authorizer::router(subject).await?,
        #[cfg(feature = "oauth-resource-server")]
        "oauth-resource-server" => oauth_resource_server::router(subject).await?,
        #[cfg(feature = "tower-oauth2-resource-server")]
        "tower-oauth2-resource-server" => tower_oauth2_resource_server::router(subject).await?,
        #[cfg(feature = "turbomcp-auth")]
        "turbomcp-auth" => turbomcp_auth::router(subject).await?,
        _ => return Err(SetupError::UnknownName(name.to_owned())),
    };
    accepts(&router, subject).await?;
    Ok(router)
}

/// Waits until the valid token is accepted, because some peers fetch their keys after they are built.
async fn accepts(router: &Router, subject: &Subject) -> Result<(), SetupError> {
    let mut status = StatusCode::OK;
    for _ in 0..ATTEMPTS {
        status = Subject::call(router, Some(&subject.token)).await.status();
        if status.is_success() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(SetupError::NeverAccepts(status))
}

/// The reason why a peer does not have a router.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The name of the peer is unknown.
    #[error("the peer {0:?} is unknown; use one of {NAMES:?}")]
    UnknownName(String),
    /// The peer does not support this work.
    #[error("{0}")]
    Unable(&'static str),
    /// The setup of the peer failed.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The peer rejects a valid token.
    #[error("a valid token gets {0}")]
    NeverAccepts(StatusCode),
}

impl SetupError {
    fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// Two seconds in total, for a fetch over loopback.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);
