use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use smallvec::SmallVec;

use super::{Confirmation, CredentialKind};
use crate::failure::CheckFailure;
use crate::json::{self, Text, present};
use crate::scope::Scopes;

/// The claims that are checked or that every application needs.
pub(super) struct Registered {
    pub(super) issuer: Option<ClaimText>,
    pub(super) subject: Option<ClaimText>,
    /// Most tokens have one audience. Some have a second one, for the UserInfo endpoint.
    pub(super) audience: SmallVec<[ClaimText; 2]>,
    pub(super) expires_at: Option<Duration>,
    pub(super) not_before: Option<Duration>,
    pub(super) issued_at: Option<Duration>,
    pub(super) client_id: Option<ClaimText>,
    pub(super) scopes: Scopes,
    pub(super) kind: TokenKind,
    pub(super) confirmation: Confirmation,
    pub(super) has_token_type: bool,
    /// Whether `roles` has at least one role.
    pub(super) has_roles: bool,
    /// Whether `client_id` is present under its own name.
    pub(super) has_client_id: bool,
    pub(super) has_jti: bool,
    /// Whether this is an introspection response: the issuer has just said that the token is active, so that `exp` may be
    /// absent (RFC 7662, section 2.2).
    pub(super) is_introspected: bool,
    pub(super) credential: CredentialKind,
}

/// The kind of token that the claims show.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenKind {
    /// Nothing shows another kind than an access token.
    Access,
    /// The issuer names the token an ID token, a refresh token, a logout token, or another foreign token.
    Foreign,
    /// `nonce`, `at_hash` or `c_hash` is present, as in ID tokens, and the issuer does not name the token an access token.
    /// Access tokens of a few servers are like this. Those of Azure AD B2C are recognized as access tokens.
    LikeIdToken,
}

impl Registered {
    /// Reads the claims of a JWT. `null` means that a claim is absent, but is an error in `iss`, `aud`, `exp` and `cnf`.
    pub(super) fn from_jwt(document: &str) -> Result<Self, CheckFailure> {
        let stated = Stated::parse(document)?;
        let required_is_null = matches!(stated.iss, Some(None))
            || matches!(stated.aud, Some(None))
            || matches!(stated.exp, Some(None))
            || matches!(stated.cnf, Some(None));
        if required_is_null { Err(CheckFailure::Claims) } else { stated.registered(document) }
    }

    /// Reads an introspection response of `issuer`. `iss`, `aud` and `exp` are optional there (RFC 7662, section 2.2), so
    /// that `null` means that they are absent. Some servers name the audience in `resource`, as clients do (RFC 8707).
    pub(super) fn from_introspection(document: &str, issuer: &str) -> Result<Self, CheckFailure> {
        let mut stated = Stated::parse(document)?;
        let names_audience = |audience: &Claim<'_>| !matches!(audience, Claim::List(list) if list.is_empty());
        stated.aud = Some(stated.aud.flatten().filter(names_audience).or(stated.resource.take()));
        let mut registered = stated.registered(document)?;
        registered.issuer.get_or_insert_with(|| ClaimText::Owned(issuer.into()));
        registered.is_introspected = true;
        Ok(registered)
    }

    /// Reads the claims of a credential that is not an access token. No claim is required, and none shows another kind of token.
    pub(super) fn from_credential(
        document: &str,
        credential: CredentialKind,
        issuer: Option<&str>,
    ) -> Result<Self, CheckFailure> {
        let stated = Stated::parse(document)?;
        let issuer = issuer.map(|issuer| ClaimText::Owned(issuer.into()));
        Ok(Self { issuer, kind: TokenKind::Access, credential, ..stated.registered(document)? })
    }

    /// The first claim that RFC 9068, section 2.2 requires and that is absent.
    pub(super) fn first_missing_of_rfc9068(&self) -> Option<&'static str> {
        let required = [
            ("iss", self.issuer.is_some()),
            ("exp", self.expires_at.is_some()),
            ("aud", !self.audience.is_empty()),
            ("sub", self.subject.is_some()),
            ("client_id", self.has_client_id),
            ("iat", self.issued_at.is_some()),
            ("jti", self.has_jti),
        ];
        required.into_iter().find(|(_, is_present)| !is_present).map(|(name, _)| name)
    }
}

/// The first claim that alone makes a document invalid, for the log. `is_invalid` gets a document with only this claim.
pub(crate) fn first_invalid_claim(
    document: &Map<String, Value>,
    is_invalid: impl Fn(&str, &Value) -> bool,
) -> Option<&'static str> {
    TYPED_CLAIMS.split(' ').find(|name| document.get(*name).is_some_and(|value| is_invalid(name, value)))
}

/// The claims of a document that this crate reads. Their names are exact: `Aud` is not `aud` (RFC 7519, section 10.1.1).
///
/// `null` is read as an absent claim. Where it must be told apart, it is `Some(None)`.
#[derive(Deserialize)]
struct Stated<'d> {
    #[serde(borrow, default, deserialize_with = "present")]
    iss: Option<Option<Text<'d>>>,
    sub: Option<Text<'d>>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Option<Claim<'d>>>,
    resource: Option<Claim<'d>>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<Option<NumericDate>>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    scope: Option<Claim<'d>>,
    scp: Option<Claim<'d>>,
    scopes: Option<Claim<'d>>,
    roles: Option<Claim<'d>>,
    jti: Option<Claim<'d>>,
    client_id: Option<Claim<'d>>,
    azp: Option<Claim<'d>>,
    cid: Option<Claim<'d>>,
    appid: Option<Claim<'d>>,
    #[serde(borrow, default, deserialize_with = "present")]
    cnf: Option<Option<&'d RawValue>>,
    typ: Option<Text<'d>>,
    token_use: Option<Text<'d>>,
    token_type: Option<Text<'d>>,
    r#type: Option<Claim<'d>>,
    nonce: Option<IgnoredAny>,
    at_hash: Option<IgnoredAny>,
    c_hash: Option<IgnoredAny>,
    tfp: Option<Claim<'d>>,
    acr: Option<Claim<'d>>,
    events: Option<IgnoredAny>,
}

/// A claim that servers write with different types.
#[derive(Deserialize)]
#[serde(from = "&'d RawValue")]
enum Claim<'d> {
    Text(#[serde(borrow)] Text<'d>),
    /// An array of strings.
    List(SmallVec<[Text<'d>; 2]>),
    Other,
}

// `serde(untagged)` would copy the whole value first, and allocate an error for each type that it does not have.
impl<'d> From<&'d RawValue> for Claim<'d> {
    fn from(value: &'d RawValue) -> Self {
        let json = value.get();
        let read = match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str(json).map(Self::Text),
            Some(b'[') => serde_json::from_str(json).map(Self::List),
            _ => return Self::Other,
        };
        read.unwrap_or(Self::Other)
    }
}

/// The time since 1970 (RFC 7519, section 2), with or without a fraction.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Number")]
pub(crate) struct NumericDate(pub(crate) Duration);

impl<'d> Stated<'d> {
    fn parse(document: &'d str) -> Result<Self, CheckFailure> {
        json::parse(document.as_bytes()).map_err(|_| CheckFailure::Claims)
    }

    /// Fails if a claim has a wrong type.
    fn registered(self, document: &str) -> Result<Registered, CheckFailure> {
        let text = |text: &Text<'_>| ClaimText::new(text, document);
        let client_id = [&self.client_id, &self.azp, &self.cid, &self.appid].into_iter().find_map(name);
        let scopes = [&self.scope, &self.scp, &self.scopes].into_iter().find_map(Option::as_ref);
        Ok(Registered {
            issuer: self.iss.as_ref().and_then(Option::as_ref).map(text),
            subject: self.sub.as_ref().filter(|subject| !subject.is_empty()).map(text),
            audience: match self.aud.as_ref().and_then(Option::as_ref) {
                None => SmallVec::new(),
                Some(Claim::Text(audience)) => std::iter::once(text(audience)).collect(),
                Some(Claim::List(audiences)) => audiences.iter().map(text).collect(),
                Some(Claim::Other) => return Err(CheckFailure::Claims),
            },
            expires_at: self.exp.flatten().map(|date| date.0),
            not_before: self.nbf.map(|date| date.0),
            issued_at: self.iat.map(|date| date.0),
            client_id: client_id.map(|id| ClaimText::new(id, document)),
            scopes: scopes.map_or(Some(Scopes::default()), Claim::scopes).ok_or(CheckFailure::Claims)?,
            kind: self.kind(),
            confirmation: match self.cnf {
                // The authorization server does not say which key the token is bound to.
                None if self.token_type.as_ref().is_some_and(|kind| kind.eq_ignore_ascii_case("dpop")) => {
                    Confirmation::Unsupported
                }
                None => Confirmation::Absent,
                Some(None) => Confirmation::Unsupported,
                Some(Some(value)) => Confirmation::from_json(value),
            },
            has_token_type: self.token_type.is_some(),
            has_roles: self.roles.as_ref().and_then(Claim::scopes).is_some_and(|roles| !roles.is_empty()),
            has_client_id: name(&self.client_id).is_some(),
            has_jti: name(&self.jti).is_some(),
            is_introspected: false,
            credential: CredentialKind::AccessToken,
        })
    }

    fn kind(&self) -> TokenKind {
        let is = |claim: &Option<Text<'_>>, names: &[&str]| {
            claim.as_ref().map(|claim| names.iter().any(|name| claim.eq_ignore_ascii_case(name)))
        };
        let usage = is(&self.token_use, &["access", "access_token"]);
        let is_foreign = is(&self.typ, &FOREIGN_TYPES) == Some(true)
            || usage == Some(false)
            || is(&self.token_type, &ACCESS_TOKEN_TYPES) == Some(false)
            || matches!(name(&self.r#type), Some("refresh_token" | "refresh" | "id_token"))
            || self.events.is_some();
        let has_id_token_claim = self.nonce.is_some() || self.at_hash.is_some() || self.c_hash.is_some();
        let is_named_access_token = is(&self.typ, &["bearer"]) == Some(true) || usage == Some(true);
        if is_foreign {
            TokenKind::Foreign
        } else if has_id_token_claim && !is_named_access_token && !self.is_b2c_access_token() {
            TokenKind::LikeIdToken
        } else {
            TokenKind::Access
        }
    }

    /// Whether this is an access token of Azure AD B2C, which contains the `nonce` of the authorization request. It has
    /// `scp` and `azp`, which no ID token of B2C has both, and it names a policy or a host of B2C.
    fn is_b2c_access_token(&self) -> bool {
        let has_scopes = self.scp.as_ref().and_then(Claim::scopes).is_some_and(|scopes| !scopes.is_empty());
        let is_policy =
            |acr: &str| acr.get(..B2C_POLICY.len()).is_some_and(|start| start.eq_ignore_ascii_case(B2C_POLICY));
        let is_b2c_host = |issuer: &Text<'_>| {
            let host = issuer.strip_prefix("https://").and_then(|rest| rest.split('/').next());
            host.is_some_and(|host| host.ends_with(".b2clogin.com"))
        };
        let is_from_b2c = name(&self.tfp).is_some()
            || name(&self.acr).is_some_and(is_policy)
            || self.iss.as_ref().and_then(Option::as_ref).is_some_and(is_b2c_host);
        has_scopes && name(&self.azp).is_some() && is_from_b2c && self.at_hash.is_none() && self.c_hash.is_none()
    }
}

impl Claim<'_> {
    /// The scopes of a string or of an array of strings. `None` for another type.
    fn scopes(&self) -> Option<Scopes> {
        match self {
            Self::Text(text) => Some(Scopes::granted(text)),
            Self::List(texts) => Some(Scopes::granted_list(texts.iter().map(|text| &**text))),
            Self::Other => None,
        }
    }
}

/// A claim that is a string and not empty. A number is never made a name.
fn name<'c>(claim: &'c Option<Claim<'_>>) -> Option<&'c str> {
    match claim {
        Some(Claim::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

impl TryFrom<Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, Self::Error> {
        let date = match number.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        date.filter(|date| date.as_secs() <= LAST_SECOND).map(Self).ok_or("the number is not a date")
    }
}

/// The value of a string claim. It is stored as its range in the document, because an allocation for each claim of each
/// request would cost more than reading the claims.
#[derive(Clone)]
pub(super) enum ClaimText {
    Range(Range<usize>),
    /// The document contains the value with escapes, or does not contain it.
    Owned(Box<str>),
}

impl ClaimText {
    fn new(text: &str, document: &str) -> Self {
        // A text that was borrowed from the document lies at a distance from its start. Any other text does not.
        let start = text.as_ptr().addr().wrapping_sub(document.as_ptr().addr());
        let range = start..start.saturating_add(text.len());
        if document.get(range.clone()) == Some(text) { Self::Range(range) } else { Self::Owned(text.into()) }
    }

    pub(super) fn read<'d>(&'d self, document: &'d str) -> &'d str {
        match self {
            Self::Range(range) => document.get(range.clone()).unwrap_or_default(),
            Self::Owned(text) => text,
        }
    }
}

/// The claims whose type is checked.
const TYPED_CLAIMS: &str = "iss sub aud resource exp nbf iat scope scp scopes client_id azp cid appid cnf typ token_use \
                            token_type type jti roles username events";
/// The end of the year 9999. A greater number is a time in milliseconds.
const LAST_SECOND: u64 = 253_402_300_799;
/// The beginning of the name of each policy of Azure AD B2C.
const B2C_POLICY: &str = "b2c_1";
/// The `token_type` of access tokens.
const ACCESS_TOKEN_TYPES: [&str; 6] = ["bearer", "dpop", "access_token", "access", "jwt", "at+jwt"];
/// The `typ` in the claims of tokens that are not access tokens, as Keycloak writes it.
const FOREIGN_TYPES: [&str; 10] = [
    "id",
    "id_token",
    "refresh",
    "refresh_token",
    "offline",
    "logout",
    "logout+jwt",
    "secevent+jwt",
    "dpop+jwt",
    "token-introspection+jwt",
];

#[cfg(test)]
mod tests;
