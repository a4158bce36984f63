//! From a token to its claims.
//!
//! A JWT passes these checks in this order: cheap checks before expensive ones, and everything that needs no request
//! before anything that does. A token that fails a check causes no request to another host for a later one.
//!
//! | | check | rejected as |
//! |---|---|---|
//! | 1 | length: at most `max_token_length` | [`TooLong`](CheckFailure::TooLong) |
//! | 2 | compact form: three parts of strict base64url | [`Malformed`](CheckFailure::Malformed), [`NotJwt`](CheckFailure::NotJwt), [`Encrypted`](CheckFailure::Encrypted), [`TooLong`](CheckFailure::TooLong) |
//! | 3 | header: a JSON object without repeated names, `alg` in the allow-list, no `crit`, `typ`; `null` means absent, except in `crit` | [`Header`](CheckFailure::Header), [`Algorithm`](CheckFailure::Algorithm), [`CriticalHeader`](CheckFailure::CriticalHeader), [`TokenType`](CheckFailure::TokenType) |
//! | 4 | claims: a JSON object without repeated names, in which each registered claim has its type; `null` means absent, except for `iss`, `aud`, `exp` and `cnf` | [`Claims`](CheckFailure::Claims) |
//! | 5 | issuer: `iss` is one of the configured issuers, byte for byte; then `alg` and `typ` again, as this issuer requires them | [`Issuer`](CheckFailure::Issuer), [`Algorithm`](CheckFailure::Algorithm), [`TokenType`](CheckFailure::TokenType) |
//! | 6 | audience: `aud` is this resource, an alias or an accepted client id | [`Audience`](CheckFailure::Audience), [`NoAudience`](CheckFailure::NoAudience) |
//! | 7 | times: `exp`, `nbf`, `iat` | [`Expired`](CheckFailure::Expired), [`NotYetValid`](CheckFailure::NotYetValid), [`NoExpiry`](CheckFailure::NoExpiry), [`LifetimeTooLong`](CheckFailure::LifetimeTooLong) |
//! | 8 | kind of token: no member of `cnf` that the server cannot check ([`sender`](crate::sender)), and no mark of a token that is not an access token; with `require_at_jwt` the claims of RFC 9068; scopes at configured places; with an accepted client id as the only audience a scope, `roles` or `typ: at+jwt`; claims that the header repeats have the same value there | [`SenderConstrained`](CheckFailure::SenderConstrained), [`TokenType`](CheckFailure::TokenType), [`Claims`](CheckFailure::Claims), [`Header`](CheckFailure::Header) |
//! | 9 | key: a key of this issuer for this `kid` (else `x5t#S256`, `x5t`) and `alg`, fetched if necessary | [`UnknownKey`](CheckFailure::UnknownKey); 503 if the key set is not available, or if the only such key cannot be used |
//! | 10 | signature, with at most four keys of one name | [`Signature`](CheckFailure::Signature); 503 if a key of this name cannot be used |
//! | 11 | revocation, with [`revocation_check`](crate::Issuer::revocation_check): an introspection result that is recent enough | [`Inactive`](CheckFailure::Inactive); 503 without a result |
//! | 12 | [revocation list](crate::revocation): the application has not revoked the token, its subject or its session | [`Revoked`](CheckFailure::Revoked) |
//!
//! If a key has to be fetched for row 9, the token passes the rows again with that key, so that it cannot expire in the
//! meantime.
//!
//! # Cached tokens
//!
//! A JWT that was verified less than a minute ago passes rows 1, 5 to 8, 11 and 12 with every request, and skips the others as
//! long as its issuer's key set has not changed. See
//! [`cache_verified_tokens`](crate::ResourceServerBuilder::cache_verified_tokens).
//!
//! # Tokens that are not verified with keys
//!
//! A JWT goes to the issuer that it names in `iss`, and an opaque token to the issuer that is configured for opaque tokens.
//! Tokens are never tried at one issuer after the other.
//!
//! An issuer's JWTs may be verified by [introspection](crate::introspection) or by a [`TokenVerifier`]. Such a JWT passes
//! rows 1 to 5, where `alg`, `crit` and `require_at_jwt` do not apply, and rows 7 and 8 as far as its claims contradict
//! them. Then the authorization server or the verifier is asked, and its result passes rows 5 to 8. If the verifier
//! vouches for the audience by [`Verified::for_this_resource`], only its times and `cnf` are checked. Row 12 comes last for
//! every credential, and after every wait. Until the claims are read, it is not known which issuer a token names: if one
//! issuer's JWTs are verified in this way, `alg` and `crit` are checked in row 5 for all issuers.
//!
//! # Sender-constrained tokens
//!
//! After these rows, the layer compares `cnf` of the token with the DPoP proof or the client certificate of each request, also
//! for a cached token. The module [`sender`](crate::sender) has these checks.

mod api_key;
mod cache;
mod credential;
mod delegated;
mod error;
mod explanation;
mod issuer_verifier;
mod jwt;
mod progress;
mod token_verifier;
mod verified;
mod verifier;

#[doc(inline)]
pub use crate::failure::CheckFailure;

pub(crate) use cache::VerifiedTokens;
pub(crate) use credential::{Credential, OwnedCredential};
pub use error::{VerifyError, VerifyErrorKind};
pub use explanation::{CheckOutcome, ExplainedCheck, Explanation};
pub(crate) use issuer_verifier::{IssuerVerifier, Method, PendingVerification, Verification, VerifyResult};
pub(crate) use progress::CheckRecorder;
pub use progress::TokenCheck;
pub use token_verifier::TokenVerifier;
pub(crate) use token_verifier::{DynVerifier, VerifierLookup};
pub use verified::Verified;
pub(crate) use verifier::{OpaqueRoute, RouteOpaque, Verifier};
