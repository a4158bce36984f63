use std::path::Path;

use super::fields::{DiscoveryMethods, IntrospectedTokens, IssuerSettings};
use super::files::content;
use super::introspection::time;
use super::mistake::{Mistakes, member};
use crate::issuer::{AuthorizationServerMetadata, Issuer, providers};
use crate::jose::JwkSet;

impl IssuerSettings {
    /// The issuer that these settings describe. `path` is where they are. After a mistake, it is another issuer.
    pub(super) fn issuer(&self, path: &str, mistakes: &mut Mistakes) -> Issuer {
        let mut issuer = self.source(path, mistakes);
        if let Some(url) = &self.well_known_url {
            issuer = issuer.well_known_url(url.as_str());
        }
        if let Some(url) = &self.jwks_uri {
            issuer = issuer.jwks_uri(url.as_str());
        }
        if let Some(file) = &self.jwks_file {
            issuer = issuer.jwks_file(file);
        }
        if let Some(age) = time(self.max_seed_age_seconds, &member(path, "max_seed_age_seconds"), mistakes) {
            issuer = issuer.max_seed_age(age);
        }
        if let Some(time) = time(self.key_set_lifetime_seconds, &member(path, "key_set_lifetime_seconds"), mistakes) {
            issuer = issuer.key_set_lifetime(time);
        }
        if let Some(time) = time(self.last_known_good_seconds, &member(path, "last_known_good_seconds"), mistakes) {
            issuer = issuer.last_known_good(time);
        }
        if let Some(keys) = self.max_keys {
            issuer = issuer.max_keys(keys);
        }
        if let Some(bytes) = self.max_key_set_size {
            issuer = issuer.max_key_set_size(bytes);
        }
        if let Some(algorithms) = &self.algorithms {
            issuer = issuer.algorithms(algorithms.iter().copied());
        }
        if let Some(tenants) = &self.tenant_template {
            issuer = issuer.tenant_template(tenants.template.as_str(), tenants.tenants.iter().map(String::as_str));
        }
        for name in &self.also_issued_as {
            issuer = issuer.also_issued_as(name.as_str());
        }
        issuer = match self.published {
            Some(true) => issuer.published(),
            Some(false) => issuer.unpublished(),
            None => issuer,
        };
        if self.dangerously_allow_http {
            issuer = issuer.dangerously_allow_http();
        }
        if self.dangerously_allow_http_introspection {
            issuer = issuer.dangerously_allow_http_introspection();
        }
        self.introspected(self.accepted_tokens(issuer), path, mistakes)
    }

    /// Adds which tokens of the issuer are accepted.
    fn accepted_tokens(&self, mut issuer: Issuer) -> Issuer {
        for audience in &self.audiences {
            issuer = issuer.accept_audience(audience.as_str());
        }
        for client in &self.client_id_audiences {
            issuer = issuer.accept_client_id_as_audience(client.as_str());
        }
        for pointer in &self.scope_claims {
            issuer = issuer.scope_claim(pointer.as_str());
        }
        if let Some(clients) = &self.dangerously_accept_clients_without_audience {
            issuer = issuer.dangerously_accept_clients_without_audience(clients.iter().map(String::as_str));
        }
        if self.require_at_jwt {
            issuer = issuer.require_at_jwt();
        }
        if self.dangerously_accept_missing_audience {
            issuer = issuer.dangerously_accept_missing_audience();
        }
        if self.dangerously_accept_missing_token_type {
            issuer = issuer.dangerously_accept_missing_token_type();
        }
        if self.dangerously_accept_id_token_claims {
            issuer = issuer.dangerously_accept_id_token_claims();
        }
        issuer
    }

    fn introspected(&self, issuer: Issuer, path: &str, mistakes: &mut Mistakes) -> Issuer {
        let Some(settings) = &self.introspection else { return issuer };
        let path = member(path, "introspection");
        let introspection = settings.introspection(&path, mistakes);
        let mut issuer = match settings.tokens {
            IntrospectedTokens::Opaque => issuer.introspect_opaque(introspection),
            IntrospectedTokens::All => issuer.introspect_all(introspection),
        };
        if let Some(url) = &settings.endpoint {
            issuer = issuer.introspection_endpoint(url.as_str());
        }
        let interval_path = member(&path, "revocation_check_seconds");
        if let Some(interval) = time(settings.revocation_check_seconds, &interval_path, mistakes) {
            if settings.tokens == IntrospectedTokens::All {
                mistakes.add(
                    &interval_path,
                    "it has no effect with `tokens = \"all\"`, which introspects every token; remove one",
                );
            } else {
                issuer = issuer.revocation_check(interval);
            }
        }
        issuer
    }

    /// The field that says which authorization server it is.
    pub(super) fn source_field(&self) -> &'static str {
        self.source_fields().next().unwrap_or("url")
    }

    /// The fields that are set of those that say which authorization server it is.
    fn source_fields(&self) -> impl Iterator<Item = &'static str> {
        let fields = [
            ("keycloak", self.keycloak.is_some()),
            ("auth0", self.auth0.is_some()),
            ("logto", self.logto.is_some()),
            ("entra", self.entra.is_some()),
            ("okta", self.okta.is_some()),
            ("cognito", self.cognito.is_some()),
            ("hydra", self.hydra.is_some()),
            ("google_iap", self.google_iap.is_some()),
            ("cloudflare_access", self.cloudflare_access.is_some()),
            ("metadata_file", self.metadata_file.is_some()),
            ("url", self.url.is_some()),
        ];
        fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field)
    }

    fn source(&self, path: &str, mistakes: &mut Mistakes) -> Issuer {
        // Distinct for each issuer, so that no other mistake follows from its use.
        let unknown = || Issuer::discover(format!("{UNKNOWN}/{}", path.replace(['[', ']'], "")));
        let fields: Vec<_> = self.source_fields().collect();
        if let [first, second, ..] = fields.as_slice() {
            mistakes.add(
                &member(path, first),
                format!("`{second}` also says which authorization server it is; remove one"),
            );
            return unknown();
        }
        if let Some(keycloak) = &self.keycloak {
            return providers::keycloak(&keycloak.url, &keycloak.realm);
        }
        if let Some(okta) = &self.okta {
            return providers::okta(&okta.domain, &okta.authorization_server);
        }
        if let Some(cognito) = &self.cognito {
            return providers::cognito(&cognito.region, &cognito.user_pool);
        }
        if let Some(hydra) = &self.hydra {
            return providers::hydra(&hydra.public, &hydra.admin);
        }
        if let Some(audience) = &self.google_iap {
            return providers::google_iap(audience);
        }
        if let Some(access) = &self.cloudflare_access {
            return providers::cloudflare_access(&access.team, &access.audience_tag);
        }
        if let Some(domain) = &self.auth0 {
            return providers::auth0(domain);
        }
        if let Some(endpoint) = &self.logto {
            return providers::logto(endpoint);
        }
        if let Some(tenant) = &self.entra {
            return providers::entra(tenant);
        }
        if let Some(file) = &self.metadata_file {
            let metadata = parsed(file, |text| AuthorizationServerMetadata::from_json(text));
            return match metadata {
                Ok(metadata) => Issuer::with_metadata(metadata),
                Err(message) => {
                    mistakes.add(&member(path, "metadata_file"), message);
                    unknown()
                }
            };
        }
        let Some(url) = &self.url else {
            let message = "the authorization server is missing; write its issuer identifier, such as \"https://auth.example.com\"";
            mistakes.missing(&member(path, "url"), &["url"], message);
            return unknown();
        };
        let Some(file) = &self.fixed_jwks_file else {
            return match self.discovery {
                DiscoveryMethods::Any => Issuer::discover(url.as_str()),
                DiscoveryMethods::Oidc => Issuer::oidc(url.as_str()),
                DiscoveryMethods::Oauth => Issuer::oauth(url.as_str()),
            };
        };
        match parsed(file, |text| JwkSet::from_json(text)) {
            Ok(keys) => Issuer::with_jwks(url.as_str(), keys),
            Err(message) => {
                mistakes.add(&member(path, "fixed_jwks_file"), message);
                unknown()
            }
        }
    }
}

/// Takes the place of a URL that is missing. Messages about it follow from that mistake.
pub(super) const UNKNOWN: &str = "https://unknown.invalid";

/// The parsed content of a file. The error is the message of a mistake.
fn parsed<T, E: ToString>(file: &Path, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, String> {
    content(file).and_then(|text| parse(text.reveal()).map_err(|error| error.to_string()))
}
