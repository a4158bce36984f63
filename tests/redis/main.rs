//! The state that replicas share, in a real Redis server, which each test starts and stops.
//!
//! Needs `redis-server` (Debian's package has that name). As root with `apt-get`, it is installed. Without it, each test prints
//! that it is skipped, and fails where `CI` is set.

#![allow(unreachable_pub, reason = "one binary: `pub` means the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test may panic")]
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "the test data is known")]
#![allow(clippy::arithmetic_side_effects, reason = "the numbers are small")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod configuration;
mod introspection;
mod load;
mod outages;
mod program;
mod proofs;
mod replica;
mod revocations;
mod traffic;
