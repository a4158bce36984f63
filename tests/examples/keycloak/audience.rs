//! The audience of the realm's tokens: one client has the resource identifier as its id, and each scope has one mapper
//! that adds this client. A mistake is reported with its line in the realm file.

use serde_json::Value;

use super::{REALM, Realm, resource};

/// The scopes of the server.
const SCOPES: [&str; 2] = ["mcp:tools", "write:notes"];
/// The mapper adds the audience to access tokens, to introspection answers, and to lightweight access tokens.
const SWITCHES: [&str; 3] = ["access.token.claim", "introspection.token.claim", "lightweight.claim"];

#[test]
fn each_scope_adds_the_resource_to_the_audience() {
    assert_eq!(mistakes(REALM), [""; 0]);
}

#[test]
fn a_second_audience_mapper_is_a_mistake() {
    let first = r#""name": "resource""#;
    let second = r#"{ "name": "second", "protocolMapper": "oidc-audience-mapper" },"#;
    let realm =
        REALM.replace("{\n          \"name\": \"resource\"", &format!("{second}\n        {{\n          {first}"));
    let (tools, notes) = (line(REALM, &[first]) + 1, line(REALM, &[r#""name": "write:notes""#, first]) + 2);
    let expected = [("mcp:tools", tools), ("write:notes", notes)]
        .map(|(scope, line)| format!("line {line}: {scope} has a second audience mapper, resource"));
    assert!(expected.iter().all(|expected| mistakes(&realm).contains(expected)), "{:#?}", mistakes(&realm));
}

#[test]
fn a_client_without_resource_url_or_with_another_is_a_mistake() {
    let attributes = r#""attributes": { "resource_url": "http://127.0.0.1:9000/mcp" }"#;
    let client = line(REALM, &[r#""clientId": "http://127.0.0.1:9000/mcp""#]);
    for (changed, found) in
        [("", "null"), (r#""resource_url": "http://127.0.0.1:9000/mcp/""#, r#""http://127.0.0.1:9000/mcp/""#)]
    {
        let realm = REALM.replace(attributes, &format!(r#""attributes": {{ {changed} }}"#));
        let expected = format!(
            "line {client}: the attribute resource_url of the client http://127.0.0.1:9000/mcp is {found}: write the id of \
             the client"
        );
        assert_eq!(mistakes(&realm), [expected]);
    }
}

#[test]
fn another_client_id_is_a_mistake() {
    let realm = REALM.replace(r#""clientId": "http://127.0.0.1:9000/mcp""#, r#""clientId": "mcp-server""#);
    let expected = "no client has the id http://127.0.0.1:9000/mcp, only mcp-server, mcp-client, curl";
    assert_eq!(mistakes(&realm), [expected]);
}

#[test]
fn a_mapper_with_another_audience_or_without_a_switch_is_a_mistake() {
    let audience = r#""included.client.audience": "http://127.0.0.1:9000/mcp""#;
    let mapper = line(REALM, &[r#""name": "resource""#]);
    let cases = [
        (audience, r#""included.client.audience": "mcp-server""#, "included.client.audience"),
        (audience, r#""included.custom.audience": "http://127.0.0.1:9000/mcp""#, "included.client.audience"),
        (r#""lightweight.claim": "true""#, r#""lightweight.claim": "false""#, "lightweight.claim"),
        (r#""introspection.token.claim": "true","#, "", "introspection.token.claim"),
    ];
    for (written, changed, setting) in cases {
        let (before, after) = REALM.split_once(r#""name": "mcp:tools""#).unwrap();
        let realm = format!(r#"{before}"name": "mcp:tools"{}"#, after.replacen(written, changed, 1));
        let [mistake] = &mistakes(&realm)[..] else { panic!("{changed}: {:#?}", mistakes(&realm)) };
        assert!(
            mistake.starts_with(&format!("line {mapper}: in mcp:tools, {setting} of the mapper resource is ")),
            "{mistake}"
        );
    }
}

/// Returns the mistakes in the client of the server and in the mappers of its scopes.
fn mistakes(text: &str) -> Vec<String> {
    let realm = Realm(serde_json::from_str(text).unwrap());
    let resource = resource();
    let mut mistakes = Vec::new();
    let clients = realm.list("clients");
    match clients.iter().find(|client| client["clientId"] == resource) {
        None => {
            let ids: Vec<&str> = clients.iter().map(|client| client["clientId"].as_str().unwrap()).collect();
            mistakes.push(format!("no client has the id {resource}, only {}", ids.join(", ")));
        }
        Some(client) if client["attributes"]["resource_url"] != resource => mistakes.push(format!(
            "line {}: the attribute resource_url of the client {resource} is {}: write the id of the client",
            line(text, &[&format!(r#""clientId": "{resource}""#)]),
            client["attributes"]["resource_url"]
        )),
        Some(_) => {}
    }
    for scope in SCOPES {
        let mappers = realm.scope(scope)["protocolMappers"].as_array().unwrap();
        let audiences = mappers.iter().filter(|mapper| mapper["protocolMapper"] == "oidc-audience-mapper");
        for (index, mapper) in audiences.enumerate() {
            let name = mapper["name"].as_str().unwrap();
            let line = line(text, &[&format!(r#""name": "{scope}""#), &format!(r#""name": "{name}""#)]);
            if index > 0 {
                mistakes.push(format!("line {line}: {scope} has a second audience mapper, {name}"));
            }
            let switches = SWITCHES.map(|switch| (switch, "true"));
            for (setting, expected) in [("included.client.audience", resource.as_str())].into_iter().chain(switches) {
                let found = mapper.pointer(&format!("/config/{setting}")).unwrap_or(&Value::Null);
                if found != expected {
                    mistakes.push(format!(
                        "line {line}: in {scope}, {setting} of the mapper {name} is {found}: write \"{expected}\""
                    ));
                }
            }
        }
    }
    mistakes
}

/// Returns the number of the line with the last of `texts`, each of which is searched after the one before it.
fn line(text: &str, texts: &[&str]) -> usize {
    let rest = texts
        .iter()
        .fold(text, |rest, wanted| rest.split_once(wanted).unwrap_or_else(|| panic!("{wanted} is missing")).1);
    text.strip_suffix(rest).unwrap().lines().count()
}
