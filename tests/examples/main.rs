//! Runs the example programs as real processes, as a new user runs them first.
#![cfg(all(feature = "axum", feature = "aws-lc-rs", feature = "cors", feature = "reqwest"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod api_keys;
mod authorization;
mod browser;
mod development;
mod dpop;
mod identity_proxy;
mod keycloak;
mod kubernetes;
mod mutual_tls;
mod opaque;
mod programs;
mod revocation;
mod serverless;
mod support;
mod units;
