use crate::failure::Detail;

/// The check that a DPoP proof failed (RFC 9449, section 4.3).
///
/// The client reads the [`description`](Self::description), which contains no byte of the proof. The
/// [guide](crate::guide::troubleshooting) has the log line and the repair of each cause.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.label())]
pub enum ProofFailure {
    /// The request has the scheme `DPoP` and no header `DPoP`.
    Missing,
    /// The request has more than one header `DPoP`, or one with several values.
    Several,
    /// The request has a header `DPoP` and the scheme `Bearer`.
    WithBearer,
    /// The proof is longer than 8 KiB, or its header longer than 4 KiB.
    TooLong,
    /// The proof is not a JWT in compact form, or its header or its claims are not a JSON object with unique members of the
    /// right types.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is not one of the [accepted algorithms](super::Dpop::algorithms).
    Algorithm,
    /// `jwk` is not a public key for `alg`, or has a size that is not accepted.
    Key,
    /// `jti` is missing, empty or longer than 256 bytes.
    Id,
    /// `htm` is not the method of the request.
    Method,
    /// `htu` is not the URL of the request, without query and fragment.
    Target,
    /// `iat` is too far in the past or in the future, `exp` is in the past, or `nbf` is in the future. Or the proof has expired
    /// while the access token was verified.
    Time,
    /// `ath` is not the SHA-256 digest of the access token.
    TokenHash,
    /// The proof does not have a nonce, and the server requires one. Or the replay store
    /// [has lost entries](super::ReplayOutcome::NonceNeeded), and the proof needs a newer nonce.
    NoNonce,
    /// The nonce is not one of this server, or it has expired.
    Nonce,
    /// The signature is invalid.
    Signature,
    /// A proof with this `jti` and this key was used before.
    Replayed,
}

/// A failed proof, with what was expected and what was found.
#[derive(Debug)]
pub(crate) struct ProofError {
    pub(crate) failure: ProofFailure,
    pub(crate) detail: Option<Box<Detail>>,
}

impl From<ProofFailure> for ProofError {
    fn from(failure: ProofFailure) -> Self {
        Self { failure, detail: None }
    }
}

impl ProofFailure {
    /// All causes, in the order of the checks.
    pub const ALL: &[Self] = &[
        Self::Several,
        Self::WithBearer,
        Self::Missing,
        Self::TooLong,
        Self::Malformed,
        Self::Type,
        Self::Algorithm,
        Self::Key,
        Self::Method,
        Self::Target,
        Self::Time,
        Self::Id,
        Self::TokenHash,
        Self::NoNonce,
        Self::Nonce,
        Self::Signature,
        Self::Replayed,
    ];

    /// Adds what was expected and what was found.
    pub(crate) const fn with(self, detail: Box<Detail>) -> ProofError {
        ProofError { failure: self, detail: Some(detail) }
    }

    /// The error code of the challenge: `use_dpop_nonce` (RFC 9449, section 9) or `invalid_dpop_proof` (section 7.1).
    #[must_use]
    pub const fn error_code(self) -> &'static str {
        match self {
            Self::NoNonce | Self::Nonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        }
    }

    /// The sentence that the client reads. It is the same for all proofs.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.texts().1
    }

    /// The stable label of the cause in logs, metrics and [events](crate::events).
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.texts().0
    }

    /// The cause in the words of the log line: `DPoP proof rejected: the method differs`.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.texts().2
    }

    /// The advice for an operator who expects the proof to be accepted.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.texts().3
    }

    /// Label, description, summary and advice.
    const fn texts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Missing => (
                "proof_missing",
                "A DPoP proof is needed",
                "missing",
                "let the client send one header `DPoP` with each request, or the scheme `Bearer` with a bearer token",
            ),
            Self::Several => (
                "proof_repeated",
                "The request must carry exactly one DPoP proof",
                "more than one header `DPoP`",
                "let the client send one header `DPoP`; a proxy may repeat or join headers",
            ),
            Self::WithBearer => (
                "proof_with_bearer",
                "The access token must be sent with the scheme DPoP",
                "the scheme of the token is `Bearer`",
                "let the client send `Authorization: DPoP <token>` with a bound token, and no header `DPoP` with a bearer token",
            ),
            Self::TooLong => (
                "proof_too_long",
                "The DPoP proof is too long",
                "too long",
                "let the client use an ES256 key: its proofs have less than 1 KiB",
            ),
            Self::Malformed => (
                "proof_malformed",
                "The DPoP proof is malformed",
                "not a JWT with the header and the claims of a proof",
                "the proof does not follow RFC 9449, section 4.2: check which software makes it",
            ),
            Self::Type => (
                "proof_type",
                "The DPoP proof has the wrong type",
                "`typ` is not `dpop+jwt`",
                "the client may have sent another JWT in the header `DPoP`: check which software makes it",
            ),
            Self::Algorithm => (
                "proof_algorithm",
                "The signature algorithm of the DPoP proof is not accepted",
                "signature algorithm not accepted",
                "let the client use an algorithm that the challenge names in `algs`, or add it to `Dpop::algorithms`",
            ),
            Self::Key => (
                "proof_key",
                "The key of the DPoP proof is not accepted",
                "`jwk` is not an accepted public key",
                "let the client put its public key into `jwk`: P-256, P-384, P-521, Ed25519, or RSA with 2048 to 4096 bits",
            ),
            Self::Id => (
                "proof_id",
                "The identifier of the DPoP proof is not accepted",
                "`jti` is missing, empty or too long",
                "let the client make a new random `jti` of at most 256 bytes for each proof",
            ),
            Self::Method => (
                "proof_method",
                "The DPoP proof is for another method",
                "method mismatch",
                "let the client make a proof for each request; `htm` is the method in upper case",
            ),
            Self::Target => (
                "proof_target",
                "The DPoP proof is for another URL",
                "URL mismatch",
                "let the client make a proof for each request; if a proxy changes the path, tell this server with \
                 `Dpop::path_behind_proxy`",
            ),
            Self::Time => (
                "proof_time",
                "The DPoP proof was not made just now",
                "made too long ago, or in the future",
                "compare the clocks of the client and of this machine; `Dpop::max_age` sets how old a proof may be",
            ),
            Self::TokenHash => (
                "proof_token_hash",
                "The DPoP proof is for another access token",
                "access token mismatch",
                "let the client write the SHA-256 digest of the access token into `ath`",
            ),
            Self::NoNonce => (
                "proof_no_nonce",
                "The DPoP proof must contain a nonce of this server",
                "no nonce",
                "no repair is needed if the client tries again with the nonce of the response, as RFC 9449, section 9 requires",
            ),
            Self::Nonce => (
                "proof_nonce",
                "The nonce of the DPoP proof is not valid or has expired",
                "nonce not valid",
                "no repair is needed if the client tries again with the nonce of the response; if each request fails, give all \
                 replicas the same `Dpop::nonce_key`",
            ),
            Self::Signature => (
                "proof_signature",
                "The signature of the DPoP proof is invalid",
                "invalid signature",
                "let the client sign the proof with the private key of its `jwk`",
            ),
            Self::Replayed => (
                "proof_replayed",
                "The DPoP proof was used before",
                "used before",
                "let the client make a new proof for each request and for each retry; otherwise somebody has copied the request",
            ),
        }
    }
}
