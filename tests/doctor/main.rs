//! Runs `mcp-bearer doctor` as a process against real servers with deliberate faults.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on says so"
)]

mod api_keys;
mod deployment;
mod development_server;
mod faults;
mod output;
mod program;
mod sender;
mod token;
mod unreachable;
