//! The cost of an input grows at most linearly with its length, even for inputs that are made to be expensive.
//!
//! The test counts allocations, allocated bytes, and comparisons of a URI with a rule. These numbers are the same on
//! every machine and in every build. The test does not see work without allocations. Size limits bound that work: 16
//! KiB for a token, 64 KiB for an introspection response, 256 KiB for a metadata document or key set, 8 KiB for a URI,
//! 256 URIs and 4 MiB for a request body.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test panics when it cannot continue")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "tests know their data")]

use std::alloc::System;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::claims::Claims;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::mcp::{McpRequestBody, McpScopes};
use mcp_bearer::testing::{TestIssuer, uri_comparisons};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, ServiceExt as _, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ISSUER: &str = "https://auth.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

/// A name, and a function that creates an input of about this many bytes.
type Family = (&'static str, fn(usize) -> String);

/// Documents with a valid start and many or long members.
const DOCUMENTS: [Family; 14] = [
    ("members", |length| object(&repeated(length, |index| format!("\"member{index:09}\":1")))),
    ("members in descending order", |length| {
        object(&repeated(length, |index| format!("\"member{:09}\":1", 999_999_999 - index)))
    }),
    ("the same member", |length| object(&repeated(length, |_| "\"member\":1".to_owned()))),
    ("objects with the same member", |length| list(&repeated(length, |_| "{\"a\":1,\"a\":1}".to_owned()))),
    ("members that are objects", |length| {
        object(&repeated(length, |index| format!("\"member{index:09}\":{{\"a\":1}}")))
    }),
    ("escaped names", |length| object(&repeated(length, |index| format!("\"\\u0061{index:09}\":\"\\n\"")))),
    ("one long name", |length| object(&format!("\"{}\":1", "\\u00e9".repeat(length / 6)))),
    ("one long text", |length| object(&format!("\"sub\":\"{}\"", "\\ud83d\\ude00".repeat(length / 12)))),
    ("one long number", |length| object(&format!("\"exp\":{}", "9".repeat(length)))),
    ("a number with a long fraction", |length| object(&format!("\"exp\":1.{}e1", "0".repeat(length)))),
    ("lists in lists", |length| object(&format!("\"a\":{}", "[".repeat(length)))),
    ("objects in objects", |length| "{\"a\":".repeat(length / 5)),
    ("shallow lists, each deep", |length| {
        list(&repeated(length, |_| format!("{}{}", "[".repeat(100), "]".repeat(100))))
    }),
    ("texts of a list", |length| list(&repeated(length, |index| format!("\"text{index:06}\"")))),
];

const HEADERS: [Family; 8] = [
    ("dots", |length| format!("Bearer {}", ".".repeat(length))),
    ("a long scheme", |length| "B".repeat(length)),
    ("spaces", |length| format!("Bearer {}x", " ".repeat(length))),
    ("padding", |length| format!("Bearer a{}", "=".repeat(length))),
    ("commas", |length| format!("Basic {}", ",".repeat(length))),
    ("other schemes", |length| format!("Basic {}", "a, Bearer_b ".repeat(length / 12))),
    ("one part", |length| format!("Bearer {}", "A".repeat(length))),
    ("three parts", |length| format!("Bearer e30.{}.AAAA", "A".repeat(length))),
];

const URIS: [Family; 8] = [
    ("slashes", |length| format!("file:///{}", "/".repeat(length))),
    ("backslashes", |length| format!("file:///{}", "\\".repeat(length))),
    ("segments", |length| format!("file:///{}", "a/".repeat(length / 2))),
    ("escapes", |length| format!("file:///{}", "%2e".repeat(length / 3))),
    ("dots", |length| format!("file:///{}", "./".repeat(length / 2))),
    ("detours", |length| format!("file:///{}", "a/../".repeat(length / 5))),
    ("the repeated literal of a template", |length| format!("file:///{}", "ab".repeat(length / 2))),
    ("characters beyond ASCII", |length| format!("file:///{}", "\u{e9}".repeat(length / 2))),
];

/// The measurements run one after the other in a single test, because tests in parallel would count each other's
/// allocations.
#[test]
fn the_cost_of_an_input_grows_at_most_linearly_with_its_length() {
    issuer_documents();
    tokens();
    introspection_responses();
    bodies();
    uris_of_one_body();
}

fn issuer_documents() {
    for family in DOCUMENTS {
        measure("claims", family, 16 << 10, |text| drop(Claims::from_json(text)));
        measure("a key set", family, 32 << 10, |text| drop(JwkSet::from_json(text)));
        measure("metadata", family, 32 << 10, |text| drop(AuthorizationServerMetadata::from_json(text)));
    }
    for (name, member) in
        [("keys", "{}"), ("keys", "{\"kty\":\"EC\"}"), ("keys", "[[]]"), ("scopes_supported", "\"a\"")]
    {
        let document = |length: usize| {
            let members = vec![member; length / (member.len() + 1)].join(",");
            format!("{{\"issuer\":\"{ISSUER}\",\"{name}\":[{members}]}}")
        };
        assert_linear("a key set", name, &[32 << 10, 64 << 10, 128 << 10].map(document), |text| {
            drop(JwkSet::from_json(text))
        });
        let metadata = [32 << 10, 64 << 10, 128 << 10].map(document);
        assert_linear("metadata", name, &metadata, |text| drop(AuthorizationServerMetadata::from_json(text)));
    }
}

fn tokens() {
    let runtime = runtime();
    let issuer = TestIssuer::new(ISSUER);
    let server = runtime.block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let layer = server.bearer_layer();
    for family in HEADERS {
        measure("a header", family, 4_000, |value| send(&runtime, &layer, value));
    }
    for (name, document) in DOCUMENTS {
        let header = [600, 1_200, 2_400].map(|length| {
            let header = document(length).replacen('{', "{\"alg\":\"ES256\",", 1);
            format!("Bearer {}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
        });
        assert_linear("the header of a token", name, &header, |value| send(&runtime, &layer, value));
        let payload = [2_500, 5_000, 10_000].map(|length| {
            let header = URL_SAFE_NO_PAD.encode("{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}");
            format!("Bearer {header}.{}.AAAA", URL_SAFE_NO_PAD.encode(document(length)))
        });
        assert_linear("the payload of a token", name, &payload, |value| send(&runtime, &layer, value));
    }
    for claim in ["aud", "scope", "scp"] {
        let token = |length: usize| {
            let scopes: Vec<String> = (0..length / 8).map(|index| format!("s{index:05}")).collect();
            let scopes = if claim == "scope" { json!(scopes.join(" ")) } else { json!(scopes) };
            format!("Bearer {}", issuer.token().audience(RESOURCE).claim(claim, scopes).sign())
        };
        assert_linear("a signed token", claim, &[2_000, 4_000, 8_000].map(token), |value| {
            send(&runtime, &layer, value)
        });
    }
}

fn introspection_responses() {
    let runtime = runtime();
    let answer = Arc::new(Mutex::new(Bytes::new()));
    let settings = Introspection::new(ClientCredentials::basic("id", "secret"));
    let settings = settings.positive_cache(std::time::Duration::ZERO).negative_cache(std::time::Duration::ZERO);
    let issuer = Issuer::discover(ISSUER)
        .introspect_all(settings)
        .introspection_endpoint("https://auth.example.com/introspect")
        .http_client(FixedResponse(Arc::clone(&answer)));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap();
    let layer = server.bearer_layer();
    for (name, document) in DOCUMENTS {
        let introspection_responses = [8 << 10, 16 << 10, 32 << 10].map(|length| {
            let start = format!("{{\"active\":true,\"aud\":\"{RESOURCE}\",");
            document(length).replacen('{', &start, 1)
        });
        assert_linear("an introspection response", name, &introspection_responses, |text| {
            *answer.lock().unwrap() = text.to_owned().into();
            send(&runtime, &layer, "Bearer opaque");
        });
    }
}

/// Returns a function that posts a body to a server with these rules and returns the status of the response.
fn post_with(rules: McpScopes) -> impl Fn(&str) -> StatusCode {
    let runtime = runtime();
    let issuer = TestIssuer::new(ISSUER);
    let server = runtime.block_on(ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).build()).unwrap();
    let mcp = server.mcp_layer(rules);
    let handler = service_fn(|_: Request<McpRequestBody<Full<Bytes>>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let service = mcp.layer(handler);
    let bearer = format!("Bearer {}", issuer.token().audience(RESOURCE).sign());
    move |body| {
        let request = Request::post("/mcp").header(header::AUTHORIZATION, &bearer);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        runtime.block_on(service.clone().oneshot(request)).unwrap().status()
    }
}

fn bodies() {
    let rules = McpScopes::new()
        .tool("a", ["a"])
        .resource("file:///{a}ab{b}ab{c}", ["b"])
        .resource("file:///{+a}ab{b}", ["c"])
        .any_resource(["d"]);
    let status_of = post_with(rules);
    let post = |body: &str| _ = status_of(body);
    for (name, document) in DOCUMENTS {
        let parameters = [32 << 10, 64 << 10, 128 << 10]
            .map(|length| format!("{{\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{}}}", document(length)));
        assert_linear("parameters", name, &parameters, post);
        let body = [32 << 10, 64 << 10, 128 << 10]
            .map(|length| document(length).replacen('{', "{\"method\":\"tools/call\",\"params\":{\"name\":\"a\"},", 1));
        assert_linear("a message", name, &body, post);
    }
    for message in [json!({ "method": "tools/call", "params": { "name": "a" } }), json!({ "id": 1, "result": {} })] {
        let batch = |count: usize| format!("[{}]", vec![message.to_string(); count].join(","));
        assert_linear("a batch", "messages", &[16, 32, 64].map(batch), post);
    }
    let read = |uri: String| json!({ "id": 1, "method": "resources/read", "params": { "uri": uri } }).to_string();
    for (name, uri) in URIS {
        assert_linear("a resource", name, &[1_800, 3_600, 7_200].map(|length| read(uri(length))), post);
        let subscribe = |count: usize| {
            let uris = vec![uri(200); count];
            let notifications = json!({ "resourceSubscriptions": uris });
            json!({ "id": 1, "method": "subscriptions/listen", "params": { "notifications": notifications } })
                .to_string()
        };
        assert_linear("subscriptions", name, &[60, 120, 240].map(subscribe), post);
    }
}

/// The maximum number of URIs of one request body that the server compares with rules.
const MAX_URIS: usize = 256;

/// The server compares at most `MAX_URIS` URIs of a body with the rules, regardless of how many the body contains.
fn uris_of_one_body() {
    let rules = 100;
    let scopes = (0..rules).fold(McpScopes::new(), |scopes, index| {
        scopes.resource(format!("notes://area{index}/{{a}}/{{b}}"), [format!("scope{index}")])
    });
    let status_of = post_with(scopes);
    let post = |body: &str| _ = status_of(body);
    let read = |uri: &str| json!({ "id": 1, "method": "resources/read", "params": { "uri": uri } });
    let complete = |uri: &str| json!({ "id": 1, "method": "completion/complete", "params": { "ref": { "uri": uri } } });
    let listen = |uris: Vec<&str>| json!({ "id": 1, "method": "subscriptions/listen", "params": { "notifications": { "resourceSubscriptions": uris } } });
    // The server compares up to seven forms of a URI: the URI as written, the URI without its query, and the decoded
    // form of that. The last two are each compared without a slash at the end, with the slashes that they have, and
    // with one more slash.
    let most = u64::try_from(MAX_URIS * rules * 7).unwrap();
    for uri in
        ["", "a", "notes://", "notes://area1/b/c", "notes://area1/b/c/?d", "notes://area1/b%2Fc/", " ", "{a}", "%"]
    {
        // Up to the limit, the cost grows with the number of URIs.
        assert_linear("subscriptions", uri, &[64, 128, 256].map(|count| listen(vec![uri; count]).to_string()), post);
        for (what, message) in [("read", read(uri)), ("complete", complete(uri))] {
            assert_linear(what, uri, &[64, 128, 256].map(|count| json!(vec![&message; count]).to_string()), post);
        }
        // Beyond the limit, the server does not read the rest of the body, so the cost does not grow.
        let short = |count: usize| json!(vec![read(uri); count]).to_string();
        let empty = |count: usize| json!(vec![listen(vec![uri; MAX_URIS]); count]).to_string();
        for (name, bodies) in
            [("many short", [257, 500, 1_000].map(short)), ("many, in a batch", [2, 100, 500].map(empty))]
        {
            let costs = bodies.each_ref().map(|body| {
                assert_eq!(status_of(body), StatusCode::BAD_REQUEST, "{name} of {uri:?}");
                let (region, before) = (Region::new(ALLOCATOR), uri_comparisons());
                post(body);
                let comparisons = uri_comparisons() - before;
                assert!(comparisons <= most, "{name} of {uri:?}: {comparisons} comparisons");
                let change = region.change();
                // The test itself copies the body once to send it.
                [change.allocations + change.reallocations, change.bytes_allocated.saturating_sub(body.len())]
            });
            let [first, ..] = costs;
            for cost in costs {
                let is_constant = cost.iter().zip(first).all(|(cost, first)| *cost <= first + first / 5 + 4_096);
                assert!(is_constant, "{name} of {uri:?}: {costs:?}");
            }
        }
    }
}

fn send(runtime: &Runtime, layer: &BearerAuthLayer, authorization: &str) {
    let inner = service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(()))));
    let mut request = Request::new(());
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
    drop(runtime.block_on(layer.layer(inner).oneshot(request)).unwrap());
}

fn measure(what: &str, (name, family): Family, length: usize, parse: impl Fn(&str)) {
    assert_linear(what, name, &[length, length * 2, length * 4].map(family), parse);
}

/// Checks that the cost at most doubles when the length of the input doubles. The limit also allows for fixed costs and
/// for the spare capacity of vectors.
fn assert_linear(what: &str, name: &str, inputs: &[String; 3], parse: impl Fn(&str)) {
    let costs = inputs.each_ref().map(|input| {
        // The first call initializes everything that is only initialized once.
        parse(input);
        let (region, before) = (Region::new(ALLOCATOR), uri_comparisons());
        parse(input);
        let comparisons = usize::try_from(uri_comparisons() - before).unwrap();
        let change = region.change();
        [change.allocations + change.reallocations, change.bytes_allocated, comparisons]
    });
    let [first, second, third] = costs;
    for (unit, (unit_name, tolerance)) in
        [("allocations", 16), ("bytes", 4_096), ("comparisons", 0)].into_iter().enumerate()
    {
        let costs = [first, second, third].map(|cost| *cost.get(unit).unwrap());
        for pair in costs.windows(2) {
            let [less, more] = pair else { continue };
            let most = less * 2 + less / 5 + tolerance;
            assert!(*more <= most, "{what}, {name}: {costs:?} {unit_name}");
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn object(members: &str) -> String {
    format!("{{{members}}}")
}

fn list(members: &str) -> String {
    format!("{{\"keys\":[{members}]}}")
}

/// Returns members with different numbers, separated by commas, up to this length.
fn repeated(length: usize, member: impl Fn(usize) -> String) -> String {
    let one = member(0).len() + 1;
    (0..length / one).map(member).collect::<Vec<_>>().join(",")
}

struct FixedResponse(Arc<Mutex<Bytes>>);

impl HttpClient for FixedResponse {
    fn send(&self, _: Request<Bytes>, _: RequestLimits) -> HttpFuture<'_> {
        let answer = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(Response::new(answer))))
    }
}
