//! `mcp-bearer` with default features and discovery.

use ::mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use axum::Router;
use axum::routing::any;

use super::SetupError;
use crate::application::{answer, application};
use crate::subject::{RESOURCE, Subject};

/// `cached` is the number of cached verified tokens.
pub(super) async fn router(subject: &Subject, cached: Option<usize>) -> Result<Router, SetupError> {
    let issuer = Issuer::discover(subject.issuer.url()).algorithms([subject.algorithm]);
    let builder = ResourceServer::builder(RESOURCE).issuer(issuer).cache_verified_tokens(cached.unwrap_or(0));
    let server = builder.build().await.map_err(SetupError::failed)?;
    let handler = async |auth: AuthInfo| answer(auth.subject().unwrap_or_default());
    Ok(application(any(handler)).route_layer(server.bearer_layer()))
}
