//! Introspection (RFC 7662) and revocation (RFC 7009).

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::answer::not_allowed;
use super::client::{NotTheClient, TrustedClient};
use super::documents::Endpoint;
use super::fault::{empty, page};
use super::requests::ReceivedRequest;
use super::state::{Changing, IssuerState};

impl IssuerState {
    pub(super) fn token_endpoint_answer(&self, changing: &mut Changing, request: &ReceivedRequest) -> Response<Bytes> {
        let mut answer = match token_parameter(changing.client.as_ref(), request) {
            Err(refusal) => refusal.answer(),
            Ok(token) if request.endpoint() == Endpoint::Revocation => {
                self.revoke(changing, &token);
                // The response is the same for an unknown token (RFC 7009, section 2.2).
                empty(200)
            }
            Ok(token) => page("application/json", self.introspect(changing, &token).to_string()),
        };
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    pub(super) fn introspect(&self, changing: &Changing, token: &str) -> Value {
        changing.tokens.introspect(token, &changing.ring, self.clock.since_epoch())
    }

    pub(super) fn revoke(&self, changing: &mut Changing, token: &str) {
        changing.tokens.revoke(token, &changing.ring, self.clock.since_epoch());
    }
}

/// The `token` parameter of a request by this client.
fn token_parameter(client: Option<&TrustedClient>, request: &ReceivedRequest) -> Result<String, Refusal> {
    if *request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    if !is_form(request) {
        return Err(Refusal::Malformed);
    }
    if let Some(client) = client {
        client.authenticate(request)?;
    }
    let form = request.form().into_iter();
    let mut tokens = form.filter(|(name, value)| name == "token" && !value.is_empty()).map(|(_, value)| value);
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(Refusal::Malformed),
    }
}

enum Refusal {
    Method,
    Malformed,
    Client,
}

impl Refusal {
    /// RFC 6749, section 5.2.
    fn answer(self) -> Response<Bytes> {
        let error = |status: StatusCode, code: &str| {
            let mut answer = page("application/json", json!({ "error": code }).to_string());
            *answer.status_mut() = status;
            answer
        };
        match self {
            Self::Method => not_allowed("POST"),
            Self::Malformed => error(StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Client => {
                let mut answer = error(StatusCode::UNAUTHORIZED, "invalid_client");
                let challenge = HeaderValue::from_static("Basic realm=\"test issuer\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                answer
            }
        }
    }
}

impl From<NotTheClient> for Refusal {
    fn from(reason: NotTheClient) -> Self {
        match reason {
            NotTheClient::Wrong => Self::Client,
            NotTheClient::Twice => Self::Malformed,
        }
    }
}

fn is_form(request: &ReceivedRequest) -> bool {
    let essence = request.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests;
