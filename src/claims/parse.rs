use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};

use super::claim_set::{Audience, Marks, Registered};
use super::member::{Member, MemberSeed};
use super::text::Text;
use crate::failure::CheckFailure;
use crate::json::{Names, Walk, next_name};
use crate::scope::Scopes;

/// Reads the text of a claims set as far as anybody needs it.
///
/// # Errors
/// [`CheckFailure::Claims`] if it is no JSON object, or repeats a name.
pub(super) fn read(json: &str) -> Result<Read<'_>, CheckFailure> {
    let (mut deserializer, mut read) = (serde_json::Deserializer::from_str(json), Read::default());
    let walked = deserializer.deserialize_map(ReadVisitor(&mut read));
    walked.and_then(|()| deserializer.end()).map_err(|_| CheckFailure::Claims)?;
    read.drop_nulls();
    Ok(read)
}

/// The members of a claims set that mean something here, each as it stands there.
#[derive(Default)]
pub(super) struct Read<'de> {
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
    roles: Option<Member<'de>>,
    jti: Option<Member<'de>>,
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
    tfp: Option<Member<'de>>,
    acr: Option<Member<'de>>,
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
            "roles" => &mut self.roles,
            "jti" => &mut self.jti,
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
            "tfp" => &mut self.tfp,
            "acr" => &mut self.acr,
            "events" => &mut self.events,
            _ => return None,
        })
    }

    /// `null` means absent. `iss`, `aud`, `exp` and `cnf` stay: their `null` is malformed.
    fn drop_nulls(&mut self) {
        for member in [
            &mut self.sub,
            &mut self.resource,
            &mut self.nbf,
            &mut self.iat,
            &mut self.scope,
            &mut self.scp,
            &mut self.scopes,
            &mut self.roles,
            &mut self.jti,
            &mut self.client_id,
            &mut self.azp,
            &mut self.cid,
            &mut self.appid,
            &mut self.typ,
            &mut self.token_use,
            &mut self.token_type,
            &mut self.r#type,
            &mut self.nonce,
            &mut self.at_hash,
            &mut self.c_hash,
            &mut self.tfp,
            &mut self.acr,
            &mut self.events,
        ] {
            drop_null(member);
        }
    }

    /// What an authorization server answers, read as a token would be: some name the audience in `resource`. An answer
    /// needs no `iss`, `aud` and `exp` (RFC 7662, section 2.2), so their `null` means absent too. `cnf` stays: whatever
    /// is in it, the token is sender-constrained.
    pub(super) fn of_introspection(&mut self) {
        for member in [&mut self.iss, &mut self.aud, &mut self.exp] {
            drop_null(member);
        }
        if matches!(self.cnf, Some(Member::Null)) {
            self.cnf = Some(Member::Other);
        }
        let names_nobody = |audience: &Member<'_>| matches!(audience, Member::List(list) if list.is_empty());
        self.aud = self.aud.take().filter(|audience| !names_nobody(audience)).or(self.resource.take());
    }

    /// What the members of `document` mean; `None` if a registered one has a wrong type.
    pub(super) fn interpret(&self, document: &str) -> Option<Registered> {
        let text_of = |text: &str| Text::of(text, document);
        let client_id = [&self.client_id, &self.azp, &self.cid, &self.appid].into_iter().find_map(lenient_text);
        Some(Registered {
            issuer: text(&self.iss)?.map(text_of),
            subject: text(&self.sub)?.filter(|subject| !subject.is_empty()).map(text_of),
            audience: audience(&self.aud, document)?,
            expires_at: date(&self.exp)?,
            not_before: date(&self.nbf)?,
            issued_at: date(&self.iat)?,
            client_id: client_id.map(text_of),
            scopes: scopes([&self.scope, &self.scp, &self.scopes].into_iter().find_map(Option::as_ref))?,
            marks: self.marks()?,
            has_token_type: self.token_type.is_some(),
            has_roles: !scopes(self.roles.as_ref()).unwrap_or_default().is_empty(),
            has_client_id_and_jti: lenient_text(&self.client_id).and(lenient_text(&self.jti)).is_some(),
            vouched: false,
        })
    }

    /// Whether this is an access token of Azure AD B2C, which has the `nonce` of the authorization request in it: beside
    /// it are `scp` and `azp`, which its ID tokens do not have together, and the name of a policy or of its host.
    fn is_b2c_access_token(&self) -> bool {
        let grants = scopes(self.scp.as_ref()).is_some_and(|scopes| !scopes.is_empty());
        let names_policy = lenient_text(&self.tfp).is_some()
            || lenient_text(&self.acr).is_some_and(|acr| acr.to_ascii_lowercase().starts_with(B2C_POLICY));
        let is_of_b2c = names_policy || lenient_text(&self.iss).is_some_and(is_b2c_issuer);
        grants && lenient_text(&self.azp).is_some() && is_of_b2c && self.at_hash.is_none() && self.c_hash.is_none()
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
        if matches!(self.cnf, Some(Member::Null)) {
            return None;
        }
        Some(Marks {
            sender_constrained: self.cnf.is_some(),
            foreign: typ.is_some_and(|typ| FOREIGN_TYP.contains(&typ))
                || token_use.is_some_and(|usage| !matches!(usage, "access" | "access_token"))
                || token_type
                    .is_some_and(|kind| !matches!(kind, "bearer" | "access_token" | "access" | "jwt" | "at+jwt"))
                || matches!(r#type, Some("refresh_token" | "refresh" | "id_token"))
                || self.events.is_some(),
            like_id_token: (self.nonce.is_some() || self.at_hash.is_some() || self.c_hash.is_some())
                && !self.is_b2c_access_token(),
            access: typ == Some("bearer") || matches!(token_use, Some("access" | "access_token")),
        })
    }
}

fn drop_null(member: &mut Option<Member<'_>>) {
    if matches!(member, Some(Member::Null)) {
        *member = None;
    }
}

/// Reads in place: what is read is large.
struct ReadVisitor<'r, 'de>(&'r mut Read<'de>);

impl<'de> Visitor<'de> for ReadVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWT claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        while let Some(name) = next_name(&mut map)? {
            match self.0.slot(&name) {
                Some(slot) if slot.is_some() => return Err(A::Error::custom("a claim stands twice")),
                Some(slot) => *slot = Some(map.next_value_seed(MemberSeed(&mut names))?),
                None => {
                    map.next_value_seed(Walk(&mut names))?;
                    names.push(name);
                }
            }
        }
        names.close(0)
    }
}

fn text<'m>(member: &'m Option<Member<'_>>) -> Option<Option<&'m str>> {
    match member {
        None => Some(None),
        Some(Member::Text(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// A text that is never made out of something else: a number is no name.
fn lenient_text<'m>(member: &'m Option<Member<'_>>) -> Option<&'m str> {
    match member {
        Some(Member::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn audience(member: &Option<Member<'_>>, document: &str) -> Option<Audience> {
    let text_of = |text: &Cow<'_, str>| Text::of(text, document);
    match member {
        None => Some(Audience::new()),
        Some(Member::Text(text)) => Some([text_of(text)].into_iter().collect()),
        Some(Member::List(texts)) => Some(texts.iter().map(text_of).collect()),
        Some(_) => None,
    }
}

const fn date(member: &Option<Member<'_>>) -> Option<Option<Duration>> {
    match member {
        None => Some(None),
        Some(Member::Date(Some(date))) => Some(Some(*date)),
        Some(_) => None,
    }
}

fn scopes(member: Option<&Member<'_>>) -> Option<Scopes> {
    match member {
        None => Some(Scopes::default()),
        Some(Member::Text(text)) => Some(Scopes::granted(text)),
        Some(Member::List(texts)) => Some(Scopes::granted_list(texts.iter().map(AsRef::as_ref))),
        Some(_) => None,
    }
}

/// Whether an issuer has the host of a tenant: `https://<tenant>.b2clogin.com/...`.
fn is_b2c_issuer(issuer: &str) -> bool {
    let host = issuer.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    host.is_some_and(|host| host.ends_with(".b2clogin.com"))
}

/// The beginning of the name of each policy of Azure AD B2C, in lower case.
const B2C_POLICY: &str = "b2c_1";
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
