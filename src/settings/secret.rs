use std::fmt;

use zeroize::Zeroizing;

/// A secret in [`Settings`](super::Settings). `Debug` does not show it, and it is zeroised when it is dropped.
///
/// ```
/// use mcp_bearer::settings::SecretText;
///
/// let secret = SecretText::new("s3cret");
/// assert_eq!(format!("{secret:?}"), "SecretText(..)");
/// ```
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text of the secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) const fn from_file(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
