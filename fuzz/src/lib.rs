//! What the fuzz targets hold the crate's parsers up against: readers that are written another way, and simpler.

pub mod event_stream;
pub mod list_server;
pub mod readers;
pub mod token;
pub mod tree;
