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

/// Where an application's keys come from. The rest of it is the same: the layer of `mcp-bearer`, which takes keys from
/// whoever implements its `KeySource`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    /// What `mcp-bearer` does when told nothing.
    McpBearer,
    /// `jsonwebtoken-jwks-cache` with the time-outs of its README.
    JwksCache,
    /// The same with the time-outs of its `Default`: neither another try nor a pause.
    JwksCacheByDefault,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::McpBearer, Self::JwksCache, Self::JwksCacheByDefault];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::McpBearer => "mcp-bearer",
            Self::JwksCache => "jsonwebtoken-jwks-cache, its README's time-outs",
            Self::JwksCacheByDefault => "jsonwebtoken-jwks-cache, its default time-outs",
        }
    }

    /// The application before anything was fetched, so that the first request fetches.
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
    /// It has no way to ask for a newer set, so a missing key is missing until the set expires.
    fn key_set<'a>(&'a self, _missing_kid: Option<&'a str>) -> KeySetFuture<'a> {
        Box::pin(async {
            let set = self.0.get().await.map_err(|_| UNAVAILABLE)?;
            let document = serde_json::to_vec(&set).map_err(|_| UNAVAILABLE)?;
            JwkSet::from_json(document).map(Arc::new).map_err(|_| UNAVAILABLE)
        })
    }
}

const UNAVAILABLE: KeyError = KeyError::unavailable(None);

/// How long before a set expires it is fetched anew. The README's hour would have every set with a shorter life, such
/// as the five minutes here, fetched all the time; it must be longer than the deadline.
const AHEAD: Duration = Duration::from_secs(60);

const README: TimeoutSpec = TimeoutSpec {
    retries: 3,
    retry_after: Duration::from_secs(10),
    backoff: Duration::from_secs(1),
    deadline: Duration::from_secs(30),
};
