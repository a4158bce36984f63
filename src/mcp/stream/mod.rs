//! Ends a response with the access token of its request.
//!
//! `lifetime` says when the token expires or is no longer valid, `ending` ends the body then, and `boundaries` finds the
//! place between two events where an event stream may end.

mod body;
mod boundaries;
mod ending;
mod lifetime;

pub use body::McpResponseBody;
pub(super) use boundaries::EventBoundaries;
pub(super) use ending::{BoxError, StreamEnd};
pub(super) use lifetime::{Revalidation, TokenLifetime};
