//! A token is active only if the introspection response is unambiguous and says so.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use mcp_bearer::fuzzing::introspection_answer;
use mcp_bearer_fuzz::token::ISSUER;
use mcp_bearer_fuzz::tree::Tree;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    for status in [201, 204, 302, 400, 401, 403, 404, 500] {
        let read = introspection_answer(StatusCode::from_u16(status).unwrap(), body, ISSUER);
        assert!(!matches!(read, Ok(Some(_))), "a response with status {status} makes a token active");
        let is_read_as_inactive = matches!(read, Ok(None));
        let is_named = || member(body, "error") == Some(Tree::Text("unsupported_token_type".into()));
        let is_inactive = || member(body, "active") == Some(Tree::Bool(false));
        assert!(
            !is_read_as_inactive || is_inactive() || (status == 400 && is_named()),
            "a response with status {status} makes a token inactive"
        );
    }
    let read = introspection_answer(StatusCode::OK, body, ISSUER);
    let Ok(verdict) = read else { return };
    assert_eq!(member(body, "active"), Some(Tree::Bool(verdict.is_some())));
    let Some(claims) = verdict else { return };
    let value: Value = serde_json::from_slice(body).expect("the document is JSON");
    assert_eq!(claims.issuer(), Some(value["iss"].as_str().unwrap_or(ISSUER)));
    assert!(value["iss"].is_null() || value["iss"].is_string());
    let stated = |name: &str| match &value[name] {
        Value::Array(list) => list.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    let (audience, resource) = (stated("aud"), stated("resource"));
    let expected = if audience.is_empty() { resource } else { audience };
    assert!(claims.audience().eq(expected.iter().map(String::as_str)));
    assert_eq!(claims.expires_at().is_some(), !value["exp"].is_null());
});

fn member(body: &[u8], name: &str) -> Option<Tree> {
    let tree = Tree::parse(body)?;
    if tree.repeats_a_name_anywhere() { None } else { tree.only(name).cloned() }
}
