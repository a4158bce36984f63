//! The ways in which common JSON libraries look up a member of an object.

use crate::tree::Tree;

/// The member that a library returns for a name.
#[derive(Debug, Clone, Copy)]
pub enum Reader {
    First,
    Last,
    /// Ignores case, as cJSON does. A string ends at a NUL character.
    FirstFolded,
    /// Ignores case, as Go's `encoding/json` does.
    LastFolded,
}

impl Reader {
    pub const ALL: [Self; 4] = [Self::First, Self::Last, Self::FirstFolded, Self::LastFolded];

    pub fn pick<'t>(self, object: &'t Tree, name: &str) -> Option<&'t Tree> {
        let mut members = object.members()?.iter();
        let exact = |(known, _): &&(String, Tree)| known == name;
        let folded = |(known, _): &&(String, Tree)| fold(known) == fold(name);
        let found = match self {
            Self::First => members.find(exact),
            Self::Last => members.rfind(exact),
            Self::FirstFolded => members.find(folded),
            Self::LastFolded => members.rfind(folded),
        };
        found.map(|(_, value)| value)
    }
}

/// Maps texts that only differ in case to the same text. Uses the broadest definition of case.
fn fold(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default();
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // The combining dot from the lower case of the Turkish capital I with a dot.
    folded.filter(|character| *character != '\u{307}').collect()
}
