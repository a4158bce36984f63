//! Checks an issuer's settings when a resource server is built.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Issuer;
use super::config::{DEFAULT_KEY_SET_LIFETIME, DEFAULT_KEY_SET_LIMITS, DEFAULT_LAST_KNOWN_GOOD, Introspected, Source};
use crate::claims::WithoutAudience;
use crate::error::{BuildError, BuildErrorKind};
use crate::identifier::{self, IssuerUrl};

impl Issuer {
    /// Records a wrong argument of a function of [`providers`](super::providers). The build fails with this message.
    pub(super) fn mistaken(mut self, message: String) -> Self {
        self.mistake = Some(message.into());
        self
    }

    /// Whether the identifier is a URL, if something is fetched from it, else at least a name.
    pub(crate) fn check_identifier(&self) -> Result<(), BuildError> {
        if let Some(mistake) = &self.mistake {
            return Err(BuildError::new(BuildErrorKind::Issuer, mistake.clone()));
        }
        if let Some(issuer) = before_well_known(&self.url) {
            let message = format!(
                "the issuer {:?} is the URL of a metadata document; use the issuer {issuer:?}, and pass that URL to \
                 `well_known_url(..)` if the metadata is not at a well-known URL",
                self.url
            );
            return Err(BuildError::new(BuildErrorKind::Issuer, message));
        }
        match &self.source {
            Source::Jwks(_) | Source::Keys(_) | Source::Verifier(_) => check_name(&self.url),
            Source::Discover(_) | Source::Metadata(_) => self.parse(&self.url).map(drop),
        }
    }

    pub(super) fn parse(&self, issuer: &str) -> Result<IssuerUrl, BuildError> {
        IssuerUrl::parse(issuer, self.plain_http)
            .map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the issuer {error}")))
    }

    /// The URL for `authorization_servers` (RFC 9728, section 2), from which clients fetch metadata. `None` if the identifier
    /// is only a name.
    pub(crate) fn published(&self) -> Option<&str> {
        IssuerUrl::parse(&self.url, self.plain_http).is_ok().then_some(&*self.url)
    }

    /// The accepted values of `iss`.
    pub(super) fn accepted_issuers(&self) -> Result<Vec<Box<str>>, BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Issuer, message));
        // No token has the URL of a multi-tenant endpoint as its issuer.
        let own = self.tenants.is_none().then(|| self.url.clone());
        let mut accepted: Vec<_> = own.into_iter().chain(self.also_issued_as.iter().cloned()).collect();
        if let Some(tenants) = &self.tenants {
            if !tenants.template.contains(TENANT) {
                return wrong(format!(
                    "the tenant template {:?} has no {TENANT:?}; use the `issuer` of the metadata as it is",
                    tenants.template
                ));
            }
            if tenants.accepted.is_empty() {
                return wrong("the list of tenants is empty; add at least one".to_owned());
            }
            for tenant in &tenants.accepted {
                if tenant.is_empty()
                    || !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                {
                    return wrong(format!(
                        "{tenant:?} in the list of tenants is not an identifier of letters, digits, '-', '.' and '_'"
                    ));
                }
                let issuer: Box<str> = tenants.template.replace(TENANT, tenant).into();
                self.parse(&issuer)?;
                accepted.push(issuer);
            }
        }
        for name in &self.also_issued_as {
            check_name(name)?;
        }
        for (index, issuer) in accepted.iter().enumerate() {
            if accepted.iter().take(index).any(|other| other == issuer) {
                return wrong(format!("the issuer {issuer:?} is configured twice; remove one"));
            }
        }
        Ok(accepted)
    }

    pub(super) fn check_values(&self) -> Result<(), BuildError> {
        let wrong = |message: String| Err(BuildError::new(BuildErrorKind::Setting, message));
        if let Some(message) = self.scope_claims.iter().find_map(|pointer| pointer_mistake(pointer)) {
            return wrong(message);
        }
        if self.audiences.iter().chain(&self.client_audiences).any(|alias| alias.is_empty()) {
            return wrong("an accepted audience is empty; remove it".to_owned());
        }
        if !self.without_audience.is_meaningful() {
            return wrong(
                "`dangerously_accept_clients_without_audience` has no client, or an empty one; list each client id"
                    .to_owned(),
            );
        }
        if let Some(interval) = self.revocation_check.filter(|interval| !REVOCATION_CHECK.contains(interval)) {
            return wrong(format!("`revocation_check` is {interval:?}; use between 1 s and 1 h"));
        }
        self.introspection.as_ref().map_or(Ok(()), |(_, settings)| settings.check())
    }

    /// A setting that is not used is a mistake, and so is a missing one.
    pub(super) fn check_combination(&self) -> Result<(), BuildError> {
        let wrong = |kind, message: String| Err(BuildError::new(kind, message));
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        let is_custom = matches!(self.source, Source::Verifier(_));
        let has_keys = matches!(self.source, Source::Jwks(_) | Source::Keys(_));
        let verifies_jwts = !is_custom && which != Some(Introspected::All);
        let fetches_keys = verifies_jwts && !has_keys;
        let introspects = which.is_some() && !is_custom;
        let required = self.required_members();
        let fetches_metadata =
            matches!(self.source, Source::Discover(_)) && (required.jwks_uri || required.introspection_endpoint);
        let unused = [
            ("well_known_url", self.well_known_url.is_some() && !fetches_metadata),
            ("map_metadata", self.map_metadata.is_some() && !fetches_metadata),
            ("tenant_template", self.tenants.is_some() && !fetches_metadata),
            ("jwks_uri", self.jwks_uri.is_some() && !fetches_keys),
            ("algorithms", self.algorithms.is_some() && !verifies_jwts),
            ("require_at_jwt", self.at_jwt_required && !verifies_jwts),
            ("http_client", self.http_client.is_some() && !fetches_keys && !introspects),
            ("key_set_lifetime", self.key_set_lifetime != DEFAULT_KEY_SET_LIFETIME && !fetches_keys),
            ("last_known_good", self.last_known_good != DEFAULT_LAST_KNOWN_GOOD && !fetches_keys),
            (
                "dangerously_accept_missing_token_type",
                self.missing_token_type_accepted
                    && (!introspects || matches!(self.without_audience, WithoutAudience::Rejected)),
            ),
            ("max_keys", self.key_set_limits.keys != DEFAULT_KEY_SET_LIMITS.keys && !fetches_keys),
            ("max_key_set_size", self.key_set_limits.bytes != DEFAULT_KEY_SET_LIMITS.bytes && !fetches_keys),
            ("introspect_opaque", which == Some(Introspected::Opaque) && is_custom),
            ("introspect_all", which == Some(Introspected::All) && (is_custom || has_keys)),
            ("introspection_endpoint", self.introspection_endpoint.is_some() && !introspects),
        ];
        if let Some((setter, _)) = unused.iter().find(|(_, is_unused)| *is_unused) {
            let message = format!(
                "`{setter}` has no effect with the other settings of the issuer {:?}; remove it, or what replaces it",
                self.url
            );
            return wrong(BuildErrorKind::Setting, message);
        }
        if self.revocation_check.is_some() && which != Some(Introspected::Opaque) {
            let message = "`revocation_check` needs the credentials of `introspect_opaque`; call both, or use \
                           `introspect_all` instead";
            return wrong(BuildErrorKind::Setting, message.to_owned());
        }
        if introspects && self.introspection_endpoint.is_none() && has_keys {
            let message = "the introspection endpoint is not known; call `introspection_endpoint` with its URL";
            return wrong(BuildErrorKind::Issuer, message.to_owned());
        }
        Ok(())
    }
}

/// Checks an issuer identifier that is only compared.
fn check_name(name: &str) -> Result<(), BuildError> {
    identifier::check_name(name).map_err(|error| BuildError::new(BuildErrorKind::Issuer, format!("the issuer {error}")))
}

/// The issuer whose metadata document has this URL (RFC 8414, section 3.1; OpenID Connect Discovery 1.0, section 4.1).
fn before_well_known(url: &str) -> Option<String> {
    let (before, after) = url.split_once("/.well-known")?;
    let after = if after.is_empty() { after } else { after.strip_prefix('/')? };
    // With path insertion, the path of the issuer comes after the name of the document.
    let path = after.split_once('/').map_or("", |(_, path)| path.trim_end_matches('/'));
    let slash = if path.is_empty() { "" } else { "/" };
    Some([before, slash, path].concat())
}

/// The mistake in a JSON pointer (RFC 6901, section 3), if there is one.
fn pointer_mistake(pointer: &str) -> Option<String> {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    if pointer.contains("://") {
        let name = escaped(pointer.strip_prefix('/').unwrap_or(pointer));
        return Some(format!(
            "the JSON pointer {pointer:?} has \"/\" in the name of a claim; write \"/{name}\" (RFC 6901)"
        ));
    }
    if !pointer.starts_with('/') {
        return Some(format!("{pointer:?} is not a JSON pointer; write \"/{}\" (RFC 6901)", escaped(pointer)));
    }
    pointer
        .split('~')
        .skip(1)
        .any(|after| !after.starts_with(['0', '1']))
        .then(|| format!("{pointer:?} is not a JSON pointer; write \"~0\" for \"~\" and \"~1\" for \"/\" (RFC 6901)"))
}

/// The placeholder for a tenant in Entra's metadata.
const TENANT: &str = "{tenantid}";
/// For a shorter interval, use `introspect_all`. After a longer one, most tokens have expired.
const REVOCATION_CHECK: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_document_leads_to_its_issuer() {
        for (url, issuer) in [
            ("https://h/.well-known/openid-configuration", Some("https://h")),
            ("https://h/realms/x/.well-known/openid-configuration", Some("https://h/realms/x")),
            ("https://h/.well-known/oauth-authorization-server/realms/x", Some("https://h/realms/x")),
            ("https://h/.well-known/oauth-authorization-server/", Some("https://h")),
            ("https://h/a/.well-known/", Some("https://h/a")),
            ("https://h/.well-known", Some("https://h")),
            ("https://h/.well-knowns/a", None),
            ("https://h.well-known/a", None),
            ("https://h/a", None),
        ] {
            assert_eq!(before_well_known(url).as_deref(), issuer, "{url}");
        }
    }
}
