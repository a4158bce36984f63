//! The protected resource metadata of RFC 9728: the document, its URL, and the service that responds with it.

mod metadata;
mod reach;
mod service;

pub use metadata::ProtectedResourceMetadata;
pub(crate) use reach::{CoveredMetadata, MetadataReach, SelfCheckRequest};
pub use service::MetadataService;
pub(crate) use service::WellKnown;
