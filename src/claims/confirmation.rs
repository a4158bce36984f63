use serde::Deserialize;
use serde_json::value::RawValue;

use crate::jose::Thumbprint;
use crate::json::{self, Text};

/// The claim `cnf`: the keys that the sender of the token must have (RFC 7800, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// The token is a bearer token.
    Absent,
    Bound(Binding),
    /// `cnf` is not an object, is empty, or has a member that this crate does not know or cannot read.
    Unsupported,
}

/// The keys that a token is bound to: at least one of them. The sender must have all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `jkt`: the key of the DPoP proof (RFC 9449, section 6.1).
    pub(crate) key: Option<Thumbprint>,
    /// `x5t#S256`: the client certificate (RFC 8705, section 3.1).
    pub(crate) certificate: Option<Thumbprint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedConfirmation<'d> {
    #[serde(borrow)]
    jkt: Option<Text<'d>>,
    #[serde(borrow, rename = "x5t#S256")]
    x5t_s256: Option<Text<'d>>,
    /// In tokens of Keycloak: how the sender proves that it has the key of `jkt`.
    #[serde(borrow, rename = "kc-jkt-type")]
    jkt_type: Option<Text<'d>>,
}

impl Confirmation {
    /// Reads the value of `cnf`. A member that cannot be checked makes the token unusable, because it restricts the sender.
    pub(super) fn from_json(value: &RawValue) -> Self {
        Binding::from_json(value.get()).map_or(Self::Unsupported, Self::Bound)
    }
}

impl Binding {
    fn from_json(json: &str) -> Option<Self> {
        let stated: StatedConfirmation<'_> = json::parse(json.as_bytes()).ok()?;
        if stated.jkt_type.is_some_and(|jkt_type| &*jkt_type != "DPoP") {
            return None;
        }
        let read = |text: Option<Text<'_>>| text.map(|text| Thumbprint::parse(&text).ok_or(())).transpose().ok();
        let binding = Self { key: read(stated.jkt)?, certificate: read(stated.x5t_s256)? };
        (binding.key.is_some() || binding.certificate.is_some()).then_some(binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    #[test]
    fn only_known_members_with_a_thumbprint_are_supported() {
        let read = |json: &str| Confirmation::from_json(&RawValue::from_string(json.replace('#', DIGEST)).unwrap());
        let digest = Thumbprint::parse(DIGEST);
        let bound = |key, certificate| Confirmation::Bound(Binding { key, certificate });
        assert_eq!(read(r##"{"jkt":"#"}"##), bound(digest, None));
        assert_eq!(read(r##"{"jkt":"#","kc-jkt-type":"DPoP"}"##), bound(digest, None));
        let x5t = format!(r#"{{"x5t{}S256":"{DIGEST}"}}"#, '#');
        assert_eq!(Confirmation::from_json(&RawValue::from_string(x5t).unwrap()), bound(None, digest));
        for unsupported in [
            "null",
            "true",
            "1",
            "[]",
            "\"#\"",
            "{}",
            r#"{"jkt":null}"#,
            r#"{"jkt":1}"#,
            r#"{"jkt":["a"]}"#,
            r#"{"jkt":""}"#,
            r##"{"jkt":"#="}"##,
            r##"{"jkt":"#","jkt":"#"}"##,
            r##"{"JKT":"#"}"##,
            r##"{"jkt":"#","kid":"a"}"##,
            r##"{"jkt":"#","jwk":{}}"##,
            r##"{"jkt":"#","kc-jkt-type":"other"}"##,
            r#"{"kc-jkt-type":"DPoP"}"#,
            r#"{"x5t":"a"}"#,
            r#"{"kid":"a"}"#,
        ] {
            assert_eq!(read(unsupported), Confirmation::Unsupported, "{unsupported}");
        }
    }
}
