use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::metadata_source::MetadataSource;
use crate::http_client::{AddressPolicy, FetchError, FetchErrorKind};
use crate::introspection::{Endpoint, FindEndpoint, FindFuture};

/// Where an issuer introspects tokens.
pub(super) enum IntrospectionEndpoint {
    /// The operator wrote it.
    Fixed(Url),
    /// The issuer's metadata names it.
    Discovered(Arc<MetadataSource>),
}

impl IntrospectionEndpoint {
    async fn locate(&self) -> Result<Endpoint, Arc<FetchError>> {
        let source = match self {
            Self::Fixed(url) => return Ok(Endpoint { url: url.clone(), addresses: AddressPolicy::Any }),
            Self::Discovered(source) => source,
        };
        let metadata = source.at_once().await?;
        let named = metadata.introspection_url().ok_or_else(|| {
            FetchError::new(FetchErrorKind::Document, metadata.issuer().as_str()).with_source(NoIntrospectionEndpoint)
        })?;
        Ok(Endpoint { url: named.url.clone(), addresses: named.addresses.clone() })
    }
}

impl FindEndpoint for IntrospectionEndpoint {
    fn find(&self) -> FindFuture<'_> {
        Box::pin(self.locate())
    }

    fn doubt(&self) {
        if let Self::Discovered(source) = self {
            source.doubt();
        }
    }

    fn trouble(&self) -> Option<(Arc<FetchError>, Duration)> {
        match self {
            // A renewal that fails takes nothing away from what is known.
            Self::Discovered(source) if !self.is_known() => source.trouble(),
            Self::Fixed(_) | Self::Discovered(_) => None,
        }
    }

    fn is_known(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Discovered(source) => source.known().is_some_and(|known| known.introspection_url().is_some()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the metadata has no \"introspection_endpoint\": configure one with `Issuer::introspection_endpoint`, or check JWTs \
     locally"
)]
struct NoIntrospectionEndpoint;
