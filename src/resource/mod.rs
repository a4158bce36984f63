//! The protected resource metadata of RFC 9728: the document, its URL, and the service that responds with it.

mod metadata;
mod service;
mod well_known;

pub use metadata::ProtectedResourceMetadata;
pub use service::{MetadataBody, MetadataService};
pub(crate) use well_known::WellKnown;
