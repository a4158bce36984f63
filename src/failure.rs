//! Why a token is rejected: each cause has a name, a fixed sentence for the client, and a label and a sentence for the
//! operator.

mod detail;

pub use detail::Detail;

/// The check that an access token failed.
///
/// The client reads the [`description`](Self::description), which contains no byte of the token. The
/// [guide](crate::guide::troubleshooting) has the log line and the repair of each cause.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.label())]
pub enum CheckFailure {
    /// The token is longer than [`max_token_length`](crate::ResourceServerBuilder::max_token_length), its header is longer
    /// than 4 KiB, or its signature is longer than 1 KiB.
    TooLong,
    /// The token is opaque, so it is not a JWT, and no issuer introspects opaque tokens.
    NotJwt,
    /// The token is not a JWT in compact form: three parts of canonical base64url (RFC 7515, section 7.1).
    Malformed,
    /// The token is an encrypted JWT (RFC 7516).
    Encrypted,
    /// The header is not a JSON object with unique members of the right types (RFC 7515, section 4).
    Header,
    /// The header has `crit`, `b64`, `enc` or `zip` (RFC 7515, section 4.1.11; RFC 7797, section 7).
    CriticalHeader,
    /// `alg` is not in the allow-list (RFC 8725, section 3.1).
    Algorithm,
    /// `typ`, or a claim, says that the token is not an access token (RFC 8725, section 3.11).
    TokenType,
    /// The claims are not a JSON object with unique members of the right types (RFC 7519, section 4).
    Claims,
    /// `iss` is missing, or is not a configured issuer (RFC 9068, section 4).
    Issuer,
    /// `aud` does not name this resource (RFC 9068, section 4).
    Audience,
    /// `aud` is missing (RFC 9068, section 2.2).
    NoAudience,
    /// `exp` is missing (RFC 9068, section 2.2).
    NoExpiry,
    /// `exp` is in the past (RFC 7519, section 4.1.4).
    Expired,
    /// `nbf` or `iat` is in the future (RFC 7519, sections 4.1.5 and 4.1.6).
    NotYetValid,
    /// The time from `iat` to `exp` is longer than
    /// [`max_token_lifetime`](crate::ResourceServerBuilder::max_token_lifetime).
    LifetimeTooLong,
    /// The token is sender-constrained by `cnf`, and was sent as a bearer token (RFC 9449, section 7.2; RFC 8705, section 3). Or
    /// the server cannot check a member of `cnf`.
    SenderConstrained,
    /// The token is not sender-constrained, and the server
    /// [requires](crate::sender::SenderConstraint) that it is, or it was sent with the scheme `DPoP`.
    NotSenderConstrained,
    /// The token is bound to another key than that of the DPoP proof (RFC 9449, section 7.1).
    ProofKey,
    /// The token is bound to a client certificate, and the request has none (RFC 8705, section 3).
    NoCertificate,
    /// The token is bound to another client certificate than that of the request (RFC 8705, section 3).
    Certificate,
    /// The issuer's key set does not have the key of the signature, or has it for another algorithm or use.
    UnknownKey,
    /// The signature is invalid (RFC 7515, section 5.2).
    Signature,
    /// The authorization server or a [`TokenVerifier`](crate::verify::TokenVerifier) says that the token is not active.
    Inactive,
    /// The application has revoked the token, its subject or its session: see
    /// [`ResourceServer::revoke`](crate::ResourceServer::revoke).
    Revoked,
    /// The credential is not a complete [API key](crate::api_key) of this server: its prefix, its form or its checksum is wrong.
    ApiKeyMalformed,
    /// The [API key](crate::api_key) is not stored, or no longer.
    ApiKeyUnknown,
    /// The [API key](crate::api_key) has expired.
    ApiKeyExpired,
}

impl CheckFailure {
    /// All causes, in the order of the checks.
    pub const ALL: &[Self] = &[
        Self::TooLong,
        Self::NotJwt,
        Self::Malformed,
        Self::Encrypted,
        Self::Header,
        Self::CriticalHeader,
        Self::Algorithm,
        Self::TokenType,
        Self::Claims,
        Self::Issuer,
        Self::Audience,
        Self::NoAudience,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::LifetimeTooLong,
        Self::SenderConstrained,
        Self::UnknownKey,
        Self::Signature,
        Self::Inactive,
        Self::Revoked,
        Self::ProofKey,
        Self::NoCertificate,
        Self::Certificate,
        Self::NotSenderConstrained,
        Self::ApiKeyMalformed,
        Self::ApiKeyUnknown,
        Self::ApiKeyExpired,
    ];

    /// The sentence that the client reads. It is the same for all tokens.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.texts().description
    }

    /// The stable label of the cause in logs, metrics and [events](crate::events).
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.texts().label
    }

    /// The cause in the words of the log line: `access token rejected: audience mismatch`.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.texts().summary
    }

    /// The advice for an operator who expects the token to be accepted.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.texts().advice
    }

    const fn texts(self) -> Texts {
        match self {
            Self::TooLong => Texts {
                label: "too_long",
                description: "The access token is too long",
                summary: "too long",
                advice: "put fewer roles or groups into the token, or raise `max_token_length` of the server",
            },
            Self::NotJwt => Texts {
                label: "not_jwt",
                description: "The access token is not a JWT",
                summary: "not a JWT, and no issuer introspects opaque tokens",
                advice: "call `Issuer::introspect_opaque`, or let the authorization server issue JWTs; Auth0 does so if the \
                         client requests an `audience`, Logto if it requests a `resource`",
            },
            Self::Malformed => Texts {
                label: "malformed",
                description: "The access token is malformed",
                summary: "not a JWT in compact form",
                advice: "check that the client sends the access token, unchanged and complete",
            },
            Self::Encrypted => Texts {
                label: "encrypted",
                description: "The access token is encrypted",
                summary: "an encrypted JWT",
                advice: "let the authorization server issue signed tokens, or call `Issuer::introspect_opaque`; OpenIddict \
                         encrypts by default, Auth0 if the client requests no `audience`",
            },
            Self::Header => Texts {
                label: "header",
                description: "The header of the access token is malformed",
                summary: "malformed JWT header",
                advice: "the token does not follow RFC 7515: check which software issues it",
            },
            Self::CriticalHeader => Texts {
                label: "critical_header",
                description: "The header of the access token asks for an unsupported extension",
                summary: "unsupported extension in the JWT header",
                advice: "let the authorization server issue tokens without `crit`, `b64`, `enc` and `zip`",
            },
            Self::Algorithm => Texts {
                label: "algorithm",
                description: "The signature algorithm of the access token is not accepted",
                summary: "signature algorithm not accepted",
                advice: "let the authorization server sign with an accepted algorithm, or add it to `Issuer::algorithms` if \
                         it is asymmetric; HS256, HS384 and HS512 are never accepted",
            },
            Self::TokenType => Texts {
                label: "token_type",
                description: "The token is not an access token",
                summary: "not an access token",
                advice: "let the client send its access token, not an ID token or a refresh token; if access tokens have \
                         claims of ID tokens, as Dex issues them, see `Issuer::dangerously_accept_id_token_claims`",
            },
            Self::Claims => Texts {
                label: "claims",
                description: "The claims of the access token are malformed",
                summary: "malformed claims",
                advice: "let the authorization server issue the claim, with its registered type (RFC 7519, RFC 9068)",
            },
            Self::Issuer => Texts {
                label: "issuer",
                description: "The issuer of the access token is not accepted",
                summary: "issuer not accepted",
                advice: "configure the issuer exactly as `iss` names it, or call `Issuer::also_issued_as` with that name",
            },
            Self::Audience => Texts {
                label: "audience",
                description: "The access token was issued for another resource",
                summary: "audience mismatch",
                advice: "let the authorization server write the expected audience into the token, by its configuration or \
                         by the client's parameter `resource` (RFC 8707); if the found audience means this server, call \
                         `Issuer::accept_audience`, or `Issuer::accept_client_id_as_audience` for a client id",
            },
            Self::NoAudience => Texts {
                label: "no_audience",
                description: "The access token does not have an audience",
                summary: "no audience",
                advice: "let the authorization server write the expected audience into the token; if it cannot, list its \
                         clients in `Issuer::dangerously_accept_clients_without_audience`",
            },
            Self::NoExpiry => Texts {
                label: "no_expiry",
                description: "The access token does not have an expiry",
                summary: "no expiry",
                advice: "let the authorization server issue tokens with `exp`",
            },
            Self::Expired => Texts {
                label: "expired",
                description: "The access token expired",
                summary: "expired",
                advice: "the client must get a new token; if new tokens are rejected too, check the clock of this machine",
            },
            Self::NotYetValid => Texts {
                label: "not_yet_valid",
                description: "The access token is not valid yet",
                summary: "not valid yet",
                advice: "check the clock of this machine: it may be behind",
            },
            Self::LifetimeTooLong => Texts {
                label: "lifetime_too_long",
                description: "The access token is valid for too long",
                summary: "lifetime too long",
                advice: "let the authorization server issue tokens with a shorter lifetime, or raise `max_token_lifetime`",
            },
            Self::SenderConstrained => Texts {
                label: "sender_constrained",
                description: "The access token is bound to a key and cannot be used as a bearer token",
                summary: "sender-constrained token used as a bearer token",
                advice: "to accept such tokens, call `sender_constraint` on the builder, and let the client send the token as \
                         RFC 9449 or RFC 8705 describes; else let the authorization server issue bearer tokens for this \
                         resource",
            },
            Self::NotSenderConstrained => Texts {
                label: "not_sender_constrained",
                description: "The access token is not bound to a key of the client",
                summary: "not bound to a key of the client",
                advice: "let the authorization server issue tokens that are bound to the key of the client (DPoP or mTLS); to \
                         accept bearer tokens too, use `SenderConstraint::Optional`",
            },
            Self::ProofKey => Texts {
                label: "proof_key_mismatch",
                description: "The access token is bound to another key than the key of the DPoP proof",
                summary: "bound to another key than the key of the DPoP proof",
                advice: "let the client sign its proofs with the key that it used when it requested the token; otherwise \
                         somebody uses the token of another client",
            },
            Self::NoCertificate => Texts {
                label: "no_certificate",
                description: "The access token is bound to a client certificate",
                summary: "bound to a client certificate, and the request has none",
                advice: "let the client present its certificate, and let the TLS server or the proxy in front of this server \
                         pass it on",
            },
            Self::Certificate => Texts {
                label: "certificate_mismatch",
                description: "The access token is bound to another client certificate",
                summary: "bound to another client certificate",
                advice: "let the client present the certificate that it used when it requested the token; otherwise somebody \
                         uses the token of another client",
            },
            Self::UnknownKey => Texts {
                label: "unknown_key",
                description: "The access token is signed with an unknown key",
                summary: "unknown key",
                advice: "compare the `kid` of the token with the issuer's key set; the token may be from another \
                         environment or from before a key rotation",
            },
            Self::Signature => Texts {
                label: "signature",
                description: "The signature of the access token is invalid",
                summary: "invalid signature",
                advice: "check that the token is complete, comes from the issuer that it names, and is not changed by a gateway; Google Cloud \
                         Run with its own authentication replaces the signature",
            },
            Self::Inactive => Texts {
                label: "inactive",
                description: "The access token is not active",
                summary: "not active",
                advice: "the token is expired, revoked or unknown at the authorization server: the client must get a new one; \
                         Keycloak says so too if the client that introspects is not in the audience of the token",
            },
            Self::Revoked => Texts {
                label: "revoked",
                description: "The access token is revoked",
                summary: "revoked by this server",
                advice: "the application revoked the token, its subject or its session with `ResourceServer::revoke`: the client \
                         must get a new token; if a new token of the subject is rejected too, restrict the next revocation with \
                         `Revocation::issued_before`",
            },
            Self::ApiKeyMalformed => Texts {
                label: "api_key_malformed",
                description: "The API key is malformed",
                summary: "malformed API key",
                advice: "check that the client sends the whole API key, as it was generated",
            },
            Self::ApiKeyUnknown => Texts {
                label: "api_key_unknown",
                description: "The API key is not valid",
                summary: "unknown API key",
                advice: "the key was removed, or is from another environment; give the client a key that this server stores",
            },
            Self::ApiKeyExpired => Texts {
                label: "api_key_expired",
                description: "The API key expired",
                summary: "expired API key",
                advice: "generate a new key with the same identity, and give it to the client",
            },
        }
    }
}

/// The texts of a cause.
struct Texts {
    label: &'static str,
    description: &'static str,
    summary: &'static str,
    advice: &'static str,
}

/// A failed check, with what was expected and what was found.
#[derive(Debug)]
pub(crate) struct CheckError {
    pub(crate) failure: CheckFailure,
    pub(crate) detail: Option<Box<Detail>>,
}

impl From<CheckFailure> for CheckError {
    fn from(failure: CheckFailure) -> Self {
        Self { failure, detail: None }
    }
}

impl CheckFailure {
    pub(crate) const fn with(self, detail: Box<Detail>) -> CheckError {
        CheckError { failure: self, detail: Some(detail) }
    }
}
