//! A mistake in rules or settings fails at build. The error message says what to change.

use std::time::Duration;

use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{Response, StatusCode};
use mcp_bearer::BuildError;
use mcp_bearer::BuildErrorKind::{Scope, Setting};
use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::mcp::{McpLayer, McpScopes, OperationFailure};

use super::server::{McpServer, tools};
use crate::support::{Fixture, METADATA_URL};

#[test]
fn rules_that_cannot_work_fail_at_build() {
    let fixture = Fixture::cold();
    let new = McpScopes::new;
    let long = "x".repeat(8_193);
    let many = "{a}".repeat(17);
    for (scopes, kind, sentence) in [
        (
            new().tool("t", ["two words"]),
            Scope,
            r#"the tool "t": "two words" is not a scope: use one or more printable"#,
        ),
        (new().tool("t", ["ok", ""]), Scope, r#"the tool "t": "" is not a scope"#),
        (new().prompt("p", ["\""]), Scope, r#"the prompt "p": "\"" is not a scope"#),
        (new().resource("r://1", ["a\\b"]), Scope, r#"the resource "r://1": "a\\b" is not a scope"#),
        (new().method("ping", ["\u{e9}"]), Scope, r#"the method "ping": "é" is not a scope"#),
        (new().any_tool(["a\n"]), Scope, r#"`any_tool`: "a\n" is not a scope"#),
        (new().any_prompt([" "]), Scope, r#"`any_prompt`: " " is not a scope"#),
        (new().any_resource(["a b"]), Scope, r#"`any_resource`: "a b" is not a scope"#),
        (new().tool("t", ["a"]).tool("t", ["a"]), Scope, r#"the tool "t" has two rules; merge them into one"#),
        (new().prompt("p", ["a"]).prompt("p", ["b"]), Scope, r#"the prompt "p" has two rules; merge them into one"#),
        (
            new().resource("r:", ["a"]).resource("r:", ["b"]),
            Scope,
            r#"the resource "r:" has two rules; merge them into one"#,
        ),
        (new().method("m", ["a"]).method("m", ["b"]), Scope, r#"the method "m" has two rules; merge them into one"#),
        (new().tool("", ["a"]), Scope, "a tool has an empty name; write the name"),
        (new().prompt("", ["a"]), Scope, "a prompt has an empty name; write the name"),
        (new().method("", ["a"]), Scope, "a method has an empty name; write the name"),
        (new().resource("", ["a"]), Scope, "a resource has an empty name; write the name"),
        (new().public([""]), Scope, "a method has an empty name; write the name"),
        (new().public_tools(["t", ""]), Scope, "a tool has an empty name; write the name"),
        (new().public_prompts([""]), Scope, "a prompt has an empty name; write the name"),
        (new().public_resources([""]), Setting, "\"\" is not a URI template (RFC 6570): it is empty or longer"),
        (
            new().resource("r://{id", ["a"]),
            Setting,
            r#""r://{id" is not a URI template (RFC 6570): an opening or a closing brace is missing"#,
        ),
        (new().resource("r://id}", ["a"]), Setting, "an opening or a closing brace is missing"),
        (new().resource("r://{}", ["a"]), Setting, "an expression between braces is empty or has another character"),
        (new().resource("r://{a b}", ["a"]), Setting, "an expression between braces is empty or has another character"),
        (new().resource(long, ["a"]), Setting, "it is empty or longer than 8192 bytes"),
        (new().resource(many, ["a"]), Setting, "it has more than 16 expressions"),
        (new().public_resources(["r://{"]), Setting, "an opening or a closing brace is missing"),
        (
            new().resource("Config://{id}", ["a"]),
            Setting,
            r#"the resource "Config://{id}" cannot match any URI: its scheme is missing or has other characters than a-z, 0-9"#,
        ),
        (
            new().resource("r://Host/{id}", ["a"]),
            Setting,
            "its host or URN namespace has upper-case letters; write them in lower case",
        ),
        (new().resource("r://{user}@h/{id}", ["a"]), Setting, "it has user information before `@`; remove it"),
        (
            new().public_resources(["r://h:/{id}"]),
            Setting,
            "it has a colon after its host and no port; remove the colon",
        ),
        (new().resource("file://h/{+path}", ["a"]), Setting, "it is a `file` URI with a host; write `file:///`"),
        (new().resource("r://h/../{id}", ["a"]), Setting, "it has a segment `.` or `..`; remove it"),
        (new().resource("r://h//{id}", ["a"]), Setting, "its path contains `//`; remove one slash"),
        (
            new().resource("r://a b/{id}", ["a"]),
            Setting,
            "it has a character that is not allowed in a URI; remove backslashes and control characters",
        ),
        (
            new().resource("r://%c3%a9/{id}", ["a"]),
            Setting,
            "its percent-encoding is malformed, in lower case, or of a letter",
        ),
        (
            new().resource("https://127.1/{id}", ["a"]),
            Setting,
            r#"URL parsers read another host, port or path; write it as they do, in the form of "https://127.0.0.1/x""#,
        ),
        (
            new().resource("r:{id}", ["a"]).public_resources(["r://{id}"]),
            Scope,
            r#"some resources of the scheme "r" are written with `r://` and some without the slashes; write all with"#,
        ),
        (new().resource("r:{id}", ["a"]).resource("{scheme}://x", ["b"]), Scope, r#"some resources of the scheme "r""#),
        (
            new().public(["tools/call"]),
            Scope,
            r#"the method "tools/call" cannot be public, because it has a target; name the public ones with `public_tools`"#,
        ),
        (new().public(["prompts/get"]), Scope, "name the public ones with `public_prompts`"),
        (new().public(["resources/read"]), Scope, "name the public ones with `public_resources`"),
        (new().public(["resources/subscribe"]), Scope, "name the public ones with `public_resources`"),
        (new().public(["resources/unsubscribe"]), Scope, "name the public ones with `public_resources`"),
        (new().public(["resources/directory/read"]), Scope, "name the public ones with `public_resources`"),
        (new().public(["skills/get"]), Scope, "name the public ones with `public_resources`"),
        (
            new().public(["ping"]).method("ping", ["a"]),
            Scope,
            r#"the method "ping" is public and needs scopes; remove one of the two settings"#,
        ),
        (
            new().method("ping", [""; 0]).public(["ping"]),
            Scope,
            "is public and needs scopes; remove one of the two settings",
        ),
        (
            new().public_tools(["t"]).tool("t", ["a"]),
            Scope,
            r#"the tool "t" is public and needs scopes; remove one of the two settings"#,
        ),
        (new().public_prompts(["p"]).prompt("p", ["a"]), Scope, r#"the prompt "p" is public and needs scopes"#),
        (
            new().public_resources(["r:{x}"]).resource("r:{x}", ["a"]),
            Scope,
            r#"the resource "r:{x}" is public and needs scopes"#,
        ),
        (
            new().public_tools(["t"]).method("tools/call", ["a"]),
            Scope,
            r#"the method "tools/call" needs scopes, but `public_tools` allows it without a token; remove one of the two settings"#,
        ),
        (new().public_prompts(["p"]).method("prompts/get", ["a"]), Scope, "`public_prompts` allows it without a token"),
        (
            new().public_resources(["r:"]).method("resources/read", ["a"]),
            Scope,
            "`public_resources` allows it without a token",
        ),
    ] {
        let shown = format!("{scopes:.200?}");
        let error = fixture.server.try_mcp_layer(scopes).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}: {shown}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
}

#[test]
fn rules_that_only_look_alike_are_valid() {
    let fixture = Fixture::cold();
    for scopes in [
        McpScopes::new().tool("t", ["a"]).tool("T", ["a"]).prompt("t", ["a"]).method("t", ["a"]).resource("t", ["a"]),
        McpScopes::new().any_tool(["a"]).any_tool(["b", "a"]),
        McpScopes::new().public(["ping", "ping", "notifications/initialized", "initialize"]).public_tools(["t", "t"]),
        McpScopes::new().public(["initialize"]).method("notifications/initialized", ["a"]),
        McpScopes::new().public_tools(["t"]).method("tools/list", ["a"]).any_tool(["a"]).prompt("t", ["a"]),
        McpScopes::new().public_resources(["r://{id}"]).resource("r://secret", ["a"]).any_resource(["b"]),
        McpScopes::new().resource("x".repeat(8_192), ["a"]).resource("{a}".repeat(16), ["a"]),
    ] {
        let shown = format!("{scopes:.200?}");
        assert!(fixture.server.try_mcp_layer(scopes).is_ok(), "{shown}");
    }
}

#[tokio::test]
async fn settings_out_of_range_fail_at_build() {
    let fixture = Fixture::cold();
    let layer = || fixture.server.mcp_layer(McpScopes::new());
    let body = |bytes: usize| layer().try_max_body(bytes);
    let every = |interval: Duration| layer().try_revalidate_streams(interval);
    let (second, milli) = (Duration::from_secs(1), Duration::from_millis(1));
    let strangers = |bytes: usize| layer().try_max_anonymous_body(bytes);
    let wrong: [(Result<McpLayer, BuildError>, &str); 10] = [
        (body(0), "the largest body is 0 bytes: give 1024 to 67108864"),
        (body(1_023), "the largest body is 1023 bytes: give 1024 to 67108864"),
        (body((64 << 20) + 1), "the largest body is 67108865 bytes: give 1024 to 67108864"),
        (body(usize::MAX), "give 1024 to 67108864"),
        (
            strangers(1_023),
            "the largest body of a caller without a token is 1023 bytes: give 1024 to 4194304, or raise",
        ),
        (strangers((4 << 20) + 1), "is 4194305 bytes: give 1024 to 4194304, or raise `max_body` first"),
        (layer().max_body(2_048).try_max_anonymous_body(4_096), "is 4096 bytes: give 1024 to 2048, or raise"),
        (every(Duration::ZERO), "streams are revalidated every 0 s; use between 1 s and 3600 s"),
        (every(second - milli), "streams are revalidated every 0.999 s; use between 1 s and 3600 s"),
        (every(second * 3_600 + milli), "use between 1 s and 3600 s"),
    ];
    for (result, sentence) in wrong {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Setting, "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
    for valid in [
        strangers(1_024),
        strangers(4 << 20),
        body(1_024),
        body(64 << 20),
        every(second),
        every(second * 3_600),
        layer().try_bind_sessions_with_key(&[7; 32]),
        layer().try_bind_sessions(),
    ] {
        assert!(valid.is_ok());
    }
}

#[test]
fn a_setter_without_try_panics_with_the_same_sentence() {
    let fixture = Fixture::cold();
    let server = &fixture.server;
    let mcp = || server.mcp_layer(McpScopes::new());
    type Setter<'a> = Box<dyn Fn() + 'a>;
    let panics: [(Setter, &str); 9] = [
        (Box::new(|| drop(server.bearer_layer().required_scopes(["two words"]))), r#""two words" is not a scope"#),
        (Box::new(|| drop(server.bearer_layer().any_scope([""; 0]))), "`any_scope` needs at least one scope"),
        (
            Box::new(|| drop(server.mcp_layer(McpScopes::new().tool("t", ["\""])))),
            r#"the tool "t": "\"" is not a scope"#,
        ),
        (Box::new(|| drop(server.allowed_origins(["*"]))), r#"the allowed origin "*" allows every page"#),
        (Box::new(|| drop(mcp().required_scopes([""; 0]))), "`required_scopes` needs at least one scope"),
        (Box::new(|| drop(mcp().any_scope(["a b"]))), r#""a b" is not a scope"#),
        (Box::new(|| drop(mcp().revalidate_streams(Duration::ZERO))), "every 0 s; use between 1 s and 3600 s"),
        (Box::new(|| drop(mcp().max_body(0))), "the largest body is 0 bytes: give 1024 to 67108864"),
        (Box::new(|| drop(mcp().max_anonymous_body(0))), "is 0 bytes: give 1024 to 4194304"),
    ];
    for (setter, sentence) in panics {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(setter)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(sentence), "{message}");
    }
}

#[tokio::test]
async fn rejections_can_be_customized() {
    let fixture = Fixture::new().await;
    let layer = fixture.server.mcp_layer(McpScopes::new().tool("add", ["notes:write"]).deny_unlisted());
    let layer = layer.on_rejection(|rejection| {
        let mut response = Response::new(Bytes::from(format!("sorry: {}", rejection.status())));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    });
    let server = McpServer::with(tools(layer), |_| "ok".into_response());
    let call = |name: &str| format!(r#"{{"id":7,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
    for (body, body_text, kind) in [
        (call("add"), "sorry: 403 Forbidden", RejectionKind::InsufficientScope),
        (call("other"), "sorry: 403 Forbidden", OperationFailure::Unlisted.into()),
        ("?".to_owned(), "sorry: 400 Bad Request", OperationFailure::Unreadable.into()),
    ] {
        let answer = server.post(&fixture.token(), &[], body).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::IM_A_TEAPOT, body_text));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.rejection.as_ref().unwrap().kind(), kind);
        let challenge = (kind == RejectionKind::InsufficientScope).then(|| "mcp:tools notes:write".to_owned());
        assert_eq!(answer.parameter("scope"), challenge);
        assert_eq!(answer.parameter("resource_metadata").is_some_and(|url| url == METADATA_URL), challenge.is_some());
        assert!(server.take_reached().is_empty());
    }
}
