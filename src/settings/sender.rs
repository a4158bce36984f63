#[cfg(feature = "redis")]
use super::files::content;
use super::files::secret_content;
#[cfg(feature = "redis")]
use super::introspection::secret;
use super::introspection::time;
use super::mistake::Mistakes;
use super::sender_fields::{ClientCertificateSetting, DpopSettings, RedisSettings, SenderConstraintSetting};
use super::server::Settings;
use crate::sender::{ClientCertificateHeader, Dpop, NonceKey, SenderConstraint};
use crate::server::ResourceServerBuilder;
#[cfg(feature = "redis")]
use crate::shared::{RedisState, ResultKey};

impl Settings {
    /// Adds the settings of sender-constrained tokens to the builder.
    pub(super) fn with_sender(
        &self,
        mut builder: ResourceServerBuilder,
        mistakes: &mut Mistakes,
    ) -> ResourceServerBuilder {
        if let Some(constraint) = self.sender_constraint {
            builder = builder.sender_constraint(constraint.into());
        }
        if let Some(dpop) = &self.dpop {
            builder = builder.dpop(dpop.dpop(mistakes));
        }
        if let Some(source) = self.client_certificate {
            builder = match source {
                ClientCertificateSetting::Connection => builder.client_certificate_from_connection(),
                ClientCertificateSetting::Rfc9440 => {
                    builder.client_certificate_from_header(ClientCertificateHeader::Rfc9440)
                }
                ClientCertificateSetting::Nginx => {
                    builder.client_certificate_from_header(ClientCertificateHeader::Nginx)
                }
                ClientCertificateSetting::Envoy => {
                    builder.client_certificate_from_header(ClientCertificateHeader::Envoy)
                }
            };
        }
        if let Some(redis) = &self.redis {
            builder = redis.add_to(builder, mistakes);
        }
        if self.replicas_share_state { builder.replicas_share_state() } else { builder }
    }
}

impl RedisSettings {
    #[cfg(feature = "redis")]
    fn add_to(&self, builder: ResourceServerBuilder, mistakes: &mut Mistakes) -> ResourceServerBuilder {
        let Some(url) = secret("redis", "url", self.url.as_ref(), self.url_file.as_deref(), mistakes) else {
            mistakes.missing("redis.url", &["url", "url_file"], "the URL is missing; write `url` or `url_file`");
            return builder;
        };
        let mut state = RedisState::new(url.reveal());
        if let Some(prefix) = &self.key_prefix {
            state = state.key_prefix(prefix.as_str());
        }
        if let Some(limit) = time(self.timeout_seconds, "redis.timeout_seconds", mistakes) {
            state = state.timeout(limit);
        }
        if let Some(file) = &self.root_certificates_file {
            match content(file) {
                Ok(pem) => state = state.root_certificates(pem.reveal()),
                Err(message) => mistakes.add("redis.root_certificates_file", message),
            }
        }
        if let Some(file) = &self.result_key_file {
            let text = secret_content(file);
            match text.and_then(|text| ResultKey::parse(text.reveal()).map_err(|error| error.to_string())) {
                Ok(key) => state = state.share_introspection_results(key),
                Err(message) => mistakes.add("redis.result_key_file", message),
            }
        }
        builder.shared_state(state)
    }

    #[cfg(not(feature = "redis"))]
    #[expect(clippy::unused_self, reason = "with the feature `redis`, the function reads the fields")]
    fn add_to(&self, builder: ResourceServerBuilder, mistakes: &mut Mistakes) -> ResourceServerBuilder {
        let message =
            "this program is built without the feature `redis` of mcp-bearer; add the feature, or remove the table";
        mistakes.add("redis", message);
        builder
    }
}

impl From<SenderConstraintSetting> for SenderConstraint {
    fn from(setting: SenderConstraintSetting) -> Self {
        match setting {
            SenderConstraintSetting::Optional => Self::Optional,
            SenderConstraintSetting::Required => Self::Required,
            SenderConstraintSetting::Dpop => Self::Dpop,
            SenderConstraintSetting::Mtls => Self::Mtls,
        }
    }
}

impl DpopSettings {
    fn dpop(&self, mistakes: &mut Mistakes) -> Dpop {
        let mut dpop = Dpop::new();
        if let Some(algorithms) = &self.algorithms {
            dpop = dpop.algorithms(algorithms.iter().copied());
        }
        if let Some(age) = time(self.max_age_seconds, "dpop.max_age_seconds", mistakes) {
            dpop = dpop.max_age(age);
        }
        if let Some(lifetime) = time(self.nonce_lifetime_seconds, "dpop.nonce_lifetime_seconds", mistakes) {
            dpop = dpop.nonce_lifetime(lifetime);
        }
        if let Some(key) = self.nonce_key(mistakes) {
            dpop = dpop.nonce_key(key);
        }
        if let Some(count) = self.max_proofs_per_key {
            dpop = dpop.max_proofs_per_key(count);
        }
        if let Some(count) = self.max_proofs {
            dpop = dpop.max_proofs(count);
        }
        if let Some(proxied) = &self.path_behind_proxy {
            dpop = dpop.path_behind_proxy(proxied.external.as_str(), proxied.internal.as_str());
        }
        if self.require_nonces { dpop.require_nonces() } else { dpop }
    }

    fn nonce_key(&self, mistakes: &mut Mistakes) -> Option<NonceKey> {
        let path = "dpop.nonce_key_file";
        let text = secret_content(self.nonce_key_file.as_deref()?);
        let key = text.and_then(|text| NonceKey::parse(text.reveal()).map_err(|error| error.to_string()));
        key.map_err(|message| mistakes.add(path, message)).ok()
    }
}
