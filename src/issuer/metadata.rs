use serde_json::{Map, Value};
use url::Url;

use crate::identifier::{self, IssuerUrl, PlainHttp};
use crate::json;

/// What an authorization server says about itself (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3), as far
/// as a resource server needs it.
#[derive(Debug, Clone)]
pub struct AuthorizationServerMetadata {
    issuer: IssuerUrl,
    jwks_uri: Option<Url>,
}

/// Why a document is not the metadata of the issuer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not a JSON object with unique names.
    #[error("the document is not a JSON object with unique names")]
    Malformed,
    /// `issuer` is missing, not a string, or not an issuer identifier.
    #[error("the member \"issuer\" is missing or is no issuer identifier (RFC 8414, section 2)")]
    Issuer,
    /// `issuer` is another than the configured one; the two must be equal byte for byte (RFC 8414, section 3.3).
    #[error("the member \"issuer\" is not equal to the configured issuer, byte for byte (RFC 8414, section 3.3)")]
    Mismatch,
    /// `jwks_uri` is not an https URL.
    #[error("the member \"jwks_uri\" is no https URL")]
    JwksUri,
}

impl AuthorizationServerMetadata {
    /// Reads a metadata document that the operator has at hand.
    ///
    /// # Errors
    /// [`InvalidMetadata`] if it is none.
    pub fn from_json(document: impl AsRef<[u8]>) -> Result<Self, InvalidMetadata> {
        let document = json::unique_object(document.as_ref()).map_err(|_| InvalidMetadata::Malformed)?;
        let text = document.get("issuer").and_then(Value::as_str).ok_or(InvalidMetadata::Issuer)?;
        let issuer = IssuerUrl::new(text).map_err(|_| InvalidMetadata::Issuer)?;
        Self::parse(&document, issuer, PlainHttp::LoopbackOnly)
    }

    /// Reads what was fetched for `issuer`.
    pub(super) fn parse(
        document: &Map<String, Value>,
        issuer: IssuerUrl,
        plain_http: PlainHttp,
    ) -> Result<Self, InvalidMetadata> {
        let named = document.get("issuer").and_then(Value::as_str).ok_or(InvalidMetadata::Issuer)?;
        if named != issuer.as_str() {
            return Err(InvalidMetadata::Mismatch);
        }
        let jwks_uri = match document.get("jwks_uri") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(identifier::endpoint(text, plain_http).map_err(|_| InvalidMetadata::JwksUri)?)
            }
            Some(_) => return Err(InvalidMetadata::JwksUri),
        };
        Ok(Self { issuer, jwks_uri })
    }

    /// The issuer identifier, byte for byte.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Where the key set is.
    #[must_use]
    pub fn jwks_uri(&self) -> Option<&str> {
        self.jwks_uri.as_ref().map(Url::as_str)
    }

    pub(super) const fn jwks_url(&self) -> Option<&Url> {
        self.jwks_uri.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_issuer_is_accepted() {
        let issuer = || IssuerUrl::new("https://as.example.com/tenant").unwrap();
        for (member, expected) in [
            (r#""https://as.example.com/tenant""#, None),
            (r#""https://as.example.com/tenant/""#, Some(InvalidMetadata::Mismatch)),
            (r#""https://AS.example.com/tenant""#, Some(InvalidMetadata::Mismatch)),
            (r#""http://as.example.com/tenant""#, Some(InvalidMetadata::Mismatch)),
            (r#""https://evil.example.com""#, Some(InvalidMetadata::Mismatch)),
            ("null", Some(InvalidMetadata::Issuer)),
            ("1", Some(InvalidMetadata::Issuer)),
            (r#"["https://as.example.com/tenant"]"#, Some(InvalidMetadata::Issuer)),
        ] {
            let document = json::unique_object(format!(r#"{{"issuer":{member}}}"#).as_bytes()).unwrap();
            let read = AuthorizationServerMetadata::parse(&document, issuer(), PlainHttp::LoopbackOnly);
            assert_eq!(read.err(), expected, "{member}");
        }
    }

    #[test]
    fn a_key_set_is_only_fetched_by_https() {
        for uri in [
            "http://as.example.com/jwks",
            "file:///etc/passwd",
            "data:x",
            "ftp://h/x",
            "unix:/x",
            "/jwks",
            "",
            "https://user@h/jwks",
        ] {
            let document = format!(r#"{{"issuer":"https://as.example.com","jwks_uri":"{uri}"}}"#);
            assert_eq!(AuthorizationServerMetadata::from_json(document).err(), Some(InvalidMetadata::JwksUri), "{uri}");
        }
        let document = r#"{"issuer":"https://as.example.com","jwks_uri":"https://keys.example.com/jwks?x=1"}"#;
        assert!(AuthorizationServerMetadata::from_json(document).is_ok());
        for document in ["", "[]", "{}", r#"{"issuer":"https://a","issuer":"https://b"}"#, "<html>"] {
            assert!(AuthorizationServerMetadata::from_json(document).is_err(), "{document}");
        }
    }
}
