use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use tokio::time::timeout;
use url::form_urlencoded;

use super::ClientCredentials;
use super::answer::{self, Unreadable, Verdict};
use super::endpoint::IntrospectionEndpoint;
use super::health::Outcome;
use crate::clock::Clock;
use crate::discovery::Endpoint;
use crate::http_client::{
    FetchError, FetchErrorKind, HttpClient, HttpError, HttpErrorKind, RequestLimits, attempt, may_be_retried,
    retry_after,
};

/// Sends introspection requests (RFC 7662, section 2.1).
pub(super) struct Caller {
    pub(super) issuer: Box<str>,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) credentials: ClientCredentials,
    pub(super) endpoint: IntrospectionEndpoint,
}

/// Why a call brought no answer about the token.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    pub(super) error: Arc<FetchError>,
    pub(super) outcome: Outcome,
    /// The same request may succeed a moment later.
    pub(super) may_be_retried: bool,
    /// The request is rejected by an error code that blames the request, and that may be about the token.
    pub(super) blames_request: bool,
}

impl Caller {
    /// Sends one request, and reads what the authorization server says of `token`.
    pub(super) async fn call(
        &self,
        endpoint: &Endpoint,
        token: &str,
        time_limit: Duration,
        clock: &dyn Clock,
    ) -> Result<Verdict, CallError> {
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

    fn read(&self, url: &str, response: &Response<Bytes>) -> Result<Verdict, CallError> {
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
        Self { error, outcome: Outcome::NotSent, may_be_retried: false, blames_request: false }
    }

    fn from_exchange(url: &str, error: HttpError) -> Self {
        let kind = error.kind();
        let error = FetchError::from_http_error(url, error);
        let outcome = match kind {
            HttpErrorKind::Unsendable => Outcome::NotSent,
            HttpErrorKind::Timeout => Outcome::TimedOut,
            // One token can have as many claims; a response it is.
            HttpErrorKind::TooLarge | HttpErrorKind::Redirected | HttpErrorKind::Encoded => Outcome::Odd,
            _ if error.is_unreachable() => Outcome::Unreachable,
            _ => Outcome::Broken,
        };
        Self { error: Arc::new(error), outcome, may_be_retried: false, blames_request: false }
    }

    fn from_response(unreadable: Unreadable, url: &str, retry_after: Option<Duration>) -> Self {
        let (kind, outcome) = match unreadable {
            Unreadable::Credentials(status) => (FetchErrorKind::CredentialsRefused(status), Outcome::ClientRejected),
            Unreadable::Status(429) => (FetchErrorKind::Status(429), Outcome::RateLimited { retry_after }),
            Unreadable::Status(503) => (FetchErrorKind::Status(503), Outcome::Overloaded { retry_after }),
            Unreadable::Status(status @ (400 | 413 | 414 | 422 | 431)) => {
                (FetchErrorKind::Status(status), Outcome::RequestRejected)
            }
            Unreadable::Status(status) => (FetchErrorKind::Status(status), Outcome::Odd),
            Unreadable::Request => (FetchErrorKind::Status(400), Outcome::RequestRejected),
            Unreadable::Malformed | Unreadable::Active | Unreadable::Claims(_) => {
                (FetchErrorKind::Document, Outcome::Odd)
            }
        };
        let mut error = FetchError::new(kind, url).with_retry_after(retry_after);
        if kind == FetchErrorKind::Document {
            error = error.with_source(unreadable);
        }
        let blames_request = unreadable == Unreadable::Request;
        Self { error: Arc::new(error), outcome, may_be_retried: false, blames_request }
    }
}

/// The most bytes of an answer: real ones take 1 KiB.
const MAX_ANSWER: usize = 64 * 1024;
