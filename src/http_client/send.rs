//! Sends requests: once, or with one retry.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use url::Url;

use super::{FetchError, FetchErrorKind, HttpClient, HttpError, HttpErrorKind, RequestLimits};

/// Fetches the document at `url`, with one retry if the server cannot be reached, closes the connection before it responds, or
/// is busy. The status of the response is 200, or 304 if `headers` makes the request conditional.
pub(crate) async fn get(
    client: &dyn HttpClient,
    url: &Url,
    headers: HeaderMap,
    limits: &RequestLimits,
) -> Result<Response<Bytes>, FetchError> {
    let url = url.as_str();
    let request = Request::get(url).body(Bytes::new());
    let mut request = request.map_err(|error| FetchError::new(FetchErrorKind::Document, url).with_source(error))?;
    *request.headers_mut() = headers;
    let attempts = async {
        let first = attempt(client, request.clone(), limits).await;
        if !may_be_retried(&first) {
            return first;
        }
        tokio::time::sleep(retry_pause()).await;
        attempt(client, request.clone(), limits).await
    };
    let result = tokio::time::timeout(GET_TIMEOUT, attempts).await;
    let response = result.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout)));
    let response = response.map_err(|error| FetchError::from_http_error(url, error))?;
    let is_conditional =
        [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].iter().any(|name| request.headers().contains_key(name));
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_MODIFIED if is_conditional => Ok(response),
        status => {
            let error = FetchError::from_status(url, status, response.headers());
            Err(error.with_retry_after(retry_after(response.headers())))
        }
    }
}

/// Sends a request once.
pub(crate) async fn attempt(
    client: &dyn HttpClient,
    mut request: Request<Bytes>,
    limits: &RequestLimits,
) -> Result<Response<Bytes>, HttpError> {
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let sent = catch_panic("the HTTP client", async { client.send(request, limits.clone()).await }).await;
    let response = sent.unwrap_or_else(|panicked| Err(HttpError::new(HttpErrorKind::Other).with_source(panicked)))?;
    // A client written by the user may ignore the limit.
    if response.body().len() > limits.body {
        return Err(HttpError::new(HttpErrorKind::TooLarge));
    }
    match content_coding(response.headers()).filter(|_| response.status() == StatusCode::OK) {
        Some(coding) => Err(HttpError::new(HttpErrorKind::Encoded).with_source(format!("the coding is {coding:?}"))),
        None => Ok(response),
    }
}

/// The application's code panicked. The panic hook of the process prints the message of the panic. It is not logged, because
/// it may contain a token.
#[derive(Debug, thiserror::Error)]
#[error("{0} panicked")]
pub(crate) struct Panicked(pub(crate) &'static str);

/// Turns a panic of `work` into an error, which names it as `what`. The caller makes sure that a panic leaves nothing
/// half-changed.
pub(crate) async fn catch_panic<F: Future>(what: &'static str, work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked(what))),
    })
    .await
}

/// Whether the same request may succeed a moment later.
pub(crate) fn may_be_retried(result: &Result<Response<Bytes>, HttpError>) -> bool {
    match result {
        Ok(response) => matches!(response.status().as_u16(), 502..=504),
        Err(error) => matches!(error.kind(), HttpErrorKind::Connect | HttpErrorKind::Closed),
    }
}

/// The random pause before the retry.
pub(crate) fn retry_pause() -> Duration {
    Duration::from_millis(fastrand::u64(RETRY_PAUSE_MILLIS))
}

/// The name of the first content coding, escaped and cut. No coding is decoded, because a few bytes could expand to
/// gigabytes.
fn content_coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let coding = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
    Some(coding.escape_ascii().take(MAX_CODING).map(char::from).collect())
}

/// The valid `Retry-After` of a response: seconds, or a date (RFC 9110, section 10.2.3). A date is compared with the `Date`
/// of the response, so the local clock does not matter.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let sent = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    httpdate::parse_http_date(text).ok()?.duration_since(sent).ok()
}

/// The time limit of one document, its retry included.
const GET_TIMEOUT: Duration = Duration::from_secs(5);
/// Long enough for a restarted process to listen, short enough to fit into the time limit twice.
const RETRY_PAUSE_MILLIS: std::ops::Range<u64> = 50..150;
/// The most characters of a coding's name in an error: the longest registered name has 11.
const MAX_CODING: usize = 32;
