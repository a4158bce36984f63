//! What a caller gets to see of an answer, and for how long.

mod body;
mod ending;
mod events;
mod filtered;
mod lifetime;
mod listing;
mod splice;

pub use body::McpResponseBody;
pub(super) use ending::Watch;
pub(super) use filtered::{Filter, View};
pub(super) use lifetime::{Lifetime, Revalidation};
