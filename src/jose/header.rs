use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::{Algorithm, AllowedAlgorithms, KeyName};
use crate::failure::CheckFailure;
use crate::json::{IsNull, Names, Text, Walk, next_name};

/// What a verifier reads of a JOSE header: `alg`, `typ`, and what names the key (RFC 7515, section 4.1). `null` means
/// absent, except in `crit`, `iss` and `aud`.
///
/// `jwk`, `jku`, `x5u` and `x5c` are never read: a key comes from the issuer's key set only.
#[derive(Debug)]
pub(crate) struct Header<'h> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Cow<'h, str>>,
    /// `x5t#S256` and `x5t`, where there is no `kid`.
    pub(crate) thumbprints: [Option<Cow<'h, str>>; 2],
    pub(crate) typ: Option<Cow<'h, str>>,
    /// `iss`, `sub` or `aud` replicated from the claims (RFC 7519, section 5.3).
    pub(crate) replicated: Vec<(&'static str, Value)>,
}

impl<'h> Header<'h> {
    pub(crate) fn parse(json: &'h [u8], allowed: AllowedAlgorithms) -> Result<Self, CheckFailure> {
        let members = Members::read(json)?;
        let name = members.alg.ok_or(CheckFailure::Header)?;
        let algorithm = Algorithm::from_name(&name).filter(|algorithm| allowed.contains(*algorithm));
        let algorithm = algorithm.ok_or(CheckFailure::Algorithm)?;
        if members.critical {
            return Err(CheckFailure::CriticalHeader);
        }
        let thumbprints = if members.kid.is_none() { members.thumbprints } else { [None, None] };
        if members.kid.iter().chain(thumbprints.iter().flatten()).any(|name| name.len() > MAX_KID) {
            return Err(CheckFailure::Header);
        }
        Ok(Self { algorithm, kid: members.kid, thumbprints, typ: members.typ, replicated: members.replicated })
    }

    /// The name of the key in the header.
    pub(crate) fn key_name(&self) -> KeyName<'_> {
        let [x5t_s256, x5t] = &self.thumbprints;
        KeyName { kid: self.kid.as_deref(), x5t_s256: x5t_s256.as_deref(), x5t: x5t.as_deref() }
    }

    /// What kind of token a header names, whatever else is in it.
    pub(crate) fn typ_of(json: &'h [u8]) -> Result<Option<Cow<'h, str>>, CheckFailure> {
        Members::read(json).map(|members| members.typ)
    }
}

#[derive(Default)]
struct Members<'h> {
    alg: Option<Cow<'h, str>>,
    kid: Option<Cow<'h, str>>,
    thumbprints: [Option<Cow<'h, str>>; 2],
    typ: Option<Cow<'h, str>>,
    critical: bool,
    replicated: Vec<(&'static str, Value)>,
}

impl<'h> Members<'h> {
    fn read(json: &'h [u8]) -> Result<Self, CheckFailure> {
        let json = std::str::from_utf8(json).map_err(|_| CheckFailure::Header)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let members = deserializer.deserialize_map(MembersVisitor);
        members.and_then(|members| deserializer.end().map(|()| members)).map_err(|_| CheckFailure::Header)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        let mut names = Names::default();
        let text = |map: &mut A| Ok(map.next_value::<Option<Text<'de>>>()?.map(|text| text.0));
        while let Some(name) = next_name(&mut map)? {
            match name.as_ref() {
                "alg" => members.alg = text(&mut map)?,
                "kid" => members.kid = text(&mut map)?,
                "x5t#S256" => members.thumbprints[0] = text(&mut map)?,
                "x5t" => members.thumbprints[1] = text(&mut map)?,
                "typ" => members.typ = text(&mut map)?,
                // No extension is understood, so any `crit` refuses; JWTs must not use `b64` (RFC 7797, section 7);
                // `enc` and `zip` belong to encryption.
                "crit" => {
                    members.critical = true;
                    map.next_value_seed(Walk(&mut names))?;
                }
                "b64" | "enc" | "zip" => members.critical |= !map.next_value_seed(IsNull(&mut names))?,
                "iss" => members.replicated.push(("iss", map.next_value()?)),
                "sub" => {
                    let subject: Value = map.next_value()?;
                    members.replicated.extend((!subject.is_null()).then_some(("sub", subject)));
                }
                "aud" => members.replicated.push(("aud", map.next_value()?)),
                _ => map.next_value_seed(Walk(&mut names))?,
            }
            names.push(name);
        }
        names.close(0)?;
        Ok(members)
    }
}

/// The longest key id. Thumbprints are 43 characters; the longest seen in the wild is 86.
const MAX_KID: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Algorithm, CheckFailure> {
        Header::parse(json.as_bytes(), AllowedAlgorithms::from_iter([Algorithm::RS256, Algorithm::EdDSA]))
            .map(|header| header.algorithm)
    }

    #[test]
    fn headers_are_read_strictly() {
        for (json, expected) in [
            (r#"{"alg":"RS256","typ":"at+jwt","kid":"k","cty":"x","x5t":"y"}"#, Ok(Algorithm::RS256)),
            (r#"{"alg":"Ed25519"}"#, Ok(Algorithm::EdDSA)),
            (r#"{"alg":"ES256"}"#, Err(CheckFailure::Algorithm)),
            (r#"{"alg":"none"}"#, Err(CheckFailure::Algorithm)),
            (r#"{"alg":""}"#, Err(CheckFailure::Algorithm)),
            (r#"{"Alg":"RS256"}"#, Err(CheckFailure::Header)),
            (r#"{"alg":null}"#, Err(CheckFailure::Header)),
            (r#"{"alg":["RS256"]}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","alg":"RS256"}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","x":1,"x":1}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","$serde_json::private::Number":"1"}"#, Err(CheckFailure::Header)),
            (r#"{"$serde_json::private::RawValue":"1","alg":"RS256"}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","kid":1}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","kid":null,"typ":null,"x5t":null,"x5t#S256":null,"sub":null}"#, Ok(Algorithm::RS256)),
            (r#"{"alg":"RS256","b64":null,"enc":null,"zip":null}"#, Ok(Algorithm::RS256)),
            (r#"{"alg":"RS256","kid":null,"kid":"k"}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","b64":{"x":1,"x":1}}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","x5t":1}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","typ":["at+jwt"]}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256","crit":["exp"]}"#, Err(CheckFailure::CriticalHeader)),
            (r#"{"alg":"RS256","crit":[]}"#, Err(CheckFailure::CriticalHeader)),
            (r#"{"alg":"RS256","crit":null}"#, Err(CheckFailure::CriticalHeader)),
            (r#"{"alg":"RS256","b64":true}"#, Err(CheckFailure::CriticalHeader)),
            (r#"{"alg":"RS256","enc":"A256GCM"}"#, Err(CheckFailure::CriticalHeader)),
            (r#"{"alg":"RS256","zip":"DEF"}"#, Err(CheckFailure::CriticalHeader)),
            (r#"["RS256"]"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256"}{}"#, Err(CheckFailure::Header)),
            (r#"{"alg":"RS256",}"#, Err(CheckFailure::Header)),
            ("", Err(CheckFailure::Header)),
        ] {
            assert_eq!(parse(json), expected, "{json}");
        }
    }

    #[test]
    fn a_key_id_is_bounded() {
        assert!(parse(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(MAX_KID))).is_ok());
        assert!(parse(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(MAX_KID + 1))).is_err());
    }
}
