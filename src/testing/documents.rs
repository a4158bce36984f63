use serde_json::{Map, Value, json};

use crate::identifier::IssuerUrl;

/// The metadata documents that an issuer publishes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Documents {
    /// All of them.
    #[default]
    Both,
    /// Only `/.well-known/oauth-authorization-server`, inserted before the path (RFC 8414, section 3).
    OAuth,
    /// Only `/.well-known/openid-configuration`, both inserted before the path and appended to it.
    Oidc,
    /// Only `/.well-known/openid-configuration`, appended to the path (OpenID Connect Discovery 1.0, section 4).
    OidcAppended,
    /// Only `/.well-known/openid-configuration`, inserted before the path (RFC 8414, section 5).
    OidcInserted,
    /// No document.
    Nothing,
}

/// An endpoint of a test issuer.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The metadata of RFC 8414: `/.well-known/oauth-authorization-server`, inserted before the issuer's path.
    OauthMetadata,
    /// OpenID metadata: `/.well-known/openid-configuration`, appended to the issuer's path.
    OidcMetadata,
    /// OpenID metadata: `/.well-known/openid-configuration`, inserted before the issuer's path. An issuer without a
    /// path has only [`OidcMetadata`](Self::OidcMetadata).
    OidcMetadataInserted,
    /// The key set, at the `jwks_uri` of the metadata.
    KeySet,
    /// Token introspection (RFC 7662): `/introspect` below the issuer's path.
    Introspection,
    /// Token revocation (RFC 7009): `/revoke` below the issuer's path.
    Revocation,
    /// Any other path, which is answered with 404.
    Unknown,
}

/// The paths of an issuer.
#[derive(Debug)]
pub(super) struct Paths {
    issuer: String,
    key_set: String,
    documents: Documents,
}

impl Paths {
    pub(super) fn new(url: &IssuerUrl, documents: Documents) -> Self {
        let issuer = url.url().path().trim_end_matches('/').to_owned();
        Self { key_set: format!("{issuer}/jwks"), issuer, documents }
    }

    pub(super) fn move_key_set(&mut self, path: &str) {
        self.key_set = path.to_owned();
    }

    pub(super) fn key_set(&self) -> &str {
        &self.key_set
    }

    pub(super) fn endpoint(&self, path: &str) -> Endpoint {
        let issuer = &self.issuer;
        if path == self.key_set {
            Endpoint::KeySet
        } else if path.strip_suffix(INTROSPECTION) == Some(issuer) {
            Endpoint::Introspection
        } else if path.strip_suffix(REVOCATION) == Some(issuer) {
            Endpoint::Revocation
        } else if path.strip_prefix(OAUTH) == Some(issuer) {
            Endpoint::OauthMetadata
        } else if path.strip_suffix(OIDC) == Some(issuer) {
            Endpoint::OidcMetadata
        } else if path.strip_prefix(OIDC) == Some(issuer) {
            Endpoint::OidcMetadataInserted
        } else {
            Endpoint::Unknown
        }
    }

    pub(super) fn is_published(&self, endpoint: Endpoint) -> bool {
        use Documents as D;
        match endpoint {
            Endpoint::KeySet | Endpoint::Introspection | Endpoint::Revocation => true,
            Endpoint::OauthMetadata => matches!(self.documents, D::Both | D::OAuth),
            // Without a path, both forms have the same URL.
            Endpoint::OidcMetadata if self.issuer.is_empty() => !matches!(self.documents, D::OAuth | D::Nothing),
            Endpoint::OidcMetadata => matches!(self.documents, D::Both | D::Oidc | D::OidcAppended),
            Endpoint::OidcMetadataInserted => matches!(self.documents, D::Both | D::Oidc | D::OidcInserted),
            Endpoint::Unknown => false,
        }
    }
}

/// The members of both documents. An OAuth client ignores those that only OpenID defines.
pub(super) fn metadata(url: &IssuerUrl, paths: &Paths, algorithms: &[&str]) -> Map<String, Value> {
    let base = url.as_str().trim_end_matches('/');
    let origin = url.url().origin().ascii_serialization();
    let document = json!({
        "issuer": url.as_str(),
        "jwks_uri": format!("{origin}{}", paths.key_set()),
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "introspection_endpoint": format!("{base}{INTROSPECTION}"),
        "revocation_endpoint": format!("{base}{REVOCATION}"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["openid", "offline_access"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    match document {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OIDC: &str = "/.well-known/openid-configuration";
const INTROSPECTION: &str = "/introspect";
const REVOCATION: &str = "/revoke";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_path() {
        use Endpoint as E;
        for (issuer, path, expected) in [
            ("https://a.example.com", "/.well-known/oauth-authorization-server", E::OauthMetadata),
            ("https://a.example.com/", "/.well-known/oauth-authorization-server", E::OauthMetadata),
            ("https://a.example.com", "/.well-known/openid-configuration", E::OidcMetadata),
            ("https://a.example.com", "/jwks", E::KeySet),
            ("https://a.example.com", "/", E::Unknown),
            ("https://a.example.com/t", "/.well-known/oauth-authorization-server/t", E::OauthMetadata),
            ("https://a.example.com/t/", "/.well-known/oauth-authorization-server/t", E::OauthMetadata),
            ("https://a.example.com/t", "/.well-known/openid-configuration/t", E::OidcMetadataInserted),
            ("https://a.example.com/t", "/t/.well-known/openid-configuration", E::OidcMetadata),
            ("https://a.example.com/t", "/.well-known/openid-configuration", E::Unknown),
            ("https://a.example.com/t", "/.well-known/oauth-authorization-server/tt", E::Unknown),
            ("https://a.example.com/t", "/t/jwks", E::KeySet),
            ("https://a.example.com", "/introspect", E::Introspection),
            ("https://a.example.com/t/", "/t/introspect", E::Introspection),
            ("https://a.example.com/t", "/introspect", E::Unknown),
            ("https://a.example.com/t", "/t/revoke", E::Revocation),
        ] {
            let paths = Paths::new(&IssuerUrl::new(issuer).unwrap(), Documents::Both);
            assert_eq!(paths.endpoint(path), expected, "{issuer} {path}");
        }
    }

    #[test]
    fn only_the_chosen_documents_are_published() {
        let oidc = [Endpoint::OidcMetadata, Endpoint::OidcMetadataInserted];
        for (documents, expected) in [
            (Documents::Both, [true, true, true]),
            (Documents::OAuth, [true, false, false]),
            (Documents::Oidc, [false, true, true]),
            (Documents::OidcAppended, [false, true, false]),
            (Documents::OidcInserted, [false, false, true]),
            (Documents::Nothing, [false, false, false]),
        ] {
            let paths = Paths::new(&IssuerUrl::new("https://a.example.com/t").unwrap(), documents);
            let [appended, inserted] = oidc.map(|endpoint| paths.is_published(endpoint));
            assert_eq!([paths.is_published(Endpoint::OauthMetadata), appended, inserted], expected, "{documents:?}");
        }
        let root = Paths::new(&IssuerUrl::new("https://a.example.com").unwrap(), Documents::OidcInserted);
        assert!(root.is_published(Endpoint::OidcMetadata));
    }
}
