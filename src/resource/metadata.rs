use serde_json::{Map, Value};

use crate::error::{BuildError, BuildErrorKind};
use crate::identifier::{self, PlainHttp, ResourceUrl};
use crate::jose::Algorithm;
use crate::scope::Scopes;

/// The protected resource metadata (RFC 9728, section 2).
///
/// The server sets `resource`, `authorization_servers`, `scopes_supported` and `bearer_methods_supported` from its
/// configuration. All other members are set here. Pass the value to
/// [`ResourceServerBuilder::metadata`](crate::ResourceServerBuilder::metadata). Members without a value are omitted.
///
/// ```
/// use mcp_bearer::resource::ProtectedResourceMetadata;
///
/// let metadata = ProtectedResourceMetadata::default()
///     .resource_name("Notes")
///     .resource_name_in("fr", "Notes en fran\u{e7}ais")
///     .resource_tos_uri("https://example.com/terms");
/// ```
#[derive(Debug, Clone, Default)]
pub struct ProtectedResourceMetadata {
    members: Map<String, Value>,
}

impl ProtectedResourceMetadata {
    /// Sets the name of the resource for end users.
    #[must_use]
    pub fn resource_name(self, name: impl Into<String>) -> Self {
        self.member("resource_name", name.into())
    }

    /// Sets the name of the resource in one language. `language` is a language tag, such as `fr` (BCP 47; RFC 9728,
    /// section 2.1).
    #[must_use]
    pub fn resource_name_in(self, language: &str, name: impl Into<String>) -> Self {
        self.member(format!("resource_name#{language}"), name.into())
    }

    /// Sets the URL of a page for developers.
    #[must_use]
    pub fn resource_documentation(self, url: impl Into<String>) -> Self {
        self.member("resource_documentation", url.into())
    }

    /// Sets the URL of a page on how clients may use the data.
    #[must_use]
    pub fn resource_policy_uri(self, url: impl Into<String>) -> Self {
        self.member("resource_policy_uri", url.into())
    }

    /// Sets the URL of the terms of service.
    #[must_use]
    pub fn resource_tos_uri(self, url: impl Into<String>) -> Self {
        self.member("resource_tos_uri", url.into())
    }

    /// Sets the URL of the key set with which the resource signs its own responses.
    #[must_use]
    pub fn jwks_uri(self, url: impl Into<String>) -> Self {
        self.member("jwks_uri", url.into())
    }

    /// Sets the algorithms with which the resource signs its responses.
    #[must_use]
    pub fn resource_signing_alg_values_supported(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.member("resource_signing_alg_values_supported", names(algorithms))
    }

    /// Sets the supported types of `authorization_details` (RFC 9396).
    #[must_use]
    pub fn authorization_details_types_supported(self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let types: Vec<String> = types.into_iter().map(Into::into).collect();
        self.member("authorization_details_types_supported", types)
    }

    /// Sets any other member, such as `signed_metadata`, a member with a language tag, or an extension.
    ///
    /// `null`, an empty string and an empty list are omitted.
    /// [`ResourceServerBuilder::build`](crate::ResourceServerBuilder::build) returns an error for members that the server sets
    /// from its configuration:
    ///
    /// - `resource`, `authorization_servers`, `scopes_supported` and `bearer_methods_supported`,
    /// - `dpop_signing_alg_values_supported`, `dpop_bound_access_tokens_required` and
    ///   `tls_client_certificate_bound_access_tokens`, which follow from
    ///   [`sender_constraint`](crate::ResourceServerBuilder::sender_constraint).
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The published document, as JSON.
    pub(crate) fn document(
        mut self,
        resource: &ResourceUrl,
        authorization_servers: &[&str],
        scopes_supported: &Scopes,
        sender: Map<String, Value>,
    ) -> Result<String, BuildError> {
        self.validate(&sender)?;
        let mut document = Map::new();
        document.insert("resource".to_owned(), (*resource.text).into());
        document.insert("authorization_servers".to_owned(), authorization_servers.into());
        document.insert("scopes_supported".to_owned(), scopes_supported.iter().collect::<Vec<_>>().into());
        document.insert("bearer_methods_supported".to_owned(), ["header"].as_slice().into());
        document.extend(sender);
        document.append(&mut self.members);
        // "Parameters with zero values MUST be omitted" (RFC 9728, section 3.2).
        document.retain(|_, value| !has_no_value(value));
        serde_json::to_string(&document).map_err(|source| error("the metadata cannot be written").with_source(source))
    }

    /// `sender` are the members about sender-constrained tokens.
    fn validate(&self, sender: &Map<String, Value>) -> Result<(), BuildError> {
        for (name, value) in &self.members {
            // A member in one language has a name such as `resource_name#fr`.
            let untagged_name = name.split('#').next().unwrap_or_default();
            if RESERVED.contains(&untagged_name) {
                return Err(error(format!("the member {name:?} follows from the configuration; remove it")));
            }
            if SENDER_CONSTRAINED.contains(&untagged_name) {
                return Err(error(format!(
                    "the member {name:?} follows from `sender_constraint`; remove it, and call `sender_constraint` on the \
                     builder to accept sender-constrained tokens"
                )));
            }
            match untagged_name {
                "jwks_uri" | "resource_documentation" | "resource_policy_uri" | "resource_tos_uri" => {
                    let text = value.as_str().ok_or_else(|| error(format!("the member {name:?} must be a URL")))?;
                    identifier::endpoint(text, PlainHttp::LoopbackOnly)
                        .map_err(|source| error(format!("the member {name:?}: {source}")))?;
                }
                "resource_signing_alg_values_supported" => {
                    let asymmetric =
                        |name: &Value| name.as_str().is_some_and(|name| Algorithm::from_name(name).is_some());
                    if !value.as_array().is_some_and(|names| names.iter().all(asymmetric)) {
                        return Err(error(format!("the member {name:?} must be a list of asymmetric algorithms")));
                    }
                }
                "resource_name" if !value.is_string() => {
                    return Err(error(format!("the member {name:?} must be a string")));
                }
                "signed_metadata" => validate_signed(value, sender)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Checks the claims of `signed_metadata` (RFC 9728, section 2.2). They must have `iss`, and must not have
/// `signed_metadata`. About sender-constrained tokens they must say the same as the document. The signature is for clients to
/// verify, and is not checked.
fn validate_signed(value: &Value, sender: &Map<String, Value>) -> Result<(), BuildError> {
    let payload =
        value.as_str().and_then(|jwt| crate::jose::Compact::parse(jwt.as_bytes()).and_then(|jwt| jwt.payload()).ok());
    match payload.and_then(|payload| crate::json::parse::<Map<String, Value>>(&payload).ok()) {
        Some(claims) if SENDER_CONSTRAINED.iter().any(|name| claims.get(*name) != sender.get(*name)) => Err(error(
            "the member \"signed_metadata\" says something else about sender-constrained tokens (DPoP, mTLS) than the \
             configuration; sign the members that the server publishes",
        )),
        Some(claims) if !claims.contains_key("signed_metadata") && claims.contains_key("iss") => Ok(()),
        _ => Err(error(
            "the member \"signed_metadata\" must be a JWT whose claims have `iss` and do not have `signed_metadata`",
        )),
    }
}

fn names(algorithms: impl IntoIterator<Item = Algorithm>) -> Vec<&'static str> {
    algorithms.into_iter().map(Algorithm::name).collect()
}

/// Whether a value is a "zero value" (RFC 9728, section 3.2), which is not published.
fn has_no_value(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn error(message: impl Into<Box<str>>) -> BuildError {
    BuildError::new(BuildErrorKind::Metadata, message)
}

/// The members that the server sets from its configuration.
const RESERVED: [&str; 4] = ["resource", "authorization_servers", "scopes_supported", "bearer_methods_supported"];
/// The members that advertise sender-constrained tokens, which follow from the configuration.
const SENDER_CONSTRAINED: [&str; 3] = [
    "dpop_signing_alg_values_supported",
    "dpop_bound_access_tokens_required",
    "tls_client_certificate_bound_access_tokens",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn publish(metadata: ProtectedResourceMetadata) -> Result<Value, BuildError> {
        let resource = ResourceUrl::new("https://RS.example.com/mcp").unwrap();
        let document = metadata.document(
            &resource,
            &["https://as.example.com/"],
            &Scopes::new(["a", "b"]).unwrap(),
            Map::new(),
        )?;
        Ok(serde_json::from_str(&document).unwrap())
    }

    #[test]
    fn identifiers_are_published_byte_for_byte() {
        let document = publish(ProtectedResourceMetadata::default()).unwrap();
        assert_eq!(
            document,
            json!({
                "resource": "https://RS.example.com/mcp",
                "authorization_servers": ["https://as.example.com/"],
                "scopes_supported": ["a", "b"],
                "bearer_methods_supported": ["header"],
            })
        );
    }

    #[test]
    fn members_without_a_value_are_left_out() {
        let resource = ResourceUrl::new("https://h").unwrap();
        let metadata = ProtectedResourceMetadata::default().authorization_details_types_supported(Vec::<String>::new());
        let document = metadata.document(&resource, &["https://as"], &Scopes::default(), Map::new()).unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(
            document,
            json!({"resource": "https://h", "authorization_servers": ["https://as"], "bearer_methods_supported": ["header"]})
        );
    }

    #[test]
    fn every_member_that_the_server_does_not_decide_can_be_set() {
        let document = publish(
            ProtectedResourceMetadata::default()
                .resource_name("Notes")
                .resource_name_in("fr", "Notes en fran\u{e7}ais")
                .resource_documentation("https://h/docs")
                .resource_policy_uri("https://h/policy")
                .resource_tos_uri("https://h/tos")
                .jwks_uri("https://h/jwks")
                .resource_signing_alg_values_supported([Algorithm::ES256])
                .authorization_details_types_supported(["payment"])
                .member("x_extension", json!({"a": 1})),
        )
        .unwrap();
        assert_eq!(document["resource_name#fr"], "Notes en fran\u{e7}ais");
        assert_eq!(document["resource_signing_alg_values_supported"], json!(["ES256"]));
        assert_eq!(document.as_object().unwrap().len(), 4 + 9);
    }

    #[test]
    fn what_must_not_be_published_is_rejected() {
        let nested = "e30.eyJpc3MiOiJ4Iiwic2lnbmVkX21ldGFkYXRhIjoieCJ9.AA";
        for (name, value) in [
            ("resource", json!("https://evil")),
            ("authorization_servers", json!(["https://evil"])),
            ("resource#fr", json!("https://evil")),
            ("jwks_uri", json!("http://h/jwks")),
            ("jwks_uri", json!(1)),
            ("resource_policy_uri", json!("/policy")),
            ("resource_name", json!(1)),
            ("resource_signing_alg_values_supported", json!(["none"])),
            ("resource_signing_alg_values_supported", json!(["HS256"])),
            ("resource_signing_alg_values_supported", json!("ES256")),
            ("signed_metadata", json!("x")),
            ("signed_metadata", json!(nested)),
        ] {
            let error = publish(ProtectedResourceMetadata::default().member(name, value.clone())).unwrap_err();
            assert_eq!(error.kind(), BuildErrorKind::Metadata, "{name} {value}");
        }
    }
}
