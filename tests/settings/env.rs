//! Settings from environment variables. No test reads or changes those of the process.

use std::collections::BTreeSet;
#[cfg(unix)]
use std::ffi::OsString;
use std::io;
#[cfg(unix)]
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, Mutex};

use mcp_bearer::settings::{IntrospectedTokens, Settings};
use mcp_bearer::testing::TestIssuer;

use crate::options::fields;
use crate::secrets::Folder;
use crate::{ISSUER, RESOURCE, mistakes};

fn read(variables: &[(&str, &str)]) -> Settings {
    Settings::from_vars("MCP_", variables.iter().copied(), [""; 0])
}

/// The smallest valid environment, and these variables.
fn with(variables: &[(&str, &str)]) -> Settings {
    read(&[&[("MCP_RESOURCE", RESOURCE), ("MCP_ISSUER", ISSUER)], variables].concat())
}

#[test]
fn every_kind_of_variable_sets_its_field() {
    let settings = with(&[
        ("MCP_AUDIENCE", "api://notes, notes"),
        ("MCP_REQUIRED_SCOPES", "mcp:tools, notes:read notes:write"),
        ("MCP_ALLOWED_ORIGINS", "https://a.example.com,http://localhost:*"),
        ("MCP_CLOCK_SKEW_SECONDS", " 30 "),
        ("MCP_VERIFICATION_TIMEOUT_SECONDS", "2.5"),
        ("MCP_LAZY", "1"),
        ("MCP_FILTER_LISTS", "true"),
        ("MCP_BIND_SESSIONS", "0"),
        ("MCP_REVALIDATE_STREAMS_SECONDS", "60"),
        ("MCP_ISSUER_ALGORITHMS", "RS256 ES256"),
        ("MCP_INTROSPECTION_CLIENT_ID", " notes "),
        ("MCP_INTROSPECTION_CLIENT_SECRET", " hush "),
        ("MCP_INTROSPECT_ALL", "1"),
        ("MCP_INTROSPECTION_CACHE_SECONDS", "10"),
        ("OTHER_RESOURCE", "x"),
    ]);
    assert_eq!(settings.audiences, ["api://notes", "notes"]);
    assert_eq!(settings.required_scopes, ["mcp:tools", "notes:read", "notes:write"]);
    assert_eq!(settings.allowed_origins, ["https://a.example.com", "http://localhost:*"]);
    assert_eq!((settings.clock_skew_seconds, settings.verification_timeout_seconds), (Some(30.0), Some(2.5)));
    assert!(settings.lazy && settings.mcp.filter_lists && !settings.mcp.bind_sessions);
    assert_eq!(settings.mcp.revalidate_streams_seconds, Some(60.0));
    let [issuer] = settings.issuers.as_slice() else { panic!("{settings:?}") };
    assert_eq!((issuer.url.as_deref(), issuer.algorithms.as_ref().unwrap().len()), (Some(ISSUER), 2));
    let introspection = issuer.introspection.as_ref().unwrap();
    assert_eq!((introspection.client_id.as_deref(), introspection.tokens), (Some("notes"), IntrospectedTokens::All));
    assert_eq!(introspection.positive_cache_seconds, Some(10.0));
    assert!(!format!("{settings:?}").contains("hush"));
    let local = with(&[("MCP_REQUIRED_SCOPES", "mcp:tools"), ("MCP_FILTER_LISTS", "1")]);
    let server = local.builder().unwrap().build_lazy().unwrap();
    _ = local.mcp_layer(&server).unwrap();
}

#[test]
fn an_empty_variable_is_not_set() {
    let settings = with(&[
        ("MCP_REQUIRED_SCOPES", ""),
        ("MCP_CLOCK_SKEW_SECONDS", " "),
        ("MCP_INTROSPECTION_CLIENT_SECRET", ""),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", ""),
        ("MCP_INTROSPECT_ALL", "0"),
        ("MCP_LAZY", ""),
    ]);
    assert_eq!(mistakes(&settings), [""; 0]);
    assert!(settings.required_scopes.is_empty() && settings.issuers[0].introspection.is_none() && !settings.lazy);
}

#[test]
fn several_issuers_are_separated_by_commas_and_only_the_first_introspects() {
    let folder = Folder::new("environment");
    let secret = folder.file("secret", "hush-hush\n");
    let several = format!("{ISSUER}, https://b.example.com");
    let settings = read(&[
        ("MCP_RESOURCE", RESOURCE),
        ("MCP_ISSUER", &several),
        ("MCP_INTROSPECTION_ENDPOINT", "http://hydra:4445/admin/oauth2/introspect"),
        ("MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP", "1"),
        ("MCP_INTROSPECTION_CLIENT_ID", "notes"),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", &secret),
    ]);
    assert_eq!(mistakes(&settings), [""; 0]);
    let introspects: Vec<_> = settings.issuers.iter().map(|issuer| issuer.introspection.is_some()).collect();
    assert_eq!(introspects, [true, false]);
    let over_http: Vec<_> = settings.issuers.iter().map(|issuer| issuer.dangerously_allow_http_introspection).collect();
    assert_eq!(over_http, [true, false]);
    settings.builder().unwrap().build_lazy().unwrap();
    let settings = read(&[
        ("MCP_RESOURCE", RESOURCE),
        ("MCP_ISSUER", &several),
        ("MCP_ISSUER_JWKS_URI", "https://b.example.com/k"),
    ]);
    assert_eq!(mistakes(&settings), ["MCP_ISSUER_JWKS_URI: it is for one issuer, and MCP_ISSUER has 2; write a file"]);
}

#[test]
fn all_mistakes_are_reported_with_the_names_of_their_variables() {
    let settings = read(&[
        ("MCP_ISSUER", "auth.example.com"),
        ("MCP_CLOCK_SKEW_SECONDS", "900"),
        ("MCP_LAZY", "maybe"),
        ("MCP_MAX_TOKEN_LENGTH", "long"),
        ("MCP_REVALIDATE_STREAMS_SECONDS", "1m"),
        ("MCP_ALLOWED_ORIGINS", "https://a.example.com/path"),
        ("MCP_INTROSPECTION_CLIENT_SECRET", "hush-hush"),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", "/run/secrets/missing"),
        ("MCP_INTROSPECTION_CACHE_SECONDS", "301"),
    ]);
    let found = mistakes(&settings);
    let names: Vec<_> = found.iter().map(|mistake| mistake.split(": ").next().unwrap()).collect();
    assert_eq!(
        names.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "MCP_RESOURCE",
            "MCP_ISSUER",
            "MCP_CLOCK_SKEW_SECONDS",
            "MCP_LAZY",
            "MCP_MAX_TOKEN_LENGTH",
            "MCP_REVALIDATE_STREAMS_SECONDS",
            "MCP_ALLOWED_ORIGINS",
            "MCP_INTROSPECTION_CLIENT_ID",
            "MCP_INTROSPECTION_CLIENT_SECRET_FILE",
            "MCP_INTROSPECTION_CACHE_SECONDS",
        ]),
        "{found:#?}"
    );
    assert_eq!(names.len(), 10, "{found:#?}");
    let text = found.join("\n");
    for expected in [
        "MCP_LAZY: \"maybe\" is neither 1 nor 0; write one of them",
        "MCP_MAX_TOKEN_LENGTH: \"long\" is not a number; write one such as 30",
        "MCP_CLOCK_SKEW_SECONDS: `clock_skew_seconds` is 900 s; use between 0 s and 300 s",
        "MCP_INTROSPECTION_CLIENT_SECRET_FILE: MCP_INTROSPECTION_CLIENT_SECRET is set as well; unset one",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("hush"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_a_mistake_and_not_shown() {
    for name in ["MCP_REALM", "MCP_INTROSPECTION_CLIENT_SECRET"] {
        let text = |text: &str| OsString::from(text);
        let variables = [
            (text("MCP_RESOURCE"), text(RESOURCE)),
            (text("MCP_ISSUER"), text(ISSUER)),
            (text(name), OsString::from_vec(b"hush\xff".to_vec())),
        ];
        let found = mistakes(&Settings::from_vars("MCP_", variables, [""; 0]));
        assert_eq!(found, [format!("{name}: the value is not valid Unicode; write it as UTF-8")]);
    }
}

#[test]
fn a_secret_comes_from_a_file() {
    let folder = Folder::new("secret-file");
    let keys = folder.file("jwks.json", TestIssuer::new(ISSUER).jwk_set().to_string());
    let secret = folder.file("secret", "hush-hush\n");
    let settings = with(&[
        ("MCP_INTROSPECTION_CLIENT_ID", "notes"),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", &secret),
        ("MCP_ISSUER_JWKS_FILE", &keys),
    ]);
    assert_eq!(mistakes(&settings), [""; 0]);
    settings.builder().unwrap().build_lazy().unwrap();
    let settings = with(&[
        ("MCP_INTROSPECTION_CLIENT_ID", "notes"),
        ("MCP_INTROSPECTION_CLIENT_SECRET_FILE", "/run/secrets/missing"),
    ]);
    let found = mistakes(&settings);
    assert!(found[0].starts_with("MCP_INTROSPECTION_CLIENT_SECRET_FILE: the file cannot be read: "), "{found:?}");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn unknown_variables_are_one_warning_and_no_mistake() {
    let kubernetes = ["PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT"];
    let mut variables: Vec<_> =
        kubernetes.iter().map(|name| (format!("MCP_{name}"), "tcp://10.0.0.1:80".to_owned())).collect();
    variables.extend((0..30).map(|number| (format!("MCP_X{number}"), "x".to_owned())));
    for (name, value) in
        [("MCP_RESOURCE", RESOURCE), ("MCP_ISSUER", ISSUER), ("MCP_REQUIRED_SCOPE", "a"), ("MCP_BIND", "127.0.0.1:1")]
    {
        variables.push((name.to_owned(), value.to_owned()));
    }
    let log = logged(|| {
        let settings = Settings::from_vars("MCP_", variables.clone(), ["MCP_BIND"]);
        assert_eq!(mistakes(&settings), [""; 0]);
    });
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    for expected in ["MCP_PORT_80_TCP", "MCP_SERVICE_HOST", "MCP_REQUIRED_SCOPE (or MCP_REQUIRED_SCOPES?)", "more=20"] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(!log.contains("10.0.0.1") && !log.contains("MCP_BIND"), "{log}");
    let log = logged(|| _ = Settings::from_vars("", variables, [""; 0]));
    assert_eq!(log, "");
}

#[test]
fn the_table_of_the_guide_has_each_variable_and_each_variable_has_a_field() {
    let source = include_str!("../../src/settings/variables.rs");
    let rows = source.split("    variable(\"").skip(1).map(|row| row.split('"').collect::<Vec<_>>());
    let variables: BTreeSet<_> = rows.clone().map(|row| format!("MCP_{}", row[0])).collect();
    let known = fields(&Settings::json_schema());
    for row in rows {
        assert!(known.contains(row[2]), "{} does not have a field {}", row[0], row[2]);
    }
    let chapter = include_str!("../../src/guide/configuration.md");
    let section = chapter.split("# Environment variables").nth(1).unwrap().split("\n# ").next().unwrap();
    let names = section.lines().filter(|line| line.starts_with("| `MCP_")).flat_map(|line| {
        line.split('|').nth(1).unwrap().split('`').filter(|name| name.starts_with("MCP_")).map(str::to_owned)
    });
    assert_eq!(names.collect::<BTreeSet<_>>(), variables);
}
