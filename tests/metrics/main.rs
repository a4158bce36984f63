//! The metrics of a scripted series of events, as Prometheus reads them, and the documents that name them.

#![allow(unreachable_pub, reason = "one binary: `pub` means the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test may panic")]
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "the test data is known")]

mod exporter;
mod labels;
mod page;
#[path = "../examples/support.rs"]
#[allow(dead_code, reason = "the tests of the other examples use the rest")]
mod programs;
mod series;
mod server;
mod table;
