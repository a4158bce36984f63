use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::member::{Member, MemberSeed};
use crate::failure::CheckFailure;
use crate::json::{Names, Walk, next_name};
use crate::scope::Scopes;

/// The claims of a token (RFC 7519, section 4), or what a [`TokenVerifier`](crate::verify::TokenVerifier) says of it.
///
/// A value of this type is well-formed: a JSON object without repeated names, whose claims have their registered types.
/// Whether they are good enough is another question.
#[derive(Clone)]
pub struct Claims {
    document: Arc<Document>,
    pub(super) issuer: Option<Box<str>>,
    pub(super) subject: Option<Box<str>>,
    pub(super) audience: Vec<Box<str>>,
    pub(super) expires_at: Option<Duration>,
    pub(super) not_before: Option<Duration>,
    pub(super) issued_at: Option<Duration>,
    pub(super) client_id: Option<Box<str>>,
    pub(super) scopes: Scopes,
    pub(super) marks: Marks,
    /// The issuer says itself, and just now, that the token is good (RFC 7662): then it need not say until when.
    pub(super) vouched: bool,
}

/// What was read, and all of it as values once somebody asks.
struct Document {
    json: String,
    members: OnceLock<Value>,
}

/// Signs that a token is something other than a bearer access token.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Marks {
    /// `cnf`, whatever is in it.
    pub(super) sender_constrained: bool,
    /// Named an ID, refresh, logout or other foreign token by its issuer.
    pub(super) foreign: bool,
    /// `nonce`, `at_hash`, `c_hash`: ID tokens have them, access tokens of a few old servers too.
    pub(super) like_id_token: bool,
    /// `typ: Bearer`, `token_use: access`: its issuer names it an access token.
    pub(super) access: bool,
}

impl Claims {
    /// Reads claims from their JSON text.
    ///
    /// # Errors
    /// [`CheckFailure::Claims`] if the text is no JSON object, repeats a name, or has a registered claim of a wrong type.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Result<Self, CheckFailure> {
        Self::read(json.into(), |read, document| read.interpret(document))
    }

    /// Reads an introspection answer of `issuer` (RFC 7662, section 2.2). Who answered is known, so that it need not be
    /// said; and some name the audience in `resource`, as clients do (RFC 8707).
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub(crate) fn from_introspection(json: &[u8], issuer: &str) -> Result<Self, CheckFailure> {
        Self::read(json.into(), |mut read, document| {
            read.drop_nulls();
            let names_nobody = |audience: &Member<'_>| matches!(audience, Member::List(list) if list.is_empty());
            read.aud = read.aud.filter(|audience| !names_nobody(audience)).or(read.resource.take());
            let mut claims = read.interpret(document)?;
            claims.issuer.get_or_insert_with(|| issuer.into());
            claims.vouched = true;
            Some(claims)
        })
    }

    fn read(
        json: Vec<u8>,
        interpret: impl FnOnce(Read<'_>, Arc<Document>) -> Option<Self>,
    ) -> Result<Self, CheckFailure> {
        // Once for the whole text is cheaper than once for each of its strings.
        let json = String::from_utf8(json).map_err(|_| CheckFailure::Claims)?;
        let document = Arc::new(Document { json, members: OnceLock::new() });
        let mut deserializer = serde_json::Deserializer::from_str(&document.json);
        let read = deserializer
            .deserialize_map(ReadVisitor)
            .and_then(|read| deserializer.end().map(|()| read))
            .map_err(|_| CheckFailure::Claims)?;
        interpret(read, Arc::clone(&document)).ok_or(CheckFailure::Claims)
    }

    /// `iss`: who issued the token.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `sub`: whom the token is about, unique within its issuer. `None` if absent, empty or not a string.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `aud`: for whom the token was issued.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.audience.iter().map(AsRef::as_ref)
    }

    /// `client_id` (RFC 9068, section 2.2), else `azp`, `cid` or `appid`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// `scope`, else `scp`, else `scopes`, each a text or an array.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// `exp`, as the time since 1970.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Duration> {
        self.expires_at
    }

    /// `iat`, as the time since 1970.
    #[must_use]
    pub const fn issued_at(&self) -> Option<Duration> {
        self.issued_at
    }

    /// All claims. Read on first use, then kept.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        // What `from_json` let pass is always an object.
        self.document.members().as_object().unwrap_or(&NO_MEMBERS)
    }

    /// How many bytes were read.
    pub(crate) fn size(&self) -> usize {
        self.document.json.len()
    }

    /// Adds the scopes that stand at `pointer` (RFC 6901): a text or an array.
    pub(crate) fn add_scopes_from(&mut self, pointer: &str) {
        let found = match self.document.members().pointer(pointer) {
            Some(Value::String(text)) => Scopes::granted(text),
            Some(Value::Array(list)) => Scopes::granted_list(list.iter().filter_map(Value::as_str)),
            _ => return,
        };
        self.scopes = self.scopes.union(&found);
    }
}

impl Document {
    fn members(&self) -> &Value {
        self.members.get_or_init(|| serde_json::from_str(&self.json).unwrap_or_default())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who it is about, and what else it says, are nobody's business in a log.
        f.debug_struct("Claims").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Read<'de> {
    iss: Option<Member<'de>>,
    sub: Option<Member<'de>>,
    aud: Option<Member<'de>>,
    resource: Option<Member<'de>>,
    exp: Option<Member<'de>>,
    nbf: Option<Member<'de>>,
    iat: Option<Member<'de>>,
    scope: Option<Member<'de>>,
    scp: Option<Member<'de>>,
    scopes: Option<Member<'de>>,
    client_id: Option<Member<'de>>,
    azp: Option<Member<'de>>,
    cid: Option<Member<'de>>,
    appid: Option<Member<'de>>,
    cnf: Option<Member<'de>>,
    typ: Option<Member<'de>>,
    token_use: Option<Member<'de>>,
    token_type: Option<Member<'de>>,
    r#type: Option<Member<'de>>,
    nonce: Option<Member<'de>>,
    at_hash: Option<Member<'de>>,
    c_hash: Option<Member<'de>>,
    events: Option<Member<'de>>,
}

impl<'de> Read<'de> {
    /// Names are exact: `Aud` is not `aud` (RFC 7519, section 10.1.1).
    fn slot(&mut self, name: &str) -> Option<&mut Option<Member<'de>>> {
        Some(match name {
            "iss" => &mut self.iss,
            "sub" => &mut self.sub,
            "aud" => &mut self.aud,
            "resource" => &mut self.resource,
            "exp" => &mut self.exp,
            "nbf" => &mut self.nbf,
            "iat" => &mut self.iat,
            "scope" => &mut self.scope,
            "scp" => &mut self.scp,
            "scopes" => &mut self.scopes,
            "client_id" => &mut self.client_id,
            "azp" => &mut self.azp,
            "cid" => &mut self.cid,
            "appid" => &mut self.appid,
            "cnf" => &mut self.cnf,
            "typ" => &mut self.typ,
            "token_use" => &mut self.token_use,
            "token_type" => &mut self.token_type,
            "type" => &mut self.r#type,
            "nonce" => &mut self.nonce,
            "at_hash" => &mut self.at_hash,
            "c_hash" => &mut self.c_hash,
            "events" => &mut self.events,
            _ => return None,
        })
    }

    /// Some servers write null for what they do not know. `cnf` stays: whatever is in it, the token is bound.
    fn drop_nulls(&mut self) {
        for member in [
            &mut self.aud,
            &mut self.resource,
            &mut self.exp,
            &mut self.nbf,
            &mut self.iat,
            &mut self.typ,
            &mut self.token_use,
            &mut self.token_type,
            &mut self.r#type,
            &mut self.nonce,
            &mut self.at_hash,
            &mut self.c_hash,
            &mut self.events,
        ] {
            if matches!(member, Some(Member::Null)) {
                *member = None;
            }
        }
    }

    fn interpret(self, document: Arc<Document>) -> Option<Claims> {
        let marks = self.marks()?;
        Some(Claims {
            document,
            issuer: text(self.iss)?.map(boxed),
            subject: lenient_text(self.sub).map(boxed),
            audience: audience(self.aud)?,
            expires_at: date(self.exp)?,
            not_before: date(self.nbf)?,
            issued_at: date(self.iat)?,
            client_id: [self.client_id, self.azp, self.cid, self.appid].into_iter().find_map(lenient_text).map(boxed),
            scopes: scopes(self.scope.or(self.scp).or(self.scopes))?,
            marks,
            vouched: false,
        })
    }

    fn marks(&self) -> Option<Marks> {
        let kind = |member: &Option<Member<'de>>| match member {
            None => Some(None),
            Some(Member::Text(text)) => Some(Some(text.to_ascii_lowercase())),
            Some(_) => None,
        };
        let (typ, token_use, token_type) = (kind(&self.typ)?, kind(&self.token_use)?, kind(&self.token_type)?);
        let (typ, token_use, token_type) = (typ.as_deref(), token_use.as_deref(), token_type.as_deref());
        let r#type = match &self.r#type {
            Some(Member::Text(text)) => Some(text.as_ref()),
            _ => None,
        };
        Some(Marks {
            sender_constrained: self.cnf.is_some(),
            foreign: typ.is_some_and(|typ| FOREIGN_TYP.contains(&typ))
                || token_use.is_some_and(|usage| !matches!(usage, "access" | "access_token"))
                || token_type
                    .is_some_and(|kind| !matches!(kind, "bearer" | "access_token" | "access" | "jwt" | "at+jwt"))
                || matches!(r#type, Some("refresh_token" | "refresh" | "id_token"))
                || self.events.is_some(),
            like_id_token: self.nonce.is_some() || self.at_hash.is_some() || self.c_hash.is_some(),
            access: typ == Some("bearer") || token_use == Some("access"),
        })
    }
}

struct ReadVisitor;

impl<'de> Visitor<'de> for ReadVisitor {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWT claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = Read::default();
        let mut names = Names::default();
        while let Some(name) = next_name(&mut map)? {
            match read.slot(&name) {
                Some(slot) if slot.is_some() => return Err(A::Error::custom("a claim stands twice")),
                Some(slot) => *slot = Some(map.next_value_seed(MemberSeed(&mut names))?),
                None => {
                    map.next_value_seed(Walk(&mut names))?;
                    names.push(name);
                }
            }
        }
        names.close(0)?;
        Ok(read)
    }
}

fn text(member: Option<Member<'_>>) -> Option<Option<Cow<'_, str>>> {
    match member {
        None | Some(Member::Null) => Some(None),
        Some(Member::Text(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// A text that is never made out of something else: a number is no name.
fn lenient_text(member: Option<Member<'_>>) -> Option<Cow<'_, str>> {
    match member {
        Some(Member::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn audience(member: Option<Member<'_>>) -> Option<Vec<Box<str>>> {
    match member {
        None | Some(Member::Null) => Some(Vec::new()),
        Some(Member::Text(text)) => Some(vec![boxed(text)]),
        Some(Member::List(texts)) => Some(texts.into_iter().map(boxed).collect()),
        Some(_) => None,
    }
}

fn date(member: Option<Member<'_>>) -> Option<Option<Duration>> {
    match member {
        None => Some(None),
        Some(Member::Date(Some(date))) => Some(Some(date)),
        Some(_) => None,
    }
}

fn scopes(member: Option<Member<'_>>) -> Option<Scopes> {
    match member {
        None | Some(Member::Null) => Some(Scopes::default()),
        Some(Member::Text(text)) => Some(Scopes::granted(&text)),
        Some(Member::List(texts)) => Some(Scopes::granted_list(texts.iter().map(AsRef::as_ref))),
        Some(_) => None,
    }
}

fn boxed(text: Cow<'_, str>) -> Box<str> {
    text.into()
}

static NO_MEMBERS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// What servers put into a payload's `typ` of tokens that are not access tokens (Keycloak), in lower case.
const FOREIGN_TYP: [&str; 10] = [
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
