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
#[derive(Debug, Default)]
pub(crate) struct Header<'h> {
    alg: Option<Cow<'h, str>>,
    /// It has `crit`, `b64`, `enc` or `zip`.
    is_critical: bool,
    pub(crate) kid: Option<Cow<'h, str>>,
    /// `x5t#S256` and `x5t`, where there is no `kid`.
    pub(crate) thumbprints: [Option<Cow<'h, str>>; 2],
    pub(crate) typ: Option<Cow<'h, str>>,
    /// `iss`, `sub` or `aud` replicated from the claims (RFC 7519, section 5.3).
    pub(crate) replicated: Vec<(&'static str, Value)>,
}

impl<'h> Header<'h> {
    pub(crate) fn parse(json: &'h [u8]) -> Result<Self, CheckFailure> {
        let json = std::str::from_utf8(json).map_err(|_| CheckFailure::Header)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let header = deserializer.deserialize_map(HeaderVisitor);
        let mut header =
            header.and_then(|header| deserializer.end().map(|()| header)).map_err(|_| CheckFailure::Header)?;
        if header.kid.is_some() {
            header.thumbprints = [None, None];
        }
        Ok(header)
    }

    /// Checks that a token with this header can be verified with the issuer's keys: `alg` is one of `allowed`, no
    /// extension is critical, and the name of the key is not too long.
    pub(crate) fn check(&self, allowed: AllowedAlgorithms) -> Result<Algorithm, CheckFailure> {
        let name = self.alg.as_deref().ok_or(CheckFailure::Header)?;
        let algorithm = Algorithm::from_name(name).filter(|algorithm| allowed.contains(*algorithm));
        let algorithm = algorithm.ok_or(CheckFailure::Algorithm)?;
        if self.is_critical {
            return Err(CheckFailure::CriticalHeader);
        }
        if self.kid.iter().chain(self.thumbprints.iter().flatten()).any(|name| name.len() > MAX_KID) {
            return Err(CheckFailure::Header);
        }
        Ok(algorithm)
    }

    /// The name of the key in the header.
    pub(crate) fn key_name(&self) -> KeyName<'_> {
        let [x5t_s256, x5t] = &self.thumbprints;
        KeyName { kid: self.kid.as_deref(), x5t_s256: x5t_s256.as_deref(), x5t: x5t.as_deref() }
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Header::default();
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
                    members.is_critical = true;
                    map.next_value_seed(Walk(&mut names))?;
                }
                "b64" | "enc" | "zip" => members.is_critical |= !map.next_value_seed(IsNull(&mut names))?,
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
        let allowed = AllowedAlgorithms::from_iter([Algorithm::RS256, Algorithm::EdDSA]);
        Header::parse(json.as_bytes()).and_then(|header| header.check(allowed))
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
