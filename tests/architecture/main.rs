//! The rules of the house, read from the source: imports go downhill, each foreign crate has its room, files stay small.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on says so"
)]

mod imports;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up: a module uses only what stands before it.
const ORDER: &[&str] = &[
    // rank 0: words
    "error",
    "clock",
    "failure",
    "json",
    "scope",
    "identifier",
    // rank 1: pure core
    "crypto",
    "jose",
    "claims",
    "token_cache",
    "event_limit",
    // rank 2: the outside world
    "http_client",
    "log",
    "discovery",
    "keys",
    "introspection",
    // rank 3: verification, and the issuers that are configured for it
    "verify",
    "issuer",
    // rank 4: the HTTP edge
    "bearer",
    "origin",
    "mcp",
    "resource",
    // rank 5: assembly and adapters
    "server",
    "axum",
    "cors",
    "rmcp",
    "testing",
    // under `--cfg fuzzing` only
    "fuzzing",
    // documentation only
    "guide",
];

/// How many of `ORDER` do no I/O and know no clock.
const PURE: usize = 11;

/// Foreign crates, as code names them, and the only files that may.
const ROOMS: &[(&str, &[&str])] = &[
    ("aws_lc_rs::", &["crypto/aws_lc.rs", "testing/signing_key.rs"]),
    ("rustls_pki_types::", &["crypto/aws_lc.rs"]),
    ("jsonwebtoken::", &["crypto/rust_crypto.rs"]),
    ("getrandom::", &["crypto/rust_crypto.rs"]),
    ("hmac::", &["crypto/aws_lc.rs", "crypto/rust_crypto.rs"]),
    ("sha2::", &["crypto/rust_crypto.rs"]),
    ("quick_cache::", &["token_cache.rs"]),
    ("zeroize::", &["introspection/credentials.rs"]),
    ("reqwest::", &["http_client/reqwest.rs", "http_client/mod.rs"]),
    ("axum::", &["axum.rs", "testing/issuer.rs", "testing/socket.rs"]),
    ("regex::", &["mcp/scopes/uri_pattern.rs"]),
    ("rmcp::", &["rmcp.rs"]),
    ("tower_http::", &["cors.rs"]),
];

/// One file of `src`.
struct Source {
    name: String,
    lines: Vec<String>,
}

impl Source {
    /// The top module that it belongs to.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap()
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("properties")
    }

    /// Its lines up to the tests, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(String::as_str).take_while(|line| *line != "#[cfg(test)]");
        lines.filter(|line| !line.trim_start().starts_with("//")).map(|line| line.split(" // ").next().unwrap())
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // The chapters of the guide are Markdown.
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        sources.push(Source { name, lines });
    }
    assert!(sources.len() > 50, "the sources are not where they should be");
    sources
}

fn rank(module: &str) -> usize {
    ORDER.iter().position(|known| *known == module).unwrap_or_else(|| panic!("{module} has no place in the order"))
}

#[test]
fn every_import_goes_downhill() {
    for source in sources().iter().filter(|source| source.name != "lib.rs" && !source.is_test()) {
        for line in source.code() {
            for used in line.split("crate::").skip(1) {
                let used =
                    used.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap();
                let downhill = used == source.module() || rank(used) < rank(source.module());
                assert!(downhill, "{} uses {used}, which stands above it: {line}", source.name);
            }
        }
    }
}

#[test]
fn the_core_does_no_input_or_output_and_knows_no_clock() {
    for source in sources().iter().filter(|source| source.name != "lib.rs" && !source.is_test()) {
        let is_pure = rank(source.module()) < PURE
            || ["discovery/policy.rs", "keys/refresh.rs", "introspection/breaker.rs", "introspection/concurrency.rs"]
                .contains(&source.name.as_str());
        for line in source.code() {
            for word in ["tokio", "reqwest", "async fn", ".await", "std::net::Tcp", "std::fs"] {
                assert!(!is_pure || !line.contains(word) || line.contains("tokio` "), "{}: {line}", source.name);
            }
            let asks = line.contains("SystemTime::now");
            assert!(!asks || source.name == "clock.rs", "{} asks the system for the time: {line}", source.name);
        }
    }
}

#[test]
fn each_foreign_crate_has_its_room() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        for line in source.code() {
            for (name, rooms) in ROOMS {
                // `crate::axum` and the like are ours.
                let foreign = line.match_indices(name).any(|(at, _)| {
                    let before = line.get(..at).unwrap();
                    !before.ends_with("crate::")
                        && !before.ends_with(|character: char| character.is_alphanumeric() || character == '_')
                });
                assert!(!foreign || rooms.contains(&source.name.as_str()), "{} names {name}: {line}", source.name);
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for source in sources() {
        assert!(source.lines.len() <= 400, "{} has {} lines", source.name, source.lines.len());
        let tests = source.lines.iter().skip_while(|line| *line != "#[cfg(test)]").count();
        assert!(tests <= 90, "{} has {tests} lines of tests: move them to a file of their own", source.name);
    }
}

#[test]
fn every_test_that_the_threats_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows =
        text.lines().filter(|line| line.starts_with('|') && !line.starts_with("| threat") && !line.starts_with("|--"));
    let mut named = 0;
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        for name in tests.split('`').skip(1).step_by(2) {
            // `hostile::claims` is a module of `tests/it`; everything else is a path.
            let path =
                if name.contains('/') { name.to_owned() } else { format!("tests/it/{}.rs", name.replace("::", "/")) };
            // Not in a package.
            let is_elsewhere = |folder: &str| path.starts_with(folder) && !root.join(folder).exists();
            let is_there = root.join(&path).exists() || is_elsewhere("tests/real/") || is_elsewhere("fuzz/");
            assert!(is_there, "there is no {path}: {row}");
            named += 1;
        }
    }
    assert!(named > 30, "the threats are not where they should be");
}
