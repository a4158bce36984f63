use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::{HttpClient, HttpError, HttpErrorKind, RequestLimits};

/// Sends a request, once more if the server could not be reached, closed the connection before it answered, or was busy,
/// all within `total`. `request` makes it anew for each attempt: what proves who we are is good for one.
pub(crate) async fn exchange(
    client: &dyn HttpClient,
    request: impl Fn() -> Result<Request<Bytes>, HttpError>,
    limits: &RequestLimits,
    total: Duration,
) -> Result<Response<Bytes>, HttpError> {
    let attempts = async {
        let first = attempt(client, request()?, limits).await;
        if !may_be_retried(&first) {
            return first;
        }
        tokio::time::sleep(retry_pause()).await;
        attempt(client, request()?, limits).await
    };
    tokio::time::timeout(total, attempts).await.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout)))
}

/// Sends a request once.
pub(crate) async fn attempt(
    client: &dyn HttpClient,
    mut request: Request<Bytes>,
    limits: &RequestLimits,
) -> Result<Response<Bytes>, HttpError> {
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let response = client.send(request, limits.clone()).await?;
    // A client of somebody else's making may have read more than it should.
    if response.body().len() > limits.body {
        return Err(HttpError::new(HttpErrorKind::TooLarge));
    }
    match content_coding(response.headers()).filter(|_| response.status() == StatusCode::OK) {
        Some(coding) => Err(HttpError::new(HttpErrorKind::Encoded).with_source(format!("the coding is {coding:?}"))),
        None => Ok(response),
    }
}

/// The name of the first coding, printable and cut. A decoder could be made to unfold a few bytes into gigabytes, so none is
/// used.
fn content_coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let coding = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
    Some(coding.escape_ascii().take(MAX_CODING).map(char::from).collect())
}

/// Whether the same request may succeed a moment later.
pub(crate) fn may_be_retried(attempted: &Result<Response<Bytes>, HttpError>) -> bool {
    match attempted {
        Ok(response) => matches!(
            response.status(),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        ),
        Err(error) => matches!(error.kind(), HttpErrorKind::Connect | HttpErrorKind::Closed),
    }
}

/// How long to wait before the second attempt.
pub(crate) fn retry_pause() -> Duration {
    Duration::from_millis(fastrand::u64(RETRY_PAUSE_MILLIS))
}

/// The valid `Retry-After` of an answer: seconds, or a date, counted from the answer's own `Date` (RFC 9110, section
/// 10.2.3), so that no clock of ours takes part.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let sent = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    httpdate::parse_http_date(text).ok()?.duration_since(sent).ok()
}

/// The most characters of a coding's name in an error: the longest that is registered has 11.
const MAX_CODING: usize = 32;
/// Long enough for a restarted process to listen, short enough to fit into the total twice.
const RETRY_PAUSE_MILLIS: std::ops::Range<u64> = 50..150;
