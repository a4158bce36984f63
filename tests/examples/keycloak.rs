//! Checks that the realm, the compose file and the commands in the README of `examples/keycloak` agree. Does not run
//! Keycloak: `tests/real` does.

mod audience;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::Server;

const COMPOSE: &str = include_str!("../../examples/keycloak/compose.yaml");
const README: &str = include_str!("../../examples/keycloak/README.md");
const REALM: &str = include_str!("../../examples/keycloak/realm-demo.json");

#[test]
fn the_server_command_matches_the_realm() {
    let realm = Realm::read();
    let issuer = format!("{}/realms/{}", after(COMPOSE, "KC_HOSTNAME: "), realm.text("realm"));
    let command = &commands()[1];
    assert_eq!(variable(command, "MCP_ISSUER"), issuer);

    let introspector = realm.client(&resource());
    assert_eq!(introspector["secret"], variable(command, "MCP_INTROSPECTION_CLIENT_SECRET"));
    assert_eq!(introspector["clientAuthenticatorType"], "client-secret");
    for switch in ["publicClient", "standardFlowEnabled", "directAccessGrantsEnabled"] {
        assert_eq!(introspector[switch], false, "{switch}");
    }
}

#[test]
fn the_token_command_uses_a_client_and_a_user_of_the_realm() {
    let realm = Realm::read();
    let command = &commands()[2];
    let form: BTreeMap<&str, &str> = command.windows(2).filter_map(|pair| form_field(&pair[0], &pair[1])).collect();
    let issuer = variable(&commands()[1], "MCP_ISSUER");
    assert!(command.contains(&format!("{issuer}/protocol/openid-connect/token")), "{command:?}");
    assert_eq!(form["grant_type"], "password");

    let client = realm.client(form["client_id"]);
    assert_eq!([&client["publicClient"], &client["directAccessGrantsEnabled"]], [true, true]);
    let others = realm.list("clients").iter().filter(|other| other["clientId"] != form["client_id"]);
    others.for_each(|other| assert_eq!(other["directAccessGrantsEnabled"], false, "{}", other["clientId"]));
    let optional: Vec<&str> = texts(&client["optionalClientScopes"]);
    form["scope"].split(' ').for_each(|scope| assert!(optional.contains(&scope), "{scope}"));

    let user = realm.list("users").iter().find(|user| user["username"] == form["username"]).unwrap();
    assert_eq!(user["credentials"][0]["value"], form["password"]);
    for member in ["email", "firstName", "lastName"] {
        assert!(!user[member].as_str().unwrap().is_empty(), "{member}: Keycloak would ask to complete the profile");
    }
    assert_eq!(user["realmRoles"][0], format!("default-roles-{}", realm.text("realm")));
}

#[tokio::test]
async fn the_last_command_lists_the_tools() {
    let server = Server::start().await;
    let command = &commands()[3];
    assert!(command.contains(&resource()), "{command:?}");
    let mut request = server.http.post(&server.resource);
    for [option, value] in command.windows(2).map(|pair| [&pair[0], &pair[1]]) {
        if option == "-H" {
            let (name, value) = value.split_once(": ").unwrap();
            request = request.header(name, value.replace("$TOKEN", &server.token));
        } else if option == "-d" {
            request = request.body(value.clone());
        }
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(tools.len(), 3, "{answer}");
}

#[test]
fn every_used_scope_is_defined() {
    let realm = Realm::read();
    let defined: Vec<&str> = realm.list("clientScopes").iter().map(|scope| scope["name"].as_str().unwrap()).collect();
    assert_eq!(texts(&realm.0["defaultDefaultClientScopes"]), ["basic"]);
    assert_eq!(texts(&realm.0["defaultOptionalClientScopes"]), ["mcp:tools", "write:notes"]);
    assert_eq!(realm.scope("basic")["protocolMappers"][0]["protocolMapper"], "oidc-sub-mapper");
    for client in realm.list("clients") {
        let named = ["defaultClientScopes", "optionalClientScopes"].map(|member| texts(&client[member])).concat();
        for scope in &named {
            // The import creates this scope itself.
            assert!(defined.contains(scope) || *scope == "offline_access", "{scope}");
        }
        assert!(named.is_empty() || named.contains(&"basic"), "{client}: its tokens do not contain `sub`");
    }
}

#[test]
fn the_login_client_needs_pkce_and_uses_loopback_redirects() {
    let realm = Realm::read();
    let client = realm.client("mcp-client");
    assert_eq!(client["attributes"]["pkce.code.challenge.method"], "S256");
    assert_eq!([&client["publicClient"], &client["standardFlowEnabled"]], [true, true]);
    for uri in texts(&client["redirectUris"]) {
        assert!(uri.starts_with("http://127.0.0.1/") || uri.starts_with("http://localhost/"), "{uri}");
    }
}

#[test]
fn anonymous_registration_is_restricted() {
    let realm = Realm::read();
    let policies = realm.0["components"].as_object().unwrap();
    let (kind, policies) = policies.iter().next().unwrap();
    assert_eq!(kind, "org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy");
    let policies = policies.as_array().unwrap();
    let has = |kind: &str| {
        let named = policies.iter().filter(|policy| policy["subType"] == kind);
        named.map(|policy| policy["providerId"].as_str().unwrap()).collect::<BTreeSet<_>>()
    };
    let always = ["allowed-client-templates", "allowed-protocol-mappers"];
    let anonymous = ["consent-required", "max-clients", "registration-web-origins", "scope", "trusted-hosts"];
    assert_eq!(has("authenticated"), BTreeSet::from(always));
    assert_eq!(has("anonymous"), always.into_iter().chain(anonymous).collect::<BTreeSet<_>>());
    assert_eq!(policies.len(), 9, "each policy appears once");

    let trusted = policies.iter().find(|policy| policy["providerId"] == "trusted-hosts").unwrap();
    assert_eq!(trusted["config"]["client-uris-must-match"][0], "true");
    let values = policies.iter().flat_map(|policy| policy["config"].as_object().unwrap().values());
    values.for_each(|value| assert!(texts(value).iter().all(|text| !text.is_empty()), "{value}"));
}

/// Keycloak rejects a realm file with unknown members, and replaces `${...}` with environment variables.
#[test]
fn the_realm_has_only_members_that_keycloak_knows() {
    assert!(!REALM.contains("${"));
    let realm = Realm::read();
    assert_known(&realm.0, &REALM_MEMBERS);
    realm.list("clients").iter().for_each(|client| assert_known(client, &CLIENT_MEMBERS));
    for scope in realm.list("clientScopes") {
        assert_known(scope, &["attributes", "description", "name", "protocol", "protocolMappers"]);
        for mapper in scope["protocolMappers"].as_array().unwrap() {
            assert_known(mapper, &["config", "name", "protocol", "protocolMapper"]);
            assert!(mapper["config"].as_object().unwrap().values().all(Value::is_string), "{mapper}");
        }
        assert_eq!(scope["protocol"], "openid-connect");
    }
    for user in realm.list("users") {
        assert_known(user, &USER_MEMBERS);
        user["credentials"].as_array().unwrap().iter().for_each(|credential| {
            assert_known(credential, &["type", "value"]);
        });
    }
    for component in realm.0["components"].as_object().unwrap().values().flat_map(|list| list.as_array().unwrap()) {
        assert_known(component, &["config", "name", "providerId", "subType"]);
    }
}

#[test]
fn compose_imports_the_realm_into_a_fixed_version_on_loopback() {
    let version = after(COMPOSE, "image: quay.io/keycloak/keycloak:");
    assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{version}");
    assert!(after(COMPOSE, "command: start-dev ").contains("--import-realm"));
    assert!(COMPOSE.contains("./realm-demo.json:/opt/keycloak/data/import/realm-demo.json:ro"));
    assert!(COMPOSE.contains("- 127.0.0.1:8080:8080\n") && COMPOSE.matches(":8080\n").count() == 2);
    assert!(COMPOSE.contains(&format!("GET /realms/{} ", Realm::read().text("realm"))));
    assert!(commands()[0].contains(&"examples/keycloak/compose.yaml".to_owned()));
    assert!(README.contains(&format!("keycloak-{version}.tar.gz")), "the README names another version than {version}");
}

struct Realm(Value);

impl Realm {
    fn read() -> Self {
        Self(serde_json::from_str(REALM).unwrap())
    }

    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap()
    }

    fn list(&self, member: &str) -> &[Value] {
        self.0[member].as_array().unwrap()
    }

    fn client(&self, id: &str) -> &Value {
        let client = self.list("clients").iter().find(|client| client["clientId"] == id && client["enabled"] == true);
        client.unwrap_or_else(|| panic!("the realm does not have the client {id}"))
    }

    fn scope(&self, name: &str) -> &Value {
        let scope = self.list("clientScopes").iter().find(|scope| scope["name"] == name);
        scope.unwrap_or_else(|| panic!("the realm does not have the client scope {name}"))
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().map(|list| list.iter().map(|text| text.as_str().unwrap()).collect()).unwrap_or_default()
}

fn assert_known(object: &Value, known: &[&str]) {
    for member in object.as_object().unwrap().keys() {
        assert!(known.contains(&member.as_str()), "{member}");
    }
}

/// The resource identifier of the server, which is also the id of its client.
fn resource() -> String {
    variable(&commands()[1], "MCP_INTROSPECTION_CLIENT_ID")
}

/// Returns the words of each of the four numbered commands in the README.
fn commands() -> Vec<Vec<String>> {
    let steps =
        README.split("\n**").skip(1).map(|step| step.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap());
    let commands: Vec<_> = steps.map(shell_words).collect();
    assert_eq!(commands.len(), 4);
    commands
}

/// Splits a command into words as a shell does, with both kinds of quotes. Substitutions stay unchanged.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in command.replace("\\\n", " ").chars() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) if character.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn form_field<'a>(option: &str, value: &'a str) -> Option<(&'a str, &'a str)> {
    if option == "-d" || option == "--data-urlencode" { value.split_once('=') } else { None }
}

/// Returns the value of `NAME=value` before a command.
fn variable(command: &[String], name: &str) -> String {
    let assigned = command.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    assigned.unwrap_or_else(|| panic!("{name} is not set")).to_owned()
}

/// Returns the rest of the line after this text.
fn after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split_once(start).unwrap_or_else(|| panic!("{start:?} is missing")).1.lines().next().unwrap()
}

/// The members of Keycloak's `RealmRepresentation` that the realm file uses. The lists below are the same for other
/// types.
const REALM_MEMBERS: [&str; 8] = [
    "clientScopes",
    "clients",
    "components",
    "defaultDefaultClientScopes",
    "defaultOptionalClientScopes",
    "enabled",
    "realm",
    "users",
];
const CLIENT_MEMBERS: [&str; 15] = [
    "attributes",
    "clientAuthenticatorType",
    "clientId",
    "defaultClientScopes",
    "description",
    "directAccessGrantsEnabled",
    "enabled",
    "fullScopeAllowed",
    "optionalClientScopes",
    "protocol",
    "publicClient",
    "redirectUris",
    "secret",
    "standardFlowEnabled",
    "webOrigins",
];
const USER_MEMBERS: [&str; 8] =
    ["credentials", "email", "emailVerified", "enabled", "firstName", "lastName", "realmRoles", "username"];
