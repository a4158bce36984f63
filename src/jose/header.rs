use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Algorithm, AllowedAlgorithms, KeyName};
use crate::failure::CheckFailure;
use crate::json::{self, Text, present};

/// The parameters of a JOSE header that a verifier needs (RFC 7515, section 4.1). `null` means absent, except in `crit`,
/// `iss` and `aud`.
///
/// `jwk`, `jku`, `x5u` and `x5c` are never read: a key comes only from the key set of the issuer.
#[derive(Debug, Deserialize)]
pub(crate) struct Header<'h> {
    #[serde(borrow)]
    alg: Option<Text<'h>>,
    kid: Option<Text<'h>>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<Text<'h>>,
    x5t: Option<Text<'h>>,
    typ: Option<Text<'h>>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<Value>,
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Value>,
}

impl<'h> Header<'h> {
    pub(crate) fn parse(json: &'h [u8]) -> Result<Self, CheckFailure> {
        json::parse(json).map_err(|_| CheckFailure::Header)
    }

    /// Checks that a token with this header can be verified with the issuer's keys: `alg` is one of `allowed`, no
    /// extension is critical, and the name of the key is not too long.
    pub(crate) fn check(&self, allowed: AllowedAlgorithms) -> Result<Algorithm, CheckFailure> {
        let name = self.alg.as_deref().ok_or(CheckFailure::Header)?;
        let algorithm = Algorithm::from_name(name).filter(|algorithm| allowed.contains(*algorithm));
        let algorithm = algorithm.ok_or(CheckFailure::Algorithm)?;
        // No extension is supported. JWTs must not use `b64` (RFC 7797, section 7). `enc` and `zip` belong to encryption.
        if self.crit.is_some() || self.b64.is_some() || self.enc.is_some() || self.zip.is_some() {
            return Err(CheckFailure::CriticalHeader);
        }
        let KeyName { kid, x5t_s256, x5t } = self.key_name();
        let is_too_long = [kid, x5t_s256, x5t].iter().flatten().any(|name| name.len() > MAX_KID);
        if is_too_long { Err(CheckFailure::Header) } else { Ok(algorithm) }
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The name of the key in the header. Thumbprints count only if there is no `kid`.
    pub(crate) fn key_name(&self) -> KeyName<'_> {
        let names = [&self.kid, &self.x5t_s256, &self.x5t];
        match names.map(|name| name.as_deref().map(Cow::Borrowed)) {
            [None, x5t_s256, x5t] => KeyName { kid: None, x5t_s256, x5t },
            [kid, ..] => KeyName { kid, ..KeyName::default() },
        }
    }

    /// The claims that are replicated in the header (RFC 7519, section 5.3).
    pub(crate) fn replicated(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let replicated = [("iss", &self.iss), ("sub", &self.sub), ("aud", &self.aud)];
        replicated.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
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
