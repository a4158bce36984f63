//! What a token says, and whether that is good enough.
//!
//! A JWT's payload and a verifier's answer become the same [`Claims`], and the same pure check judges both.

mod audience;
mod check;
mod member;
mod parse;

pub(crate) use audience::AcceptedAudiences;
pub(crate) use check::{DEFAULT_SKEW, MAX_SKEW, Policy, check};
pub use parse::Claims;
