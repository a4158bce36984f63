//! The response to a rejected request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::{Rejection, RejectionKind, log};

/// The closure of `on_rejection`.
pub(crate) type OnRejection = Arc<dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync>;

impl Rejection {
    /// The default response: status, challenge, body, and this value in the extensions.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let body = self.body();
        let is_json = !body.is_empty();
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        self.complete(&mut response);
        let headers = response.headers_mut();
        if is_json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }

    /// Adds to a response what every rejection has: the challenge before those of other schemes, `no-store`, and itself.
    fn complete(&self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            // A response from `to_response` already has the challenge.
            let others = headers.get_all(header::WWW_AUTHENTICATE).iter().filter(|other| !is_bearer(other));
            let others: Vec<_> = others.cloned().collect();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            for other in others {
                headers.append(header::WWW_AUTHENTICATE, other);
            }
        }
        if let RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured = self.kind() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after()));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self.clone());
    }

    /// The seconds until another attempt: those that the unavailable server asked for, from 1 to 60, else 5. Fractions are
    /// rounded up, because a client that retries too early is rejected again.
    fn retry_after(&self) -> u64 {
        let time = match self.kind() {
            RejectionKind::Unavailable { retry_after: Some(time) } => time.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER),
            _ => DEFAULT_RETRY_AFTER,
        };
        time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
    }

    /// The response of the application's closure, or the default response.
    pub(crate) fn to_response_by(&self, respond: Option<&OnRejection>) -> Response<Bytes> {
        match respond {
            None => self.to_response(),
            Some(respond) => match catch_unwind(AssertUnwindSafe(|| respond(self))) {
                Ok(mut response) => {
                    self.complete(&mut response);
                    response
                }
                Err(_) => {
                    log::misconfigured_outside(
                        "on_rejection_panicked",
                        None,
                        "`on_rejection` panicked: the request gets the default response",
                    );
                    self.to_response()
                }
            },
        }
    }
}

fn is_bearer(challenge: &HeaderValue) -> bool {
    let scheme = challenge.as_bytes().split(|byte| matches!(byte, b' ' | b',')).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Bearer")
}

const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// With `Retry-After: 0`, all clients would retry at once.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
