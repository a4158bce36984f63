use std::borrow::Cow;
use std::fmt;

/// A defect of a fetched document.
///
/// `Display` shows what the document has, for whoever configures the server; a line in the log leaves that out.
#[derive(Debug)]
pub(crate) struct DocumentError {
    what: Cow<'static, str>,
    /// Escaped and cut.
    found: Option<Box<str>>,
    repair: Option<&'static str>,
}

impl DocumentError {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), found: None, repair: None }
    }

    /// A document that could not be read as JSON.
    pub(crate) fn not_json(document: &[u8], error: &serde_json::Error) -> Self {
        match document.trim_ascii_start() {
            [] => Self::new("the document is empty"),
            [0xef, 0xbb, 0xbf, ..] => Self::new(BYTE_ORDER_MARK).repaired_by("serve the document without it"),
            [b'<', ..] => Self::new("the document is HTML or XML, not JSON").repaired_by("check the URL"),
            // The words of `serde_json` can repeat the document.
            _ => Self::new(format!(
                "the document is not a JSON object with unique names (line {}, column {})",
                error.line(),
                error.column()
            )),
        }
    }

    /// Adds what the document has instead.
    pub(crate) fn found(mut self, value: &str) -> Self {
        let escaped: String = value.chars().flat_map(char::escape_default).take(MAX_FOUND).collect();
        self.found = Some(escaped.into());
        self
    }

    /// Adds what the operator can do about it.
    pub(crate) const fn repaired_by(mut self, repair: &'static str) -> Self {
        self.repair = Some(repair);
        self
    }

    /// The form for log lines: no byte of the document.
    pub(crate) const fn without_what_was_found(&self) -> WithoutFound<'_> {
        WithoutFound(self)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(found) = &self.found {
            write!(f, ": \"{found}\"")?;
        }
        self.repair.map_or(Ok(()), |repair| write!(f, "; {repair}"))
    }
}

impl std::error::Error for DocumentError {}

/// A [`DocumentError`] without what was found.
pub(crate) struct WithoutFound<'e>(&'e DocumentError);

impl fmt::Display for WithoutFound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DocumentError { what, repair, .. } = self.0;
        f.write_str(what)?;
        repair.map_or(Ok(()), |repair| write!(f, "; {repair}"))
    }
}

const BYTE_ORDER_MARK: &str =
    "the document begins with a byte order mark, which JSON must not have (RFC 8259, section 8.1)";
/// The most characters of a document's value in an error: most URLs fit.
const MAX_FOUND: usize = 128;
