//! Sender-constrained access tokens: those that the metadata of the resource names, and what the given token is bound to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_bearer::ResourceServerBuilder;
use mcp_bearer::sender::SenderConstraint;
use serde_json::{Map, Value};

/// The sender-constrained tokens that a resource accepts, as its metadata says (RFC 9728, section 2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AdvertisedSenders {
    /// The algorithms of DPoP proofs. `None` if the metadata does not name DPoP. Empty if it names no algorithms.
    pub(crate) dpop: Option<Vec<String>>,
    /// Whether each access token must be bound to the key of DPoP proofs.
    pub(crate) requires_dpop: bool,
    /// Whether tokens that are bound to a client certificate are accepted.
    pub(crate) mtls: bool,
}

/// The keys that an access token is bound to: the members of its claim `cnf` (RFC 7800, section 3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TokenBinding {
    /// `jkt`: the key of DPoP proofs (RFC 9449, section 6.1).
    pub(crate) key: bool,
    /// `x5t#S256`: a client certificate (RFC 8705, section 3.1).
    pub(crate) certificate: bool,
}

impl AdvertisedSenders {
    pub(crate) fn from_metadata(members: &Map<String, Value>) -> Self {
        let is_true = |name: &str| members.get(name) == Some(&Value::Bool(true));
        let algorithms = members.get(ALGORITHMS).and_then(Value::as_array);
        let algorithms =
            algorithms.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
        let requires_dpop = is_true(REQUIRES_DPOP);
        Self { dpop: algorithms.or_else(|| requires_dpop.then(Vec::new)), requires_dpop, mtls: is_true(MTLS) }
    }

    /// All bound tokens, for a resource whose metadata is unknown.
    pub(crate) const fn all() -> Self {
        Self { dpop: Some(Vec::new()), requires_dpop: false, mtls: true }
    }

    /// Lets a server accept tokens that are bound as the metadata says. It verifies tokens without their keys.
    pub(crate) fn configure(&self, builder: ResourceServerBuilder) -> ResourceServerBuilder {
        match (&self.dpop, self.mtls) {
            (None, false) => builder,
            (None, true) => builder.sender_constraint(SenderConstraint::Mtls).client_certificate_from_connection(),
            (Some(_), false) => builder.sender_constraint(SenderConstraint::Optional),
            (Some(_), true) => {
                builder.sender_constraint(SenderConstraint::Optional).client_certificate_from_connection()
            }
        }
    }
}

impl TokenBinding {
    /// Reads the claim without a check of the token. A token without a readable claim is not bound.
    pub(crate) fn from_token(token: &str) -> Self {
        let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
        let claims: Option<Map<String, Value>> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        let has = |name: &str| claims.as_ref().and_then(|claims| claims.get("cnf")?.get(name)).is_some();
        Self { key: has("jkt"), certificate: has("x5t#S256") }
    }

    /// The keys that the token is bound to, in words. `None` if it is not bound, or bound in a way that is not known.
    pub(crate) const fn described(self) -> Option<&'static str> {
        Some(match (self.key, self.certificate) {
            (true, true) => {
                "`cnf` has `jkt` and `x5t#S256`: it is bound to the key of DPoP proofs and to a client certificate"
            }
            (true, false) => "`cnf` has `jkt`: it is bound to the key of DPoP proofs",
            (false, true) => "`cnf` has `x5t#S256`: it is bound to a client certificate",
            (false, false) => return None,
        })
    }
}

/// An array with the algorithms of DPoP proofs.
pub(crate) const ALGORITHMS: &str = "dpop_signing_alg_values_supported";
/// A boolean.
pub(crate) const REQUIRES_DPOP: &str = "dpop_bound_access_tokens_required";
/// A boolean.
pub(crate) const MTLS: &str = "tls_client_certificate_bound_access_tokens";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_members_of_the_right_type_name_a_kind_of_token() {
        for (metadata, dpop, requires_dpop, mtls) in [
            (json!({}), None, false, false),
            (json!({ALGORITHMS: ["ES256", 1]}), Some(vec!["ES256".to_owned()]), false, false),
            (json!({REQUIRES_DPOP: true}), Some(vec![]), true, false),
            (json!({REQUIRES_DPOP: false, MTLS: true}), None, false, true),
            (json!({ALGORITHMS: "ES256", REQUIRES_DPOP: "true", MTLS: 1}), None, false, false),
        ] {
            let found = AdvertisedSenders::from_metadata(metadata.as_object().unwrap());
            assert_eq!(found, AdvertisedSenders { dpop, requires_dpop, mtls }, "{metadata}");
        }
    }

    #[test]
    fn the_binding_of_a_token_is_read_without_a_check() {
        for (payload, key, certificate) in [
            (r#"{"cnf":{"jkt":"x"}}"#, true, false),
            (r##"{"cnf":{"jkt":"x","x5t#S256":"y"}}"##, true, true),
            (r#"{"cnf":{"jwk":{}}}"#, false, false),
            (r#"{"cnf":"jkt"}"#, false, false),
            ("[]", false, false),
        ] {
            let token = format!("e30.{}.AA", URL_SAFE_NO_PAD.encode(payload));
            assert_eq!(TokenBinding::from_token(&token), TokenBinding { key, certificate }, "{payload}");
        }
        for token in ["", "opaque", "a.b", "e30.&.AA", "é.é.é"] {
            assert_eq!(TokenBinding::from_token(token), TokenBinding::default(), "{token}");
        }
    }
}
