use serde_json::{Map, Value};
use url::Url;

use crate::http_client::AddressPolicy;
use crate::identifier::{self, IssuerUrl, PlainHttp};
use crate::json;

/// The metadata document of an authorization server (RFC 8414, section 2; OpenID Connect Discovery 1.0, section 3).
///
/// It has only the members that a resource server needs.
///
/// ```
/// use mcp_bearer::Issuer;
/// use mcp_bearer::issuer::AuthorizationServerMetadata;
///
/// let document = r#"{"issuer": "https://auth.example.com", "jwks_uri": "https://auth.example.com/jwks"}"#;
/// let metadata = AuthorizationServerMetadata::from_json(document)?;
/// let issuer = Issuer::with_metadata(metadata);
/// # Ok::<(), mcp_bearer::issuer::InvalidMetadata>(())
/// ```
#[derive(Debug, Clone)]
pub struct AuthorizationServerMetadata {
    issuer: IssuerUrl,
    pub(crate) jwks_uri: Option<EndpointUrl>,
    pub(crate) introspection_endpoint: Option<EndpointUrl>,
}

/// The URL of an endpoint, and the addresses that a request to it may connect to.
#[derive(Debug, Clone)]
pub(crate) struct EndpointUrl {
    pub(crate) url: Url,
    pub(crate) addresses: AddressPolicy,
}

/// Why a document is not the metadata of the issuer.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetadata {
    /// The document is not a JSON object, or an object in it has two members with the same name.
    #[error("the document is not a JSON object with unique names")]
    Malformed,
    /// `issuer` is missing, not a string, or not an issuer identifier.
    #[error("the member \"issuer\" is missing or is not an issuer identifier (RFC 8414, section 2)")]
    Issuer,
    /// `issuer` is not equal to the configured issuer, byte for byte (RFC 8414, section 3.3).
    #[error("the member \"issuer\" is not equal to the configured issuer, byte for byte (RFC 8414, section 3.3)")]
    Mismatch,
    /// `jwks_uri` is not an https URL. An http URL is accepted only for a loopback host, or, in a fetched
    /// document, with [`Issuer::dangerously_allow_http`](crate::Issuer::dangerously_allow_http).
    #[error("the member \"jwks_uri\" is not an https URL")]
    JwksUri,
    /// `introspection_endpoint` is not an https URL. The exceptions are those of [`JwksUri`](Self::JwksUri).
    #[error("the member \"introspection_endpoint\" is not an https URL")]
    IntrospectionEndpoint,
}

impl AuthorizationServerMetadata {
    /// Parses a metadata document that the application already has, for example in a file.
    ///
    /// # Errors
    /// [`InvalidMetadata`] if the document is not JSON, if `issuer` is missing, or if `issuer`, `jwks_uri` or
    /// `introspection_endpoint` is invalid. `jwks_uri` and `introspection_endpoint` may be missing.
    pub fn from_json(document: impl AsRef<[u8]>) -> Result<Self, InvalidMetadata> {
        let document: Map<String, Value> = json::parse(document.as_ref()).map_err(|_| InvalidMetadata::Malformed)?;
        let text = document.get("issuer").and_then(Value::as_str).ok_or(InvalidMetadata::Issuer)?;
        let issuer = IssuerUrl::new(text).map_err(|_| InvalidMetadata::Issuer)?;
        let metadata = Self::parse(&document, issuer, text, PlainHttp::LoopbackOnly, |_| AddressPolicy::Any)?;
        // `parse` ignores an invalid URL. Here the operator wrote the document, so it is an error.
        let has_endpoint = document.get("introspection_endpoint").is_some_and(|value| !value.is_null());
        if has_endpoint && metadata.introspection_endpoint.is_none() {
            return Err(InvalidMetadata::IntrospectionEndpoint);
        }
        Ok(metadata)
    }

    /// Parses the metadata document of `issuer`.
    ///
    /// Its member `issuer` must be equal to `expected`. That is the issuer itself, except for an issuer with many
    /// tenants: then it is a template with a placeholder for the tenant. A request to the URL of a member may connect to
    /// `addresses` of that member.
    pub(crate) fn parse(
        document: &Map<String, Value>,
        issuer: IssuerUrl,
        expected: &str,
        plain_http: PlainHttp,
        addresses: impl Fn(&str) -> AddressPolicy,
    ) -> Result<Self, InvalidMetadata> {
        let found = document.get("issuer").and_then(Value::as_str).ok_or(InvalidMetadata::Issuer)?;
        if found != expected {
            return Err(InvalidMetadata::Mismatch);
        }
        let url = |member: &str, invalid: InvalidMetadata| match document.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                let url = identifier::endpoint(text, plain_http).map_err(|_| invalid)?;
                Ok(Some(EndpointUrl { url, addresses: addresses(member) }))
            }
            Some(_) => Err(invalid),
        };
        let jwks_uri = url("jwks_uri", InvalidMetadata::JwksUri)?;
        // Most resource servers do not use this member, so an invalid URL counts as a missing one.
        let introspection_endpoint =
            url("introspection_endpoint", InvalidMetadata::IntrospectionEndpoint).unwrap_or_default();
        Ok(Self { issuer, jwks_uri, introspection_endpoint })
    }

    /// This document, with the members that it lacks from another document of the same issuer.
    ///
    /// If a member has different values in the two documents, nothing is added: they may describe different servers, and a token
    /// that one server signed must not be introspected at another.
    pub(super) fn completed_by(mut self, other: &Self) -> Self {
        let members =
            [(&self.jwks_uri, &other.jwks_uri), (&self.introspection_endpoint, &other.introspection_endpoint)];
        let differ = |(ours, theirs): &(&Option<EndpointUrl>, &Option<EndpointUrl>)| match (ours, theirs) {
            (Some(ours), Some(theirs)) => ours.url != theirs.url,
            _ => false,
        };
        if !members.iter().any(differ) {
            self.jwks_uri = self.jwks_uri.or_else(|| other.jwks_uri.clone());
            self.introspection_endpoint = self.introspection_endpoint.or_else(|| other.introspection_endpoint.clone());
        }
        self
    }

    /// The issuer identifier, byte for byte.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// The URL of the key set.
    #[must_use]
    pub fn jwks_uri(&self) -> Option<&str> {
        self.jwks_uri.as_ref().map(|endpoint| endpoint.url.as_str())
    }

    /// The URL of the introspection endpoint (RFC 7662).
    #[must_use]
    pub fn introspection_endpoint(&self) -> Option<&str> {
        self.introspection_endpoint.as_ref().map(|endpoint| endpoint.url.as_str())
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
            let document = json::parse(format!(r#"{{"issuer":{member}}}"#).as_bytes()).unwrap();
            let read = AuthorizationServerMetadata::parse(
                &document,
                issuer(),
                issuer().as_str(),
                PlainHttp::LoopbackOnly,
                |_| AddressPolicy::Any,
            );
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
