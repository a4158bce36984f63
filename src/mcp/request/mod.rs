//! What a request asks for: its body, read once and handed on.

mod body;
mod id;
mod list_kind;
mod member;
mod message;
mod mirror;
mod operation;

pub use body::McpRequestBody;
pub(super) use body::Reading;
pub(super) use list_kind::ListKind;
pub(super) use message::{Message, read};
pub(super) use mirror::Mirror;
pub(super) use operation::{MAX_URI, MAX_URI_BYTES, MAX_URIS, OF_A_RESOURCE, Operation, Target};
