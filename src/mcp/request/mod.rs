//! Reads the body of a request, and the operations in it.

mod body;
mod headers;
mod members;
mod message;
mod operation;

pub use body::McpRequestBody;
pub(super) use body::{BodyReadError, BodyReader, ReadBody, RequestReader};
pub(super) use headers::OperationHeaders;
pub(super) use message::{Message, read};
pub(super) use operation::{ListKind, MAX_URI, MAX_URI_BYTES, MAX_URIS, Operation, RESOURCE_METHODS, Target};
