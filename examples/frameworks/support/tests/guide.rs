//! The code of the guide is the code of the examples, which is compiled and tested.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_example_of_the_guide_is_part_of_an_example_that_is_compiled() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources: Vec<_> =
        sources(workspace).iter().map(|path| unindented(&fs::read_to_string(path).unwrap())).collect();
    let guide = fs::read_to_string(workspace.join("../../src/guide/without_a_framework.md")).unwrap();
    // rustdoc compiles all other code of the guide.
    let examples: Vec<_> = guide.split("\n```rust,ignore\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = unindented(example.split_once("```").unwrap().0);
        assert!(sources.iter().any(|source| source.contains(&example)), "no example contains this code:\n{example}");
    }
}

fn unindented(code: &str) -> String {
    code.lines().flat_map(|line| [line.trim_start(), "\n"]).collect()
}

/// The Rust files in the folders `src` of all crates of the workspace.
fn sources(workspace: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let files = list(workspace).into_iter().flat_map(|member| list(&member.join("src")));
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
