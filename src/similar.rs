//! Names that are similar to a wrong one, for the repair in a message.

/// The name that `wrong` probably means. `None` if no name is similar.
pub(crate) fn closest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > MAX_COMPARED {
        return None;
    }
    let most = wrong.chars().count().div_ceil(3).min(MAX_DISTANCE);
    let distances = names
        .into_iter()
        .take(MAX_NAMES)
        .filter(|name| name.len() <= MAX_COMPARED)
        .map(|name| (distance(wrong, name), name));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, name)| name)
}

/// The number of characters to insert, remove or replace to get `other` from `one`, without case (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().map(|character| character.to_ascii_lowercase()).collect();
    // The distances of the part of `one` that is read so far to each start of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, character) in one.chars().map(|character| character.to_ascii_lowercase()).enumerate() {
        let mut left = read.saturating_add(1);
        let mut next = vec![left];
        for (above, expected) in row.windows(2).zip(&other) {
            let [diagonal, above] = *above else { continue };
            let replaced = diagonal.saturating_add(usize::from(character != *expected));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Names with a larger distance are different words.
const MAX_DISTANCE: usize = 3;
/// The most names that are compared with a wrong one. It takes about a millisecond.
const MAX_NAMES: usize = 1_000;
/// The longest name that is compared, in bytes. Longer ones are not written by hand.
const MAX_COMPARED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_found() {
        let names = ["add_note", "delete_note", "list_notes", "search"];
        for (wrong, expected) in [
            ("ad_note", Some("add_note")),
            ("addNote", Some("add_note")),
            ("ADD_NOTE", Some("add_note")),
            ("add-note", Some("add_note")),
            ("list_note", Some("list_notes")),
            ("serach", Some("search")),
            ("remove_everything", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(wrong, names), expected, "{wrong}");
        }
        let fields = ["id", "name", "sha256", "identity", "scopes", "expires"];
        for (wrong, expected) in [
            ("scope", Some("scopes")),
            ("sha-256", Some("sha256")),
            ("expiry", Some("expires")),
            ("identiy", Some("identity")),
            ("colour", None),
        ] {
            assert_eq!(closest(wrong, fields), expected, "{wrong}");
        }
        assert_eq!(closest("notes:delete", ["notes:read", "notes:write"]), None);
        assert_eq!(closest(&"a".repeat(257), ["a"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(closest("a", []), None);
    }
}
