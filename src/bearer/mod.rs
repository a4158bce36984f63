//! The bearer layer: it accepts requests with a valid access token, and answers all others with a challenge (RFC 6750,
//! RFC 9728).
//!
//! | case | status | challenge |
//! |---|---|---|
//! | no `Authorization` header, or another scheme | 401 | `Bearer resource_metadata, scope`, without `error` |
//! | more than one credential, or malformed credentials | 400 | `error="invalid_request"` |
//! | an invalid access token | 401 | `error="invalid_token"` |
//! | a missing or invalid DPoP proof, if the server [accepts them](crate::sender) | 401 | `DPoP error="invalid_dpop_proof"` or `"use_dpop_nonce"` after `Bearer` |
//! | a valid access token that lacks a scope | 403 | `error="insufficient_scope"` |
//! | an access token that cannot be verified now | 503 | none; `Retry-After` |
//! | a handler needs [`AuthInfo`] on a route without the layer | 500 | none |
//!
//! Every rejected request is answered with `Cache-Control: no-store`, and the response has a [`Rejection`] in its extensions.
//! No response contains a part of a token, of a claim, or of a response of another server.
//!
//! The metadata document needs no token. If the layer covers a path of it, the layer answers GET, HEAD and OPTIONS as
//! [`MetadataService`](crate::resource::MetadataService) does, and logs one error.
//!
//! A layer that [allows anonymous requests](BearerAuthLayer::allow_anonymous) accepts requests without an `Authorization`
//! header. The other rows of the table still apply. A CORS preflight passes without credentials. The layer removes an
//! [`AuthInfo`] that is in the extensions of a request before it.
//!
//! # Without tower
//!
//! [`BearerAuthLayer::authenticate`] decides about the head of a request, for servers that are not built of tower services:
//! see the [example](BearerAuthLayer::authenticate).
//!
//! # gRPC
//!
//! A rejected gRPC request (`content-type: application/grpc`) is answered without a body: HTTP status 200, and a
//! `grpc-status`. That is 16 (unauthenticated) for 400 and 401, 7 (permission denied) for 403, 14 (unavailable) for 503,
//! and 13 (internal) for 500. The challenge is in the metadata. [`Rejection::to_grpc_status_headers`] has the same headers.

mod admission;
mod auth_info;
mod authenticate;
mod body;
mod credential_headers;
mod development;
mod guard;
mod layer;
pub(crate) mod log;
mod peer_addr;
mod rejection;
mod response;
mod sender_check;
mod service;
mod token;

pub(crate) use admission::Caller;
use admission::Unauthenticated;
pub use auth_info::AuthInfo;
pub use authenticate::Authenticated;
pub use body::BearerBody;
pub(crate) use credential_headers::CredentialHeaders;
pub(crate) use development::Development;
pub use development::DevelopmentIdentity;
pub(crate) use guard::Guard;
pub use layer::BearerAuthLayer;
pub use peer_addr::PeerAddr;
pub(crate) use rejection::FailureTexts;
pub use rejection::{Rejection, RejectionKind, RequestFailure};
pub(crate) use response::{OnRejection, readable_by};
pub(crate) use sender_check::{ProofChecks, SenderChecks, SenderRules};
pub use service::{BearerAuth, ResponseFuture};
