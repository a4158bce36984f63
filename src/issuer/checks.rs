//! Checks an issuer's settings when a resource server is built.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Issuer;
use super::config::{
    DEFAULT_KEY_SET_LIMITS, DEFAULT_REFRESH_POLICY, Introspected, Publication, SavedKeys, Source, Tenants,
};
use crate::claims::WithoutAudience;
use crate::discovery::RequiredMembers;
use crate::error::{BuildError, BuildErrorKind, SetterMistake, check_range};
use crate::identifier::{self, InvalidIdentifier, IssuerUrl};
use crate::introspection::LookupLimits;
use crate::jose::AllowedAlgorithms;

impl Issuer {
    /// Whether the identifier is a URL, if something is fetched from it, else at least a name.
    pub(crate) fn check_identifier(&self) -> Result<(), BuildError> {
        if let Some(mistake) = &self.mistake {
            return Err(BuildError::issuer(mistake.clone()));
        }
        if let Some(issuer) = before_well_known(&self.url) {
            return Err(BuildError::issuer(format!(
                "the issuer {:?} is the URL of a metadata document; give the issuer, without `/.well-known/...`: \
                 `Issuer::discover({issuer:?})`, followed by `.well_known_url({0:?})` if the metadata is not at a well-known URL \
                 of that issuer",
                self.url
            )));
        }
        match &self.source {
            Source::Keys(_) | Source::Verifier(_) => check_name(&self.url),
            Source::Discover(_) | Source::Metadata(_) => self.parse(&self.url).map(drop),
        }
    }

    pub(super) fn parse(&self, issuer: &str) -> Result<IssuerUrl, BuildError> {
        IssuerUrl::parse(issuer, self.plain_http).map_err(invalid_issuer)
    }

    /// The URL for `authorization_servers` (RFC 9728, section 2), from which clients fetch metadata. `None` if the identifier
    /// is only a name, or if the issuer is not published.
    pub(crate) fn published_url(&self) -> Option<&str> {
        let is_published = match self.publication {
            Publication::Default => !matches!(self.source, Source::Verifier(_)),
            Publication::Published => true,
            Publication::Unpublished => false,
        };
        (is_published && self.parse(&self.url).is_ok()).then_some(&*self.url)
    }

    /// The header in which a proxy passes the tokens of this issuer on. `None` means `Authorization`.
    pub(crate) const fn token_header(&self) -> Option<&'static str> {
        self.token_header
    }

    /// All mistakes that concern this issuer alone, each with its setter. `url` is the argument of the constructor.
    #[cfg(feature = "settings")]
    pub(crate) fn mistakes(&self) -> Vec<SetterMistake> {
        let mut mistakes: Vec<SetterMistake> =
            self.check_identifier().err().map(|mistake| ("url", mistake)).into_iter().collect();
        mistakes.extend(self.combination_mistakes());
        mistakes.extend(self.value_mistakes());
        let names = self.also_issued_as.iter().try_for_each(|name| check_name(name));
        mistakes.extend(names.err().map(|mistake| ("also_issued_as", mistake)));
        if self.tenants.is_some() {
            mistakes.extend(self.tenant_issuers().err().map(|mistake| ("tenant_template", mistake)));
        }
        mistakes.extend(self.accepted_algorithms().err().map(|mistake| ("algorithms", mistake)));
        for (setter, url) in [("well_known_url", &self.well_known_url), ("jwks_uri", &self.jwks_uri)] {
            let parsed = url.as_ref().map(|url| self.parse_url(url));
            mistakes.extend(parsed.and_then(Result::err).map(|mistake| (setter, mistake)));
        }
        let endpoint = self.introspection_endpoint.as_ref().map(|url| self.parse_introspection_endpoint(url));
        mistakes.extend(endpoint.and_then(Result::err).map(|mistake| ("introspection_endpoint", mistake)));
        mistakes
    }

    /// The accepted values of `iss`.
    pub(super) fn accepted_issuers(&self) -> Result<Vec<Box<str>>, BuildError> {
        self.also_issued_as.iter().try_for_each(|name| check_name(name))?;
        let mut accepted = self.also_issued_as.clone();
        accepted.extend(self.tenant_issuers()?);
        Ok(accepted)
    }

    /// The issuers of the accepted tenants, or the issuer itself.
    fn tenant_issuers(&self) -> Result<Vec<Box<str>>, BuildError> {
        let Some(Tenants { template, accepted: tenants }) = &self.tenants else {
            return Ok(vec![self.url.clone()]);
        };
        // No token has the URL of a multi-tenant endpoint as its issuer.
        if !template.contains(TENANT) {
            return Err(BuildError::issuer(format!(
                "the tenant template {template:?} has no {TENANT:?}; use the `issuer` of the metadata as it is"
            )));
        }
        if tenants.is_empty() {
            return Err(BuildError::issuer("the list of tenants is empty; add at least one"));
        }
        let mut accepted = Vec::new();
        for tenant in tenants {
            if tenant.is_empty() || !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
                return Err(BuildError::issuer(format!(
                    "{tenant:?} in the list of tenants is not an identifier of letters, digits, '-', '.' and '_'"
                )));
            }
            let issuer = template.replace(TENANT, tenant);
            self.parse(&issuer)?;
            accepted.push(issuer.into());
        }
        Ok(accepted)
    }

    pub(super) fn accepted_algorithms(&self) -> Result<AllowedAlgorithms, BuildError> {
        let supported = AllowedAlgorithms::supported();
        let accepted = self.algorithms.unwrap_or(supported);
        let message = if matches!(self.source, Source::Verifier(_)) {
            return Ok(accepted);
        } else if supported.is_empty() {
            "no signature can be verified; enable the feature `aws-lc-rs` or `rust-crypto`".to_owned()
        } else if let Some(unsupported) = accepted.iter().find(|algorithm| !algorithm.is_supported()) {
            format!("{unsupported} cannot be verified by this build; enable the feature `aws-lc-rs`")
        } else if accepted.is_empty() {
            "the list of accepted algorithms is empty; add at least one, or remove the call".to_owned()
        } else {
            return Ok(accepted);
        };
        Err(BuildError::new(BuildErrorKind::Algorithm, message))
    }

    /// The values that are wrong in themselves, each with its setter.
    pub(super) fn value_mistakes(&self) -> Vec<SetterMistake> {
        let pointers = self.scope_claims.iter().find_map(|pointer| pointer_mistake(pointer));
        let without_audience = (!self.without_audience.is_meaningful()).then(|| {
            "`dangerously_accept_clients_without_audience` lists no client, or an empty one; list each client id"
                .to_owned()
        });
        let empty = |audiences: &[Box<str>]| {
            let is_empty = audiences.iter().any(|audience| audience.is_empty());
            is_empty.then(|| "an accepted audience is empty; remove it".to_owned())
        };
        let texts = [
            ("scope_claim", pointers),
            ("accept_audience", empty(&self.audiences)),
            ("accept_client_id_as_audience", empty(&self.client_audiences)),
            ("dangerously_accept_clients_without_audience", without_audience),
        ];
        let texts = texts.into_iter().filter_map(|(setter, message)| Some((setter, BuildError::setting(message?))));
        let interval = self.revocation_check.unwrap_or(*REVOCATION_CHECK.start());
        let ranges = [
            ("key_set_lifetime", check_range("key_set_lifetime", self.refresh_policy.lifetime, KEY_SET_LIFETIME)),
            ("last_known_good", check_range("last_known_good", self.refresh_policy.last_known_good, LAST_KNOWN_GOOD)),
            ("max_keys", check_range("max_keys", self.key_set_limits.keys, MAX_KEYS)),
            ("max_key_set_size", check_range("max_key_set_size", self.key_set_limits.bytes, MAX_KEY_SET_SIZE)),
            ("revocation_check", check_range("revocation_check", interval, REVOCATION_CHECK)),
            ("max_seed_age", self.check_seed_age()),
            ("jwks_file", self.check_seed_time()),
            ("jwks_file", self.check_seed_file()),
        ];
        let ranges = ranges.into_iter().filter_map(|(setter, checked)| Some((setter, checked.err()?)));
        let introspection = self.introspection.iter().flat_map(|(_, settings)| settings.mistakes());
        let limits = self.verifier_limits.iter().flat_map(LookupLimits::mistakes);
        texts.chain(ranges).chain(introspection).chain(limits).chain(self.publication_mistake()).collect()
    }

    /// Clients must be able to fetch the metadata of a published issuer.
    fn publication_mistake(&self) -> Option<SetterMistake> {
        let error = self.parse(&self.url).err().filter(|_| self.publication == Publication::Published)?;
        let message = format!(
            "`published` needs an issuer from which clients can fetch metadata: {error}; use its https URL, or remove the call"
        );
        Some(("published", BuildError::setting(message)))
    }

    /// A setting that is not used is a mistake, and so is a missing one.
    pub(super) fn combination_mistakes(&self) -> Vec<SetterMistake> {
        let mut mistakes = Vec::new();
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        let is_custom = matches!(self.source, Source::Verifier(_));
        let has_keys = matches!(self.source, Source::Keys(_));
        let verifies_jwts = !is_custom && which != Some(Introspected::All);
        let fetches_keys = verifies_jwts && !has_keys;
        let introspects = which.is_some() && !is_custom;
        let fetches_metadata = self.fetches_metadata();
        let is_audience_optional = !matches!(self.without_audience, WithoutAudience::Rejected);
        let (refresh, limits) = (self.refresh_policy, self.key_set_limits);
        for (setter, is_set, is_used) in [
            ("well_known_url", self.well_known_url.is_some(), fetches_metadata),
            ("map_metadata", self.map_metadata.is_some(), fetches_metadata),
            ("tenant_template", self.tenants.is_some(), fetches_metadata),
            ("jwks_uri", self.jwks_uri.is_some(), fetches_keys),
            ("algorithms", self.algorithms.is_some(), verifies_jwts),
            ("require_at_jwt", self.at_jwt_required, verifies_jwts),
            ("http_client", self.http_client.is_some(), fetches_keys || introspects),
            ("key_set_lifetime", refresh.lifetime != DEFAULT_REFRESH_POLICY.lifetime, fetches_keys),
            ("last_known_good", refresh.last_known_good != DEFAULT_REFRESH_POLICY.last_known_good, fetches_keys),
            (
                "dangerously_accept_missing_token_type",
                self.missing_token_type_accepted,
                introspects && is_audience_optional,
            ),
            ("jwks_file", matches!(self.seed, Some(SavedKeys::File(_))), fetches_keys),
            ("jwks_seed", matches!(self.seed, Some(SavedKeys::Set(..))), fetches_keys),
            ("max_seed_age", self.max_seed_age.is_some(), self.seed.is_some()),
            ("max_keys", limits.keys != DEFAULT_KEY_SET_LIMITS.keys, fetches_keys),
            ("max_key_set_size", limits.bytes != DEFAULT_KEY_SET_LIMITS.bytes, fetches_keys),
            ("introspect_opaque", which == Some(Introspected::Opaque), !is_custom),
            ("introspect_all", which == Some(Introspected::All), !is_custom && !has_keys),
            ("introspection_endpoint", self.introspection_endpoint.is_some(), introspects),
            ("verifier_limits", self.verifier_limits.is_some(), is_custom),
        ] {
            if is_set && !is_used {
                let message = format!(
                    "`{setter}` has no effect with the other settings of the issuer {:?}; remove it, or what replaces it",
                    self.url
                );
                mistakes.push((setter, BuildError::setting(message)));
            }
        }
        if self.revocation_check.is_some() && which != Some(Introspected::Opaque) {
            let message = "`revocation_check` needs the credentials of `introspect_opaque`; call both, or use \
                           `introspect_all` instead";
            mistakes.push(("revocation_check", BuildError::setting(message)));
        }
        mistakes.extend(self.http_introspection_mistake());
        mistakes
    }

    /// The members that discovered metadata must have.
    pub(super) fn required_members(&self) -> RequiredMembers {
        let which = self.introspection.as_ref().map(|(which, _)| *which);
        RequiredMembers {
            jwks_uri: self.jwks_uri.is_none() && which != Some(Introspected::All),
            introspection_endpoint: self.introspection_endpoint.is_none() && which.is_some(),
        }
    }

    pub(super) fn fetches_metadata(&self) -> bool {
        let required = self.required_members();
        matches!(self.source, Source::Discover(_)) && (required.jwks_uri || required.introspection_endpoint)
    }
}

/// Checks an issuer identifier that is only compared.
fn check_name(name: &str) -> Result<(), BuildError> {
    identifier::check_name(name).map_err(invalid_issuer)
}

fn invalid_issuer(error: InvalidIdentifier) -> BuildError {
    BuildError::issuer(format!("the issuer {error}"))
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
const KEY_SET_LIFETIME: RangeInclusive<Duration> = Duration::from_secs(60)..=DAY;
const LAST_KNOWN_GOOD: RangeInclusive<Duration> = Duration::ZERO..=DAY;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More keys would make each look-up slow, because key ids are compared one by one.
const MAX_KEYS: RangeInclusive<usize> = 1..=1_000;
/// In bytes. A key has a few hundred bytes; a thousand keys with certificates have a few megabytes.
const MAX_KEY_SET_SIZE: RangeInclusive<usize> = 1024..=4 * 1024 * 1024;
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
