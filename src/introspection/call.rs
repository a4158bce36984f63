use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use url::{Url, form_urlencoded};

use super::ClientCredentials;
use super::answer::{self, Unreadable, Verdict};
use super::breaker::Failure;
use crate::clock::Clock;
use crate::http_client::{
    AddressPolicy, FetchError, FetchErrorKind, HttpClient, HttpError, HttpErrorKind, RequestLimits, exchange,
    retry_after,
};

/// Where tokens are introspected, and which addresses that may lead to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) addresses: AddressPolicy,
}

/// Knows where the introspection endpoint is, or finds out.
pub(crate) trait FindEndpoint: Send + Sync + 'static {
    fn find(&self) -> FindFuture<'_>;

    /// The endpoint answers as if it were none: it may have moved.
    fn doubt(&self);

    /// Whether it is known at the moment.
    fn is_known(&self) -> bool;

    /// Why it is not, and how long until it is looked for again; `None` if nothing stands against that.
    fn trouble(&self) -> Option<(Arc<FetchError>, Duration)>;
}

pub(crate) type FindFuture<'a> = Pin<Box<dyn Future<Output = Result<Endpoint, Arc<FetchError>>> + Send + 'a>>;

/// One introspection request (RFC 7662, section 2.1).
pub(super) struct Call {
    pub(super) issuer: Box<str>,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) credentials: ClientCredentials,
    pub(super) endpoint: Box<dyn FindEndpoint>,
}

/// What a call failed of, and what that says about the endpoint.
#[derive(Debug, Clone)]
pub(super) struct CallError {
    pub(super) error: Arc<FetchError>,
    pub(super) failure: Failure,
}

impl Call {
    /// What the authorization server says of `token`.
    pub(super) async fn run(&self, token: &str, clock: &dyn Clock) -> Result<Verdict, CallError> {
        let endpoint = self.endpoint.find().await.map_err(CallError::of_discovery)?;
        let url = endpoint.url.as_str();
        let limits = RequestLimits::new(MAX_ANSWER, endpoint.addresses);
        let request = || self.request(url, token, clock);
        let response = exchange(self.client.as_ref(), request, &limits, TOTAL_TIMEOUT).await;
        let response = response.map_err(|source| CallError::of_exchange(FetchError::of_exchange(url, source)))?;
        answer::read(response.status(), response.body(), &self.issuer).map_err(|unreadable| {
            if matches!(unreadable, Unreadable::Status(404 | 405 | 410)) {
                self.endpoint.doubt();
            }
            CallError::of_answer(unreadable, url, retry_after(response.headers()))
        })
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
    fn of_discovery(error: Arc<FetchError>) -> Self {
        Self { failure: Failure::Endpoint { retry_after: error.retry_after() }, error }
    }

    fn of_exchange(error: FetchError) -> Self {
        let failure = match error.kind() {
            // What was not sent tells nothing.
            FetchErrorKind::Unsendable => Failure::Token,
            // One token can have as many claims.
            _ if error.is_too_large() => Failure::EndpointOrToken,
            _ => Failure::Endpoint { retry_after: None },
        };
        Self { error: Arc::new(error), failure }
    }

    fn of_answer(unreadable: Unreadable, url: &str, retry_after: Option<Duration>) -> Self {
        let (kind, failure) = match unreadable {
            // A firewall on the way may refuse what looks like an attack; the other 401 is about us alone.
            Unreadable::Credentials(403) => (FetchErrorKind::CredentialsRefused(403), Failure::EndpointOrToken),
            Unreadable::Credentials(status) => {
                (FetchErrorKind::CredentialsRefused(status), Failure::Endpoint { retry_after })
            }
            Unreadable::Status(status @ (400 | 413 | 414 | 422 | 431)) => {
                (FetchErrorKind::Status(status), Failure::Token)
            }
            Unreadable::Status(500) => (FetchErrorKind::Status(500), Failure::EndpointOrToken),
            Unreadable::Status(status) => (FetchErrorKind::Status(status), Failure::Endpoint { retry_after }),
            Unreadable::Malformed | Unreadable::Active => (FetchErrorKind::Document, Failure::EndpointOrToken),
            Unreadable::Claims => (FetchErrorKind::Document, Failure::Token),
        };
        let mut error = FetchError::new(kind, url).with_retry_after(retry_after);
        if kind == FetchErrorKind::Document {
            error = error.with_source(unreadable);
        }
        Self { error: Arc::new(error), failure }
    }
}

/// The most bytes of an answer: real ones take 1 KiB.
const MAX_ANSWER: usize = 64 * 1024;
/// One request, its retry included. Somebody waits for it, unlike for a key set.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(3);
