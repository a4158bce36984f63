use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use tokio::time::timeout;
use url::form_urlencoded;

use super::ClientCredentials;
use super::answer::{self, InvalidResponse, TokenStatus};
use super::breaker::Outcome;
use crate::clock::Clock;
use crate::discovery::{EndpointSource, EndpointUrl};
use crate::http_client::{
    AddressPolicy, FetchError, FetchErrorKind, HttpClient, HttpError, HttpErrorKind, RequestLimits, attempt,
    may_be_retried, retry_after,
};

/// The introspection endpoint of one issuer.
pub(super) struct IntrospectionEndpoint(pub(super) EndpointSource);

impl IntrospectionEndpoint {
    /// Its URL, which is discovered if it is not known.
    pub(super) async fn find(&self) -> Result<EndpointUrl, Arc<FetchError>> {
        let source = match &self.0 {
            EndpointSource::Configured(url) => {
                return Ok(EndpointUrl { url: url.clone(), addresses: AddressPolicy::Any });
            }
            EndpointSource::Discovered(source) => source,
        };
        let metadata = source.for_request().await?;
        let endpoint = metadata.introspection().cloned();
        Ok(endpoint.ok_or_else(|| {
            FetchError::new(FetchErrorKind::Document, metadata.issuer().as_str()).with_source(NoIntrospectionEndpoint)
        })?)
    }

    /// It responds as if it had moved, so it is discovered again.
    pub(super) fn suspect(&self) {
        if let EndpointSource::Discovered(source) = &self.0 {
            source.suspect();
        }
    }

    pub(super) fn is_known(&self) -> bool {
        match &self.0 {
            EndpointSource::Configured(_) => true,
            EndpointSource::Discovered(source) => {
                source.known().is_some_and(|metadata| metadata.introspection().is_some())
            }
        }
    }

    /// Why it is not known, and how long it is not discovered again. `None` if it is known, or may be discovered now.
    pub(super) fn last_error(&self) -> Option<(Arc<FetchError>, Duration)> {
        match &self.0 {
            // If it is known, a later failure of discovery does not matter.
            EndpointSource::Discovered(source) if !self.is_known() => source.last_error(),
            EndpointSource::Configured(_) | EndpointSource::Discovered(_) => None,
        }
    }
}

/// Sends introspection requests (RFC 7662, section 2.1).
pub(super) struct IntrospectionClient {
    pub(super) issuer: Box<str>,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) credentials: ClientCredentials,
    pub(super) endpoint: IntrospectionEndpoint,
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

impl IntrospectionClient {
    /// Sends one request, and reads the result for `token`.
    pub(super) async fn call(
        &self,
        endpoint: &EndpointUrl,
        token: &str,
        time_limit: Duration,
        clock: &dyn Clock,
    ) -> Result<TokenStatus, CallError> {
        let url = endpoint.url.as_str();
        let limits = RequestLimits::new(MAX_ANSWER, endpoint.addresses.clone());
        let sent = match self.request(url, token, clock) {
            Ok(request) => timeout(time_limit, attempt(self.client.as_ref(), request, &limits)).await,
            Err(unsendable) => Ok(Err(unsendable)),
        };
        let response = sent.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout)));
        let may_be_retried = may_be_retried(&response);
        let read = match response {
            Ok(response) => self.read(url, &response),
            Err(error) => Err(CallError::from_exchange(url, error)),
        };
        read.map_err(|error| CallError { may_be_retried, ..error })
    }

    fn read(&self, url: &str, response: &Response<Bytes>) -> Result<TokenStatus, CallError> {
        answer::read(response.status(), response.body(), &self.issuer)
            .map_err(|unreadable| CallError::from_response(unreadable, url, retry_after(response.headers())))
    }

    fn request(&self, url: &str, token: &str, clock: &dyn Clock) -> Result<Request<Bytes>, HttpError> {
        let unsendable = |source: Box<dyn std::error::Error + Send + Sync>| {
            HttpError::new(HttpErrorKind::Unsendable).with_source(source)
        };
        let mut request = Request::post(url).body(Bytes::new()).map_err(|error| unsendable(error.into()))?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let written = self.credentials.write(&self.issuer, clock.since_epoch(), headers, &mut form);
        written.map_err(|error| unsendable(error.into()))?;
        *request.body_mut() = form.finish().into();
        Ok(request)
    }
}

impl CallError {
    /// The endpoint could not be discovered. Discovery has its own back-off.
    pub(super) const fn from_discovery(error: Arc<FetchError>) -> Self {
        Self { error, outcome: Outcome::NotSent, may_be_retried: false, token_may_be_cause: false }
    }

    fn from_exchange(url: &str, error: HttpError) -> Self {
        let kind = error.kind();
        let error = FetchError::from_http_error(url, error);
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

    fn from_response(unreadable: InvalidResponse, url: &str, retry_after: Option<Duration>) -> Self {
        let (kind, outcome) = match unreadable {
            InvalidResponse::Credentials(status) => {
                (FetchErrorKind::CredentialsRejected(status), Outcome::ClientRejected)
            }
            InvalidResponse::Status(429) => (FetchErrorKind::Status(429), Outcome::RateLimited { retry_after }),
            InvalidResponse::Status(503) => (FetchErrorKind::Status(503), Outcome::Overloaded { retry_after }),
            InvalidResponse::Status(status @ (400 | 413 | 414 | 422 | 431)) => {
                (FetchErrorKind::Status(status), Outcome::RequestRejected)
            }
            InvalidResponse::Status(status) => (FetchErrorKind::Status(status), Outcome::Unexpected),
            InvalidResponse::Request => (FetchErrorKind::Status(400), Outcome::RequestRejected),
            InvalidResponse::Malformed | InvalidResponse::Active | InvalidResponse::Claims(_) => {
                (FetchErrorKind::Document, Outcome::Unexpected)
            }
        };
        let mut error = FetchError::new(kind, url).with_retry_after(retry_after);
        if kind == FetchErrorKind::Document {
            error = error.with_source(unreadable);
        }
        let token_may_be_cause = unreadable == InvalidResponse::Request;
        Self { error: Arc::new(error), outcome, may_be_retried: false, token_may_be_cause }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the metadata has no \"introspection_endpoint\": configure it with `Issuer::introspection_endpoint`, or verify JWTs \
     locally"
)]
struct NoIntrospectionEndpoint;

/// The most bytes of a response: real responses have 1 KiB.
const MAX_ANSWER: usize = 64 * 1024;
