//! The check of the `Origin` header: which pages may call from a browser (MCP transport, "Security Warning").
//!
//! | `Origin` | result |
//! |---|---|
//! | absent: no browser, or a navigation | passes |
//! | one origin of the list | passes |
//! | any other value, `null`, an empty value, or several fields | 403 |
//!
//! See [`ResourceServer::allowed_origins`](crate::ResourceServer::allowed_origins).

mod allowed;
mod layer;

pub(crate) use allowed::AllowedOrigins;
pub use layer::{OriginCheck, OriginLayer};
