//! `jwt-authorizer`: a tower layer for axum 0.7, here under axum 0.8.
//!
//! The layer is unchanged, but its response has the type of axum 0.7. So the handler is a plain service, which is
//! cheaper than an axum handler. The body of the response is boxed once more, which is more expensive.

use std::convert::Infallible;

use ::jwt_authorizer::{AuthorizerBuilder, IntoLayer as _, Validation};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::any_service;
use jsonwebtoken_9::{Algorithm, TokenData};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::SetupError;
use crate::application::{Claims, application, left_by_layer};
use crate::subject::{RESOURCE, Subject};

pub(super) async fn router(subject: &Subject) -> Result<Router, SetupError> {
    let algorithm: Algorithm = subject.algorithm.name().parse().map_err(SetupError::failed)?;
    let validation = Validation::new().iss(&[subject.issuer.url()]).aud(&[RESOURCE]).algs(vec![algorithm]);
    let authorizer = AuthorizerBuilder::<Claims>::from_oidc(subject.issuer.url()).validation(validation);
    let layer = authorizer.build().await.map_err(SetupError::failed)?.into_layer();
    let service = layer.layer(service_fn(handler)).map_response(|response| response.map(Body::new));
    Ok(application(any_service(service)))
}

async fn handler(request: Request<Body>) -> Result<Response<axum_07::body::Body>, Infallible> {
    let answer = left_by_layer(&request, |caller: &TokenData<Claims>| &caller.claims.sub);
    Ok(Response::new(answer.into()))
}
