//! The unit tests inside the example programs, which `cargo test` would only build.
#![allow(dead_code, unused_imports, reason = "parts of a program")]
#![allow(clippy::expect_used, clippy::arithmetic_side_effects, reason = "as the program has it")]

#[path = "../../examples/mcp_server/development/mod.rs"]
mod development;
#[path = "../../examples/mcp_server/settings.rs"]
mod settings;
