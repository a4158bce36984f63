use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use super::entry::KeyEntry;
use super::expiry;
use super::form::{id_in, is_id};
use super::mistakes::{KeyMistakes, quoted};
use crate::error::{BuildError, BuildErrorKind};
use crate::json;
use crate::scope::Scopes;
use crate::similar::closest;

/// The part that a server stores of an [`ApiKey`](super::ApiKey): never the key itself.
///
/// It has a name, the lookup id, the SHA-256 digest of the whole key, an identity, scopes and an optional expiry. The digest has
/// no salt and needs no slow hash function, because a key has 178 random bits: nobody can find it by trying.
///
/// A line of a file of keys is its text. `Display` and [`to_line`](Self::to_line) write it, and `parse` reads it:
///
/// ```
/// use mcp_bearer::api_key::StoredKey;
///
/// let line = r#"{"id":"mcpk_0123456789AB","name":"ci-2027","sha256":"f0e4c2f76c58916ec258f246851bea091d14d4247a2fc3e18694461b1816e13b","identity":"ci","scopes":["notes:read"],"expires":"2027-01-31"}"#;
/// let key: StoredKey = line.parse()?;
/// assert_eq!(key.to_line(), line);
/// # Ok::<(), mcp_bearer::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub(super) name: Box<str>,
    pub(super) id: Box<str>,
    sha256: Box<str>,
    identity: Option<Box<str>>,
    scopes: Vec<Box<str>>,
    expires_at: Option<SystemTime>,
}

/// The rules of a server that a stored key must follow.
pub(super) struct KeyRules<'r> {
    pub(super) prefix: &'r str,
    /// The scopes that the server knows. If there are none, each scope is accepted.
    pub(super) scopes: &'r [Box<str>],
}

/// A line of a file of keys.
#[derive(Serialize)]
struct Line<'s> {
    id: &'s str,
    name: &'s str,
    sha256: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'s str>,
    scopes: &'s [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl StoredKey {
    /// A key with this name, lookup id (`mcpk_` and 12 letters and digits) and digest (64 hexadecimal digits), for example from
    /// a database. [`ApiKey::stored_as`](super::ApiKey::stored_as) makes one from a new key.
    ///
    /// Nothing is checked here. [`build`](crate::ResourceServerBuilder::build) reports all mistakes in all keys at once.
    ///
    /// The name is for the operator, appears in the log and is unique: 1 to 64 characters.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, id: impl Into<Box<str>>, sha256: impl Into<Box<str>>) -> Self {
        Self {
            name: name.into(),
            id: id.into(),
            sha256: sha256.into(),
            identity: None,
            scopes: Vec::new(),
            expires_at: None,
        }
    }

    /// Sets who calls with this key: the [subject](crate::AuthInfo::subject) of its requests, 1 to 255 characters. By default it
    /// is the name of the key.
    ///
    /// Several keys may have the same identity, so that a new key can be used before the old one is removed.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Box<str>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Adds scopes that the key grants. By default it grants none.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Sets when the key expires, in whole seconds between the years 1970 and 9999. By default it does not expire. The clock skew
    /// of tokens does not apply, because only the clock of this server matters.
    #[must_use]
    pub const fn expires_at(mut self, expires_at: SystemTime) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// The line for the file of keys: a JSON object. It contains no secret.
    #[must_use]
    pub fn to_line(&self) -> String {
        let line = Line {
            id: &self.id,
            name: &self.name,
            sha256: &self.sha256,
            identity: self.identity.as_deref(),
            scopes: &self.scopes,
            expires: self.expires_at.and_then(expiry::format),
        };
        // Texts and lists of texts can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Reads a line of a file of keys. The error has all mistakes, and no value that may be a secret.
    pub(super) fn from_line(line: &str) -> Result<Self, Vec<String>> {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if line.split(|character| !is_part(character)).any(|part| id_in(part).is_ok()) {
            return Err(vec![PLAIN_KEY.to_owned()]);
        }
        let members: Map<String, Value> = json::parse(line.as_bytes()).map_err(|error| {
            // The text of the error may contain a value.
            let column = error.column();
            vec![format!("the line is not a JSON object with unique names (column {column}); {NEW_LINE}")]
        })?;
        let mut mistakes = Vec::new();
        for name in members.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let repair = match closest(name, FIELDS) {
                Some(field) => format!("write `{field}`"),
                None => format!("use {}", FIELDS.map(|field| format!("`{field}`")).join(", ")),
            };
            mistakes.push(format!("the field {} is unknown; {repair}", quoted(name)));
        }
        let mut text = |name: &str, is_required: bool| match members.get(name) {
            Some(Value::String(text)) => Some(text.as_str()),
            None | Some(Value::Null) if !is_required => None,
            None | Some(Value::Null) => {
                mistakes.push(format!("the field `{name}` is missing; {NEW_LINE}"));
                None
            }
            Some(_) => {
                mistakes.push(format!("`{name}` is not a string; write it in quotes"));
                None
            }
        };
        let (name, id, sha256) = (text("name", true), text("id", true), text("sha256", true));
        let (identity, expires) = (text("identity", false), text("expires", false));
        let expires_at = expires.and_then(|text| {
            let time = expiry::parse(text);
            if time.is_none() {
                mistakes.push(format!(
                    "the expiry {} is not a date; write it as \"2027-01-31\", or as \"2027-01-31T18:00:00Z\"",
                    quoted(text)
                ));
            }
            time
        });
        let scopes = match members.get("scopes") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|scope| scope.as_str().map(Box::from)).collect(),
            Some(_) => None,
        };
        if scopes.is_none() {
            mistakes.push("`scopes` is not a list of strings; write [\"notes:read\", \"notes:write\"]".to_owned());
        }
        match (name, id, sha256, scopes) {
            (Some(name), Some(id), Some(sha256), Some(scopes)) if mistakes.is_empty() => {
                Ok(Self { identity: identity.map(Box::from), scopes, expires_at, ..Self::new(name, id, sha256) })
            }
            _ => Err(mistakes),
        }
    }

    /// Checks the key by the rules of a server. The error has all mistakes.
    pub(super) fn check(&self, rules: &KeyRules<'_>) -> Result<KeyEntry, Vec<String>> {
        let mut mistakes = Vec::new();
        let is_text = |text: &str, longest| {
            let characters = text.chars().count();
            (1..=longest).contains(&characters) && !text.chars().any(char::is_control)
        };
        if !is_text(&self.name, MAX_NAME) {
            mistakes.push(format!(
                "the name {} must have 1 to {MAX_NAME} characters without control characters",
                quoted(&self.name)
            ));
        }
        let identity = self.identity.as_ref().unwrap_or(&self.name);
        if !is_text(identity, MAX_IDENTITY) {
            mistakes.push(format!(
                "the identity {} must have 1 to {MAX_IDENTITY} characters without control characters",
                quoted(identity)
            ));
        }
        if [&self.name, identity, &self.id, &self.sha256].iter().any(|text| id_in(text).is_ok()) {
            return Err(vec![PLAIN_KEY.to_owned()]);
        }
        if !is_id(&self.id, rules.prefix) {
            mistakes.push(match self.id.rsplit_once('_') {
                Some((prefix, _)) if is_id(&self.id, prefix) => format!(
                    "the id has the prefix {}, and the accepted prefix is \"{}\"; use a key with that prefix, or set the \
                     prefix of the keys (`ApiKeys::prefix`, or `--prefix` of the command)",
                    quoted(prefix),
                    rules.prefix
                ),
                _ => format!(
                    "the id is not \"{}_\" and 12 letters and digits; copy it from the line that `key new` printed",
                    rules.prefix
                ),
            });
        }
        let digest = digest_in(&self.sha256);
        if digest.is_none() {
            mistakes.push(
                "`sha256` is not 64 hexadecimal digits; write the SHA-256 digest of the key, and never the key itself"
                    .to_owned(),
            );
        }
        let scopes = Scopes::new(&self.scopes).map_err(|error| mistakes.push(error.to_string())).unwrap_or_default();
        let is_unknown =
            |scope: &&str| !rules.scopes.is_empty() && !rules.scopes.iter().any(|known| **known == **scope);
        for scope in scopes.iter().filter(is_unknown) {
            let near = closest(scope, rules.scopes.iter().map(AsRef::as_ref));
            let repair = match near {
                Some(near) => format!("write {}, or add it to `scopes_supported`", quoted(near)),
                None => "add it there, or remove it from the key".to_owned(),
            };
            mistakes.push(format!("the scope {} is not one of `scopes_supported`; {repair}", quoted(scope)));
        }
        let expires_at =
            self.expires_at.map(|time| time.duration_since(UNIX_EPOCH).ok().filter(|_| expiry::format(time).is_some()));
        if expires_at == Some(None) {
            mistakes.push("the expiry is not between the years 1970 and 9999; use another time".to_owned());
        }
        let Some(digest) = digest.filter(|_| mistakes.is_empty()) else { return Err(mistakes) };
        let entry = KeyEntry::new(&self.name, digest, identity, &scopes, expires_at.flatten());
        entry.ok_or_else(|| vec!["the name, the identity or the expiry cannot be used; change it".to_owned()])
    }
}

impl fmt::Display for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_line())
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for StoredKey {
    type Err = BuildError;

    /// # Errors
    /// [`BuildErrorKind::ApiKeys`] with all mistakes of the line, except those that need the rules of a server.
    fn from_str(line: &str) -> Result<Self, BuildError> {
        Self::from_line(line).map_err(|what| {
            let mistakes = KeyMistakes::from_iter(what.into_iter().map(|what| ("the line".into(), what)));
            BuildError::new(BuildErrorKind::ApiKeys, mistakes.to_string())
        })
    }
}

/// The digest in 64 hexadecimal digits.
fn digest_in(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    is_hex.then_some(digest)
}

/// The fields of a line.
const FIELDS: [&str; 6] = ["id", "name", "sha256", "identity", "scopes", "expires"];
/// In characters. A name is in log lines.
const MAX_NAME: usize = 64;
/// In characters, as for a `sub` (OpenID Connect Core 1.0, section 2).
const MAX_IDENTITY: usize = 255;
const NEW_LINE: &str = "the command `key new` prints a valid line";
const PLAIN_KEY: &str = "an API key is written here in plain text; remove it, do not use this key any more, and write the line that \
                         the command `key new` prints for a new one";
