use std::path::PathBuf;

use super::node::Node;
use super::read::{Read, Reader, read_fields, read_names};
#[cfg(feature = "schema")]
use super::schema::{self, JsonSchema};
use super::secret::SecretText;
use crate::jose::Algorithm;

/// The settings of DPoP proofs: see [`Dpop`](crate::sender::Dpop).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct DpopSettings {
    /// The accepted signature algorithms of proofs, such as `["ES256"]`. All asymmetric ones by default.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::algorithms"))]
    pub algorithms: Option<Vec<Algorithm>>,
    /// How far the time of a proof may be in the past or in the future: 10 to 300 s, 60 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 300)))]
    pub max_age_seconds: Option<f64>,
    /// Requires a nonce of this server in each proof.
    pub require_nonces: bool,
    /// The file with the key of nonces that replicas share: 32 random bytes in Base64, base64url or hexadecimal on each line. The first
    /// key makes nonces, and nonces of each key are accepted.
    pub nonce_key_file: Option<PathBuf>,
    /// How long a nonce is valid: 60 to 3,600 s, 300 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 3600)))]
    pub nonce_lifetime_seconds: Option<f64>,
    /// How many used proofs of one key are kept: 10 to 1,000,000, 10,000 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 1000000)))]
    pub max_proofs_per_key: Option<usize>,
    /// How many used proofs of all keys are kept: 100 to 10,000,000, 100,000 by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 100, max = 10000000)))]
    pub max_proofs: Option<usize>,
    /// The path prefix that a proxy replaces.
    pub path_behind_proxy: Option<ProxiedPathSettings>,
}

/// A path prefix that a proxy replaces: see [`Dpop::path_behind_proxy`](crate::sender::Dpop::path_behind_proxy).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct ProxiedPathSettings {
    /// The prefix in the requests of clients, such as `/api/v1`.
    pub external: String,
    /// The prefix in the requests of the proxy, such as `/`.
    pub internal: String,
}

/// The Redis or Valkey server with the state that replicas share. It needs the feature `redis` of the crate.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(default, deny_unknown_fields))]
pub struct RedisSettings {
    /// The URL: `rediss://user:password@host:6379/0`. Better use `url_file` if it has a password.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::secret"))]
    pub url: Option<SecretText>,
    /// The file with the URL.
    pub url_file: Option<PathBuf>,
    /// The start of all keys: `mcp-bearer:` by default.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub key_prefix: Option<String>,
    /// How long to wait for a connection, and for each reply: 0.01 to 10 s, 1 s by default.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.01, max = 10)))]
    pub timeout_seconds: Option<f64>,
    /// The file with the trusted root certificates (PEM), in place of those of the system.
    pub root_certificates_file: Option<PathBuf>,
    /// The file with the key of introspection results: 32 random bytes in Base64. The replicas then share the results.
    pub result_key_file: Option<PathBuf>,
}

/// Which access tokens must be sender-constrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub enum SenderConstraintSetting {
    /// Bearer tokens and sender-constrained tokens are accepted.
    Optional,
    /// Each token must be bound to a key (DPoP) or to a certificate (mTLS).
    Required,
    /// Each token must be bound to a key (DPoP).
    Dpop,
    /// Each token must be bound to a certificate (mTLS).
    Mtls,
}

/// Where the client certificate of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(rename_all = "snake_case"))]
pub enum ClientCertificateSetting {
    /// In an extension of the request, which the TLS acceptor of the program inserts.
    Connection,
    /// In the header `Client-Cert` of a trusted proxy (RFC 9440).
    Rfc9440,
    /// In the header `ssl-client-cert` of nginx.
    Nginx,
    /// In the header `X-Forwarded-Client-Cert` of Envoy.
    Envoy,
}

read_fields!(DpopSettings:
    algorithms, max_age_seconds, require_nonces, nonce_key_file, nonce_lifetime_seconds, max_proofs_per_key, max_proofs,
    path_behind_proxy
);
read_fields!(ProxiedPathSettings: external, internal);
read_fields!(RedisSettings: url, url_file, key_prefix, timeout_seconds, root_certificates_file, result_key_file);
read_names!(SenderConstraintSetting: "optional" => Optional, "required" => Required, "dpop" => Dpop, "mtls" => Mtls);
read_names!(ClientCertificateSetting:
    "connection" => Connection, "rfc9440" => Rfc9440, "nginx" => Nginx, "envoy" => Envoy
);
