//! The layer removes from a list exactly the entries that the caller may not use, however the response is split into
//! pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_bearer_fuzz::event_stream::events;
use mcp_bearer_fuzz::list_server::answer;
use mcp_bearer_fuzz::tree::Tree;

fuzz_target!(|body: &[u8]| {
    let shown = answer("application/json", body, body.len());
    assert_eq!(shown.is_some(), is_readable(body), "only JSON-RPC messages pass");
    if let Some(shown) = shown {
        check(body, &shown);
        assert_eq!(answer("application/json", &shown, 7), Some(shown), "filtering twice gives another result");
    }

    let shown = |size| answer("text/event-stream", body, size).expect("an event stream passes");
    let seen = events(&shown(body.len()));
    for size in [1, 3] {
        assert_eq!(events(&shown(size)), seen, "in pieces of {size}");
    }
    let all = events(body);
    let sent: Vec<_> = all.iter().filter(|event| is_readable(&event.data)).collect();
    assert_eq!(sent.len(), seen.len());
    let is_shortened = sent.len() < all.len();
    for (sent, seen) in sent.iter().zip(&seen) {
        check(&sent.data, &seen.data);
        assert_eq!(sent.kind, seen.kind);
        // If an event is left out, its id is left out too.
        assert!(sent.last_id == seen.last_id || is_shortened);
    }
});

fn is_readable(text: &[u8]) -> bool {
    text.trim_ascii().is_empty()
        || (std::str::from_utf8(text).is_ok() && Tree::parse(text).is_some_and(|tree| is_json_rpc(&tree)))
}

/// Returns whether the value is a message or a batch of messages. A batch does not contain batches.
fn is_json_rpc(tree: &Tree) -> bool {
    tree.elements().map_or_else(
        || has_readable_names(tree),
        |messages| messages.iter().all(|message| message.elements().is_none() && has_readable_names(message)),
    )
}

/// Returns whether the layer can read the names of the message and of its results. It ignores the names in other values.
fn has_readable_names(message: &Tree) -> bool {
    let mut results = message.members().unwrap_or_default().iter().filter(|(name, _)| name == "result");
    !message.has_odd_name() && !results.any(|(_, result)| result.has_odd_name())
}

fn check(sent: &[u8], seen: &[u8]) {
    match Tree::parse(sent) {
        None => assert_eq!(sent, seen),
        Some(sent) => {
            let seen = Tree::parse(seen).expect("the filtered response is JSON");
            assert_eq!(seen, filtered(sent));
        }
    }
}

/// Returns a response or a batch of responses as the caller must see it.
fn filtered(tree: Tree) -> Tree {
    match tree {
        Tree::List(answers) => Tree::List(answers.into_iter().map(filtered_answer).collect()),
        other => filtered_answer(other),
    }
}

fn filtered_answer(answer: Tree) -> Tree {
    let Tree::Object(members) = answer else { return answer };
    let members = members.into_iter().map(|(name, value)| match value {
        Tree::Object(result) if name == "result" => (name, filtered_result(result)),
        other => (name, other),
    });
    Tree::Object(members.collect())
}

fn filtered_result(mut result: Vec<(String, Tree)>) -> Tree {
    let is_list = |(name, value): &(String, Tree)| key(name).is_some() && value.elements().is_some();
    if !result.iter().any(is_list) {
        return Tree::Object(result);
    }
    if !result.iter().any(|(name, _)| name == "cacheScope") {
        result.insert(0, ("cacheScope".into(), Tree::Null));
    }
    for (name, value) in &mut result {
        match (key(name), value) {
            (Some(key), Tree::List(entries)) => entries.retain(|entry| is_usable(entry, key)),
            (None, value) if name == "cacheScope" => *value = Tree::Text("private".into()),
            _ => {}
        }
    }
    Tree::Object(result)
}

/// Returns the member that identifies the entries of a list, and the value that the caller may use.
fn key(list: &str) -> Option<(&'static str, &'static str)> {
    match list {
        "tools" | "prompts" => Some(("name", "good")),
        "resources" | "skills" => Some(("uri", "good:a")),
        "resourceTemplates" => Some(("uriTemplate", "good:a")),
        _ => None,
    }
}

fn is_usable(entry: &Tree, (member, good): (&str, &str)) -> bool {
    // Nobody can use an entry with a name that the layer cannot read.
    !entry.has_odd_name() && entry.only(member).and_then(Tree::text) == Some(good)
}
