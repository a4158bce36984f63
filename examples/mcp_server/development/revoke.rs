//! `POST /revoke`: a client gives back a token of its own (RFC 7009).

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
    server.give_back(&client.id(), form.required("token")?)?;
    Ok([(header::CACHE_CONTROL, "no-store")].into_response())
}

impl Shared {
    /// A refresh token takes the whole login with it (RFC 7009, section 2.1), an access token only itself. Nothing is
    /// wrong with an unknown one (section 2.2). The hint is not needed: each kind is looked for where it is kept.
    fn give_back(&self, client_id: &str, token: &str) -> Result<(), OAuthError> {
        let of_another = || OAuthError::new("invalid_grant", "the token is for another client");
        if let Some(grant) = self.refresh_tokens.peek(token) {
            let is_own = grant.client_id == client_id;
            return is_own.then(|| self.end(&grant.login)).ok_or_else(of_another);
        }
        let answer = self.issuer.introspect(token);
        if answer.get("active") == Some(&Value::Bool(true)) {
            let is_own = answer.get("client_id").and_then(Value::as_str) == Some(client_id);
            return is_own.then(|| self.issuer.revoke(token)).ok_or_else(of_another);
        }
        Ok(())
    }
}
