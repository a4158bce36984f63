//! Each type has a unique name, and a lower module does not use the words of a higher one.

use std::collections::BTreeMap;

use crate::{rank, sources};

/// The names that the backends of `crypto` share on purpose: one of them is compiled.
const BACKENDS: &str = "crypto/";

#[test]
fn no_two_types_have_the_same_name() {
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for source in sources().iter().filter(|source| !source.is_test() && !source.name.starts_with(BACKENDS)) {
        for line in source.code() {
            // Associated types of an `impl` are indented and named by their trait.
            let item = line.trim_start().trim_start_matches("pub ");
            let item = item.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map_or(item, |(_, item)| item);
            let keywords = ["struct ", "enum ", "trait "];
            let named = keywords.iter().find_map(|keyword| item.strip_prefix(keyword));
            let named = named.or_else(|| item.strip_prefix("type ").filter(|_| !line.starts_with(' ')));
            let Some(named) = named else { continue };
            let name: String = named.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            files.entry(name).or_default().push(source.name.clone());
        }
    }
    assert!(files.len() > 100, "only {} types were found", files.len());
    files.retain(|_, files| files.len() > 1);
    assert!(files.is_empty(), "several types have the same name: {files:#?}");
}

#[test]
fn no_module_below_mcp_uses_words_of_mcp() {
    let mcp = rank("mcp");
    for source in sources().iter().filter(|source| source.name != "lib.rs" && !source.is_test()) {
        if rank(source.module()) >= mcp {
            continue;
        }
        for line in source.code() {
            // The name of the crate, as a path and as the target of events, and URLs of examples.
            let line = line.replace("mcp_bearer", "").replace("mcp.example.com", "").replace("example.com/mcp", "");
            let words = line.split(|character: char| !character.is_alphanumeric());
            let words: Vec<_> = words.map(str::to_ascii_lowercase).collect();
            let found = words.iter().find(|word| ["mcp", "jsonrpc", "tool", "tools"].contains(&word.as_str()));
            let pair = words.windows(2).any(|pair| matches!(pair, [one, other] if one == "json" && other == "rpc"));
            let camel = ["Mcp", "JsonRpc", "Tool"].into_iter().find(|word| line.contains(word));
            assert!(found.is_none() && !pair && camel.is_none(), "{} uses a word of MCP: {line}", source.name);
        }
    }
}
