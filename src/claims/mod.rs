//! The claims of a token, and the check of these claims.
//!
//! The payload of a JWT, an introspection response and the result of a [`TokenVerifier`](crate::verify::TokenVerifier)
//! become the same [`Claims`], and the same pure function checks them.

mod check;
mod claim_set;
mod confirmation;
mod credential_kind;
mod registered;

pub(crate) use check::{
    AcceptedAudiences, AcceptedConfirmations, DEFAULT_SKEW, MAX_SKEW, Policy, WithoutAudience, check,
    check_before_asking, check_client_audience, issuer_mismatch,
};
pub use claim_set::Claims;
pub(crate) use confirmation::{Binding, Confirmation};
pub use credential_kind::CredentialKind;
pub(crate) use registered::{NumericDate, first_invalid_claim};
