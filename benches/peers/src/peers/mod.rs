//! One file for each peer, and the table of them.
//!
//! Each is set up as well as its documentation and its source allow: the fastest configuration that checks signature,
//! issuer, audience and expiry. They fetch the keys as a deployment does, found by discovery where the peer can.

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

/// What [`router`] has, by the names that it knows them by.
///
/// `mcp-bearer-cached` is `mcp-bearer` with a memory of verified tokens, which holds the one token of a measurement.
/// `axum-jwt-auth+aws-lc-rs` is `axum-jwt-auth` in an application that also depends on jsonwebtoken, for its other
/// backend, and installs it.
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

/// An axum application of one route, [`PATH`](crate::PATH), for callers with a token of the subject's issuer, which
/// has accepted such a token once.
///
/// Under `none` it is for anybody: what the application alone costs. Background tasks of a peer live in the current
/// runtime, and the subject's issuer must outlive the router. One process is for one peer: some install a backend.
///
/// # Errors
/// [`SetupError`] if there is no such name, or the peer cannot be set up for this subject.
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

/// Waits until the good token is accepted: some peers fetch their keys after they said that they were built.
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

/// Why there is no router.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no peer of this name.
    #[error("no peer is called {0:?}; known are {NAMES:?}")]
    UnknownName(String),
    /// The peer can't do this work.
    #[error("{0}")]
    Unable(&'static str),
    /// The peer said no.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// The peer refuses a good token.
    #[error("a good token is answered with {0}")]
    NeverAccepts(StatusCode),
}

impl SetupError {
    fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused(error.into())
    }
}

/// Together two seconds, for a fetch over loopback.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);
