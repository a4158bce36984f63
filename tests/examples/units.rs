//! Runs the unit tests of the example programs, because `cargo test` only builds them.
#![allow(dead_code, unused_imports, reason = "the modules are parts of a program")]
#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "the program allows them too")]

#[path = "../../examples/mcp_server/development/mod.rs"]
mod development;
#[path = "../../examples/mcp_server/example.rs"]
mod example;
