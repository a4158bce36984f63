//! `turbomcp-auth`: a tower layer that calls a provider, and a JWT validator that is not a provider.
//!
//! The application must implement the provider between the two, and the response for a rejection. Both are minimal
//! here: they call the entry point that the crate documents, and respond as it documents. Its discovery requires
//! `https`, or an empty policy against server-side request forgery, so it gets the URL of the key set.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use ::turbomcp_auth::jwt::JwtValidator;
use ::turbomcp_auth::server::{TokenValidationError, validate_bearer_token};
use ::turbomcp_auth::tower::AuthLayer;
use ::turbomcp_auth::{AuthContext, AuthCredentials, AuthProvider, AuthProviderType, TokenInfo, UserInfo};
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::any;
use jsonwebtoken_11::Algorithm;
use tower::ServiceBuilder;
use turbomcp_protocol::{McpError, McpResult};

use super::SetupError;
use crate::application::{application, left_by_layer};
use crate::subject::{RESOURCE, Subject};

pub(super) async fn router(subject: &Subject) -> Result<Router, SetupError> {
    let algorithm: Algorithm = subject.algorithm.name().parse().map_err(SetupError::failed)?;
    let issuer = subject.issuer.url().to_owned();
    let validator = JwtValidator::with_jwks_uri(issuer, RESOURCE.to_owned(), subject.jwks_uri());
    let provider = Provider { validator: Arc::new(validator.with_algorithms(vec![algorithm])) };
    let layer = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(respond))
        .layer(AuthLayer::new(provider))
        // The layer requires errors that convert into its own type.
        .map_err(|never: Infallible| -> McpError { match never {} });
    let handler = async |request: Request| left_by_layer(&request, |caller: &AuthContext| &caller.sub);
    Ok(application(any(handler)).route_layer(layer))
}

async fn respond(error: McpError) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Debug, Clone)]
struct Provider {
    validator: Arc<JwtValidator>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = McpResult<T>> + Send + 'a>>;

impl AuthProvider for Provider {
    fn name(&self) -> &str {
        "jwt"
    }

    fn provider_type(&self) -> AuthProviderType {
        AuthProviderType::Custom
    }

    fn validate_token(&self, token: &str) -> Answer<'_, AuthContext> {
        let token = token.to_owned();
        Box::pin(async move {
            validate_bearer_token(&self.validator, &token, &[]).await.map_err(|error| match error {
                TokenValidationError::InvalidToken(error) => McpError::authentication(error.to_string()),
                TokenValidationError::InsufficientScope { .. } => McpError::permission_denied("insufficient scope"),
            })
        })
    }

    fn authenticate(&self, _: AuthCredentials) -> Answer<'_, AuthContext> {
        Box::pin(async { Err(unsupported()) })
    }

    fn refresh_token(&self, _: &str) -> Answer<'_, TokenInfo> {
        Box::pin(async { Err(unsupported()) })
    }

    fn revoke_token(&self, _: &str) -> Answer<'_, ()> {
        Box::pin(async { Err(unsupported()) })
    }

    fn get_user_info(&self, _: &str) -> Answer<'_, UserInfo> {
        Box::pin(async { Err(unsupported()) })
    }
}

fn unsupported() -> McpError {
    McpError::internal("tokens are only validated here")
}
