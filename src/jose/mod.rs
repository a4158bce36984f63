//! JSON Web Signatures and Keys, read strictly (RFC 7515, RFC 7517, RFC 7518, RFC 8725).

pub(crate) mod compact;
pub(crate) mod header;
mod jwk;
mod jwk_set;
mod private_key;

pub use crate::crypto::{Algorithm, AllowedAlgorithms, UnknownAlgorithm};
pub(crate) use jwk::KeyName;
pub use jwk::{UnusableKey, VerificationKey};
pub(crate) use jwk_set::{DEFAULT_MAX_KEYS, Selection, UnusableEntry};
pub use jwk_set::{InvalidJwkSet, JwkSet};
pub use private_key::{InvalidPrivateKey, PrivateKey};
