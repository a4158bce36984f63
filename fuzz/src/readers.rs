//! How JSON libraries of the world find a member of an object.

use crate::tree::Tree;

/// Which member a library takes for the one that was asked for.
#[derive(Debug, Clone, Copy)]
pub enum Reader {
    First,
    Last,
    /// Without case, as cJSON does; a text ends for it where a NUL stands.
    FirstFolded,
    /// Without case, as Go's `encoding/json` does.
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

/// What texts have in common that differ in nothing but case, by the broadest meaning of that.
fn fold(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default();
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // The dot of the Turkish capital I.
    folded.filter(|character| *character != '\u{307}').collect()
}
