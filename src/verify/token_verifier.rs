use std::future::Future;
use std::pin::Pin;

use super::VerifyError;
use crate::claims::Claims;

/// Verifies tokens by code of the application: another format than JWT, a database, a library of a vendor.
///
/// The crate calls it for opaque tokens, and for JWTs that name the verifier's issuer and are neither expired nor
/// something else than an access token according to their own claims. It checks the returned claims like those of a JWT:
/// issuer, audience, expiry, confirmation and the marks of tokens that are not access tokens.
///
/// A verifier has to bound the requests that it sends. If it takes longer than
/// [`verification_timeout`](crate::ResourceServerBuilder::verification_timeout), or panics, the caller gets 503.
///
/// ```
/// use mcp_bearer::Issuer;
/// use mcp_bearer::claims::Claims;
/// use mcp_bearer::verify::{CheckFailure, TokenVerifier, VerifyFuture};
///
/// struct ApiKeys;
///
/// impl TokenVerifier for ApiKeys {
///     fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a> {
///         Box::pin(async move {
///             // Compare a hash with a database instead.
///             if token != "an-api-key" {
///                 return Err(CheckFailure::Inactive.into());
///             }
///             let claims = r#"{"iss": "urn:example:keys", "sub": "service-1", "exp": 4102444800,
///                 "aud": "https://mcp.example.com/mcp", "scope": "mcp:tools"}"#;
///             Ok(Claims::from_json(claims)?)
///         })
///     }
/// }
///
/// let issuer = Issuer::with_verifier("urn:example:keys", ApiKeys);
/// ```
pub trait TokenVerifier: Send + Sync + 'static {
    /// Verifies `token`, the text after `Bearer`, and returns its claims.
    fn verify<'a>(&'a self, token: &'a str) -> VerifyFuture<'a>;
}

/// The future that [`TokenVerifier::verify`] returns.
pub type VerifyFuture<'a> = Pin<Box<dyn Future<Output = Result<Claims, VerifyError>> + Send + 'a>>;
