//! Ends a response with the access token of its request.
//!
//! `lifetime` says when the token expires, is revoked or is no longer valid, `body` ends then, and `boundaries` finds the place between
//! two events where an event stream may end.

mod body;
mod boundaries;
mod lifetime;

pub use body::McpResponseBody;
pub(super) use body::StreamEnd;
pub(super) use boundaries::EventBoundaries;
pub(super) use lifetime::{Revalidation, RevocationWatch, TokenLifetime};
