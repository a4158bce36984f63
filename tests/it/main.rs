//! Integration tests of the public API, one module per topic. They run in paused Tokio time and do not sleep.

#![allow(unreachable_pub, reason = "one binary: `pub` means the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test may panic")]
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "the test data is known"
)]

mod api_keys;
mod authenticate;
mod bearer;
mod capture;
mod changing_secrets;
mod check_order;
mod composition;
mod configuration;
mod development;
mod discovery;
mod dpop;
mod events;
mod explain;
mod extensions;
mod extractor;
mod faults;
mod first_errors;
mod grpc;
mod hostile;
mod introspection;
mod kept_alive;
mod layers;
mod log_lines;
mod logging;
mod long_tokens;
mod mcp;
mod metadata;
mod mistakes;
mod mutual_tls;
mod names;
mod origins;
mod other_headers;
mod own_code;
mod own_parts;
mod own_verifier;
mod providers;
mod readiness;
mod rejections;
mod retry_after;
mod revocation;
mod rmcp;
mod rotation;
mod seeded_keys;
mod self_check;
mod server_chapters;
mod support;
mod transport;
mod troubleshooting;
mod trust;
mod unreachable;
mod verified_tokens;
mod wiring;
