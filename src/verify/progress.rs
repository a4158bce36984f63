use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::events::VerificationPurpose;
use crate::failure::CheckFailure;

/// A row of the table of checks in the [module's documentation](super).
///
/// Serialised, it is the name of the variant in snake case.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenCheck {
    /// Row 1: the length.
    Length,
    /// Row 2: the compact form of a JWT.
    CompactForm,
    /// Row 3: the header of a JWT.
    Header,
    /// Row 4: the claims are a JSON object in which each registered claim has its type.
    Claims,
    /// Row 5: the issuer.
    Issuer,
    /// Introspection, or the [`TokenVerifier`](super::TokenVerifier) of the application, for a token that is not verified with
    /// keys.
    Delegated,
    /// Row 6: the audience.
    Audience,
    /// Row 7: expiry, start and lifetime.
    Times,
    /// Row 8: the kind of token.
    TokenKind,
    /// Row 9: the key.
    Key,
    /// Row 10: the signature.
    Signature,
    /// Row 11: revocation.
    Revocation,
    /// The form, the digest and the expiry of an [API key](crate::api_key), which passes no other row than the first and the
    /// last.
    ApiKey,
    /// Row 12: the [revocation list](crate::revocation) of this server.
    RevocationList,
}

/// Records which checks a token has reached, if an explanation is asked for. For a request it records nothing.
#[derive(Clone)]
pub(crate) struct CheckRecorder(Option<Arc<Mutex<CheckRecord>>>);

/// The checks that a token has reached.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckRecord {
    pub(super) reached: Vec<TokenCheck>,
    /// The check that runs now, or that ended the verification.
    pub(super) current: Option<TokenCheck>,
}

impl TokenCheck {
    /// All checks, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Length,
        Self::CompactForm,
        Self::Header,
        Self::Claims,
        Self::Issuer,
        Self::Delegated,
        Self::Audience,
        Self::Times,
        Self::TokenKind,
        Self::Key,
        Self::Signature,
        Self::Revocation,
        Self::ApiKey,
        Self::RevocationList,
    ];

    /// The requirement of the check, as a sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Length => "the token is not longer than `max_token_length`",
            Self::CompactForm => "the token is a JWT in compact form",
            Self::Header => "the header is valid, with an accepted algorithm and type",
            Self::Claims => "the claims are valid JSON, each with its registered type",
            Self::Issuer => "the issuer is configured",
            Self::Delegated => "the authorization server or the token verifier says that the token is active",
            Self::Audience => "the audience contains this resource",
            Self::Times => "the token is valid now",
            Self::TokenKind => "the token is an access token, and the server can check its `cnf`",
            Self::Key => "the issuer has the key that the token names",
            Self::Signature => "the signature is valid",
            Self::Revocation => "the token is not revoked",
            Self::ApiKey => "the API key is known and has not expired",
            Self::RevocationList => "the token is not in the revocation list of this server",
        }
    }

    /// The row of a failure that the check of claims returns.
    const fn of_claims(failure: CheckFailure) -> Self {
        match failure {
            CheckFailure::Issuer => Self::Issuer,
            CheckFailure::Audience | CheckFailure::NoAudience => Self::Audience,
            CheckFailure::Expired
            | CheckFailure::NotYetValid
            | CheckFailure::NoExpiry
            | CheckFailure::LifetimeTooLong => Self::Times,
            _ => Self::TokenKind,
        }
    }
}

impl CheckRecorder {
    /// Records nothing.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Records all checks.
    pub(super) fn recorded() -> Self {
        Self(Some(Arc::default()))
    }

    pub(super) const fn purpose(&self) -> VerificationPurpose {
        match self.0 {
            None => VerificationPurpose::Request,
            Some(_) => VerificationPurpose::Explanation,
        }
    }

    /// The check begins, so all earlier ones passed.
    pub(super) fn begin(&self, check: TokenCheck) {
        if let Some(mut record) = self.record() {
            record.begin(check);
        }
    }

    /// Rows 5 to 8 passed.
    pub(super) fn claims_passed(&self) {
        if let Some(mut record) = self.record() {
            OF_CLAIMS.into_iter().for_each(|check| record.begin(check));
        }
    }

    /// One of the rows 5 to 8 failed.
    pub(super) fn claims_failed(&self, failure: CheckFailure) {
        if let Some(mut record) = self.record() {
            let failed = TokenCheck::of_claims(failure);
            OF_CLAIMS.into_iter().take_while(|check| *check != failed).for_each(|check| record.begin(check));
            record.begin(failed);
        }
    }

    /// The cached result of a token says that its rows 2 to 4, 9 and 10 passed, and rows 5 to 8 have passed now.
    pub(super) fn cached(&self) {
        if let Some(mut record) = self.record() {
            let cached = TokenCheck::ALL.iter().filter(|check| {
                use TokenCheck::{ApiKey, Delegated, Revocation, RevocationList};
                !matches!(check, Delegated | Revocation | ApiKey | RevocationList)
            });
            cached.for_each(|check| record.begin(*check));
        }
    }

    pub(super) fn take(self) -> CheckRecord {
        self.record().map(|record| record.clone()).unwrap_or_default()
    }

    fn record(&self) -> Option<MutexGuard<'_, CheckRecord>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CheckRecord {
    fn begin(&mut self, check: TokenCheck) {
        self.current = Some(check);
        if !self.reached.contains(&check) {
            self.reached.push(check);
        }
    }
}

/// The rows of the function that checks claims.
const OF_CLAIMS: [TokenCheck; 4] = [TokenCheck::Issuer, TokenCheck::Audience, TokenCheck::Times, TokenCheck::TokenKind];
