//! Names in the source of the library.

use std::collections::BTreeSet;
use std::path::Path;

/// The files of the library, as texts.
pub fn files() -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("bin") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// The labels of causes that are not variants of a public enum: those of the log, and of mistakes in the program.
pub fn causes() -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for text in files() {
        if text.starts_with("//! Makes one event for each rejection") {
            // In this file, a label is followed by its summary.
            labels.extend(literals_after(&text, "(").filter(|(_, rest)| rest.starts_with(", \"")).map(|found| found.0));
        }
        if text.contains("FailureTexts {") {
            labels.extend(literals_after(&text, "label: ").map(|found| found.0));
        }
        for call in ["misconfigured(", "misconfigured_outside(", ".report("] {
            labels.extend(text.split(call).skip(1).filter_map(|rest| {
                let arguments = rest.split(';').next().unwrap();
                let label = arguments.split('"').nth(1)?;
                is_label(label).then(|| label.to_owned())
            }));
        }
    }
    assert!(labels.len() > 10, "{labels:?}");
    labels
}

/// The labels that are quoted after `start`, each with the text that follows.
fn literals_after<'t>(text: &'t str, start: &'static str) -> impl Iterator<Item = (String, &'t str)> {
    text.split(start).skip(1).filter_map(|rest| {
        let (label, rest) = rest.strip_prefix('"')?.split_once('"')?;
        is_label(label).then(|| (label.to_owned(), rest))
    })
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The names in a piece of code, such as `Issuer::algorithms`.
pub fn names(code: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '-';
    code.split(move |c| !is_name(c)).map(|name| name.trim_matches(':')).filter(|name| !name.is_empty())
}

/// Whether a public method with this name exists, such as `max_token_length` or `Issuer::algorithms`.
pub fn has_method(name: &str) -> bool {
    let (owner, name) = name.split_once("::").map_or((None, name), |(owner, name)| (Some(owner), name));
    files().iter().any(|text| {
        let is_defined = ["pub fn ", "pub const fn ", "pub async fn "].iter().any(|start| {
            let mut definitions = text.split(start).skip(1).filter_map(|rest| rest.strip_prefix(name));
            definitions.any(|rest| rest.starts_with('(') || rest.starts_with('<'))
        });
        is_defined && owner.is_none_or(|owner| text.contains(&format!("impl {owner} {{")))
    })
}

/// Whether a text is in the library.
pub fn contain(text: &str) -> bool {
    files().iter().any(|file| joined(file).contains(text))
}

/// A file, with each literal on one line.
fn joined(file: &str) -> String {
    let mut parts = file.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |joined, part| joined + part.trim_start())
}

/// The start of each message at `warn` and `error`, without its variable parts.
pub fn warnings() -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    for file in files().iter().map(|file| joined(file)) {
        for call in ["tracing::warn!(", "tracing::error!(", ", warn, target", ", error, target"] {
            for arguments in file.split(call).skip(1).filter_map(|rest| rest.split(");").next()) {
                let literals = arguments.split('"').skip(1).step_by(2);
                let Some(message) = literals.last().filter(|message| message.contains(' ')) else { continue };
                let fixed = message.split(['{', '}']).step_by(2).max_by_key(|part| part.len()).unwrap().trim();
                messages.insert(fixed.chars().take(40).collect());
            }
        }
    }
    messages
}

/// The targets of the log events and spans in a file.
pub fn targets(text: &str) -> impl Iterator<Item = String> {
    text.split("target: \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
}
