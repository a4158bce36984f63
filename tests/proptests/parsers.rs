//! No input makes a parser panic, and the parsed values are the values of the input.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use mcp_bearer::ResourceServer;
use mcp_bearer::claims::Claims;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::mcp::{McpRequestBody, McpScopes};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{ISSUER, REACHED, RESOURCE, cases, issuer, paused, send, send_token};

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_parsed_document_has_the_values_of_its_json(document in documents()) {
        let as_value: Option<Value> = serde_json::from_slice(&document).ok();
        if let Ok(claims) = Claims::from_json(document.clone()) {
            let members = claims.members().clone();
            prop_assert_eq!(Some(Value::Object(members)), as_value.clone());
            let subject = as_value.as_ref().and_then(|value| value["sub"].as_str()).filter(|subject| !subject.is_empty());
            prop_assert_eq!(claims.subject(), subject);
        }
        if let Ok(keys) = JwkSet::from_json(&document) {
            let members = as_value.as_ref().and_then(|value| value["keys"].as_array()).map(Vec::len);
            prop_assert_eq!(Some(keys.keys().len() + keys.skipped().len()), members);
        }
        if let Ok(metadata) = AuthorizationServerMetadata::from_json(&document) {
            let issuer = as_value.as_ref().and_then(|value| value["issuer"].as_str());
            prop_assert_eq!(Some(metadata.issuer().as_str()), issuer);
        }
    }
}

#[test]
fn no_arbitrary_authorization_header_is_accepted() {
    let runtime = paused();
    let (issuer, layer) = runtime.block_on(async {
        let (issuer, clock) = issuer();
        let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock).build().await.unwrap();
        (issuer, server.bearer_layer())
    });
    let scheme = prop_oneof![6 => Just("Bearer ".to_owned()), 1 => "[Bb]earer[ \t,]{0,3}", 1 => "[!-~]{0,9} ?"];
    let arbitrary = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..200),
        "[A-Za-z0-9_.-]{0,60}".prop_map(String::into_bytes),
        documents().prop_map(|header| token(&header, br#"{"iss":"https://auth.example.com"}"#)),
        documents().prop_map(|payload| token(br#"{"alg":"ES256","typ":"at+jwt"}"#, &payload)),
    ];
    let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(1_000) });
    let outcome = runner.run(&(scheme, arbitrary), |(scheme, rest)| {
        let value = [scheme.into_bytes(), rest].concat();
        if http::HeaderValue::from_bytes(&value).is_ok() {
            let (status, _) = runtime.block_on(send(&layer, &value));
            prop_assert!(matches!(status.as_u16(), 400 | 401), "{}", status);
        }
        Ok(())
    });
    outcome.unwrap();
    // The server fetches the metadata document and the key set. While the time is paused, unknown key ids cause two
    // more fetches at most.
    assert!(issuer.total_requests() <= 4, "{}", issuer.total_requests());
}

#[test]
fn a_request_body_reaches_the_handler_unchanged_or_is_rejected() {
    let runtime = paused();
    let (issuer, server) = runtime.block_on(async {
        let (issuer, clock) = issuer();
        let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock).build().await.unwrap();
        (issuer, server)
    });
    let rules = McpScopes::new().tool("a", ["a"]).resource("a://{b}", ["b"]).prompt("a", ["c"]).deny_unlisted();
    let mcp = server.mcp_layer(rules);
    let reached = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&reached);
    let handler = service_fn(move |request: Request<McpRequestBody<Full<Bytes>>>| {
        let seen = Arc::clone(&seen);
        async move {
            *seen.lock().unwrap() = Some(request.into_body().collect().await.unwrap().to_bytes());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let service = mcp.layer(handler);
    let bearer = format!("Bearer {}", issuer.token().audience(RESOURCE).sign());
    let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(1_000) });
    let outcome = runner.run(&documents(), |document| {
        let request = Request::post("/mcp").header(header::AUTHORIZATION, &bearer);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(document.clone()))).unwrap();
        let status = runtime.block_on(service.clone().oneshot(request)).unwrap().status();
        let received = reached.lock().unwrap().take();
        match received {
            Some(body) => {
                prop_assert_eq!(body, document.clone());
                // No other JSON parser can find an operation in it that needs a scope.
                let text = std::str::from_utf8(&document).expect("a body that reaches the handler is valid UTF-8");
                let messages = match serde_json::from_str(text) {
                    Ok(Value::Array(messages)) => messages,
                    Ok(message) => vec![message],
                    // The document is valid JSON, but `serde_json` does not represent its large number or its unpaired
                    // surrogate as a `Value`. Such a document is not ambiguous.
                    Err(_) => {
                        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                        Vec::new()
                    }
                };
                for message in messages {
                    let method = message["method"].as_str().unwrap_or_default();
                    let needs_scope = ["tools/call", "prompts/get", "resources/read"].contains(&method);
                    prop_assert!(!needs_scope, "{}", message);
                }
            }
            None => prop_assert!(status.is_client_error(), "{}", status),
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn only_a_valid_introspection_response_makes_a_token_active() {
    let runtime = paused();
    let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(1_000) });
    let outcome = runner.run(&documents(), |document| {
        let status = runtime.block_on(async {
            let (_, clock) = issuer();
            let found = mcp_bearer::Issuer::discover(ISSUER)
                .introspect_all(ClientCredentials::basic("id", "secret"))
                .introspection_endpoint(format!("{ISSUER}/introspect"))
                .http_client(FixedResponse(document.clone().into()));
            let server = ResourceServer::builder(RESOURCE).issuer(found).clock(clock).build_lazy().unwrap();
            send_token(&server.bearer_layer(), "opaque").await
        });
        let value: Option<Value> = serde_json::from_slice(&document).ok();
        match status {
            REACHED => {
                let value = value.unwrap();
                prop_assert_eq!(&value["active"], &json!(true));
                let contains_resource = |audience: &Value| match audience {
                    Value::String(one) => one == RESOURCE,
                    Value::Array(some) => some.iter().any(|one| one == RESOURCE),
                    _ => false,
                };
                prop_assert!(contains_resource(&value["aud"]) || contains_resource(&value["resource"]), "{}", value);
                prop_assert!(value["exp"].is_null() || value["exp"].as_f64() > Some(1_799_999_000.0), "{}", value);
            }
            // The server returns 401 only for a response with a Boolean `active`. Every other response counts as an
            // outage.
            other if other == 401 => prop_assert!(value.is_some_and(|value| value["active"].is_boolean())),
            other => prop_assert_eq!(other.as_u16(), 503),
        }
        Ok(())
    });
    outcome.unwrap();
}

struct FixedResponse(Bytes);

impl HttpClient for FixedResponse {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        Box::pin(std::future::ready(Ok(Response::new(self.0.clone()))))
    }
}

fn token(header: &[u8], payload: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let encode = |part| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}.AAAA", encode(header), encode(payload)).into_bytes()
}

/// Documents for all parsers, unchanged or with some bytes changed.
fn documents() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        6 => values().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => "[\\[\\]{}\",:0-9eE.+\\\\ u-]{0,40}".prop_map(String::into_bytes),
        1 => (1_usize..300, prop::sample::select(vec!["[", "{\"a\":", "{\"params\":", "[{\"aud\":"]))
            .prop_map(|(depth, open)| open.repeat(depth).into_bytes()),
    ];
    let changes = prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..3), 0..3);
    (whole, changes).prop_map(|(mut document, changes)| {
        for (at, byte, kind) in changes {
            let at = at.index(document.len() + 1).min(document.len().saturating_sub(1));
            match kind {
                _ if document.is_empty() => {}
                0 => document[at] = byte,
                1 => document.insert(at, byte),
                _ => drop(document.remove(at)),
            }
        }
        document
    })
}

/// Objects with member names that the parsers know, and values that sometimes have the right type.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        1 => Just(json!(true)),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(json!(1_900_000_000)),
        1 => any::<String>().prop_map(Value::from),
    ];
    let object = |inner: BoxedStrategy<Value>| {
        let member = (prop::sample::select(NAMES.to_vec()), inner);
        prop::collection::vec(member, 0..6).prop_map(|members| {
            Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        })
    };
    let value = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![2 => object(inner.clone().boxed()), 1 => prop::collection::vec(inner, 0..4).prop_map(Value::from)]
    });
    // Most documents are nearly valid, so that the parsers do not stop at the first member.
    let nearly_valid = prop::sample::select(vec![
        json!({ "active": true, "aud": RESOURCE }),
        json!({ "active": false }),
        json!({ "active": true }),
        json!({ "active": "true", "aud": RESOURCE }),
        json!({ "sub": "" }),
        json!({ "iss": ISSUER, "aud": [RESOURCE], "exp": 1_900_000_000, "sub": "a", "scope": "a b" }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" }),
        json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks") }),
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "k" }, {}] }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "a" } }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": "a://x" } }),
        json!([{ "jsonrpc": "2.0", "method": "ping" }, { "jsonrpc": "2.0", "id": 1, "result": {} }]),
    ]);
    let merged = (nearly_valid, object(value.clone().boxed())).prop_map(|(mut nearly_valid, more)| {
        if let (Value::Object(nearly_valid), Value::Object(more)) = (&mut nearly_valid, more) {
            nearly_valid.extend(more);
        }
        nearly_valid
    });
    prop_oneof![3 => merged, 2 => value]
}

const NAMES: [&str; 26] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "scope",
    "scp",
    "cnf",
    "typ",
    "alg",
    "kid",
    "crit",
    "keys",
    "kty",
    "crv",
    "issuer",
    "active",
    "resource",
    "method",
    "params",
    "name",
    "uri",
    "id",
    "result",
    "token_type",
];

const WORDS: [&str; 12] = [
    RESOURCE,
    ISSUER,
    "ES256",
    "none",
    "Bearer",
    "tools/call",
    "resources/read",
    "prompts/get",
    "a",
    "a://b",
    "P-256",
    "",
];
