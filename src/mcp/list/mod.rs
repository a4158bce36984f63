//! Removes from the lists in a response what the caller may not use.
//!
//! A response to a list method is JSON, or a stream of events with JSON in their data. `filter` handles the JSON, `events`
//! reads it out of events, and `body` is what the client gets. `observed` compares a list that is not filtered with the rules.

mod body;
mod events;
mod filter;
mod observed;

pub(super) use body::{FilteredBody, FilteredJson};
pub(super) use events::FilteredEvents;
pub(super) use filter::ListFilter;
pub(super) use observed::ObservedList;
