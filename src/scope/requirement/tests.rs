use super::*;

fn hierarchy(rules: &[(&str, &[&str])]) -> Result<ScopeHierarchy, BuildError> {
    let rule =
        |(broad, narrow): &(&str, &[&str])| ((*broad).to_owned(), narrow.iter().map(ToString::to_string).collect());
    ScopeHierarchy::new(&rules.iter().map(rule).collect::<Vec<_>>())
}

#[test]
fn implication_is_transitive_and_one_way() {
    let scopes = hierarchy(&[("admin", &["write"]), ("write", &["read"])]).unwrap();
    assert!(scopes.grants(&Scopes::granted("admin"), "read"));
    assert!(scopes.grants(&Scopes::granted("write"), "read"));
    assert!(!scopes.grants(&Scopes::granted("read"), "write"));
    assert!(!scopes.grants(&Scopes::granted("read"), "admin"));
}

#[test]
fn a_circle_is_rejected() {
    for rules in [&[("a", &["a"][..])][..], &[("a", &["b"][..]), ("b", &["c"][..]), ("c", &["a"][..])][..]] {
        assert_eq!(hierarchy(rules).unwrap_err().kind(), BuildErrorKind::Scope);
    }
}

#[test]
fn a_diamond_is_not_a_circle() {
    let scopes = hierarchy(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"])]).unwrap();
    assert!(scopes.grants(&Scopes::granted("a"), "d"));
}

#[test]
fn a_rule_with_an_invalid_scope_is_rejected() {
    assert!(hierarchy(&[("a b", &["c"])]).is_err());
    assert!(hierarchy(&[("a", &["c\n"])]).is_err());
}

#[test]
fn any_of_and_all_of_combine() {
    let none = ScopeHierarchy::default();
    let all = ScopeRequirement::from(Scopes::new(["a", "b"]).unwrap());
    let any = ScopeRequirement::any(["c", "d"]).unwrap();
    let both = all.and(&any);
    for (granted, enough) in [("a b c", true), ("a b d", true), ("a b", false), ("a c d", false), ("", false)] {
        assert_eq!(both.is_met(&Scopes::granted(granted), &none), enough, "{granted}");
    }
    assert_eq!(both.challenge(&none).as_str(), "a b c");
    assert!(ScopeRequirement::default().is_met(&Scopes::default(), &none));
}

#[test]
fn a_challenge_names_the_narrowest_sufficient_scope() {
    let hierarchy = hierarchy(&[("admin", &["write"]), ("write", &["read"])]).unwrap();
    for (alternatives, expected) in [
        (&["admin", "write", "read"][..], "read"),
        (&["write", "read"], "read"),
        (&["read", "write"], "read"),
        (&["admin", "other"], "admin"),
        (&["other", "admin", "read"], "other"),
    ] {
        assert_eq!(ScopeRequirement::any(alternatives).unwrap().challenge(&hierarchy).as_str(), expected);
    }
}

#[test]
fn scopes_are_requested_under_the_name_of_the_authorization_server() {
    let pair = |granted: &str, requested: &str| (granted.to_owned(), requested.to_owned());
    let requested = RequestedScopes::new(&[pair("read", "api://x/read"), pair("write", "api://x/write")]).unwrap();
    for (scopes, expected) in [
        ("", ""),
        ("read", "api://x/read"),
        ("write other read", "api://x/write other api://x/read"),
        ("read api://x/read", "api://x/read"),
    ] {
        assert_eq!(requested.translate(&Scopes::granted(scopes)).as_str(), expected);
    }
    for bad in [
        vec![pair("read", "a b")],
        vec![pair("", "a")],
        vec![pair("read", "a"), pair("read", "b")],
        vec![pair("read", "offline_access")],
    ] {
        assert!(RequestedScopes::new(&bad).is_err(), "{bad:?}");
    }
}
