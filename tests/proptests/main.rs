//! Properties that hold for every input, tested through the public API. The tests use paused time and never sleep.

#![allow(unreachable_pub, reason = "in a test binary, `pub` means visible to the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics when it cannot continue")]
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "tests know their data"
)]

mod challenges;
mod changed_bytes;
mod introspection;
mod parsers;
mod resources;
mod rotation;
mod support;
