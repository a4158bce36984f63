use serde_json::{Map, Value};
use url::Url;

use crate::http_client::AddressPolicy;
use crate::identifier::{self, IssuerUrl, PlainHttp};
use crate::json;

/// What an authorization server says about itself (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3), as far
/// as a resource server needs it.
#[derive(Debug, Clone)]
pub struct AuthorizationServerMetadata {
    issuer: IssuerUrl,
    jwks_uri: Option<NamedUrl>,
    introspection_endpoint: Option<NamedUrl>,
}

/// A URL that a document names, and where a request to it may go.
#[derive(Debug, Clone)]
pub(super) struct NamedUrl {
    pub(super) url: Url,
    pub(super) addresses: AddressPolicy,
}

/// Where the URLs of a document may lead that was fetched.
pub(super) struct Trust {
    /// For URLs that somebody else wrote.
    pub(super) addresses: AddressPolicy,
    /// The members that `map_metadata` has written.
    pub(super) written: Vec<&'static str>,
}

/// Why a document is not the metadata of the issuer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not a JSON object with unique names.
    #[error("the document is not a JSON object with unique names")]
    Malformed,
    /// `issuer` is missing, not a string, or not an issuer identifier.
    #[error("the member \"issuer\" is missing or is not an issuer identifier (RFC 8414, section 2)")]
    Issuer,
    /// `issuer` is another than the configured one; the two must be equal byte for byte (RFC 8414, section 3.3).
    #[error("the member \"issuer\" is not equal to the configured issuer, byte for byte (RFC 8414, section 3.3)")]
    Mismatch,
    /// `jwks_uri` is not an https URL.
    #[error("the member \"jwks_uri\" is not an https URL")]
    JwksUri,
    /// `introspection_endpoint` is not an https URL.
    #[error("the member \"introspection_endpoint\" is not an https URL")]
    IntrospectionEndpoint,
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
        let metadata = Self::parse(&document, issuer, text, PlainHttp::LoopbackOnly)?;
        let is_named = document.get("introspection_endpoint").is_some_and(|named| !named.is_null());
        if is_named && metadata.introspection_endpoint.is_none() {
            return Err(InvalidMetadata::IntrospectionEndpoint);
        }
        Ok(metadata)
    }

    /// Reads what was fetched for `issuer`, and must name `expected` as its issuer.
    pub(crate) fn parse(
        document: &Map<String, Value>,
        issuer: IssuerUrl,
        expected: &str,
        plain_http: PlainHttp,
    ) -> Result<Self, InvalidMetadata> {
        let named = document.get("issuer").and_then(Value::as_str).ok_or(InvalidMetadata::Issuer)?;
        if named != expected {
            return Err(InvalidMetadata::Mismatch);
        }
        let url = |member: &str, invalid: InvalidMetadata| match document.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                let url = identifier::endpoint(text, plain_http).map_err(|_| invalid)?;
                Ok(Some(NamedUrl { url, addresses: AddressPolicy::Any }))
            }
            Some(_) => Err(invalid),
        };
        let jwks_uri = url("jwks_uri", InvalidMetadata::JwksUri)?;
        // Most who read this document have no use for it: what is no URL counts as missing.
        let introspection_endpoint =
            url("introspection_endpoint", InvalidMetadata::IntrospectionEndpoint).unwrap_or_default();
        Ok(Self { issuer, jwks_uri, introspection_endpoint })
    }

    /// Takes what is missing from another document of the same issuer. `None` if the two say different things: then
    /// nothing of one is good beside the other.
    pub(super) fn completed_by(&self, other: &Self) -> Option<Self> {
        let both = |ours: &Option<NamedUrl>, theirs: &Option<NamedUrl>| match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours.url != theirs.url => None,
            _ => Some(ours.as_ref().or(theirs.as_ref()).cloned()),
        };
        Some(Self {
            issuer: self.issuer.clone(),
            jwks_uri: both(&self.jwks_uri, &other.jwks_uri)?,
            introspection_endpoint: both(&self.introspection_endpoint, &other.introspection_endpoint)?,
        })
    }

    /// The issuer identifier, byte for byte.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Where the key set is.
    #[must_use]
    pub fn jwks_uri(&self) -> Option<&str> {
        self.jwks_uri.as_ref().map(|named| named.url.as_str())
    }

    /// Where tokens are introspected (RFC 7662).
    #[must_use]
    pub fn introspection_endpoint(&self) -> Option<&str> {
        self.introspection_endpoint.as_ref().map(|named| named.url.as_str())
    }

    pub(super) const fn jwks_url(&self) -> Option<&NamedUrl> {
        self.jwks_uri.as_ref()
    }

    pub(super) const fn introspection_url(&self) -> Option<&NamedUrl> {
        self.introspection_endpoint.as_ref()
    }

    /// Restricts where the URLs in here may lead: the document was written by somebody else.
    pub(super) fn trusted_as(mut self, trust: &Trust) -> Self {
        let named = [("jwks_uri", &mut self.jwks_uri), ("introspection_endpoint", &mut self.introspection_endpoint)];
        for (member, named) in named {
            if let (Some(named), false) = (named, trust.written.contains(&member)) {
                named.addresses = trust.addresses.clone();
            }
        }
        self
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
            let read =
                AuthorizationServerMetadata::parse(&document, issuer(), issuer().as_str(), PlainHttp::LoopbackOnly);
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
