//! Reads the body of a request, and the operations in it.

mod body;
mod members;
mod message;
mod operation;

pub use body::McpRequestBody;
pub(super) use body::{BodyReadError, BodyReader, ReadBody};
pub(super) use members::each_member;
pub(super) use message::read;
pub(super) use operation::{LIST_METHODS, ListKind, MAX_URI, Operation, OperationHeaders, RESOURCE_METHODS, Target};
