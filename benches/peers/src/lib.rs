//! The same work through `mcp-bearer` and through its peers: an axum application whose one route, [`PATH`], is for
//! callers with a token of one issuer, made out to one resource.
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
