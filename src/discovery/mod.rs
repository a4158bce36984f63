//! Discovery: fetches the metadata document of an authorization server (RFC 8414; OpenID Connect Discovery 1.0) and caches
//! it.
//!
//! [`candidates`] knows the URLs to try, [`metadata`] reads a document, and [`source`] decides when it is fetched again.

mod candidates;
mod metadata;
mod source;

pub(crate) use candidates::{Discovery, DiscoveryMethod, MapMetadata, RequiredMembers};
pub(crate) use metadata::EndpointUrl;
pub use metadata::{AuthorizationServerMetadata, InvalidMetadata};
pub(crate) use source::{EndpointSource, MetadataSource};
