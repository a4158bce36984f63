use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{Rejection, RejectionKind, log};
use crate::sender::{DPOP_NONCE, ProofFailure};

/// The closure of `on_rejection`.
pub(crate) type OnRejection = Arc<dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync>;

impl Rejection {
    /// The default response: status, challenge, body, and this value in the extensions.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status();
        self.complete(&mut response);
        if !response.body().is_empty() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }

    /// The headers of the gRPC status: `grpc-status` and `grpc-message`, with the challenge, `retry-after` and
    /// `cache-control` as metadata. The [module](super) has the codes.
    ///
    /// The layers answer gRPC requests with these headers already. Use the method with
    /// [`authenticate`](crate::BearerAuthLayer::authenticate), for example for `tonic::Status::from_header_map`:
    ///
    /// ```
    /// use mcp_bearer::Rejection;
    /// use tonic::Status;
    ///
    /// fn status(rejection: &Rejection) -> Status {
    ///     let status = Status::from_header_map(&rejection.to_grpc_status_headers());
    ///     status.unwrap_or_else(|| Status::internal("no gRPC status"))
    /// }
    /// # use mcp_bearer::verify::{CheckFailure, VerifyError};
    /// # let rejection = Rejection::from(VerifyError::from(CheckFailure::Inactive));
    /// # assert_eq!(status(&rejection).code(), tonic::Code::Unauthenticated);
    /// ```
    #[must_use]
    pub fn to_grpc_status_headers(&self) -> HeaderMap {
        let mut headers = self.to_response().into_parts().0.headers;
        headers.remove(header::CONTENT_TYPE);
        insert_grpc_status(&mut headers, self);
        headers
    }

    /// Adds to a response what every rejection has: the challenge before those of other schemes, `no-store`, and itself.
    fn complete(&self, response: &mut Response<Bytes>) {
        // `to_response` in a closure of `on_rejection` has counted the challenge already.
        let is_new = response.extensions().get::<Self>().is_none();
        if let (true, StatusCode::UNAUTHORIZED, Some(guard)) = (is_new, self.status(), &self.guard) {
            guard.reach.challenge(&guard.metadata_url);
        }
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge() {
            // A response from `to_response` already has the challenge.
            let others = headers.get_all(header::WWW_AUTHENTICATE).iter().filter(|other| !is_bearer(other));
            let others: Vec<_> = others.cloned().collect();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
            headers.extend(others.into_iter().map(|other| (header::WWW_AUTHENTICATE, other)));
        }
        if let RejectionKind::InvalidProof(ProofFailure::NoNonce | ProofFailure::Nonce) = self.kind()
            && let Some(nonce) = self.guard.as_ref().and_then(|guard| guard.sender.fresh_nonce())
        {
            headers.insert(DPOP_NONCE, nonce);
        }
        if let RejectionKind::Unavailable { .. } | RejectionKind::Misconfigured = self.kind() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after()));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(self.clone());
    }

    /// The seconds until the next attempt, from 1 to 60, or 5 if that time is not known. Fractions are rounded up, because a
    /// client that retries too early is rejected again.
    fn retry_after(&self) -> u64 {
        let time = match self.kind() {
            RejectionKind::Unavailable { retry_after: Some(time) } => time.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER),
            _ => DEFAULT_RETRY_AFTER,
        };
        time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
    }

    /// The response of the application's closure, or the default response.
    pub(crate) fn to_response_by(&self, respond: Option<&OnRejection>) -> Response<Bytes> {
        let Some(respond) = respond else { return self.to_response() };
        let Ok(mut response) = catch_unwind(AssertUnwindSafe(|| respond(self))) else {
            log::misconfigured_outside(
                "on_rejection_panicked",
                None,
                "`on_rejection` panicked: the request gets the default response",
            );
            return self.to_response();
        };
        self.complete(&mut response);
        response
    }
}

fn is_bearer(challenge: &HeaderValue) -> bool {
    let scheme = challenge.as_bytes().split(|byte| matches!(byte, b' ' | b',')).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"Bearer")
}

/// Changes the response to a gRPC request to the form that gRPC clients read, and leaves all other responses as they are.
///
/// A gRPC client takes another HTTP status or a JSON body for a broken connection. It gets headers only: HTTP status 200,
/// `grpc-status`, `grpc-message` ("Trailers-Only"), and the other headers of the response.
pub(crate) fn readable_by(headers: &HeaderMap, rejection: &Rejection, response: Response<Bytes>) -> Response<Bytes> {
    if !is_grpc(headers) {
        return response;
    }
    let mut response = response.map(|_| Bytes::new());
    *response.status_mut() = StatusCode::OK;
    let answer = response.headers_mut();
    answer.remove(header::CONTENT_LENGTH);
    answer.remove(header::CONTENT_ENCODING);
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    insert_grpc_status(answer, rejection);
    response
}

fn insert_grpc_status(headers: &mut HeaderMap, rejection: &Rejection) {
    // Clients choose between a login, no retry, and a later retry by this code.
    let code: u16 = match rejection.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 13,
    };
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    // Each description is printable ASCII without `%`, so it needs no percent-encoding (gRPC over HTTP/2, `Status-Message`).
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(rejection.description()));
}

/// Whether a request is a gRPC or gRPC-Web call (gRPC over HTTP/2, "Requests").
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.as_bytes().trim_ascii();
    let Some((start, rest)) = value.split_at_checked(GRPC.len()) else { return false };
    start.eq_ignore_ascii_case(GRPC.as_bytes())
        && rest.first().is_none_or(|next| matches!(next, b'+' | b';' | b'-' | b' '))
}

const GRPC: &str = "application/grpc";
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// With `Retry-After: 0`, all clients would retry at once.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::CheckFailure;

    /// So no description is escaped, neither in JSON nor by percent-encoding in a `grpc-message`.
    #[test]
    fn every_description_is_printable_ascii_without_special_characters() {
        let kinds = [
            RejectionKind::MissingToken,
            RejectionKind::InvalidRequest,
            RejectionKind::InsufficientScope,
            RejectionKind::Unavailable { retry_after: None },
            RejectionKind::Misconfigured,
            RejectionKind::Origin,
            RejectionKind::Internal,
        ];
        let failures = CheckFailure::ALL.iter().copied().map(RejectionKind::InvalidToken);
        let of_proofs = ProofFailure::ALL.iter().copied().map(RejectionKind::InvalidProof);
        for kind in kinds.into_iter().chain(failures).chain(of_proofs) {
            let description = Rejection::new(kind).description();
            assert!(description.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{description}");
            assert!(!description.contains(['%', '"', '\\']), "{description}");
        }
    }
}
