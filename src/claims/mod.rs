//! What a token says, and whether that is good enough.
//!
//! A JWT's payload, an introspection answer and what a verifier says become the same [`Claims`], and the same pure check judges both.

mod audience;
mod check;
mod claim_set;
mod registered;

pub(crate) use audience::AcceptedAudiences;
pub(crate) use check::{
    DEFAULT_SKEW, MAX_SKEW, Policy, WithoutAudience, ahead_by, check, check_before_asking, check_client_audience,
};
pub use claim_set::Claims;
