//! What holds for every input, seen from outside. Time is paused, never slept.

#![allow(unreachable_pub, reason = "one binary: `pub` means the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]
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
