//! A rule for a resource also applies to every other spelling of its URI.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use mcp_bearer::ResourceServer;
use mcp_bearer::mcp::{McpRequestBody, McpScopes};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{REACHED, RESOURCE, cases, issuer, paused};

/// A change of a URI that some servers treat as the same URI.
#[derive(Debug, Clone)]
enum Spelling {
    OtherCase(usize),
    Escape(usize),
    LowerEscape(usize),
    DoubleSlash(usize),
    Dot(usize),
    /// A directory and `..`.
    Detour(usize, String),
    EscapedDetour(usize),
    Backslash(usize),
    SlashAtTheEnd,
    Query(String),
}

impl Spelling {
    fn apply(&self, uri: &str) -> String {
        let at = |index: usize| index % uri.len();
        let slash = |index: usize| {
            let slashes: Vec<usize> = uri.match_indices('/').map(|(at, _)| at).skip(1).collect();
            (!slashes.is_empty()).then(|| slashes[index % slashes.len()])
        };
        let insert = |index: usize, text: &str| {
            let Some(slash) = slash(index) else { return uri.to_owned() };
            let (before, after) = uri.split_at(slash + 1);
            format!("{before}{text}{after}")
        };
        // Escaped characters stay unchanged, because no server decodes a URI twice.
        let replace = |index: usize, replacement: &dyn Fn(char) -> String| {
            let is_unescaped = |at: usize| !uri[..at].bytes().rev().take(2).any(|byte| byte == b'%');
            match uri[index..].chars().next() {
                Some(character) if character != '%' && is_unescaped(index) => {
                    format!("{}{}{}", &uri[..index], replacement(character), &uri[index + character.len_utf8()..])
                }
                _ => uri.to_owned(),
            }
        };
        match self {
            Self::OtherCase(index) => replace(at(*index), &|character| character.to_ascii_uppercase().to_string()),
            Self::Escape(index) => replace(at(*index), &|character| format!("%{:02X}", u32::from(character))),
            Self::LowerEscape(index) => replace(at(*index), &|character| format!("%{:02x}", u32::from(character))),
            Self::DoubleSlash(index) => insert(*index, "/"),
            Self::Dot(index) => insert(*index, "./"),
            Self::Detour(index, name) => insert(*index, &format!("{name}/../")),
            Self::EscapedDetour(index) => insert(*index, "x/%2E%2e/"),
            Self::Backslash(index) => {
                slash(*index).map_or(uri.to_owned(), |slash| replace(slash, &|_| "\\".to_owned()))
            }
            Self::SlashAtTheEnd => format!("{uri}/"),
            Self::Query(text) => format!("{uri}?{text}"),
        }
    }
}

fn spellings() -> impl Strategy<Value = Spelling> {
    let index = 0_usize..100;
    prop_oneof![
        index.clone().prop_map(Spelling::OtherCase),
        index.clone().prop_map(Spelling::Escape),
        index.clone().prop_map(Spelling::LowerEscape),
        index.clone().prop_map(Spelling::DoubleSlash),
        index.clone().prop_map(Spelling::Dot),
        (index.clone(), "[a-z]{1,3}").prop_map(|(index, name)| Spelling::Detour(index, name)),
        index.clone().prop_map(Spelling::EscapedDetour),
        index.prop_map(Spelling::Backslash),
        Just(Spelling::SlashAtTheEnd),
        "[a-z=&]{0,5}".prop_map(Spelling::Query),
    ]
}

#[test]
fn a_rule_applies_to_every_spelling_of_a_resource_uri() {
    let runtime = paused();
    let (issuer, server) = runtime.block_on(async {
        let (issuer, clock) = issuer();
        let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock).build().await.unwrap();
        (issuer, server)
    });
    let rules = McpScopes::new().resource("file:///secret/{id}", ["secret"]).any_resource(["other"]);
    let mcp = server.mcp_layer(rules);
    let handler = service_fn(|_: Request<McpRequestBody<Full<Bytes>>>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = REACHED;
        Ok::<_, Infallible>(response)
    });
    let service = mcp.layer(handler);
    let send = |scopes: &str, uri: &str| {
        let token = issuer.token().audience(RESOURCE).scope(scopes).sign();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": uri } });
        let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        runtime.block_on(service.clone().oneshot(request)).unwrap().status()
    };
    let uris = ("[a-z0-9]{1,4}", prop::collection::vec(spellings(), 0..5));
    let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(600) });
    runner
        .run(&uris, |(id, spellings)| {
            let plain = format!("file:///secret/{id}");
            prop_assert_eq!(send("secret other", &plain), REACHED);
            let uri = spellings.iter().fold(plain, |uri, spelling| spelling.apply(&uri));
            prop_assert_eq!(send("other", &uri), StatusCode::FORBIDDEN, "{}", uri);
            // A token with all scopes may read every spelling.
            prop_assert_eq!(send("secret other", &uri), REACHED, "{}", uri);
            Ok(())
        })
        .unwrap();
}
