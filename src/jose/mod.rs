//! JSON Web Signatures and Keys, read strictly (RFC 7515, RFC 7517, RFC 7518, RFC 8725).

mod jwk;
mod jwk_set;
mod jws;
mod private_key;
mod thumbprint;

pub use crate::crypto::{Algorithm, AllowedAlgorithms, UnknownAlgorithm};
pub(crate) use jwk::KeyMembers;
pub use jwk::{UnusableKey, VerificationKey};
pub(crate) use jwk_set::{DEFAULT_MAX_KEYS, Selection, UnusableEntry};
pub use jwk_set::{InvalidJwkSet, JwkSet, PublishedKey};
pub(crate) use jws::{Compact, DEFAULT_MAX_TOKEN, Header, KeyName, MAX_TOKEN};
pub use private_key::{InvalidPrivateKey, PrivateKey};
pub use thumbprint::Thumbprint;
