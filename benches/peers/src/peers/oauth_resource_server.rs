//! `oauth-resource-server`: a layer for axum, with discovery.

use std::sync::Arc;

use ::oauth_resource_server::axum::AuthLayer;
use ::oauth_resource_server::{AuthorizedToken, KeyNaming, OAuthConfig, OAuthValidator};
use axum::Router;
use axum::extract::Request;
use axum::routing::any;

use super::SetupError;
use crate::application::{application, left_by_layer};
use crate::subject::{RESOURCE, Subject};

pub(super) async fn router(subject: &Subject) -> Result<Router, SetupError> {
    let config = OAuthConfig {
        enabled: true,
        issuer: subject.issuer.url().to_owned(),
        audience: RESOURCE.to_owned(),
        resource: RESOURCE.to_owned(),
        algorithms: vec![subject.algorithm.name().to_owned()],
        // No scope is required, as with the other peers.
        allow_unscoped_tokens: true,
        ..OAuthConfig::default()
    };
    let resolved = config.resolve(KeyNaming::Dotted("oauth")).map_err(SetupError::failed)?;
    let resolved = resolved.ok_or(SetupError::Unable("the configuration is not enabled"))?;
    let validator = Arc::new(OAuthValidator::new(&resolved).map_err(SetupError::failed)?);
    validator.spawn_background_refresh();
    validator.refresh_now().await.map_err(SetupError::failed)?;
    let layer = AuthLayer::builder().oauth(validator).build().map_err(SetupError::failed)?;
    let handler = async |request: Request| left_by_layer(&request, subject_of);
    Ok(application(any(handler)).route_layer(layer))
}

fn subject_of(token: &AuthorizedToken) -> &str {
    token.subject.as_deref().unwrap_or_default()
}
