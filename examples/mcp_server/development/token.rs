//! `POST /token`: the token endpoint (RFC 6749, section 3.2).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::client::{self, Authentication, Client};
use super::error::OAuthError;
use super::parameters::Parameters;
use super::secret;
use super::server::Shared;

/// The grant of alice to a client, from one consent.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    /// The thumbprint of the key that the code or the refresh tokens are bound to (RFC 9449, sections 5 and 10).
    pub(crate) key: Option<String>,
    /// The id of the login. The code and all refresh tokens of one consent have the same id.
    pub(crate) login: String,
}

/// An access token that belongs to a consent.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    token: String,
    login: String,
}

/// The data for an authorization code.
#[derive(Debug)]
pub(crate) struct IssuedCode {
    pub(crate) grant: Grant,
    /// The value from the authorization request.
    pub(crate) redirect_uri: Option<String>,
    pub(crate) code_challenge: String,
}

pub(crate) async fn token(
    State(server): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Parameters::from_form(&headers, &body)?;
    let name = form.required("grant_type")?;
    let Some(kind) = client::Grant::from_name(name) else {
        return Err(OAuthError::new("unsupported_grant_type", "this server does not support the grant type"));
    };
    let client = Client::authenticate(&headers, &form, &server.secrets)?;
    if !client.grants.contains(&kind) {
        return Err(OAuthError::new("unauthorized_client", format!("the client is not registered for {name}")));
    }
    server.check_resources(&form)?;
    let key = server.proven_key(&headers)?;
    let answer = match kind {
        client::Grant::AuthorizationCode => server.by_code(&client, &form, key)?,
        client::Grant::RefreshToken => server.by_refresh_token(&client, &form, key)?,
        client::Grant::ClientCredentials => server.by_credentials(&client, &form, key)?,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

impl Grant {
    /// Requires a proof of the key that a code or a refresh token is bound to.
    fn check_key(&self, proven: Option<&String>) -> Result<(), OAuthError> {
        match self.key.as_ref() {
            Some(key) if Some(key) != proven => {
                Err(OAuthError::new("invalid_grant", "the code or refresh token is bound to another key"))
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn by_code(&self, client: &Client, form: &Parameters, key: Option<String>) -> Result<Value, OAuthError> {
        let code = form.required("code")?;
        // The code is removed before the checks: a code that an attacker has used is not valid any more.
        let Some(issued) = self.codes.take(code) else { return Err(self.already_used(code, "authorization code")) };
        self.used.keep_under(code, issued.grant.login.clone());
        let verifier = form.required("code_verifier")?;
        let is_verifier = (43..=128).contains(&verifier.len()) && secret::s256(verifier) == issued.code_challenge;
        let redirect_uri = form.optional("redirect_uri")?;
        if issued.grant.client_id != client.id() || issued.redirect_uri.as_deref() != redirect_uri || !is_verifier {
            return Err(OAuthError::new(
                "invalid_grant",
                "the code belongs to another client, redirect URI or verifier",
            ));
        }
        issued.grant.check_key(key.as_ref())?;
        Ok(self.answer(client, "alice", issued.grant.scopes.clone(), key, Some(issued.grant)))
    }

    fn by_refresh_token(&self, client: &Client, form: &Parameters, key: Option<String>) -> Result<Value, OAuthError> {
        let presented = form.required("refresh_token")?;
        // A thief without the key does not end the login.
        if let Some(grant) = self.refresh_tokens.peek(presented) {
            grant.check_key(key.as_ref())?;
        }
        let Some(grant) = self.refresh_tokens.take(presented) else {
            return Err(self.already_used(presented, "refresh token"));
        };
        self.used.keep_under(presented, grant.login.clone());
        if grant.client_id != client.id() {
            return Err(OAuthError::new("invalid_grant", "the refresh token belongs to another client"));
        }
        let scopes = match form.optional("scope")? {
            None => grant.scopes.clone(),
            Some(asked) => asked.split_whitespace().map(str::to_owned).collect(),
        };
        if let Some(not_granted) = scopes.iter().find(|scope| !grant.scopes.contains(scope)) {
            // A request with invalid scopes does not end the login.
            let login = grant.clone();
            self.used.take(presented);
            self.refresh_tokens.keep_under(presented, login);
            return Err(OAuthError::new("invalid_scope", format!("{not_granted} was not granted")));
        }
        Ok(self.answer(client, "alice", scopes, key, Some(grant)))
    }

    fn by_credentials(&self, client: &Client, form: &Parameters, key: Option<String>) -> Result<Value, OAuthError> {
        let scopes = self.known_scopes(form.optional("scope")?)?;
        // No user is involved: the token is for the client itself (RFC 9068, section 2.2).
        Ok(self.answer(client, &client.id(), scopes, key, None))
    }

    /// Returns the requested scopes that the server knows, or its default scopes if the request has none.
    pub(crate) fn known_scopes(&self, asked: Option<&str>) -> Result<Vec<String>, OAuthError> {
        let Some(asked) = asked else { return Ok(self.default_scopes.clone()) };
        let is_requested = |scope: &&String| asked.split(' ').any(|asked| asked == *scope);
        let known: Vec<String> = self.scopes.iter().filter(is_requested).cloned().collect();
        if known.is_empty() {
            let all = self.scopes.join(" ");
            return Err(OAuthError::new("invalid_scope", format!("this server knows only these scopes: {all}")));
        }
        Ok(known)
    }

    /// Every `resource` must be the only resource of this server (RFC 8707, section 2). It is also the default.
    pub(crate) fn check_resources(&self, parameters: &Parameters) -> Result<(), OAuthError> {
        match parameters.all("resource").find(|resource| *resource != self.resource) {
            None => Ok(()),
            Some(_) => {
                Err(OAuthError::new("invalid_target", format!("the only resource of this server is {}", self.resource)))
            }
        }
    }

    /// Ends the whole login when a code or refresh token is used twice, because an attacker may have stolen it (RFC
    /// 6749, section 4.1.2; RFC 9700, section 4.14.2).
    fn already_used(&self, presented: &str, what: &str) -> OAuthError {
        if let Some(login) = self.used.take(presented) {
            self.end(&login);
        }
        OAuthError::new("invalid_grant", format!("the {what} is unknown, expired or already used"))
    }

    /// Ends a login and revokes its tokens. A server that only checks signatures still accepts JWTs until they expire.
    pub(crate) fn end(&self, login: &str) {
        self.refresh_tokens.take_if(|grant| grant.login == login);
        for issued in self.access_tokens.take_if(|issued| issued.login == login) {
            self.issuer.revoke(&issued.token);
        }
    }

    fn answer(
        &self,
        client: &Client,
        subject: &str,
        scopes: Vec<String>,
        key: Option<String>,
        grant: Option<Grant>,
    ) -> Value {
        let token = self.issuer.token().audience(&self.resource).subject(subject).client_id(&client.id());
        let mut token = token.scope(&for_resource(&scopes)).expires_in(TOKEN_LIFETIME);
        if let Some(key) = &key {
            token = token.claim("cnf", json!({ "jkt": key }));
        }
        let token = self.access_token(token);
        if let Some(Grant { login, .. }) = &grant {
            self.access_tokens.keep(IssuedToken { token: token.clone(), login: login.clone() });
        }
        let mut answer = Map::new();
        answer.insert("access_token".into(), token.into());
        answer.insert("token_type".into(), if key.is_some() { "DPoP" } else { "Bearer" }.into());
        answer.insert("expires_in".into(), TOKEN_LIFETIME.as_secs().into());
        answer.insert("scope".into(), scopes.join(" ").into());
        if let Some(mut grant) = grant.filter(|_| client.grants.contains(&client::Grant::RefreshToken)) {
            // The secret of a client protects its refresh tokens already (RFC 9449, section 5).
            grant.key = key.filter(|_| client.authentication == Authentication::None);
            answer.insert("refresh_token".into(), self.refresh_tokens.keep(grant).into());
        }
        Value::Object(answer)
    }
}

/// Removes `offline_access`, which is a scope of this server and not of the resource.
pub(crate) fn for_resource(scopes: &[String]) -> String {
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).filter(|scope| *scope != OFFLINE_ACCESS).collect();
    scopes.join(" ")
}

/// Clients that find this scope in the metadata request it to get a refresh token.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";
/// Short, so that a developer sees a refresh within minutes.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
