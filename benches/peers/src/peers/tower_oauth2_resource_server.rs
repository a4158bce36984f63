//! `tower-oauth2-resource-server`: a tower layer with discovery, here with its faster backend, which is not the
//! default.

use ::tower_oauth2_resource_server::server::OAuth2ResourceServer;
use ::tower_oauth2_resource_server::tenant::TenantConfiguration;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use jsonwebtoken_11::Algorithm;

use super::SetupError;
use crate::application::{Claims, application, left_by_layer};
use crate::subject::{RESOURCE, Subject};

pub(super) async fn router(subject: &Subject) -> Result<Router, SetupError> {
    let algorithm: Algorithm = subject.algorithm.name().parse().map_err(SetupError::failed)?;
    // Without a URL of the key set, it takes the issuer from the metadata and checks it.
    let tenant = TenantConfiguration::builder(subject.issuer.url())
        .audiences(&[RESOURCE])
        .allowed_algorithms(&[algorithm])
        .build()
        .await
        .map_err(SetupError::failed)?;
    let server = OAuth2ResourceServer::<Claims>::builder().add_tenant(tenant).build();
    let layer = server.await.map_err(SetupError::failed)?.into_layer();
    let handler = async |request: Request| left_by_layer(&request, |claims: &Claims| &claims.sub);
    Ok(application(any(handler)).route_layer(layer))
}
