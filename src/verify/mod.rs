//! From a token to its claims.
//!
//! Every token passes these checks in this order, cheap before dear and pure before I/O. No token that cannot pass
//! anyway causes a request to another host.
//!
//! | | check | refused as |
//! |---|---|---|
//! | 1 | length: at most `max_token_length` | [`TooLong`](CheckFailure::TooLong) |
//! | 2 | three parts of strict base64url | [`Malformed`](CheckFailure::Malformed), [`Encrypted`](CheckFailure::Encrypted) |
//! | 3 | header: `alg` in the allow-list, `crit`, `typ`; `null` means absent, except in `crit` | [`Header`](CheckFailure::Header), [`Algorithm`](CheckFailure::Algorithm), [`CriticalHeader`](CheckFailure::CriticalHeader), [`TokenType`](CheckFailure::TokenType) |
//! | 4 | payload: an object, no claim twice, each that is read of its type; `null` means absent, except for `iss`, `aud`, `exp` and `cnf` | [`Claims`](CheckFailure::Claims) |
//! | 5 | `iss`: one of the configured issuers, byte for byte | [`Issuer`](CheckFailure::Issuer) |
//! | 6 | `aud`: this resource, an alias or an accepted client id | [`Audience`](CheckFailure::Audience) |
//! | 7 | `exp`, `nbf`, `iat` | [`NoExpiry`](CheckFailure::NoExpiry), [`Expired`](CheckFailure::Expired), [`NotYetValid`](CheckFailure::NotYetValid), [`LifetimeTooLong`](CheckFailure::LifetimeTooLong) |
//! | 8 | `cnf`, and marks of tokens that are not access tokens; with `require_at_jwt` the claims of RFC 9068; scopes at configured places; with an accepted client id as the only audience a scope, `roles` or `typ: at+jwt` | [`SenderConstrained`](CheckFailure::SenderConstrained), [`TokenType`](CheckFailure::TokenType), [`Claims`](CheckFailure::Claims) |
//! | 9 | a key of this issuer for this `kid` (else `x5t#S256`, `x5t`) and `alg`, fetched if need be | [`UnknownKey`](CheckFailure::UnknownKey); 503 if the only such key cannot be used |
//! | 10 | the signature, with at most four keys of one name | [`Signature`](CheckFailure::Signature); 503 if a key of this name cannot be used |
//! | 11 | with a revocation check: the authorization server's word, at most so old | [`Inactive`](CheckFailure::Inactive) |
//!
//! Where [verified tokens are remembered](crate::server::ResourceServerBuilder::cache_verified_tokens), one that comes
//! again passes 1 and the count of its dots, then 5 to 8 and 11 anew, and is spared the rest as long as the issuer's key
//! set is the one that had its key.
//!
//! A token goes to the issuer that it names; one that is no JWT, to the issuer that is configured for such. Where its
//! issuer is asked about it, by [introspection](crate::introspection) or by a [`TokenVerifier`], a JWT passes 1, 2, 4, 5
//! and what 7 and 8 say of claims that are there; then somebody is asked, and the answer passes 5 to 8.

mod asked;
mod by_issuer;
mod error;
mod jwt;
mod long_tokens;
mod own_code;
mod verified_tokens;
mod verifier;

#[doc(inline)]
pub use crate::failure::CheckFailure;

pub(crate) use asked::{Asked, RevocationCheck};
pub(crate) use by_issuer::{ByIssuer, ForOpaque, PendingVerification, Route, Verification, Verified};
pub use error::{VerifyError, VerifyErrorKind};
pub(crate) use jwt::JwtVerifier;
use long_tokens::LongTokens;
pub(crate) use verified_tokens::VerifiedTokens;
pub(crate) use verifier::Verifier;
pub use verifier::{TokenVerifier, VerifyFuture};
