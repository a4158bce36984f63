use crate::claims::Claims;
use crate::crypto::sha256;
use crate::jose::Compact;

/// The SHA-256 digest under which a revocation is stored.
pub(crate) type RevocationDigest = [u8; 32];

/// The part of a token that a revocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RevocationKind {
    /// The token itself.
    Token,
    /// `iss` and `jti`.
    TokenId,
    /// `iss` and `sub`.
    Subject,
    /// `iss` and `sid`.
    Session,
}

impl RevocationKind {
    pub(crate) const ALL: [Self; 4] = [Self::Token, Self::TokenId, Self::Subject, Self::Session];

    /// The name of the kind in logs and in a shared store. It never changes.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::TokenId => "token_id",
            Self::Subject => "subject",
            Self::Session => "session",
        }
    }

    /// The kind with this name.
    #[cfg(any(feature = "redis", all(test, any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
    pub(crate) fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// The bit of the kind in a set of kinds.
    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Token => 1,
            Self::TokenId => 2,
            Self::Subject => 4,
            Self::Session => 8,
        }
    }

    /// The digest of `parts`, which are the token, or the issuer and the value of the claim. `None` only in a build without a
    /// cryptography backend.
    ///
    /// The digest covers the purpose, the kind and the length of each part, so that two different revocations never have the same.
    pub(super) fn digest(self, parts: &[&[u8]]) -> Option<RevocationDigest> {
        let mut message = Vec::with_capacity(parts.iter().fold(MAX_PREFIX, |sum, part| sum.saturating_add(part.len())));
        message.extend(PURPOSE);
        message.push(self.bit());
        for part in parts {
            message.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            message.extend(*part);
        }
        sha256(&message)
    }

    /// The digest of a token. The signature of a JWT is not part of it: an ECDSA signature can be changed into another valid one
    /// without the key, and the revoked token would have another text.
    pub(super) fn digest_of_token(self, token: &[u8]) -> Option<RevocationDigest> {
        let signed = Compact::of_jwt(token).map_or(token, |compact| compact.signing_input);
        self.digest(&[signed])
    }

    /// The digest that a revocation of this credential has. `None` if the credential does not have the claim or the issuer.
    pub(super) fn digest_of(self, credential: &[u8], claims: &Claims) -> Option<RevocationDigest> {
        let claim = |name| claims.members().get(name)?.as_str().filter(|value| !value.is_empty());
        let value = match self {
            Self::Token => return self.digest_of_token(credential),
            Self::TokenId => claim("jti"),
            Self::Subject => claims.subject(),
            Self::Session => claim("sid"),
        };
        self.digest(&[claims.issuer()?.as_bytes(), value?.as_bytes()])
    }
}

/// Domain separation: the digest of a revocation is never equal to one that was made for another purpose. `1` is the version of the
/// encoding.
const PURPOSE: &[u8] = b"mcp_bearer revocation 1\0";
/// The most bytes of a message before and between its parts, so that it is allocated once.
const MAX_PREFIX: usize = 48;

#[cfg(test)]
#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
mod tests {
    use super::*;

    #[test]
    fn different_revocations_have_different_digests() {
        let parts: [&[&[u8]]; 6] = [&[b""], &[b"ab"], &[b"a", b"b"], &[b"", b"ab"], &[b"ab", b""], &[b"a", b"", b"b"]];
        let all = || RevocationKind::ALL.into_iter().flat_map(|kind| parts.map(|parts| (kind, parts)));
        let digests: std::collections::HashSet<_> = all().map(|(kind, parts)| kind.digest(parts).unwrap()).collect();
        assert_eq!(digests.len(), all().count());
    }

    /// Replicas with different versions of the crate share a store, so the encoding must not change.
    #[test]
    fn the_encoding_is_fixed() {
        let digest = RevocationKind::Subject.digest(&[b"https://auth.example.com", b"alice"]).unwrap();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "384324d0e384bb4e3c2d2c51c190cc9c9c5cf98af0f6044a61f0a87115c8aa50");
    }

    #[test]
    fn each_kind_has_its_label() {
        for kind in RevocationKind::ALL {
            assert_eq!(RevocationKind::from_label(kind.label()), Some(kind));
        }
        assert_eq!(RevocationKind::from_label("Token"), None);
    }
}
