//! Removes from the lists in a response what the caller may not use.
//!
//! A response to a list method is JSON, or a stream of events with JSON in their data. `filter` handles the JSON, `json` and
//! `events` read it out of the two kinds of bodies, and `body` is what the client gets.

mod body;
mod events;
mod filter;
mod json;

pub(super) use body::FilteredBody;
pub(super) use events::FilteredEvents;
pub(super) use filter::ListFilter;
pub(super) use json::FilteredJson;
