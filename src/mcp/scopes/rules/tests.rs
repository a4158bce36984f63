use super::*;

fn rules(scopes: McpScopes) -> Rules {
    Rules::new(scopes).unwrap()
}

/// The scopes that an operation needs, whether it needs a token, and whether it is not offered.
fn needs(rules: &Rules, operations: &[(&str, Target<'_>)]) -> (String, bool, bool) {
    let mut needs = RequiredRules::default();
    for (method, target) in operations {
        let target = match target {
            Target::None => Target::None,
            Target::Tool(name) => Target::Tool(name.clone()),
            Target::Prompt(name) => Target::Prompt(name.clone()),
            Target::Resource(uri) => Target::Resource(uri.clone()),
            Target::ResourceTemplate(uri) => Target::ResourceTemplate(uri.clone()),
            Target::Resources(uris) => Target::Resources(uris.clone()),
            Target::Task(id) => Target::Task(id.clone()),
        };
        rules.add(Some(&Operation { method: (*method).into(), target }), &mut needs);
    }
    (rules.scopes_of(&needs).as_str().to_owned(), needs.token, needs.unlisted)
}

fn tool(name: &str) -> (&'static str, Target<'_>) {
    ("tools/call", Target::Tool(name.into()))
}

fn read(uri: &str) -> (&'static str, Target<'_>) {
    ("resources/read", Target::Resource(uri.into()))
}

#[test]
fn needs_add_up_in_the_order_of_the_operations() {
    let scopes = McpScopes::new().tool("a", ["1", "2"]).tool("b", ["2", "3"]).any_tool(["4"]).method("ping", ["5"]);
    let rules = rules(scopes.public(["tools/list"]).deny_unlisted());
    let ping = || ("ping", Target::None);
    for (operations, expected) in [
        (vec![], ("", false, false)),
        (vec![("tools/list", Target::None)], ("", false, false)),
        (vec![("tools/list", Target::None), ping()], ("5", true, false)),
        (vec![ping(), ("tools/list", Target::None)], ("5", true, false)),
        (vec![tool("b"), tool("a")], ("2 3 1", true, false)),
        (vec![tool("x"), tool("a"), tool("x"), ping()], ("4 1 2 5", true, false)),
        (vec![tool("a"), ("prompts/get", Target::Prompt("a".into()))], ("1 2", true, true)),
        (vec![("prompts/get", Target::Prompt("p".into())), ping()], ("5", true, true)),
    ] {
        let (scopes, token, unlisted) = needs(&rules, &operations);
        assert_eq!((scopes.as_str(), token, unlisted), expected, "{operations:?}");
    }
}

#[test]
fn a_public_target_is_listed_and_a_rule_makes_it_less_public_never_more() {
    let scopes = || {
        McpScopes::new()
            .public_tools(["free"])
            .public_resources(["docs:{page}"])
            .resource("docs:draft", ["drafts"])
            .any_tool(["tools"])
            .any_resource(["any"])
    };
    for rules in [rules(scopes()), rules(scopes().deny_unlisted())] {
        for (operation, expected) in [
            (tool("free"), ("", false, false)),
            (tool("other"), ("tools", true, false)),
            (read("docs:start"), ("", false, false)),
            (read("docs:draft"), ("drafts", true, false)),
            (read("DOCS:start"), ("drafts any", true, false)),
            (("subscriptions/listen", Target::Resources(vec!["docs:start".into()])), ("", true, false)),
        ] {
            let shown = format!("{operation:?}");
            let (scopes, token, unlisted) = needs(&rules, &[operation]);
            assert_eq!((scopes.as_str(), token, unlisted), expected, "{shown}");
        }
    }
}

#[test]
fn an_answer_needs_a_token_and_nothing_else() {
    let mut needs = RequiredRules::default();
    let rules = rules(McpScopes::new().any_tool(["tools"]).public(["ping"]).deny_unlisted());
    rules.add(None, &mut needs);
    assert_eq!((rules.scopes_of(&needs).as_str(), needs.token, needs.unlisted), ("", true, false));
}

#[test]
fn everything_is_every_rule_and_more_than_anybody_has_where_what_is_unlisted_is_denied() {
    let none = ScopeHierarchy::default();
    let scopes = McpScopes::new().tool("t", ["1"]).prompt("p", ["2"]).resource("r:", ["3"]).method("m", ["4"]);
    let scopes = scopes.any_tool(["5"]).any_prompt(["6"]).any_resource(["7"]);
    let open = rules(scopes.clone());
    let everything = open.everything();
    assert!(everything.token && !everything.unlisted);
    assert!(open.are_met(&everything, &Scopes::granted("7 6 5 4 3 2 1"), &none));
    for missing in 1..=7 {
        let held: Vec<_> = (1..=7).filter(|scope| *scope != missing).map(|scope| scope.to_string()).collect();
        assert!(!open.are_met(&everything, &Scopes::granted(&held.join(" ")), &none), "{missing}");
    }
    assert!(rules(scopes.deny_unlisted()).everything().unlisted);
    assert!(open.are_met(&RequiredRules::default(), &Scopes::EMPTY, &none));
}

#[test]
fn what_is_literally_of_a_template_needs_its_scopes_whatever_else_it_means() {
    for (template, uri) in [
        ("files://{+path}", "files://."),
        ("files://{+path}", "files://.."),
        ("files://{+path}", "files://%2E%2e"),
        ("files://{+path}", "files://.?x"),
        ("notes://{id}", "notes://."),
        ("notes://{area}/{id}", "notes:///1"),
    ] {
        let rules = rules(McpScopes::new().resource(template, ["guarded"]));
        assert_eq!(needs(&rules, &[read(uri)]).0, "guarded", "{template} {uri}");
    }
}
