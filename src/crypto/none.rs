//! The types of a build without a cryptography backend. They are empty enums, so no value of them can exist.

use super::{Algorithm, Fingerprint};

pub(crate) const MAX_RSA_BITS: usize = 8192;

pub(crate) enum NoKey {}
pub(crate) type PublicKey = NoKey;
pub(crate) type SigningKey = NoKey;

impl NoKey {
    pub(crate) const fn from_rsa(_: Algorithm, _: &[u8], _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) const fn from_point(_: Algorithm, _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) const fn from_pem(_: Algorithm, _: &str) -> Option<Self> {
        None
    }

    pub(crate) const fn sign(&self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) const fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(crate) enum Hmac {}

impl Hmac {
    pub(crate) const fn random() -> Option<Self> {
        None
    }

    pub(crate) const fn with_key(_: &[u8; 32]) -> Option<Self> {
        None
    }

    pub(crate) const fn sign(&self, _: &[u8]) -> Fingerprint {
        match *self {}
    }

    pub(crate) const fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(crate) const fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    None
}

pub(crate) const fn sha256(_: &[u8]) -> Option<[u8; 32]> {
    None
}

pub(crate) const fn digests_equal(_: &[u8; 32], _: &[u8; 32]) -> bool {
    false
}
