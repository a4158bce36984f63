//! Encryption of state that another machine stores. Only the feature `redis` needs it. That feature brings AWS-LC for TLS, so it
//! is used here with every cryptography backend.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// AES-256-GCM (NIST SP 800-38D) under one key, with a random nonce for each text.
pub(crate) struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    /// `None` if the library fails.
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key).ok().map(Self)
    }

    /// Encrypts and authenticates a text. The result is the nonce, the encrypted text and the tag. `None` if the machine gives no
    /// random bytes.
    pub(crate) fn seal(&self, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut text).ok()?;
        Some([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Decrypts what [`seal`](Self::seal) returned. `None` for anything else.
    pub(crate) fn open(&self, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some(self.0.open_in_place(nonce, Aad::empty(), text).ok()?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_sealed_text_opens_and_only_with_its_key() {
        let (key, other) = (SealingKey::new(&[1; 32]).unwrap(), SealingKey::new(&[2; 32]).unwrap());
        let sealed = key.seal(b"text".to_vec()).unwrap();
        assert_eq!(sealed.len(), NONCE_LEN + 4 + 16);
        assert_ne!(sealed, key.seal(b"text".to_vec()).unwrap());
        assert_eq!(key.open(sealed.clone()).unwrap(), b"text");
        assert_eq!(other.open(sealed.clone()), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(changed), None, "byte {at}");
            assert_eq!(key.open(sealed[..at].to_vec()), None, "{at} bytes");
        }
        assert_eq!(key.open([&sealed[..], &[0]].concat()), None);
    }
}
