//! The code of the guide is the code of the examples, which is compiled and tested.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_example_of_the_guide_is_part_of_an_example_that_is_compiled() {
    let sources: Vec<_> =
        sources(workspace()).iter().map(|path| unindented(&fs::read_to_string(path).unwrap())).collect();
    let guide = guide();
    // rustdoc compiles all other code of the guide.
    let examples: Vec<_> = guide.split("\n```rs\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let example = unindented(example.split_once("```").unwrap().0);
        assert!(sources.iter().any(|source| source.contains(&example)), "no example contains this code:\n{example}");
    }
}

/// So a reader needs only the guide.
#[test]
fn the_guide_has_whole_programs() {
    for (framework, files) in
        [("actix", &["lib", "main", "bearer"][..]), ("poem", &["lib", "bearer", "main"]), ("warp", &["lib", "main"])]
    {
        for file in files {
            let path = format!("{framework}/src/{file}.rs");
            let program = format!("\n```rs\n{}```\n", fs::read_to_string(workspace().join(&path)).unwrap());
            assert!(guide().contains(&program), "the guide does not have the whole file {path}");
        }
    }
}

#[test]
fn the_guide_names_the_dependencies_of_each_program() {
    let shared = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let shared = shared.replace("path = \"../..\"", "version = \"0.1\"");
    for framework in ["actix", "poem", "warp", "hyper", "tonic"] {
        let manifest = fs::read_to_string(workspace().join(framework).join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap();
        let (dependencies, _) = dependencies.split_once("\n\n").unwrap();
        let mut table = String::from("\n```toml\n[dependencies]\n");
        for line in dependencies.lines().map(|line| line.split(" #").next().unwrap()) {
            let line = match line.split_once("{ workspace = true") {
                Some((start, more)) => {
                    let line = shared.lines().find(|line| line.starts_with(start)).unwrap();
                    match more.strip_prefix(", features = [") {
                        Some(features) => line.replace("] }", &format!(", {features}")),
                        None => line.to_owned(),
                    }
                }
                None => line.to_owned(),
            };
            table.extend([line.as_str(), "\n"]);
        }
        assert!(guide().contains(&table), "the guide does not have the dependencies of {framework}:{table}");
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn guide() -> String {
    fs::read_to_string(workspace().join("../../src/guide/without_a_framework.md")).unwrap()
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
