//! DPoP proofs (RFC 9449): a JWT for one request, signed by the key that the access token is bound to.

mod proof;

pub(crate) use proof::Proof;
