//! The same work with `mcp-bearer` and with other crates: an axum application with one route, [`PATH`], for clients
//! with a token of one issuer and for one resource.
//!
//! `./run` prints the tables.

mod application;
pub mod peers;
mod raw_check;
mod subject;

pub use application::{PATH, request};
pub use peers::{NAMES, router};
pub use raw_check::RawCheck;
pub use subject::{RESOURCE, Subject};
