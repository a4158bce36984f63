//! `POST /revoke`: a client revokes one of its tokens (RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::client::Client;
use super::error::OAuthError;
use super::parameters::Parameters;
use super::server::Shared;

pub(crate) async fn revoke(
    State(server): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Parameters::from_form(&headers, &body)?;
    let client = Client::authenticate(&headers, &form, &server.secrets)?;
    server.revoke_token(&client.id(), form.required("token")?)?;
    Ok([(header::CACHE_CONTROL, "no-store")].into_response())
}

impl Shared {
    /// Revoking a refresh token ends the whole login (RFC 7009, section 2.1); revoking an access token only revokes
    /// that token. An unknown token is not an error (section 2.2). The server ignores `token_type_hint`, because it
    /// looks up both kinds of tokens.
    fn revoke_token(&self, client_id: &str, token: &str) -> Result<(), OAuthError> {
        let for_another_client = || OAuthError::new("invalid_grant", "the token belongs to another client");
        if let Some(grant) = self.refresh_tokens.peek(token) {
            let is_own = grant.client_id == client_id;
            return is_own.then(|| self.end(&grant.login)).ok_or_else(for_another_client);
        }
        let answer = self.issuer.introspect(token);
        if answer.get("active") == Some(&Value::Bool(true)) {
            let is_own = answer.get("client_id").and_then(Value::as_str) == Some(client_id);
            return is_own.then(|| self.issuer.revoke(token)).ok_or_else(for_another_client);
        }
        Ok(())
    }
}
