use super::fields::ApiKeySettings;
use super::introspection::time;
use super::issuer::UNKNOWN;
use super::mistake::{Mistakes, SettingsError, member};
use super::server::{MetadataSettings, Settings};
use super::setters::{self, field_of, in_words_of_a_file};
use crate::api_key::ApiKeys;
use crate::issuer::Issuer;
use crate::resource::ProtectedResourceMetadata;
use crate::server::{ConfigurationMistake, ResourceServer, ResourceServerBuilder};

impl Settings {
    /// The builder with all of these settings. Code can add what only code can set, such as an observer.
    ///
    /// It reads the files with secrets and keys that the settings name. A relative path starts at the working directory.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use mcp_bearer::settings::Settings;
    /// use mcp_bearer::testing::TestClock;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = r#"{
    ///     "resource": "https://mcp.example.com/mcp",
    ///     "issuers": [{"url": "https://auth.example.com"}]
    /// }"#;
    /// let settings: Settings = serde_json::from_str(text)?;
    /// let builder = settings.builder()?.clock(TestClock::default());
    /// # Ok(())
    /// # }
    /// # main().unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes. Three are not found here, because code may repair them:
    /// [`build`](ResourceServerBuilder::build) reports a server without issuers, several issuers that accept opaque tokens
    /// without [`route_opaque`](ResourceServerBuilder::route_opaque), and replicas that do not share their used DPoP proofs.
    pub fn builder(&self) -> Result<ResourceServerBuilder, SettingsError> {
        self.builder_with(|issuer| issuer)
    }

    /// [`builder`](Self::builder), with a change to each issuer that only code can make, such as
    /// [`http_client`](Issuer::http_client).
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use mcp_bearer::settings::{Settings, SettingsError};
    /// use mcp_bearer::testing::TestIssuer;
    ///
    /// # fn server(settings: &Settings) -> Result<(), SettingsError> {
    /// let auth = TestIssuer::new("https://auth.example.com");
    /// let builder = settings.builder_with(|issuer| issuer.http_client(auth.http_client()))?;
    /// # drop(builder);
    /// # Ok(())
    /// # }
    /// # assert!(server(&Settings::default()).is_err());
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SettingsError`] as [`builder`](Self::builder).
    pub fn builder_with(&self, change: impl FnMut(Issuer) -> Issuer) -> Result<ResourceServerBuilder, SettingsError> {
        let mut mistakes = self.mistakes.clone();
        let issuers = self.issuers.iter().enumerate().map(|(at, issuer)| issuer.issuer(&path_of(at), &mut mistakes));
        let issuers: Vec<Issuer> = issuers.map(change).collect();
        let builder = issuers.into_iter().fold(self.server(&mut mistakes), ResourceServerBuilder::issuer);
        for ConfigurationMistake { issuer, setter, error } in builder.mistakes() {
            let fields = if issuer.is_some() { setters::ISSUER } else { setters::SERVER };
            let place = issuer.and_then(|at| Some((path_of(at), self.issuers.get(at)?)));
            let path = match place {
                Some((path, issuer)) if setter == "url" => member(&path, issuer.source_field()),
                Some((path, _)) => field_of(setter, fields).map_or(path.clone(), |field| format!("{path}.{field}")),
                None => field_of(setter, fields).unwrap_or_default().to_owned(),
            };
            let message = error.to_string();
            if !message.contains(UNKNOWN) {
                mistakes.add(&path, in_words_of_a_file(&message, fields));
            }
        }
        self.check_layers(&mut mistakes);
        mistakes.none_or(builder)
    }

    /// Builds the server: [`builder`](Self::builder), then [`build`](ResourceServerBuilder::build), or
    /// [`build_lazy`](ResourceServerBuilder::build_lazy) if `lazy` is set.
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes, or with the reason why an issuer cannot be used.
    pub async fn build(&self) -> Result<ResourceServer, SettingsError> {
        let builder = self.builder()?;
        Ok(if self.lazy { builder.build_lazy()? } else { builder.build().await? })
    }

    /// The settings of the server itself.
    fn server(&self, mistakes: &mut Mistakes) -> ResourceServerBuilder {
        let resource = self.resource.as_deref().unwrap_or_else(|| {
            let message = "the field is missing; write the URL of this server, as clients use it";
            mistakes.missing("resource", &["resource"], message);
            UNKNOWN
        });
        let mut builder = ResourceServer::builder(resource).scopes_supported(&self.scopes_supported);
        if let Some(keys) = &self.api_keys {
            builder = builder.api_keys(keys.api_keys(mistakes));
        }
        if let Some(header) = &self.token_from {
            builder = builder.token_from(header.as_str());
        }
        builder = self.with_sender(builder, mistakes);
        for audience in &self.audiences {
            builder = builder.accept_audience(audience.as_str());
        }
        for (scope, implied) in &self.scope_implies {
            builder = builder.scope_implies(scope, implied);
        }
        for (scope, requested) in &self.challenge_scopes {
            builder = builder.challenge_scope(scope, requested);
        }
        builder = builder.initial_scopes(&self.initial_scopes);
        for path in &self.metadata_paths {
            builder = builder.metadata_path(path.as_str());
        }
        if let Some(url) = &self.metadata_url {
            builder = builder.metadata_url(url.as_str());
        }
        if let Some(realm) = &self.realm {
            builder = builder.realm(realm.as_str());
        }
        if let Some(bytes) = self.max_token_length {
            builder = builder.max_token_length(bytes);
        }
        if let Some(capacity) = self.cache_verified_tokens {
            builder = builder.cache_verified_tokens(capacity);
        }
        let times: [(&str, Option<f64>, SetTimeOfServer); 3] = [
            ("clock_skew_seconds", self.clock_skew_seconds, ResourceServerBuilder::clock_skew),
            ("max_token_lifetime_seconds", self.max_token_lifetime_seconds, ResourceServerBuilder::max_token_lifetime),
            (
                "verification_timeout_seconds",
                self.verification_timeout_seconds,
                ResourceServerBuilder::verification_timeout,
            ),
        ];
        for (name, value, set) in times {
            if let Some(time) = time(value, name, mistakes) {
                builder = set(builder, time);
            }
        }
        if self.serve_metadata_at_root {
            builder = builder.serve_metadata_at_root();
        }
        if self.omit_claims_from_log {
            builder = builder.omit_claims_from_log();
        }
        if self.dangerously_allow_http {
            builder = builder.dangerously_allow_http();
        }
        builder.metadata(|metadata| self.metadata.members(metadata))
    }
}

type SetTimeOfServer = fn(ResourceServerBuilder, std::time::Duration) -> ResourceServerBuilder;

impl ApiKeySettings {
    fn api_keys(&self, mistakes: &mut Mistakes) -> ApiKeys {
        let mut keys = match &self.file {
            Some(file) => ApiKeys::from_file(file),
            None => {
                mistakes.missing("api_keys.file", &["file"], "the file with the keys is missing; write its name");
                ApiKeys::new()
            }
        };
        if let Some(header) = &self.header {
            keys = keys.header(header.as_str());
        }
        match &self.prefix {
            Some(prefix) => keys.prefix(prefix.as_str()),
            None => keys,
        }
    }
}

impl MetadataSettings {
    fn members(&self, mut metadata: ProtectedResourceMetadata) -> ProtectedResourceMetadata {
        for (name, value) in [
            ("resource_name", &self.resource_name),
            ("resource_documentation", &self.resource_documentation),
            ("resource_policy_uri", &self.resource_policy_uri),
            ("resource_tos_uri", &self.resource_tos_uri),
            ("jwks_uri", &self.jwks_uri),
        ] {
            if let Some(value) = value {
                metadata = metadata.member(name, value.as_str());
            }
        }
        for (language, name) in &self.resource_name_in {
            metadata = metadata.resource_name_in(language, name);
        }
        if !self.resource_signing_alg_values_supported.is_empty() {
            let algorithms = self.resource_signing_alg_values_supported.iter().copied();
            metadata = metadata.resource_signing_alg_values_supported(algorithms);
        }
        if !self.authorization_details_types_supported.is_empty() {
            metadata = metadata.authorization_details_types_supported(&self.authorization_details_types_supported);
        }
        self.members.iter().fold(metadata, |metadata, (name, value)| metadata.member(name, value.clone()))
    }
}

/// The path of an issuer's settings.
fn path_of(at: usize) -> String {
    format!("issuers[{at}]")
}
