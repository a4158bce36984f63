use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{JwtVerifier, VerifyError};
use crate::claims::{Claims, Policy};

/// Verifies tokens in a way of its own: a format that is not JWT, a database, a vendor's library.
///
/// It is asked before any claim is looked at, and has to bound its own time and requests. What it returns is judged like a JWT's claims: issuer, audience, expiry, confirmation and the marks of foreign
/// tokens are checked by the crate, whoever verified.
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies `token`, which is the text after `Bearer`, and says what it claims.
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a>;
}

/// What [`TokenVerifier::verify`] returns.
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Claims, VerifyError>> + Send + 'a>>;

/// The verification of one issuer's tokens.
pub(crate) struct Verifier {
    pub(crate) policy: Policy,
    /// Where further scopes stand, as JSON pointers.
    pub(crate) scope_claims: Vec<String>,
    pub(crate) kind: VerifierKind,
}

pub(crate) enum VerifierKind {
    Jwt(JwtVerifier),
    Custom(Arc<dyn TokenVerifier>),
}
