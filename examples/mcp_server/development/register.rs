//! `POST /register`: dynamic client registration (RFC 7591).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Authentication, Client, Grant, is_redirect_uri, slug};
use super::error::OAuthError;
use super::server::Shared;

/// The client metadata (RFC 7591, section 2) that this server uses. It ignores the rest, as section 2 requires.
#[derive(Deserialize)]
pub(crate) struct Registration {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
}

pub(crate) async fn register(
    State(server): State<Arc<Shared>>,
    registration: Result<Json<Registration>, JsonRejection>,
) -> Result<Response, OAuthError> {
    let Json(registration) = registration.map_err(|error| invalid(error.body_text()))?;
    let client = client(registration)?;
    let is_public = client.authentication == Authentication::None;
    let mut answer = json!({
        "client_id": client.id(),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
        "response_types": if client.grants.contains(&Grant::AuthorizationCode) { vec!["code"] } else { vec![] },
        "token_endpoint_auth_method": client.authentication.name(),
    });
    if !is_public && let Value::Object(answer) = &mut answer {
        answer.insert("client_secret".into(), server.secrets.secret_for(&client.id()).into());
        answer.insert("client_secret_expires_at".into(), 0.into());
    }
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn client(registration: Registration) -> Result<Client, OAuthError> {
    let grants = match registration.grant_types {
        None => vec![Grant::AuthorizationCode],
        // The server may register fewer grants than requested (RFC 7591, section 2).
        Some(names) => names.iter().filter_map(|name| Grant::from_name(name)).collect(),
    };
    if grants.is_empty() {
        return Err(invalid("grant_types must contain one of authorization_code, refresh_token, client_credentials"));
    }
    let method = registration.token_endpoint_auth_method.unwrap_or_else(|| "client_secret_basic".into());
    let authentication = Authentication::from_name(&method)
        .ok_or_else(|| invalid("token_endpoint_auth_method must be none, client_secret_basic or client_secret_post"))?;
    if grants.contains(&Grant::ClientCredentials) && authentication == Authentication::None {
        return Err(invalid("client_credentials needs a client with a secret"));
    }
    let redirect_uris = registration.redirect_uris;
    if redirect_uris.len() > MAX_REDIRECT_URIS || redirect_uris.iter().any(|uri| !is_redirect_uri(uri)) {
        return Err(OAuthError::new(
            "invalid_redirect_uri",
            "use at most five redirect URIs, each with https, http on loopback, or a private-use scheme",
        ));
    }
    if grants.contains(&Grant::AuthorizationCode) && redirect_uris.is_empty() {
        return Err(OAuthError::new("invalid_redirect_uri", "authorization_code needs a redirect URI"));
    }
    let name = slug(registration.client_name.as_deref().unwrap_or_default());
    Ok(Client { name, grants, authentication, redirect_uris })
}

fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new("invalid_client_metadata", description)
}

/// The redirect URIs are part of the client id.
const MAX_REDIRECT_URIS: usize = 5;
