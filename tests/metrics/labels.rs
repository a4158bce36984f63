//! No label can come from a request.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{HeaderValue, Method, Request};
use serde_json::json;

use crate::exporter::Exporter;
use crate::server::{JWTS, OPAQUE, RESOURCE, Server};
use crate::table;

/// In every value that the requests below vary, so that a label with a part of one is found.
const MARK: &str = "hostile";

#[tokio::test(start_paused = true)]
async fn no_label_contains_anything_from_a_request() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let mark = |at: &str| format!("{MARK}-{at}\",le=\"0\"}} 1");
    let valid = || server.token().subject(&mark("sub")).client_id(&mark("client"));
    let answer = |claims: serde_json::Value| {
        let token = format!("{MARK}-{}", claims.as_object().unwrap().len());
        server.opaque.introspection_answer(&token, claims);
        token
    };
    let tokens = [
        valid().sign(),
        valid().header("kid", mark("kid")).sign(),
        valid().header("alg", mark("alg")).sign(),
        valid().header("typ", mark("typ")).sign(),
        valid().header("crit", json!([mark("crit")])).sign(),
        valid().claim("iss", mark("iss")).sign(),
        valid().claim("iss", format!("{JWTS}/{MARK}")).sign(),
        valid().claim("aud", mark("aud")).sign(),
        valid().claim("aud", format!("{RESOURCE}/{MARK}")).sign(),
        valid().claim("exp", mark("exp")).sign(),
        valid().claim("jti", mark("jti")).sign(),
        valid().claim("scope", format!("mcp:tools {MARK}")).sign(),
        valid().claim("scope", MARK).sign(),
        format!("{MARK}.{MARK}.{MARK}"),
        MARK.repeat(3_000),
        MARK.to_owned(),
        answer(json!({"active": true, "aud": MARK})),
        answer(json!({"active": true, "aud": RESOURCE, "sub": MARK})),
        answer(json!({"active": true, "aud": RESOURCE, "scope": "mcp:tools", "iss": MARK})),
        answer(json!({"active": true, "aud": RESOURCE, "scope": "mcp:tools", "iss": OPAQUE, "client_id": MARK})),
    ];
    let authorizations = tokens.iter().map(|token| format!("Bearer {token}"));
    let others = [MARK.to_owned(), format!("{MARK} x"), format!("DPoP {MARK}"), format!("Bearer {MARK} {MARK}")];
    let methods = [Method::GET, Method::POST, Method::DELETE, Method::from_bytes(b"HOSTILE").unwrap()];
    let mut sent = 0;
    for authorization in authorizations.chain(others).map(Some).chain([None]) {
        for (method, path) in methods.iter().flat_map(|method| ["/rest", "/mcp"].map(|path| (method, path))) {
            for origin in [None, Some("https://hostile.example")] {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":"{MARK}","method":"tools/call","params":{{"name":"{MARK}"}},"{MARK}":1}}"#
                );
                let mut request = Request::new(Body::from(body));
                *request.method_mut() = method.clone();
                *request.uri_mut() = format!("{path}?access_token={MARK}&{MARK}=1").parse().unwrap();
                let headers = [
                    ("authorization", authorization.as_deref()),
                    ("origin", origin),
                    ("content-type", Some("application/json")),
                    ("host", Some("hostile.example")),
                    ("x-forwarded-host", Some("hostile.example")),
                    ("x-request-id", Some(MARK)),
                    ("traceparent", Some(MARK)),
                    ("user-agent", Some(MARK)),
                    ("mcp-session-id", Some(MARK).filter(|_| sent % 3 == 0)),
                    ("mcp-method", Some(MARK).filter(|_| sent % 3 == 1)),
                    ("mcp-name", Some(MARK).filter(|_| sent % 3 == 2)),
                    ("mcp-protocol-version", Some(MARK)),
                ];
                for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                    request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
                }
                drop(server.send(request).await);
                sent += 1;
            }
        }
    }
    let page = exporter.page();
    let rejected = page.samples.iter().filter(|sample| sample.name == "mcp_bearer_requests_rejected_total");
    let causes: BTreeSet<_> = rejected.map(|sample| sample.labels["cause"].as_str()).collect();
    assert!(causes.len() >= 15, "{causes:?}");
    assert_closed(&page.labels());
    for sample in &page.samples {
        assert!(sample.labels.values().all(|value| !value.contains(MARK)), "{sample:?}");
    }
}

/// Asserts that each value of each label is configured, or listed in the guide.
pub fn assert_closed(labels: &BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>>) {
    let table = table::metrics();
    for (metric, labels) in labels {
        let row = table.get(*metric).unwrap_or_else(|| panic!("the guide does not list {metric}"));
        for (label, values) in labels {
            let allowed = match *label {
                "resource" => [RESOURCE].map(str::to_owned).into(),
                "issuer" => [JWTS, OPAQUE].map(str::to_owned).into(),
                "cause" => table::causes(),
                label => row.labels[label].clone(),
            };
            for value in values {
                assert!(allowed.contains(*value), "{metric}: {label}={value:?} is not in {allowed:?}");
            }
        }
    }
}
