use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use url::form_urlencoded;

use super::ClientCredentials;
use super::breaker::Outcome;
use super::secret::{Freshness, RejectedSecret, SecretSource};
use crate::claims::{Claims, first_invalid_claim};
use crate::clock::Clock;
use crate::discovery::{EndpointSource, EndpointUrl};
use crate::failure::CheckFailure;
use crate::http_client::{
    FetchError, FetchErrorKind, HttpClient, HttpError, HttpErrorKind, RequestLimits, attempt, may_be_retried,
    retry_after,
};
use crate::json;

/// The introspection endpoint of one issuer, and how requests are sent to it (RFC 7662, section 2.1).
pub(super) struct IntrospectionClient {
    pub(super) issuer: Arc<str>,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) credentials: ClientCredentials,
    pub(super) endpoint: EndpointSource,
    pub(super) rejected: RejectedSecret,
}

/// The result of an introspection.
#[derive(Debug, Clone)]
pub(crate) enum TokenStatus {
    /// The token is active and has these claims.
    Active(Claims),
    Inactive,
    /// The application's code rejects the token for this reason.
    Rejected(CheckFailure),
    /// The authorization server does not introspect tokens of this kind (`unsupported_token_type`, as in RFC 7009, section
    /// 2.2.1).
    Unsupported,
}

/// Why a token could not be introspected.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum IntrospectionError {
    /// No response was received, or an invalid one.
    #[error("introspection failed")]
    Failed {
        /// When another attempt is possible, if that is known.
        retry_in: Option<Duration>,
        /// Whether an operator must change the configuration first.
        is_misconfiguration: bool,
        #[source]
        source: Arc<FetchError>,
    },
    /// The circuit breaker is open.
    #[error("introspection is suspended after consecutive failures")]
    Suspended {
        retry_in: Duration,
        #[source]
        last: Option<Arc<FetchError>>,
    },
    /// The endpoint limits the rate of requests for this token (RFC 6585, section 4).
    #[error("the authorization server limits the rate of requests for this token")]
    RateLimited { retry_in: Duration },
    /// The limit of concurrent requests is reached, and the permit for this token did not come in time.
    #[error("too many introspection requests are waiting")]
    Busy { retry_in: Duration },
    /// The introspection took too long, or was interrupted by a panic or by the end of its runtime.
    #[error("introspection was interrupted")]
    Interrupted,
}

/// Why a request got no result for the token.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    pub(super) error: Arc<FetchError>,
    pub(super) outcome: Outcome,
    /// Whether the same request may succeed a moment later.
    pub(super) may_be_retried: bool,
    /// Whether the status is 400 and the error code is about the request. Then the token may be the cause.
    pub(super) token_may_be_cause: bool,
}

/// Why a response is not a result for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidResponse {
    /// The error code says that the client credentials of this server are rejected. The value is the status.
    #[error("the client credentials are rejected with status {0}")]
    Credentials(u16),
    #[error("the status is {0}")]
    Status(u16),
    /// Status 400, with an error code that blames the request. Some servers send it for unknown tokens.
    #[error("the status is 400, and the error code blames the request")]
    Request,
    #[error("the response is HTML or XML, not JSON")]
    Html,
    #[error("the response is not a JSON object with unique names")]
    Malformed,
    #[error("the response does not have a boolean \"active\"")]
    Active,
    /// The value is the name of the claim.
    #[error("the token is active, but its claim \"{0}\" has a wrong type")]
    Claims(&'static str),
}

impl IntrospectionClient {
    /// The URL of the endpoint. It is discovered if it is not known.
    pub(super) async fn find_endpoint(&self) -> Result<EndpointUrl, Arc<FetchError>> {
        let source = match &self.endpoint {
            EndpointSource::Configured(endpoint) => return Ok(endpoint.clone()),
            EndpointSource::Discovered(source) => source,
        };
        let metadata = source.for_request().await?;
        Ok(metadata.introspection_endpoint.clone().ok_or_else(|| {
            FetchError::new(FetchErrorKind::Document, metadata.issuer().as_str()).with_source(NoIntrospectionEndpoint)
        })?)
    }

    /// The endpoint responds as if it had moved, so it is discovered again.
    pub(super) fn suspect_endpoint(&self) {
        if let EndpointSource::Discovered(source) = &self.endpoint {
            source.suspect();
        }
    }

    /// Whether the operator configured the URL of the endpoint.
    pub(super) const fn has_configured_endpoint(&self) -> bool {
        matches!(self.endpoint, EndpointSource::Configured(_))
    }

    pub(super) fn knows_endpoint(&self) -> bool {
        match &self.endpoint {
            EndpointSource::Configured(_) => true,
            EndpointSource::Discovered(source) => {
                source.known().is_some_and(|metadata| metadata.introspection_endpoint.is_some())
            }
        }
    }

    /// Why the endpoint is not known, and how long it is not discovered again. `None` if it is known, or may be discovered
    /// now.
    pub(super) fn discovery_error(&self) -> Option<(Arc<FetchError>, Duration)> {
        match &self.endpoint {
            // If it is known, a later failure of discovery does not matter.
            EndpointSource::Discovered(source) if !self.knows_endpoint() => source.last_error(),
            EndpointSource::Configured(_) | EndpointSource::Discovered(_) => None,
        }
    }

    /// The time until a request may discover the endpoint. `None` if it is known, or if discovery did not fail.
    pub(super) fn discovery_pause(&self) -> Option<Duration> {
        match &self.endpoint {
            EndpointSource::Discovered(source) if !self.knows_endpoint() => source.request_pause(),
            EndpointSource::Configured(_) | EndpointSource::Discovered(_) => None,
        }
    }

    /// Sends one request, and reads the result for `token`. If the credentials are rejected and the secret has changed, it sends
    /// one more with the new secret.
    pub(super) async fn call(
        &self,
        endpoint: &EndpointUrl,
        token: &str,
        time_limit: Duration,
        clock: &dyn Clock,
    ) -> Result<TokenStatus, CallError> {
        let call = async {
            match self.credentials.secret() {
                Some(source) if source.may_change() => self.call_with(source, endpoint, token, clock).await,
                Some(SecretSource::Fixed(secret)) => self.send(endpoint, token, secret.text(), clock).await,
                _ => self.send(endpoint, token, "", clock).await,
            }
        };
        let timed_out = |_| CallError::from_http_error(endpoint.url.as_str(), HttpError::new(HttpErrorKind::Timeout));
        timeout(time_limit, call).await.map_err(timed_out)?
    }

    async fn call_with(
        &self,
        source: &SecretSource,
        endpoint: &EndpointUrl,
        token: &str,
        clock: &dyn Clock,
    ) -> Result<TokenStatus, CallError> {
        let unsendable = |error| HttpError::new(HttpErrorKind::Unsendable).with_source(error);
        let secret = source.current(Freshness::Recent).await;
        let mut secret =
            secret.map_err(|error| CallError::from_http_error(endpoint.url.as_str(), unsendable(error)))?;
        let mut result = self.send(endpoint, token, secret.text(), clock).await;
        if is_rejection(&result)
            && self.rejected.may_repeat(&secret)
            && let Ok(renewed) = source.current(Freshness::Now).await
            && renewed != secret
        {
            result = self.send(endpoint, token, renewed.text(), clock).await;
            secret = renewed;
        }
        self.rejected.set(is_rejection(&result).then_some(secret));
        result
    }

    /// Whether the secret has changed since the endpoint rejected it.
    pub(super) async fn has_new_secret(&self) -> bool {
        match self.credentials.secret() {
            Some(source) if source.may_change() => self.rejected.is_replaced(source).await,
            _ => false,
        }
    }

    async fn send(
        &self,
        endpoint: &EndpointUrl,
        token: &str,
        secret: &str,
        clock: &dyn Clock,
    ) -> Result<TokenStatus, CallError> {
        let url = endpoint.url.as_str();
        let limits = RequestLimits::new(MAX_RESPONSE, endpoint.addresses.clone());
        let response = match self.request(url, token, secret, clock) {
            Ok(request) => attempt(self.client.as_ref(), request, &limits).await,
            Err(source) => Err(HttpError::new(HttpErrorKind::Unsendable).with_source(source)),
        };
        let may_be_retried = may_be_retried(&response);
        let status = match response {
            Ok(response) => read(response.status(), response.body(), &self.issuer)
                .map_err(|invalid| CallError::from_response(invalid, url, response.headers())),
            Err(error) => Err(CallError::from_http_error(url, error)),
        };
        status.map_err(|error| CallError { may_be_retried, ..error })
    }

    fn request(
        &self,
        url: &str,
        token: &str,
        secret: &str,
        clock: &dyn Clock,
    ) -> Result<Request<Bytes>, Box<dyn StdError + Send + Sync>> {
        let mut request = Request::post(url).body(Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        self.credentials.write(secret, &self.issuer, clock.since_epoch(), headers, &mut form)?;
        *request.body_mut() = form.finish().into();
        Ok(request)
    }
}

/// Whether the secret may be the cause. Some servers reject credentials without an error code.
fn is_rejection(result: &Result<TokenStatus, CallError>) -> bool {
    let kind = result.as_ref().err().map(|failed| failed.error.kind());
    matches!(kind, Some(FetchErrorKind::CredentialsRejected(_) | FetchErrorKind::Status(401 | 403)))
}

impl CallError {
    /// The endpoint could not be discovered. Discovery has its own back-off.
    pub(super) const fn from_discovery(error: Arc<FetchError>) -> Self {
        Self { error, outcome: Outcome::NotSent, may_be_retried: false, token_may_be_cause: false }
    }

    fn from_http_error(url: &str, error: HttpError) -> Self {
        let kind = error.kind();
        let error = FetchError::from_http_error(url, error).for_introspection();
        let outcome = match kind {
            HttpErrorKind::Unsendable => Outcome::NotSent,
            HttpErrorKind::Timeout => Outcome::TimedOut,
            // One token can have too many claims, and the response shows that the endpoint works.
            HttpErrorKind::TooLarge | HttpErrorKind::Redirected | HttpErrorKind::Encoded => Outcome::Unexpected,
            _ if error.is_unreachable() => Outcome::Unreachable,
            _ => Outcome::Broken,
        };
        Self { error: Arc::new(error), outcome, may_be_retried: false, token_may_be_cause: false }
    }

    fn from_response(invalid: InvalidResponse, url: &str, headers: &HeaderMap) -> Self {
        let retry_after = retry_after(headers);
        let error = |kind| FetchError::new(kind, url).with_retry_after(retry_after).for_introspection();
        let (error, outcome) = match invalid {
            InvalidResponse::Credentials(status) => {
                (error(FetchErrorKind::CredentialsRejected(status)), Outcome::ClientRejected)
            }
            InvalidResponse::Request => (error(FetchErrorKind::Status(400)), Outcome::RequestRejected),
            InvalidResponse::Status(status) => {
                let outcome = match status {
                    429 => Outcome::RateLimited { retry_after },
                    503 => Outcome::Overloaded { retry_after },
                    400 | 413 | 414 | 422 | 431 => Outcome::RequestRejected,
                    _ => Outcome::Unexpected,
                };
                let error = error(FetchErrorKind::Status(status));
                let is_redirect = (300..=399).contains(&status);
                (if is_redirect { error.with_location(headers) } else { error }, outcome)
            }
            InvalidResponse::Html
            | InvalidResponse::Malformed
            | InvalidResponse::Active
            | InvalidResponse::Claims(_) => (error(FetchErrorKind::Document).with_source(invalid), Outcome::Unexpected),
        };
        let token_may_be_cause = invalid == InvalidResponse::Request;
        Self { error: Arc::new(error), outcome, may_be_retried: false, token_may_be_cause }
    }
}

impl IntrospectionError {
    /// The `Retry-After` for the client. If many clients get the same, a random part spreads their requests.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_in, .. } => *retry_in,
            Self::RateLimited { retry_in } => Some(*retry_in),
            Self::Suspended { retry_in, .. } | Self::Busy { retry_in } => Some(with_jitter(*retry_in)),
            Self::Interrupted => None,
        }
    }
}

/// Reads a response strictly (RFC 7662, section 2.2).
///
/// `{"active": false}` is a result with any status: some servers send it with status 401 for an unknown token.
pub(crate) fn read(status: StatusCode, body: &[u8], issuer: &str) -> Result<TokenStatus, InvalidResponse> {
    let document = json::parse::<Map<String, Value>>(body);
    let member = |name: &str| document.as_ref().ok().and_then(|document| document.get(name));
    match (status, member("active")) {
        (_, Some(Value::Bool(false))) => Ok(TokenStatus::Inactive),
        (StatusCode::OK, Some(Value::Bool(true))) => Claims::from_introspection(body, issuer)
            .map(TokenStatus::Active)
            .map_err(|_| InvalidResponse::Claims(document.as_ref().ok().and_then(invalid_claim).unwrap_or("unknown"))),
        (StatusCode::OK, _) if document.is_ok() => Err(InvalidResponse::Active),
        (StatusCode::OK, _) if body.trim_ascii_start().starts_with(b"<") => Err(InvalidResponse::Html),
        (StatusCode::OK, _) => Err(InvalidResponse::Malformed),
        _ => rejected(status, member("error").and_then(Value::as_str)),
    }
}

/// Reads a response with another status than 200 by its error code (RFC 6749, section 5.2).
fn rejected(status: StatusCode, code: Option<&str>) -> Result<TokenStatus, InvalidResponse> {
    let number = status.as_u16();
    match (number, code) {
        (400, Some("unsupported_token_type")) => Ok(TokenStatus::Unsupported),
        (400 | 401 | 403 | 404, Some("invalid_client" | "unauthorized_client")) => {
            Err(InvalidResponse::Credentials(number))
        }
        (400, Some(code)) if !matches!(code, "server_error" | "temporarily_unavailable") => {
            Err(InvalidResponse::Request)
        }
        _ => Err(InvalidResponse::Status(number)),
    }
}

fn invalid_claim(document: &Map<String, Value>) -> Option<&'static str> {
    first_invalid_claim(document, |name, value| {
        let response = json!({ "active": true, name: value }).to_string();
        Claims::from_introspection(response.as_bytes(), "").is_err()
    })
}

/// Rounds up to whole seconds, and adds up to 30 % at random. The result is at most one minute.
fn with_jitter(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).clamp(1, LONGEST);
    Duration::from_secs(seconds.saturating_add(fastrand::u64(0..=seconds.saturating_mul(3) / 10)).min(LONGEST))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the metadata has no \"introspection_endpoint\": configure it with `Issuer::introspection_endpoint`, or verify JWTs \
     locally"
)]
struct NoIntrospectionEndpoint;

/// The most bytes of a response: real responses have 1 KiB.
const MAX_RESPONSE: usize = 64 * 1024;
/// The longest `Retry-After`, in seconds.
const LONGEST: u64 = 60;

#[cfg(test)]
mod tests;
