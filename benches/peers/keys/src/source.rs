use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use jsonwebtoken_jwks_cache::{CachedJWKS, TimeoutSpec};
use mcp_bearer::jose::JwkSet;
use mcp_bearer::keys::{KeyError, KeySetFuture, KeySource};
use mcp_bearer::{AuthInfo, Issuer, ResourceServer};
use mcp_bearer_peers::{PATH, RESOURCE, Subject};

use crate::Failure;

/// The source of the keys. The rest of the application is the same: the layer of `mcp-bearer`, which accepts every
/// implementation of its `KeySource`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// `mcp-bearer` with its defaults.
    McpBearer,
    /// `jsonwebtoken-jwks-cache` with the timeouts of its README.
    JwksCache,
    /// `jsonwebtoken-jwks-cache` with the timeouts of its `Default`: no retry and no pause.
    JwksCacheByDefault,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::McpBearer, Self::JwksCache, Self::JwksCacheByDefault];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::McpBearer => "mcp-bearer",
            Self::JwksCache => "jsonwebtoken-jwks-cache, timeouts of its README",
            Self::JwksCacheByDefault => "jsonwebtoken-jwks-cache, default timeouts",
        }
    }

    /// Builds the application without fetching keys, so that the first request fetches them.
    pub(crate) fn router(self, subject: &Subject) -> Result<Router, Failure> {
        let issuer = match self {
            Self::McpBearer => Issuer::discover(subject.issuer.url()),
            Self::JwksCache => jwks_cache(subject, README)?,
            Self::JwksCacheByDefault => jwks_cache(subject, TimeoutSpec::default())?,
        };
        let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy()?;
        let handler = async |auth: AuthInfo| auth.subject().unwrap_or_default().to_owned();
        Ok(Router::new().route(PATH, any(handler)).route_layer(server.bearer_layer()))
    }
}

fn jwks_cache(subject: &Subject, time_outs: TimeoutSpec) -> Result<Issuer, Failure> {
    let cache = CachedJWKS::new(subject.jwks_uri().parse()?, AHEAD, time_outs)?;
    Ok(Issuer::with_key_source(subject.issuer.url(), JwksCache(cache)))
}

struct JwksCache(CachedJWKS);

impl KeySource for JwksCache {
    /// The cache cannot fetch a newer key set for a missing key, so a key is missing until the set expires.
    fn key_set<'a>(&'a self, _missing_kid: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async {
            let set = self.0.get().await.map_err(|_| UNAVAILABLE)?;
            let document = serde_json::to_vec(&set).map_err(|_| UNAVAILABLE)?;
            JwkSet::from_json(document).map(Arc::new).map_err(|_| UNAVAILABLE)
        })
    }
}

const UNAVAILABLE: KeyError = KeyError::unavailable(None);

/// The time before the expiry at which a key set is fetched again. With the hour of the README, a key set with a
/// shorter lifetime, such as the five minutes here, would be fetched all the time. It must be longer than the deadline.
const AHEAD: Duration = Duration::from_secs(60);

const README: TimeoutSpec = TimeoutSpec {
    retries: 3,
    retry_after: Duration::from_secs(10),
    backoff: Duration::from_secs(1),
    deadline: Duration::from_secs(30),
};
