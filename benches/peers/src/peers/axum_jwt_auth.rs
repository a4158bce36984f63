//! `axum-jwt-auth`: an axum extractor and not a layer. The application is only protected if the handler extracts
//! claims.
//!
//! It does not support discovery, so it gets the URL of the key set. Its jsonwebtoken enables the pure-Rust backend. An
//! application that wants AWS-LC depends on jsonwebtoken itself and installs the other backend, because jsonwebtoken
//! does not choose one if both are enabled.

use std::sync::Arc;

use ::axum_jwt_auth::{Claims, Decoder, RemoteJwksDecoder};
use axum::Router;
use axum::extract::FromRef;
use axum::routing::any;
use jsonwebtoken_10::crypto::{aws_lc, rust_crypto};
use jsonwebtoken_10::{Algorithm, Validation};

use super::SetupError;
use crate::application::{self, answer, application};
use crate::subject::{RESOURCE, Subject};

/// The backend of jsonwebtoken for the whole process.
pub(super) enum Backend {
    AwsLcRs,
    RustCrypto,
}

pub(super) async fn router(subject: &Subject, backend: Backend) -> Result<Router, SetupError> {
    let provider = match backend {
        Backend::AwsLcRs => &aws_lc::DEFAULT_PROVIDER,
        Backend::RustCrypto => &rust_crypto::DEFAULT_PROVIDER,
    };
    // Fails if a previous subject has already installed the backend.
    let _earlier = provider.install_default();
    let algorithm: Algorithm = subject.algorithm.name().parse().map_err(SetupError::failed)?;
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[RESOURCE]);
    validation.set_issuer(&[subject.issuer.url()]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    let decoder = RemoteJwksDecoder::builder().jwks_url(subject.jwks_uri()).validation(validation).build();
    let decoder = decoder.map_err(SetupError::failed)?;
    decoder.initialize().await.map_err(SetupError::failed)?;
    let handler = async |caller: Claims<application::Claims>| answer(&caller.claims.sub);
    Ok(application(any(handler)).with_state(AppState { decoder: Arc::new(decoder) }))
}

#[derive(Clone, FromRef)]
struct AppState {
    decoder: Decoder<application::Claims>,
}
