use super::*;

fn target(resource: &str) -> ProofTarget {
    ProofTarget::new(&ResourceUrl::new(resource).unwrap(), None)
}

#[test]
fn every_spelling_of_the_url_of_the_request_is_accepted() {
    for (resource, path, htu) in [
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/mcp"),
        ("https://RS.example.com/mcp", "/mcp", "https://rs.example.com/mcp"),
        ("https://rs.example.com/mcp", "/mcp", "HTTPS://RS.Example.COM/mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com:443/mcp"),
        ("https://rs.example.com:443/mcp", "/mcp", "https://rs.example.com/mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com:/mcp"),
        ("https://rs.example.com:8443/mcp", "/mcp", "https://rs.example.com:8443/mcp"),
        ("http://127.0.0.1:80/mcp", "/mcp", "http://127.0.0.1/mcp"),
        ("http://127.0.0.1/mcp", "/mcp", "http://127.0.0.1:80/mcp"),
        ("http://[::1]:9000/mcp", "/mcp", "http://[::1]:9000/mcp"),
        ("http://[::1]:9000/mcp", "/mcp", "http://[0:0:0:0:0:0:0:1]:9000/mcp"),
        ("https://rs.example.com", "/", "https://rs.example.com"),
        ("https://rs.example.com", "/", "https://rs.example.com/"),
        ("https://rs.example.com", "/", "https://rs.example.com?x=1"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs%2Eexample.com/mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/%6Dcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/%6d%63%70"),
        ("https://rs.example.com/mcp", "/%6dcp", "https://rs.example.com/mcp"),
        ("https://rs.example.com/mcp", "/a%2fb", "https://rs.example.com/a%2Fb"),
        ("https://rs.example.com/mcp", "/a%C3%a9", "https://rs.example.com/a%c3%A9"),
        ("https://rs.example.com/mcp", "/%7Euser", "https://rs.example.com/~user"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/./mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/a/../mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/a/b/../../mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/a/%2e%2E/mcp"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/../../mcp"),
        ("https://rs.example.com/mcp", "/mcp/", "https://rs.example.com/mcp/."),
        ("https://rs.example.com/mcp", "/mcp/", "https://rs.example.com/mcp/x/.."),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/mcp?query=1"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/mcp#fragment"),
        ("https://rs.example.com/mcp", "/mcp", "https://rs.example.com/mcp?a/b?c#d?e/f"),
        ("https://rs.example.com/mcp?tenant=a", "/mcp", "https://rs.example.com/mcp?tenant=b"),
        // The path of the configured resource is not the path of each request.
        ("https://rs.example.com/mcp", "/other", "https://rs.example.com/other"),
        ("https://rs.example.com/mcp", "//double", "https://rs.example.com//double"),
        ("https://rs.example.com/mcp", "/a:b@c;d=e", "https://rs.example.com/a:b@c;d=e"),
        ("https://rs.example.com/mcp", "/...", "https://rs.example.com/..."),
    ] {
        assert!(target(resource).matches(htu, path), "{resource} {path} {htu}");
    }
}

#[test]
fn every_other_url_is_rejected() {
    let target = target("https://rs.example.com/mcp");
    for htu in [
        "",
        "/mcp",
        "mcp",
        "//rs.example.com/mcp",
        "//evil",
        "https:rs.example.com/mcp",
        "https:/rs.example.com/mcp",
        "https:///rs.example.com/mcp",
        "https:///mcp",
        "https://",
        "https://:443/mcp",
        "http://rs.example.com/mcp",
        "http://rs.example.com:443/mcp",
        "wss://rs.example.com/mcp",
        "x-https://rs.example.com/mcp",
        "https://evil.example/mcp",
        "https://rs.example.com.evil.example/mcp",
        "https://rs.example.com./mcp",
        "https://rs.example.com@evil.example/mcp",
        "https://evil.example#@rs.example.com/mcp",
        "https://evil.example?@rs.example.com/mcp",
        "https://user@rs.example.com/mcp",
        "https://user:password@rs.example.com/mcp",
        "https://@rs.example.com/mcp",
        "https://rs.example.com:8443/mcp",
        "https://rs.example.com:80/mcp",
        "https://rs.example.com:0443/mcp",
        "https://rs.example.com:+443/mcp",
        "https://rs.example.com:443:443/mcp",
        "https://rs.example.com:65979/mcp",
        "https://rs.example.com:4294967739/mcp",
        "https://rs.example.com",
        "https://rs.example.com/",
        "https://rs.example.com/mcp/",
        "https://rs.example.com/mcp//",
        "https://rs.example.com//mcp",
        "https://rs.example.com//evil",
        "https://rs.example.com/MCP",
        "https://rs.example.com/mcp-evil",
        "https://rs.example.com/mcp/x",
        "https://rs.example.com/mcp;x",
        "https://rs.example.com/mcp%2F",
        "https://rs.example.com/%2Fmcp",
        "https://rs.example.com%2Fmcp",
        "https://rs.example.com/mcp%00",
        "https://rs.example.com/mcp%20",
        "https://rs.example.com/mc%70%",
        "https://rs.example.com/mc%7",
        "https://rs.example.com/mc%7g",
        "https://rs.example.com/%256Dcp",
        "https://rs.example.com/mcp\\",
        "https:\\\\rs.example.com\\mcp",
        "https://rs.example.com\\@evil.example/mcp",
        "https://rs.example.com/a\\..\\mcp",
        " https://rs.example.com/mcp",
        "https://rs.example.com/mcp ",
        "https://rs.example.com/m cp",
        "https://rs.example.com/mcp\n",
        "https://rs.example.com/m\tcp",
        "https://rs.example.com/mcp\0",
        "https://rs.example.com/mcp?x y",
        "https://rs.example.com/mcp?x\\y",
        "https://rs.example.com/mcp?%zz",
        "https://rs.example.com/mcp#a#b",
        "https://rs.example.com/mcp|",
        "https://rs.example.com/mcp[0]",
        "https://rs.example.com/\"mcp\"",
        "https://rs.example.com/<mcp>",
        "https://rs.ex\u{e4}mple.com/mcp",
        "https://rs.example.com/mcp\u{e9}",
        "https://\u{ff52}s.example.com/mcp",
        "https://rs.example\u{3002}com/mcp",
        "https://[rs.example.com]/mcp",
        "https://[::1]/mcp",
        "https://[::1/mcp",
        "https://]rs.example.com/mcp",
        "https://rs.example.com/mcp, https://rs.example.com/mcp",
    ] {
        assert!(!target.matches(htu, "/mcp"), "{htu:?}");
    }
}

#[test]
fn a_path_that_is_not_in_its_normal_form_matches_only_itself() {
    let target = target("https://rs.example.com/mcp");
    for (path, htu) in [
        ("/a/../mcp", "https://rs.example.com/mcp"),
        ("/a/../mcp", "https://rs.example.com/a/../mcp"),
        ("/%2e/mcp", "https://rs.example.com/mcp"),
        ("/mcp/", "https://rs.example.com/mcp"),
        ("/", "https://rs.example.com/mcp"),
        ("/mcp%", "https://rs.example.com/mcp%"),
        ("/mcp%", "https://rs.example.com/mcp%25"),
        ("/a%2Fb", "https://rs.example.com/a/b"),
        ("/a/b", "https://rs.example.com/a%2Fb"),
        ("/\"", "https://rs.example.com/\""),
        ("*", "https://rs.example.com/*"),
        ("*", "https://rs.example.com*"),
    ] {
        assert!(!target.matches(htu, path), "{path} {htu}");
    }
}

#[test]
fn an_ip_address_has_one_spelling_but_that_of_ipv6() {
    let ipv4 = target("http://127.0.0.1:9000/mcp");
    assert!(ipv4.matches("http://127.0.0.1:9000/mcp", "/mcp"));
    for host in ["127.1", "2130706433", "0x7f.0.0.1", "127.0.0.01", "[::ffff:127.0.0.1]", "localhost"] {
        assert!(!ipv4.matches(&format!("http://{host}:9000/mcp"), "/mcp"), "{host}");
    }
    let ipv6 = target("http://[::1]:9000/mcp");
    for host in ["[::2]", "[::1%25lo]", "[::1]x", "x[::1]", "::1", "[v1.x]", "[]", "[::0001:0]"] {
        assert!(!ipv6.matches(&format!("http://{host}:9000/mcp"), "/mcp"), "{host}");
    }
}

#[test]
fn a_path_is_mapped_back_through_the_proxy() {
    let resource = ResourceUrl::new("https://rs.example.com/api/mcp").unwrap();
    let matches = |external: &str, internal: &str, path: &str, htu: &str| {
        let proxied = ProxiedPath::new(external, internal).unwrap();
        ProofTarget::new(&resource, Some(&proxied)).matches(htu, path)
    };
    for (external, internal, path, htu) in [
        ("/api", "/", "/mcp", "https://rs.example.com/api/mcp"),
        ("/api", "/", "/mcp/", "https://rs.example.com/api/mcp/"),
        ("/api", "/", "/mcp", "https://rs.example.com/%61pi/mcp"),
        // A proxy that removes the prefix sends `/` for both.
        ("/api", "/", "/", "https://rs.example.com/api"),
        ("/api", "/", "/", "https://rs.example.com/api/"),
        ("/", "/v1", "/v1/mcp", "https://rs.example.com/mcp"),
        ("/", "/v1", "/v1", "https://rs.example.com/"),
        ("/", "/v1", "/v1/", "https://rs.example.com"),
        ("/api/v2", "/v1", "/v1/mcp", "https://rs.example.com/api/v2/mcp"),
        ("/api/v2", "/v1", "/v1", "https://rs.example.com/api/v2"),
        ("/api/v2", "/v1", "/v1/", "https://rs.example.com/api/v2/"),
    ] {
        assert!(matches(external, internal, path, htu), "{external} {internal} {path} {htu}");
    }
    for (external, internal, path, htu) in [
        ("/api", "/", "/mcp", "https://rs.example.com/mcp"),
        ("/api", "/", "/mcp", "https://rs.example.com/apimcp"),
        ("/api", "/", "/api/mcp", "https://rs.example.com/api/mcp"),
        ("/api", "/", "//", "https://rs.example.com/api"),
        ("/api", "/", "/../secret", "https://rs.example.com/secret"),
        ("/", "/v1", "/v1x", "https://rs.example.com/x"),
        ("/", "/v1", "/mcp", "https://rs.example.com/mcp"),
        ("/", "/v1", "/V1/mcp", "https://rs.example.com/mcp"),
        ("/", "/v1", "/%761/mcp", "https://rs.example.com/mcp"),
        ("/", "/v1", "/v1/../mcp", "https://rs.example.com/mcp"),
        ("/api/v2", "/v1", "/v1/mcp", "https://rs.example.com/v1/mcp"),
        ("/api/v2", "/v1", "/v1", "https://rs.example.com/api/v2/"),
        ("/api/v2", "/v1", "/v1/", "https://rs.example.com/api/v2"),
    ] {
        assert!(!matches(external, internal, path, htu), "{external} {internal} {path} {htu}");
    }
}

#[test]
fn an_invalid_prefix_is_an_error_with_its_value_and_its_repair() {
    let accepted = ["/", "/api", "/a/b", "/a%2Fb", "/~user", "/a:b@c"];
    for path in accepted {
        assert!(ProxiedPath::new(path, "/other").is_ok(), "{path}");
        assert!(ProxiedPath::new("/other", path).is_ok(), "{path}");
    }
    for (path, expected) in [
        ("", "the path \"\" of `path_behind_proxy` does not begin with a slash"),
        ("api", "the path \"api\" of `path_behind_proxy` does not begin with a slash"),
        ("https://h/api", "does not begin with a slash"),
        ("/api/", "the path \"/api/\" of `path_behind_proxy` ends with a slash; remove it"),
        ("//", "ends with a slash"),
        ("/api?x=1", "is not a path of RFC 3986"),
        ("/api#x", "is not a path of RFC 3986"),
        ("/a b", "is not a path of RFC 3986"),
        ("/a\\b", "is not a path of RFC 3986"),
        ("/%zz", "is not a path of RFC 3986"),
        ("/\u{e9}", "the path \"/\\u{e9}\" of `path_behind_proxy` is not a path of RFC 3986"),
        ("//api", "has an empty segment or a dot segment"),
        ("/a/../b", "has an empty segment or a dot segment"),
        ("/a/%2e", "has an empty segment or a dot segment"),
    ] {
        for error in [ProxiedPath::new(path, "/other"), ProxiedPath::new("/other", path)] {
            let message = error.unwrap_err().to_string();
            assert!(message.contains(expected), "{path}: {message}");
        }
    }
    for path in accepted {
        let message = ProxiedPath::new(path, path).unwrap_err().to_string();
        assert!(message.ends_with("; remove the call"), "{message}");
    }
    let long = "/".to_owned() + &"x y".repeat(100_000);
    assert!(ProxiedPath::new(&long, "/").unwrap_err().to_string().len() < 400);
}

#[test]
fn the_log_gets_the_url_that_a_client_uses() {
    let resource = ResourceUrl::new("https://RS.example.com:443/api/mcp?x=1").unwrap();
    let proxied = ProxiedPath::new("/api", "/v1").unwrap();
    assert_eq!(ProofTarget::new(&resource, None).url("/mcp"), "https://rs.example.com/mcp");
    let behind_proxy = ProofTarget::new(&resource, Some(&proxied));
    assert_eq!(behind_proxy.url("/v1/mcp"), "https://rs.example.com/api/mcp");
    assert_eq!(behind_proxy.url("/mcp"), "a path below /v1");
}
