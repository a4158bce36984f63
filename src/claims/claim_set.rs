use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::registered::{ClaimText, Registered, first_invalid_claim};
use super::{Binding, Confirmation, CredentialKind};
use crate::failure::{CheckFailure, Detail};
use crate::json;
use crate::scope::Scopes;

/// The claims of a token (RFC 7519, section 4), from a JWT, an introspection response or a
/// [`TokenVerifier`](crate::verify::TokenVerifier).
///
/// The claims are a JSON object without repeated names, and registered claims have their registered types. Issuer,
/// audience and expiry are not checked yet. Cloning copies no claim.
///
/// ```
/// use mcp_bearer::claims::Claims;
///
/// let claims = Claims::from_json(r#"{"iss":"https://auth.example.com","sub":"alice","scope":"notes:read"}"#)?;
/// assert_eq!(claims.subject(), Some("alice"));
/// assert!(claims.scopes().contains("notes:read"));
/// assert!(Claims::from_json(r#"{"sub":"alice","sub":"admin"}"#).is_err());
/// # Ok::<(), mcp_bearer::verify::CheckFailure>(())
/// ```
#[derive(Clone)]
pub struct Claims {
    document: Arc<ClaimsDocument>,
    /// All scopes, if the issuer is configured to read some from other claims.
    all_scopes: Option<Arc<Scopes>>,
    /// The keys that the token is bound to, if it says so itself, and these claims do not.
    binding: Option<Arc<Binding>>,
}

/// The text of the claims, the registered ones, and all of them once [`Claims::members`] is called.
struct ClaimsDocument {
    json: String,
    registered: Registered,
    members: OnceLock<Value>,
}

impl Claims {
    /// The member with the name of an API key, in the claims of one.
    pub(crate) const API_KEY_NAME: &str = "api_key_name";

    /// Reads claims from their JSON text.
    ///
    /// # Errors
    /// [`CheckFailure::Claims`] if the text is not a JSON object, repeats a name, or has a registered claim of a wrong
    /// type.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Result<Self, CheckFailure> {
        Self::from_document(json.into(), Registered::from_jwt)
    }

    /// Reads an introspection response of `issuer` (RFC 7662, section 2.2).
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub(crate) fn from_introspection(json: &[u8], issuer: &str) -> Result<Self, CheckFailure> {
        Self::from_document(json.into(), |document| Registered::from_introspection(document, issuer))
    }

    /// The claims of a credential that is not an access token, with `members` as all of its claims.
    ///
    /// No claim is required. `iss` and `aud` are not checked later, but `exp`, `nbf` and `cnf` are. `issuer` is what
    /// [`issuer`](Self::issuer) returns, whatever `members` has.
    ///
    /// # Errors
    /// [`CheckFailure::Claims`] if a registered claim has a wrong type.
    pub(crate) fn from_credential(
        kind: CredentialKind,
        issuer: Option<&str>,
        members: Map<String, Value>,
    ) -> Result<Self, CheckFailure> {
        let json = Value::Object(members).to_string().into_bytes();
        Self::from_document(json, |document| Registered::from_credential(document, kind, issuer))
    }

    fn from_document(
        json: Vec<u8>,
        read: impl FnOnce(&str) -> Result<Registered, CheckFailure>,
    ) -> Result<Self, CheckFailure> {
        let json = String::from_utf8(json).map_err(|_| CheckFailure::Claims)?;
        let document = ClaimsDocument { registered: read(&json)?, json, members: OnceLock::new() };
        Ok(Self { document: Arc::new(document), all_scopes: None, binding: None })
    }

    /// The kind of the credential.
    pub(crate) fn kind(&self) -> CredentialKind {
        self.registered().credential
    }

    /// `iss`: the issuer of the token.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text(self.registered().issuer.as_ref())
    }

    /// `sub`: the subject of the token, unique within its issuer. `None` if absent or empty.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text(self.registered().subject.as_ref())
    }

    /// `aud`: the audiences of the token.
    #[must_use]
    pub fn audience(&self) -> impl ExactSizeIterator<Item = &str> {
        self.registered().audience.iter().map(|audience| audience.read(&self.document.json))
    }

    /// `client_id` (RFC 9068, section 2.2). If absent, `azp`, `cid` or `appid`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.text(self.registered().client_id.as_ref())
    }

    /// `scope`. If absent, `scp` or `scopes`. Each may be a string or an array of strings.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.all_scopes.as_deref().unwrap_or(&self.registered().scopes)
    }

    /// `exp`: when the token expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.exp().and_then(|exp| UNIX_EPOCH.checked_add(exp))
    }

    /// `iat`: when the token was issued.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.registered().issued_at.and_then(|iat| UNIX_EPOCH.checked_add(iat))
    }

    /// `exp`, as the time since 1970.
    pub(crate) fn exp(&self) -> Option<Duration> {
        self.registered().expires_at
    }

    /// `cnf`: the keys that the sender must have.
    pub(crate) fn confirmation(&self) -> Confirmation {
        self.binding.as_ref().map_or(self.registered().confirmation, |binding| Confirmation::Bound(**binding))
    }

    /// Adds the `cnf` of the JWT that these claims are the verified result for. An introspection response may omit it, and the token
    /// is bound to its key all the same.
    ///
    /// # Errors
    /// [`CheckFailure::SenderConstrained`] if the two name different keys.
    pub(crate) fn confirmed_by(mut self, jwt: Confirmation) -> Result<Self, CheckFailure> {
        match (jwt, self.confirmation()) {
            (Confirmation::Absent, _) => {}
            (Confirmation::Bound(binding), Confirmation::Absent) => self.binding = Some(Arc::new(binding)),
            (stated, verified) if stated == verified && stated != Confirmation::Unsupported => {}
            _ => return Err(CheckFailure::SenderConstrained),
        }
        Ok(self)
    }

    /// All claims. They are parsed with the first call.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        // The text is an object, so this default is never used.
        self.document.members().as_object().unwrap_or(&NO_MEMBERS)
    }

    pub(super) fn registered(&self) -> &Registered {
        &self.document.registered
    }

    fn text<'c>(&'c self, text: Option<&'c ClaimText>) -> Option<&'c str> {
        text.map(|text| text.read(&self.document.json))
    }

    /// The length of the JSON text in bytes.
    pub(crate) fn size(&self) -> usize {
        self.document.json.len()
    }

    /// The text that the claims were read from.
    pub(crate) fn json(&self) -> &str {
        &self.document.json
    }

    /// Why a JWT payload was not read as claims, for the log.
    pub(crate) fn defect(json: &[u8]) -> Detail {
        let Ok(document) = json::parse::<Map<String, Value>>(json) else {
            return Detail::Note("the claims are not a JSON object with unique names");
        };
        let is_invalid = |name: &str, value: &Value| Self::from_json(json!({ name: value }).to_string()).is_err();
        first_invalid_claim(&document, is_invalid).map_or(Detail::Note("a claim has a wrong type"), Detail::Claim)
    }

    /// Adds the scopes at `pointer` (RFC 6901): a string, an array of strings, or an object whose names are scopes.
    ///
    /// # Errors
    /// [`CheckFailure::Claims`] for any other value. Valid scopes in it are not used either.
    pub(crate) fn add_scopes_from(&mut self, pointer: &str) -> Result<(), CheckFailure> {
        let found = match self.document.members().pointer(pointer) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => Scopes::granted(text),
            Some(Value::Array(list)) => {
                let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                Scopes::granted_list(texts.ok_or(CheckFailure::Claims)?)
            }
            Some(Value::Object(roles)) => Scopes::granted_list(role_names(roles)?),
            Some(Value::Bool(_) | Value::Number(_)) => return Err(CheckFailure::Claims),
        };
        self.all_scopes = Some(Arc::new(self.scopes().union(&found)));
        Ok(())
    }
}

/// The names of the roles in an object, as Zitadel writes them: `{"admin": {"<organization>": "<domain>"}}`. A role
/// with `false` or `null` is not granted.
fn role_names(roles: &Map<String, Value>) -> Result<Vec<&str>, CheckFailure> {
    let is_granted = |(name, value)| match value {
        &Value::Object(_) | &Value::Bool(true) => Some(Ok(name)),
        &Value::Bool(false) | &Value::Null => None,
        _ => Some(Err(CheckFailure::Claims)),
    };
    roles.iter().map(|(name, value)| (name.as_str(), value)).filter_map(is_granted).collect()
}

impl ClaimsDocument {
    fn members(&self) -> &Value {
        self.members.get_or_init(|| serde_json::from_str(&self.json).unwrap_or_default())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other claims are personal data, which must not get into a log.
        f.debug_struct("Claims").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

static NO_MEMBERS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
