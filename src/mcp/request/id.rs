use super::member::Member;
use super::message::Message;

impl Message<'_> {
    /// The `id` of a request as JSON, for the answer to a refused one: a number or a string, of bounded length.
    pub(in crate::mcp) fn request_id(&self) -> Option<Box<str>> {
        let id = match self.id.as_ref().filter(|_| self.operation.is_some())? {
            Member::Number(number) => number.to_string(),
            Member::Text(text) if text.len() <= MAX_ID => serde_json::to_string(text).ok()?,
            _ => return None,
        };
        (id.len() <= MAX_ID).then(|| id.into())
    }
}

/// The longest that is sent back, in bytes of JSON: more than a UUID, less than a page.
const MAX_ID: usize = 256;
