//! The chapters about authorization servers have the same parts, and quote log lines that exist.

use std::fs;
use std::path::Path;

const TROUBLESHOOTING: &str = include_str!("../../src/guide/troubleshooting.md");
const INDEX: &str = include_str!("../../src/guide/servers.md");

/// The name of each chapter, and its text.
fn chapters() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/servers");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn each_chapter_has_the_same_four_parts_and_says_whether_it_was_tested() {
    let chapters = chapters();
    assert_eq!(chapters.len(), 10);
    for (name, text) in chapters {
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with("# ")).collect();
        let [set, rest @ ..] = &headings[..] else { panic!("{name} does not have headings") };
        assert!(set.starts_with("# What to set in "), "{name}: {set}");
        assert_eq!(rest, ["# The code", "# What its tokens look like", "# What goes wrong first"], "{name}");

        let first = text.lines().next().unwrap();
        assert_ne!(first.contains("Tested with "), first.contains("documentation, not run."), "{name}: {first}");
        assert!(
            INDEX.contains(&format!("](crate::guide::servers::{name}) |")),
            "{name} is not in the table of the chapters"
        );
    }
}

#[test]
fn each_quoted_log_line_is_in_the_troubleshooting_chapter() {
    for (name, text) in chapters() {
        let (_, table) = text.split_once("\n| log line | cause and repair |\n|---|---|\n").unwrap();
        let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
        assert!(rows.len() >= 3, "{name}");
        for row in rows {
            let line =
                row.strip_prefix("| `").and_then(|row| row.split_once("` |")).unwrap_or_else(|| panic!("{row}")).0;
            assert!(TROUBLESHOOTING.contains(&format!("`{line}")), "{name}: {line:?} is not a log line of the crate");
        }
    }
}
