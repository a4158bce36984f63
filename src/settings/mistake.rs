use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::BuildError;
use crate::escape::{Escaped, MAX_SHOWN};

/// All mistakes in [`Settings`](super::Settings). `Display` has one line for each.
///
/// ```
/// use mcp_bearer::settings::Settings;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let settings: Settings = serde_json::from_str(
///     r#"{
///         "resource": "https://mcp.example.com/mcp",
///         "isuers": [{"url": "https://auth.example.com"}],
///         "clock_skew_seconds": 900
///     }"#,
/// )?;
/// let error = settings.builder().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "2 mistakes in the settings:\n\
///      clock_skew_seconds: `clock_skew_seconds` is 900 s; use between 0 s and 300 s\n\
///      isuers: the field is unknown; write `issuers`, or remove it"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SettingsError {
    mistakes: Vec<SettingsMistake>,
    /// The error of the build, if that found the mistake.
    build_error: Option<Arc<BuildError>>,
}

/// One mistake in [`Settings`](super::Settings): where it is, what is wrong, and how to repair it. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsMistake {
    path: String,
    message: String,
    cause: MistakeCause,
}

/// How a mistake relates to others.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MistakeCause {
    /// One of these fields is needed.
    Missing(&'static [&'static str]),
    /// The field is unknown, and probably means this one.
    Unknown(Option<String>),
    Other,
}

impl SettingsError {
    /// The error of a part of the settings.
    pub(super) fn at(path: &str, error: BuildError) -> Self {
        let mistakes = vec![SettingsMistake::new(path, error.to_string(), MistakeCause::Other)];
        Self { mistakes, build_error: Some(Arc::new(error)) }
    }

    /// The error of the build, if the mistake was found there: for example that an issuer cannot be reached.
    #[must_use]
    pub fn build_error(&self) -> Option<&BuildError> {
        self.build_error.as_deref()
    }

    /// The mistakes, sorted by their path.
    pub fn mistakes(&self) -> impl Iterator<Item = &SettingsMistake> {
        self.mistakes.iter()
    }
}

impl SettingsMistake {
    /// Where the mistake is, such as `issuers[1].introspection.positive_cache_seconds`. It is empty for a mistake that is not about
    /// one field.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The mistake, and how to repair it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether this field is missing only because its name is wrong in `other`.
    fn is_repaired_with(&self, other: &Self) -> bool {
        let (MistakeCause::Missing(names), MistakeCause::Unknown(Some(intended))) = (&self.cause, &other.cause) else {
            return false;
        };
        self.table() == other.table() && names.contains(&intended.as_str())
    }

    /// The path of the table with the field.
    fn table(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }

    fn new(path: impl Into<String>, message: impl Into<String>, cause: MistakeCause) -> Self {
        Self { path: path.into(), message: message.into(), cause }
    }
}

/// The mistakes that are found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Mistakes {
    found: Vec<SettingsMistake>,
    /// The environment variables that the settings come from, by the path of their field, without the numbers of lists.
    variables: BTreeMap<String, String>,
}

impl Mistakes {
    /// Adds a mistake, unless it follows from one that is already known: one at the same place or around it.
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.add_with(path, message, MistakeCause::Other);
    }

    /// Adds a missing field, unless one of `names` is in the same table under a wrong name.
    pub(super) fn missing(&mut self, path: &str, names: &'static [&'static str], message: &str) {
        self.add_with(path, message, MistakeCause::Missing(names));
    }

    /// Adds an unknown field, which probably means `intended`.
    pub(super) fn unknown(&mut self, path: &str, intended: Option<&str>) {
        let repair = intended.map_or_else(|| "remove it".to_owned(), |field| format!("write `{field}`, or remove it"));
        let cause = MistakeCause::Unknown(intended.map(str::to_owned));
        self.add_with(path, format!("the field is unknown; {repair}"), cause);
    }

    fn add_with(&mut self, path: &str, message: impl Into<String>, cause: MistakeCause) {
        let is_known = self.found.iter().any(|known| {
            let inside = path.strip_prefix(known.path.as_str());
            known.path.is_empty() || inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(['.', '[']))
        });
        if !is_known {
            self.found.push(SettingsMistake::new(path, message, cause));
        }
    }

    /// Whether there is a mistake at this place or below.
    pub(super) fn are_below(&self, path: &str) -> bool {
        self.found.iter().any(|known| known.path.starts_with(path))
    }

    /// Adds all of these.
    pub(super) fn extend(&mut self, others: Self) {
        others.found.into_iter().for_each(|other| self.add_with(&other.path, other.message, other.cause));
    }

    /// Uses the names of variables in place of paths.
    pub(super) fn name_variables(&mut self, variables: impl IntoIterator<Item = (&'static str, String)>) {
        self.variables = variables.into_iter().map(|(path, name)| (path.to_owned(), name)).collect();
    }

    /// The variable of a field. A mistake about an issuer as a whole is one of its URL.
    fn variable(&self, path: &str) -> Option<String> {
        let mut path: String =
            path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
        if path == "issuers" {
            path.push_str(".url");
        }
        self.variables.get(&path).cloned()
    }

    /// `value` without a mistake.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, SettingsError> {
        if self.found.is_empty() {
            return Ok(value);
        }
        let all = self.found.clone();
        self.found.retain(|mistake| !all.iter().any(|other| mistake.is_repaired_with(other)));
        for at in 0..self.found.len() {
            let variable = self.found.get(at).and_then(|mistake| self.variable(&mistake.path));
            if let (Some(mistake), Some(variable)) = (self.found.get_mut(at), variable) {
                mistake.path = variable;
            }
        }
        self.found.sort_by(|one, other| one.path.cmp(&other.path));
        Err(SettingsError { mistakes: self.found, build_error: None })
    }
}

/// The path of a member: `issuers[0]` and `url` make `issuers[0].url`.
pub(super) fn member(path: &str, name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_bare = !name.is_empty() && name.len() <= MAX_SHOWN && name.bytes().all(is_bare);
    let name = if is_bare { name.to_owned() } else { format!("\"{}\"", Escaped(name, MAX_SHOWN)) };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A mistake that is found when the server is built, such as an issuer that cannot be reached.
impl From<BuildError> for SettingsError {
    fn from(error: BuildError) -> Self {
        Self::at("", error)
    }
}

impl fmt::Display for SettingsMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.as_slice() {
            [only] => only.fmt(f),
            mistakes => {
                write!(f, "{} mistakes in the settings:", mistakes.len())?;
                mistakes.iter().try_for_each(|mistake| write!(f, "\n{mistake}"))
            }
        }
    }
}

/// The same text as `Display`, with all causes, so that a `main` function can return the error.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.build_error {
            Some(error) => fmt::Debug::fmt(error, f),
            None => fmt::Display::fmt(self, f),
        }
    }
}

impl StdError for SettingsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // `Display` has the error of the build and its nearest cause.
        self.build_error.as_ref()?.source()
    }
}
