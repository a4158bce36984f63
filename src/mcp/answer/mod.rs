//! What a caller gets to see of an answer, and for how long.

mod body;
mod ending;
mod events;
mod filtered;
mod json_list;
mod lifetime;
mod listing;
mod splice;

pub use body::McpResponseBody;
pub(super) use ending::{BoxError, Watch};
pub(super) use filtered::{FilteredBody, View};
pub(super) use json_list::JsonList;
pub(super) use lifetime::{Lifetime, Revalidation};
