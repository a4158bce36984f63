//! Lists of what a server offers, without what the caller could not use.

use std::borrow::Cow;
use std::ops::Range;

use super::splice::{Json, Member, NotJson, splice};
use crate::mcp::request::ListKind;

/// Leaves out of every list in `text`, an answer or a batch of them, what `is_usable` does not want, and marks such an
/// answer as private (MCP 2026-07-28, Caching). All other bytes stay as they are; `None` if all do.
pub(super) fn filter(text: &[u8], is_usable: impl Fn(ListKind, &str) -> bool) -> Result<Option<Vec<u8>>, NotJson> {
    // Of members that it passes over, serde_json would take any bytes.
    std::str::from_utf8(text).map_err(|_| NotJson)?;
    let json = Json(text);
    let whole = json.whole()?;
    let answers = if json.is_array(&whole) { json.elements(&whole)? } else { vec![whole] };
    let mut edits = Vec::new();
    // A batch has messages in it, and no other batch.
    if answers.iter().any(|answer| json.is_array(answer)) {
        return Err(NotJson);
    }
    for answer in answers.iter().filter(|answer| json.is_object(answer)) {
        for (name, result) in json.members(answer)? {
            if name == "result" && json.is_object(&result) {
                edit_result(json, &result, &is_usable, &mut edits)?;
            }
        }
    }
    Ok((!edits.is_empty()).then(|| splice(text, &edits)))
}

type Edits = Vec<(Range<usize>, Vec<u8>)>;

fn edit_result(
    json: Json<'_>,
    result: &Range<usize>,
    is_usable: &impl Fn(ListKind, &str) -> bool,
    edits: &mut Edits,
) -> Result<(), NotJson> {
    let members = json.members(result)?;
    let list = |(name, place): &Member<'_>| {
        let kind = ListKind::ALL.into_iter().find(|kind| *name == kind.member())?;
        json.is_array(place).then_some(kind)
    };
    if !members.iter().any(|member| list(member).is_some()) {
        return Ok(());
    }
    if !members.iter().any(|(name, _)| name == CACHE_SCOPE) {
        let start = result.start.saturating_add(1);
        edits.push((start..start, format!("\"{CACHE_SCOPE}\":{PRIVATE},").into_bytes()));
    }
    for member in &members {
        match list(member) {
            Some(kind) => edit_list(json, kind, &member.1, is_usable, edits)?,
            None if member.0 == CACHE_SCOPE => edits.push((member.1.clone(), PRIVATE.into())),
            None => {}
        }
    }
    Ok(())
}

/// An entry whose name is missing, repeated or no string is nothing that anybody could use.
fn edit_list(
    json: Json<'_>,
    kind: ListKind,
    list: &Range<usize>,
    is_usable: &impl Fn(ListKind, &str) -> bool,
    edits: &mut Edits,
) -> Result<(), NotJson> {
    let entries = json.elements(list)?;
    let mut kept: Vec<&[u8]> = Vec::with_capacity(entries.len());
    for entry in &entries {
        let members = if json.is_object(entry) { json.members(entry)? } else { Vec::new() };
        let mut keys = members.into_iter().filter(|(name, _)| name == kind.key());
        let name: Option<Cow<'_, str>> = match (keys.next(), keys.next()) {
            (Some((_, place)), None) => json.text(place),
            _ => None,
        };
        if name.is_some_and(|name| is_usable(kind, &name)) {
            kept.extend(json.0.get(entry.clone()));
        }
    }
    if kept.len() < entries.len() {
        edits.push((list.clone(), [b"[", kept.join(b",".as_slice()).as_slice(), b"]"].concat()));
    }
    Ok(())
}

const CACHE_SCOPE: &str = "cacheScope";
const PRIVATE: &str = "\"private\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(text: &str) -> Option<String> {
        let kept = |_, name: &str| name.starts_with("good");
        filter(text.as_bytes(), kept).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn unusable_entries_are_left_out_and_all_other_bytes_stay() {
        for (answer, expected) in [
            (
                r#"{"id":1,"result":{"tools":[{"name":"good1","z":1.50,"a":{}}, {"name":"bad"},{"name":"good2"}],"n":1}}"#,
                r#"{"id":1,"result":{"cacheScope":"private","tools":[{"name":"good1","z":1.50,"a":{}},{"name":"good2"}],"n":1}}"#,
            ),
            (
                r#"{"result": { "resources" : [ {"uri":"bad"} ], "cacheScope":"public" }}"#,
                r#"{"result": { "resources" : [], "cacheScope":"private" }}"#,
            ),
            (
                r#"[{"result":{"prompts":[{"name":"bad"}]}},{"result":{"resourceTemplates":[{"uriTemplate":"good"}]}}]"#,
                r#"[{"result":{"cacheScope":"private","prompts":[]}},{"result":{"cacheScope":"private","resourceTemplates":[{"uriTemplate":"good"}]}}]"#,
            ),
            (
                r#"{"result":{"tools":[{"name":"good","name":"bad"},{"x":1},7,{"n\u0061me":"good"},{"name":["good"]}]}}"#,
                r#"{"result":{"cacheScope":"private","tools":[{"n\u0061me":"good"}]}}"#,
            ),
            // Half of a surrogate pair is no name for us, but is one for the reader.
            (
                r#"{"\ud800":1,"result":{"tools":[{"\ud800":1,"name":"good"},{"name":"bad"}]}}"#,
                r#"{"\ud800":1,"result":{"cacheScope":"private","tools":[{"\ud800":1,"name":"good"}]}}"#,
            ),
        ] {
            assert_eq!(filtered(answer).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_list_stays_as_it_is() {
        for answer in [
            r#"{"id":1,"error":{"code":1}}"#,
            r#"{"result":{"content":[]}}"#,
            r#"{"result":{"tools":"none"}}"#,
            r#"{"method":"notifications/message","params":{"tools":[{"name":"bad"}]}}"#,
        ] {
            assert_eq!(filtered(answer), None, "{answer}");
        }
    }
}
