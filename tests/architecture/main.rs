//! The rules of CONTRIBUTING that a program can check in the source: the direction of imports, the files that may name a
//! foreign crate, the size of files, the names of types.
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

/// The modules from the lowest to the highest. A module imports only from those before it.
const ORDER: &[&str] = &[
    // rank 0: types that all other modules use
    "error",
    "clock",
    "escape",
    "similar",
    "failure",
    "json",
    "scope",
    "identifier",
    // rank 1: pure core
    "crypto",
    "jose",
    "claims",
    "token_cache",
    "sender",
    // rank 2: the outside world
    "file",
    "http_client",
    "log",
    "events",
    "discovery",
    "keys",
    "introspection",
    "api_key",
    "revocation",
    // rank 3: verification, and the issuers that are configured for it
    "verify",
    "issuer",
    // rank 4: the HTTP edge
    "resource",
    "bearer",
    "origin",
    "mcp",
    // rank 5: assembly and adapters
    "shared",
    "server",
    "settings",
    "axum",
    "cors",
    "rmcp",
    "testing",
    // under `--cfg fuzzing` only
    "fuzzing",
    // documentation only
    "guide",
    // the program, which uses the library as a user does
    "bin",
];

/// This many of the first modules of `ORDER` do no I/O and do not read the time.
const PURE: usize = 12;

/// The foreign crates that only these files may name.
const FOREIGN_CRATES: &[(&str, &[&str])] = &[
    ("aws_lc_rs::", &["crypto/aws_lc.rs", "crypto/sealing.rs", "testing/signing_key.rs"]),
    ("rustls_pki_types::", &["crypto/aws_lc.rs"]),
    ("jsonwebtoken::", &["crypto/rust_crypto.rs"]),
    ("getrandom::", &["crypto/rust_crypto.rs"]),
    ("hmac::", &["crypto/aws_lc.rs", "crypto/rust_crypto.rs"]),
    ("sha2::", &["crypto/rust_crypto.rs"]),
    ("quick_cache::", &["token_cache.rs"]),
    ("schemars::", &["settings/schema.rs"]),
    (
        "zeroize::",
        &[
            "api_key/key.rs",
            "crypto/secret_key.rs",
            "file.rs",
            "introspection/credentials.rs",
            "introspection/secret.rs",
            "settings/secret.rs",
        ],
    ),
    ("reqwest::", &["http_client/reqwest.rs", "http_client/mod.rs"]),
    ("axum::", &["axum.rs", "bearer/peer_addr.rs", "bearer/sender_check.rs", "testing/issuer.rs", "testing/socket.rs"]),
    ("clap::", &["bin/mcp-bearer/command_line.rs"]),
    ("http_auth::", &["bin/mcp-bearer/challenge.rs"]),
    ("rcgen::", &["testing/certificate.rs"]),
    ("regex::", &["mcp/scopes/uri_template.rs"]),
    ("rmcp::", &["rmcp.rs"]),
    ("::metrics::", &["events/metrics.rs"]),
    ("redis::", &["shared/connection.rs"]),
    ("rustls::", &["shared/connection.rs"]),
    ("tower_http::", &["cors.rs"]),
];

/// One file of `src`.
struct Source {
    name: String,
    lines: Vec<String>,
}

impl Source {
    /// The module at the root of `src` that the file belongs to.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap()
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("properties")
    }

    /// The lines of the file before its tests, without comments.
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
    assert!(sources.len() > 50, "only {} source files were found", sources.len());
    sources
}

fn rank(module: &str) -> usize {
    ORDER.iter().position(|known| *known == module).unwrap_or_else(|| panic!("add {module} to ORDER"))
}

#[test]
fn a_module_imports_only_from_lower_modules() {
    // In the program, `crate` is the program itself.
    let is_in_order = |source: &&Source| source.name != "lib.rs" && source.module() != "bin" && !source.is_test();
    for source in sources().iter().filter(is_in_order) {
        for line in source.code() {
            for used in line.split("crate::").skip(1) {
                let used =
                    used.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap();
                let is_lower = used == source.module() || rank(used) < rank(source.module());
                assert!(is_lower, "{} imports from the higher module {used}: {line}", source.name);
            }
        }
    }
}

#[test]
fn pure_modules_do_no_io_and_do_not_read_the_time() {
    for source in sources().iter().filter(|source| source.name != "lib.rs" && !source.is_test()) {
        let is_pure = rank(source.module()) < PURE
            || ["keys/refresh.rs", "introspection/breaker.rs", "introspection/concurrency.rs", "revocation/entries.rs"]
                .contains(&source.name.as_str());
        for line in source.code() {
            for word in ["tokio", "reqwest", "async fn", ".await", "std::net::Tcp", "std::fs"] {
                assert!(!is_pure || !line.contains(word) || line.contains("tokio` "), "{}: {line}", source.name);
            }
            let reads_time = line.contains("SystemTime::now");
            assert!(!reads_time || source.name == "clock.rs", "{} reads the time of the system: {line}", source.name);
        }
    }
}

#[test]
fn each_foreign_crate_is_named_by_its_files_only() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        for line in source.code() {
            for (name, files) in FOREIGN_CRATES {
                // `crate::axum` is a module of this crate.
                let foreign = line.match_indices(name).any(|(at, _)| {
                    let before = line.get(..at).unwrap();
                    !before.ends_with("crate::")
                        && !before.ends_with(|character: char| character.is_alphanumeric() || character == '_')
                });
                assert!(!foreign || files.contains(&source.name.as_str()), "{} names {name}: {line}", source.name);
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    for source in sources() {
        assert!(source.lines.len() <= 400, "{} has {} lines", source.name, source.lines.len());
        let tests = source.lines.iter().skip_while(|line| *line != "#[cfg(test)]").count();
        assert!(tests <= 90, "{} has {tests} lines of tests: move them to another file", source.name);
    }
}

#[test]
fn every_test_that_security_md_names_exists() {
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
            // A published package does not contain these directories.
            let is_elsewhere = |folder: &str| path.starts_with(folder) && !root.join(folder).exists();
            let elsewhere = ["tests/real/", "fuzz/", "examples/frameworks/"].iter().any(|folder| is_elsewhere(folder));
            let is_there = root.join(&path).exists() || elsewhere;
            assert!(is_there, "{path} does not exist: {row}");
            named += 1;
        }
    }
    assert!(named > 30, "SECURITY.md names only {named} tests");
}
