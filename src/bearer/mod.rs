//! The bearer layer: who may pass, and what those are told who may not (RFC 6750, RFC 9728).
//!
//! | case | status | challenge |
//! |---|---|---|
//! | no `Authorization` header, or another scheme | 401 | `Bearer resource_metadata, scope`, no `error` |
//! | several credentials, or credentials that are no token | 400 | `error="invalid_request"` |
//! | a token that is not good | 401 | `error="invalid_token"` |
//! | a good token without the scope | 403 | `error="insufficient_scope"` |
//! | a token that cannot be judged: an outage | 503 | none; `Retry-After` |
//! | [`AuthInfo`](crate::AuthInfo) asked for where no layer is | 500 | none |
//!
//! A layer that [allows anonymous requests](BearerAuthLayer::allow_anonymous) lets those pass that have no `Authorization`
//! header at all; the rest of the table holds there too. An [`AuthInfo`](crate::AuthInfo) that is in a request's
//! extensions before the layer sees the request is removed.
//!
//! A gRPC request (`content-type: application/grpc`) is rejected without a body, in the way that gRPC clients read: HTTP
//! status 200, and `grpc-status` 16 (unauthenticated) instead of 400 and 401, 7 (permission denied) instead of 403, 14
//! (unavailable) instead of 503, 13 (internal) instead of 500. The challenge is the same, as metadata.
//!
//! A CORS preflight passes without credentials. Every refusal carries `Cache-Control: no-store` and stays in the response's extensions as a [`Rejection`]. No byte of
//! a token, of a claim or of another server's answer is ever in one.

mod auth_info;
mod body;
mod challenge;
mod future;
mod grpc;
mod guard;
mod layer;
pub(crate) mod log;
mod rejection;
mod response;
mod service;
mod token;

pub use auth_info::AuthInfo;
pub use body::BearerBody;
pub use future::ResponseFuture;
pub(crate) use grpc::readable_by;
pub(crate) use guard::Guard;
pub use layer::BearerAuthLayer;
pub use rejection::{Rejection, RejectionKind, RequestFailure};
pub(crate) use response::OnRejection;
pub use service::BearerAuth;
use service::Unauthenticated;
pub(crate) use service::{Caller, is_preflight};
pub(crate) use token::BearerToken;
