use std::sync::Arc;
use std::time::Duration;

use crate::discovery::{Endpoint, EndpointSource};
use crate::http_client::{AddressPolicy, FetchError, FetchErrorKind};

/// The introspection endpoint of one issuer.
pub(super) struct IntrospectionEndpoint(pub(super) EndpointSource);

impl IntrospectionEndpoint {
    /// Its URL, which is discovered if it is not known.
    pub(super) async fn find(&self) -> Result<Endpoint, Arc<FetchError>> {
        let source = match &self.0 {
            EndpointSource::Configured(url) => {
                return Ok(Endpoint { url: url.clone(), addresses: AddressPolicy::Any });
            }
            EndpointSource::Discovered(source) => source,
        };
        let metadata = source.for_request().await?;
        let endpoint = metadata.introspection().cloned();
        Ok(endpoint.ok_or_else(|| {
            FetchError::new(FetchErrorKind::Document, metadata.issuer().as_str()).with_source(NoIntrospectionEndpoint)
        })?)
    }

    /// It responds as if it had moved, so it is discovered again.
    pub(super) fn suspect(&self) {
        if let EndpointSource::Discovered(source) = &self.0 {
            source.suspect();
        }
    }

    pub(super) fn is_known(&self) -> bool {
        match &self.0 {
            EndpointSource::Configured(_) => true,
            EndpointSource::Discovered(source) => {
                source.known().is_some_and(|metadata| metadata.introspection().is_some())
            }
        }
    }

    /// Why it is not known, and how long it is not discovered again. `None` if it is known, or may be discovered now.
    pub(super) fn last_error(&self) -> Option<(Arc<FetchError>, Duration)> {
        match &self.0 {
            // If it is known, a later failure of discovery does not matter.
            EndpointSource::Discovered(source) if !self.is_known() => source.last_error(),
            EndpointSource::Configured(_) | EndpointSource::Discovered(_) => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the metadata has no \"introspection_endpoint\": configure it with `Issuer::introspection_endpoint`, or verify JWTs \
     locally"
)]
struct NoIntrospectionEndpoint;
