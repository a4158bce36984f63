//! Reference implementations for the fuzz targets. They are simpler than the parsers of the crate, and written
//! independently.

pub mod base64url;
pub mod event_stream;
pub mod http_uri;
pub mod list_server;
pub mod readers;
pub mod token;
pub mod tree;
