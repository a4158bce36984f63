use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Verified, VerifyError};
use crate::introspection::{LookupFuture, StatusLookup, TokenStatus};

/// Verifies tokens with code of the application: sessions in a database, tokens of a vendor, Paseto.
///
/// It is called for opaque tokens. It is called for a JWT if `iss` is its issuer, the JWT is not expired, and no claim shows
/// another kind of token. The [guide](crate::guide::own_verifier) shows how to write one.
///
/// | the verifier returns | the client gets |
/// |---|---|
/// | [`Verified::for_this_resource`] | access, unless the token is expired, is not valid yet, lacks a scope, or is bound to a key (`cnf`) that the server does not accept or the sender does not have |
/// | [`Verified::from`] claims | the same as with a JWT that has these claims |
/// | a [`CheckFailure`](super::CheckFailure), such as `CheckFailure::Inactive.into()` | 401 |
/// | [`VerifyError::unavailable`]; it panics, or takes too long | 503 |
/// | [`VerifyErrorKind::Misconfigured`](super::VerifyErrorKind::Misconfigured), or a result with a mistake | 503, and an `error` in the log |
///
/// By default, each request calls the verifier once, and waits for it at most
/// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout). This suits a verifier that only computes. One
/// that sends requests or queries needs a cache and limits: see [`Issuer::verifier_limits`](crate::Issuer::verifier_limits).
///
/// ```
/// use mcp_bearer::Issuer;
/// use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
///
/// struct Sessions;
///
/// impl TokenVerifier for Sessions {
///     async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
///         // Look up a digest of the token in a database instead.
///         if token != "a-session" {
///             return Err(CheckFailure::Inactive.into());
///         }
///         Ok(Verified::for_this_resource("alice").scopes(["notes:read"]))
///     }
/// }
///
/// let issuer = Issuer::with_verifier("urn:example:sessions", Sessions);
/// ```
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies `token`, the text after `Bearer`. It has only visible ASCII characters, and at most
    /// [`max_token_length`](crate::ResourceServerBuilder::max_token_length) of them.
    ///
    /// Compare a secret in constant time, or look up its digest. Never log the token, and never put it into an error.
    ///
    /// # Errors
    /// A [`CheckFailure`](super::CheckFailure) if the token is invalid: 401. [`VerifyError::unavailable`] if that is not
    /// known: 503. So an error of a database is never a `CheckFailure`.
    fn verify(&self, token: &str) -> impl Future<Output = Result<Verified, VerifyError>> + Send;
}

/// A [`TokenVerifier`] as a trait object.
pub(crate) trait DynVerifier: Send + Sync {
    fn verify_boxed<'a>(&'a self, token: &'a str) -> BoxedVerification<'a>;
}

pub(crate) type BoxedVerification<'a> = Pin<Box<dyn Future<Output = Result<Verified, VerifyError>> + Send + 'a>>;

impl<V: TokenVerifier> DynVerifier for V {
    fn verify_boxed<'a>(&'a self, token: &'a str) -> BoxedVerification<'a> {
        Box::pin(self.verify(token))
    }
}

/// A verifier with the cache and the limits of introspection.
pub(crate) struct VerifierLookup {
    /// The configured name of the issuer.
    pub(crate) issuer: Box<str>,
    pub(crate) verifier: Arc<dyn DynVerifier>,
}

impl StatusLookup for VerifierLookup {
    fn look_up<'a>(&'a self, token: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let verified = self.verifier.verify_boxed(token).await;
            match verified.and_then(|verified| verified.into_claims(&self.issuer)) {
                Ok(claims) => Ok(TokenStatus::Active(claims)),
                Err(error) => error.into_status(&self.issuer),
            }
        })
    }
}
