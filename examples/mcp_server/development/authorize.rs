//! `/authorize`: asks alice for consent and sends the code to the client (RFC 6749, section 4.1; RFC 7636; RFC 8707;
//! RFC 9207).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::client::{Client, Grant as GrantType};
use super::error::OAuthError;
use super::page;
use super::parameters::Parameters;
use super::secret;
use super::server::Shared;
use super::token::{Grant, IssuedCode};

/// An authorization request that waits for alice's decision.
#[derive(Debug)]
pub(crate) struct Consent {
    client_id: String,
    scopes: Vec<String>,
    code_challenge: String,
    // The thumbprint in the parameter `dpop_jkt` (RFC 9449, section 10).
    key: Option<String>,
    // The value from the request. The token endpoint compares it with the value of the token request.
    redirect_uri: Option<String>,
    answer_to: Return,
}

/// How the response reaches the client.
#[derive(Debug)]
struct Return {
    redirect_uri: String,
    state: Option<String>,
}

/// GET: shows the consent page.
pub(crate) async fn ask(State(server): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    // With an invalid client or redirect URI, the server must not redirect (RFC 6749, section 4.1.2.1).
    let (client, answer_to) = match identify(&parameters) {
        Ok(identified) => identified,
        Err(error) => return page::error(&error.description),
    };
    match server.read_request(&parameters, &client) {
        Ok((scopes, code_challenge, key)) => {
            let (shown, host) = (scopes.clone(), page::host_of(&answer_to.redirect_uri));
            let redirect_uri = parameters.all("redirect_uri").next().map(str::to_owned);
            let consent = Consent { client_id: client.id(), scopes, code_challenge, key, redirect_uri, answer_to };
            let request = server.consents.keep(consent);
            page::consent(&client.name, &host, &server.resource, &shown, &request)
        }
        Err(error) => server.redirect(&answer_to, &[("error", error.code), ("error_description", &error.description)]),
    }
}

/// POST: receives the decision.
pub(crate) async fn decide(State(server): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    // A page of another origin cannot know the request id. The server rejects its form as a second line of defense.
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
    if headers.get(header::ORIGIN).is_some_and(|origin| own.is_none_or(|own| origin != own.as_str())) {
        return page::error("This decision came from another web site.");
    }
    let form = Parameters::parse(&body);
    let consent = form.required("request").ok().and_then(|request| server.consents.take(request));
    let Some(Consent { client_id, scopes, code_challenge, key, redirect_uri, answer_to }) = consent else {
        return page::error("This request was already decided, or has expired. Start again in your client.");
    };
    if form.required("decision").ok() != Some("approve") {
        return server
            .redirect(&answer_to, &[("error", "access_denied"), ("error_description", "alice denied the request")]);
    }
    let grant = Grant { client_id, scopes, key, login: secret::random() };
    let code = server.codes.keep(IssuedCode { grant, redirect_uri, code_challenge });
    server.redirect(&answer_to, &[("code", &code)])
}

/// Returns the client and its registered redirect URI.
fn identify(parameters: &Parameters) -> Result<(Client, Return), OAuthError> {
    let unknown = || OAuthError::new("invalid_request", "This client is not registered here.");
    let client = Client::from_id(parameters.required("client_id")?).ok_or_else(unknown)?;
    let asked = parameters.optional("redirect_uri")?;
    let redirect_uri = client.redirect_uri(asked).ok_or_else(|| {
        OAuthError::new("invalid_request", "The redirect URI is not one that this client registered.")
    })?;
    // If `state` appears twice, the error response does not contain it.
    let state = parameters.optional("state").ok().flatten().map(str::to_owned);
    Ok((client, Return { redirect_uri, state }))
}

impl Shared {
    /// Returns the scopes, the code challenge and the thumbprint of a valid request.
    fn read_request(
        &self,
        parameters: &Parameters,
        client: &Client,
    ) -> Result<(Vec<String>, String, Option<String>), OAuthError> {
        parameters.optional("state")?;
        if parameters.required("response_type")? != "code" {
            return Err(OAuthError::new("unsupported_response_type", "only code is supported"));
        }
        if !client.grants.contains(&GrantType::AuthorizationCode) {
            return Err(OAuthError::new("unauthorized_client", "the client is not registered for authorization_code"));
        }
        let challenge = parameters.required("code_challenge")?;
        if parameters.required("code_challenge_method")? != "S256" || challenge.len() != S256_LENGTH {
            return Err(OAuthError::new("invalid_request", "code_challenge_method must be S256"));
        }
        self.check_resources(parameters)?;
        let key = parameters.optional("dpop_jkt")?.filter(|_| self.supports_dpop).map(str::to_owned);
        Ok((self.known_scopes(parameters.optional("scope")?)?, challenge.to_owned(), key))
    }

    fn redirect(&self, answer_to: &Return, outcome: &[(&str, &str)]) -> Response {
        let Ok(mut target) = Url::parse(&answer_to.redirect_uri) else {
            return page::error("The redirect URI is not a valid URL.");
        };
        target
            .query_pairs_mut()
            .extend_pairs(outcome)
            .extend_pairs(answer_to.state.iter().map(|state| ("state", state)))
            .append_pair("iss", self.issuer.url());
        match HeaderValue::try_from(target.as_str()) {
            Ok(target) => {
                let headers =
                    [(header::LOCATION, target), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
                (StatusCode::SEE_OTHER, headers).into_response()
            }
            Err(_) => page::error("The redirect URI is not a valid header value."),
        }
    }
}

/// The length of 32 bytes in base64url (RFC 7636, section 4.2).
const S256_LENGTH: usize = 43;
