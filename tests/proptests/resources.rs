//! A resource that a rule guards, by whatever name it is asked for.

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

/// A way of writing a URI that a server may read as the plain one.
#[derive(Debug, Clone)]
enum Disguise {
    OtherCase(usize),
    Escape(usize),
    LowerEscape(usize),
    DoubleSlash(usize),
    Dot(usize),
    /// Into a directory and out again.
    Detour(usize, String),
    EscapedDetour(usize),
    Backslash(usize),
    SlashAtTheEnd,
    Query(String),
}

impl Disguise {
    fn put_on(&self, uri: &str) -> String {
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
        // What is escaped already stays as it is: none of these readers decodes twice.
        let replace = |index: usize, by: &dyn Fn(char) -> String| {
            let is_free = |at: usize| !uri[..at].bytes().rev().take(2).any(|byte| byte == b'%');
            match uri[index..].chars().next() {
                Some(character) if character != '%' && is_free(index) => {
                    format!("{}{}{}", &uri[..index], by(character), &uri[index + character.len_utf8()..])
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

fn disguises() -> impl Strategy<Value = Disguise> {
    let index = 0_usize..100;
    prop_oneof![
        index.clone().prop_map(Disguise::OtherCase),
        index.clone().prop_map(Disguise::Escape),
        index.clone().prop_map(Disguise::LowerEscape),
        index.clone().prop_map(Disguise::DoubleSlash),
        index.clone().prop_map(Disguise::Dot),
        (index.clone(), "[a-z]{1,3}").prop_map(|(index, name)| Disguise::Detour(index, name)),
        index.clone().prop_map(Disguise::EscapedDetour),
        index.prop_map(Disguise::Backslash),
        Just(Disguise::SlashAtTheEnd),
        "[a-z=&]{0,5}".prop_map(Disguise::Query),
    ]
}

#[test]
fn a_guarded_resource_is_guarded_in_every_disguise() {
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
    let ask = |scopes: &str, uri: &str| {
        let token = issuer.token().audience(RESOURCE).scope(scopes).sign();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": uri } });
        let request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        runtime.block_on(service.clone().oneshot(request)).unwrap().status()
    };
    let uris = ("[a-z0-9]{1,4}", prop::collection::vec(disguises(), 0..5));
    let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(600) });
    runner
        .run(&uris, |(id, disguises)| {
            let plain = format!("file:///secret/{id}");
            prop_assert_eq!(ask("secret other", &plain), REACHED);
            let uri = disguises.iter().fold(plain, |uri, disguise| disguise.put_on(&uri));
            prop_assert_eq!(ask("other", &uri), StatusCode::FORBIDDEN, "{}", uri);
            // With all that there is, any name will do.
            prop_assert_eq!(ask("secret other", &uri), REACHED, "{}", uri);
            Ok(())
        })
        .unwrap();
}
