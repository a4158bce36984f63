//! A: where a request may carry a token, and where not (RFC 6750, section 2; OAuth 2.1, section 5.1).

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use http_body_util::{BodyExt as _, Empty};

use super::trial::{RecordingBody, Trial};
use crate::support::{App, RESOURCE};

#[tokio::test]
async fn a_request_without_credentials_gets_a_challenge_without_an_error() {
    let trial = Trial::cold();
    for method in [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let body = RecordingBody::default();
        let request = Request::builder().method(&method).uri("/mcp").body(Body::new(body.clone())).unwrap();
        let answer = trial.request("A01", method.as_str(), request, "R401N").await;
        assert_eq!(answer.status, 401, "{method}");
        assert!(!body.was_read(), "{method}: the body was read");
    }
    assert_eq!(trial.requests(), (0, 0));
}

#[tokio::test]
async fn only_one_well_formed_authorization_header_is_accepted() {
    let trial = Trial::warm().await;
    let valid = trial.fixture.token();
    let spaces = " ".repeat(50);
    for (id, value, verdict) in [
        ("A02", "".to_owned(), "R401N"),
        ("A02", " ".to_owned(), "R401N"),
        ("A02", " \t ".to_owned(), "R401N"),
        ("A04", format!("bearer {valid}"), "OK"),
        ("A04", format!("BEARER {valid}"), "OK"),
        ("A04", format!("bEaReR {valid}"), "OK"),
        ("A05", format!("Bearer  {valid}"), "OK"),
        ("A05", format!("Bearer{spaces}{valid}"), "OK"),
        ("A06", format!("Bearer\t{valid}"), "R400"),
        ("A06", format!("Bearer \t{valid}"), "R400"),
        ("A06", format!("Bearer\u{a0}{valid}"), "R400"),
        ("A08", format!("Bearer {valid} {valid}"), "R400"),
        ("A08", format!("Bearer {valid} extra"), "R400"),
        // White space around a field value is not part of it (RFC 9110, section 5.5). Without hyper, it reaches the
        // layer.
        ("A08", format!("Bearer {valid} "), "OK"),
        ("A08", format!("Bearer {valid}, Bearer {valid}"), "R400"),
        // The scheme is `Bearer`, so the request is malformed, and the status is 400 (RFC 6750, section 3.1).
        ("A08", "Bearer".to_owned(), "R400"),
        ("A08", "Bearer ".to_owned(), "R400"),
        // RFC 6750 does not fix the status of this case. This crate answers 400.
        ("A09", "Bearer a,b".to_owned(), "R400"),
        ("A09", format!("Bearer \"{valid}\""), "R400"),
        ("A09", format!("Bearer {valid};b"), "R400"),
        ("A09", format!("Bearer <{valid}>"), "R400"),
        ("A09", "Bearer a%20b".to_owned(), "R400"),
        ("A09", format!("Bearer {valid}=x"), "R400"),
        ("A09", "Bearer ====".to_owned(), "R400"),
        ("A10", format!("Bearer token=\"{valid}\""), "R400"),
        ("A10", format!("Bearer access_token={valid}"), "R400"),
        ("A12", "Basic dXNlcjpwYXNz".to_owned(), "R401N"),
        ("A12", "Digest username=\"x\", realm=\"y\"".to_owned(), "R401N"),
        ("A12", "Negotiate YII=".to_owned(), "R401N"),
        ("A12", format!("DPoP {valid}"), "R401N"),
        ("A12", format!("Bearerx {valid}"), "R401N"),
        ("A12", valid.clone(), "R401N"),
        ("A16", format!("Bearer {valid}\u{e9}"), "R400"),
        ("A16", "Bearer \u{e9}".to_owned(), "R400"),
        ("A17", format!("\u{392}earer {valid}"), "R400"),
        ("A17", format!("\u{ff22}EARER {valid}"), "R400"),
    ] {
        one_field(&trial, id, value.as_bytes(), verdict).await;
    }
    one_field(&trial, "A16", b"Bearer \xff\xfe", "R400").await;
    one_field(&trial, "A16", b"B\xe9arer abc", "R400").await;
}

async fn one_field(trial: &Trial, id: &str, value: &[u8], verdict: &str) {
    let before = trial.requests();
    let what = String::from_utf8_lossy(value);
    let value = HeaderValue::from_bytes(value).unwrap();
    let request = Request::get("/mcp").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
    trial.request(id, &what, request, verdict).await;
    assert_eq!(trial.requests(), before, "{id} {what}: the header must not cause a request");
}

#[test]
fn a_header_cannot_contain_a_control_character() {
    // An `http::HeaderValue` cannot contain these bytes. Over a socket, hyper answers 400: see `over_a_socket`.
    for (id, value) in [("A06", &b"Bearer\x0bT"[..]), ("A06", b"Bearer \nT"), ("F09", b"Bearer T\r\nX: y")] {
        assert!(HeaderValue::from_bytes(value).is_err(), "{id}");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_rejected() {
    let trial = Trial::warm().await;
    let (valid, other) = (trial.fixture.token(), trial.fixture.issuer.token().audience("https://evil").sign());
    let bearer = |token: &str| format!("Bearer {token}");
    for (id, first, second) in [
        ("A13", bearer(&valid), bearer(&valid)),
        ("A14", bearer(&valid), "Basic dXNlcjpwYXNz".to_owned()),
        ("A14", "Basic dXNlcjpwYXNz".to_owned(), bearer(&valid)),
        ("A14", bearer(&valid), bearer(&other)),
        ("A14", bearer(&other), bearer(&valid)),
        ("A14", bearer(&valid), String::new()),
        ("A14", String::new(), bearer(&valid)),
    ] {
        // Two fields of an HTTP/2 request are two entries of the header map, like those of HTTP/1.1.
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let request = Request::get("/mcp").version(version);
            let request = request.header(header::AUTHORIZATION, &first).header(header::AUTHORIZATION, &second);
            let request = request.body(Body::empty()).unwrap();
            trial.request(id, &format!("{version:?} {first} {second}"), request, "R400").await;
        }
    }
}

#[tokio::test]
async fn a_token_that_is_too_long_is_rejected() {
    let trial = Trial::cold();
    for length in [16 * 1024 + 1, 64 << 10, 1 << 20, 16 << 20] {
        let answer = trial.reject("A18", &length.to_string(), &"A".repeat(length)).await;
        // This description shows that the length is checked before the contents.
        assert_eq!(answer.parameter("error_description").as_deref(), Some("The access token is too long"));
        let parts = format!("{0}.{0}.{0}", "A".repeat(length / 3 + 1));
        trial.reject("A18", "in three parts", &parts).await;
    }
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn a_token_in_the_query_is_ignored() {
    let trial = Trial::warm().await;
    let valid = trial.fixture.token();
    let invalid = trial.fixture.issuer.token().audience("https://evil").sign();
    for (id, uri, authorization, verdict) in [
        ("A20", format!("/mcp?access_token={valid}"), None, "R401N"),
        ("A20", format!("/mcp?x=1&access_token={valid}"), None, "R401N"),
        ("A21", format!("/mcp?access_token={invalid}"), Some(&valid), "OK"),
        ("A21", "/mcp?access_token=x&access_token=y".to_owned(), Some(&valid), "OK"),
        ("A21", format!("/mcp?access_token={valid}"), Some(&invalid), "R401"),
    ] {
        let mut request = Request::get(&uri);
        if let Some(token) = authorization {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        trial.request(id, &uri, request.body(Body::empty()).unwrap(), verdict).await;
    }
}

#[tokio::test]
async fn a_token_in_the_body_is_ignored() {
    // Tokens in form fields (RFC 6750, section 2.2) are not supported. The body of a request without a token is never
    // read.
    let trial = Trial::cold();
    for (id, method, content_type) in [
        ("A22", Method::POST, "application/x-www-form-urlencoded"),
        ("A22", Method::POST, "application/x-www-form-urlencoded; charset=utf-8"),
        ("A24", Method::GET, "application/x-www-form-urlencoded"),
        ("A24", Method::POST, "multipart/form-data; boundary=x"),
        ("A24", Method::POST, "application/json"),
        ("A24", Method::PUT, "application/x-www-form-urlencoded"),
    ] {
        // The content of the body makes no difference: a valid token, two tokens, other bytes, or 10 MiB.
        let body = RecordingBody::default();
        let request = Request::builder().method(&method).uri("/mcp").header(header::CONTENT_TYPE, content_type);
        let request = request.header(header::CONTENT_LENGTH, 10 << 20).body(Body::new(body.clone())).unwrap();
        trial.request(id, content_type, request, "R401N").await;
        assert!(!body.was_read(), "{id} {method} {content_type}: the body was read");
    }
    for (id, body) in [
        ("A22", format!("access_token={}", trial.fixture.token())),
        ("A24", format!("access_token={0}&access_token={0}", trial.fixture.token())),
        ("A24", "access_token=\u{e9}".to_owned()),
        ("A24", format!("{{\"access_token\":\"{}\"}}", trial.fixture.token())),
    ] {
        let request = Request::post("/mcp").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        trial.request(id, &body, request.body(Body::from(body.clone())).unwrap(), "R401N").await;
    }
    assert_eq!(trial.requests(), (0, 0));
}

#[tokio::test]
async fn a_token_in_any_other_place_is_ignored() {
    let trial = Trial::cold();
    let valid = trial.fixture.token();
    for (id, name, value) in [
        ("A25", "proxy-authorization", format!("Bearer {valid}")),
        ("A25", "x-access-token", valid.clone()),
        ("A25", "x-forwarded-authorization", format!("Bearer {valid}")),
        ("A25", "x-forwarded-access-token", valid.clone()),
        ("A25", "cookie", format!("access_token={valid}; Authorization=Bearer {valid}")),
        ("A25", "sec-websocket-protocol", format!("bearer, {valid}")),
        ("A25", "trailer", "Authorization".to_owned()),
        ("A26", "x-auth-info", "alice".to_owned()),
        ("A26", "x-user", "alice".to_owned()),
        ("A26", "x_auth_user", "alice".to_owned()),
    ] {
        let request = Request::get("/mcp").header(name, value).body(Body::empty()).unwrap();
        trial.request(id, name, request, "R401N").await;
    }
    // Trailers follow the body, which is not read.
    let mut trailers = HeaderMap::new();
    trailers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {valid}")).unwrap());
    let body = Body::new(Empty::<Bytes>::new().with_trailers(std::future::ready(Some(Ok(trailers)))));
    trial.request("A25", "trailers", Request::post("/mcp").body(body).unwrap(), "R401N").await;
    assert_eq!(trial.requests(), (0, 0));
}

#[tokio::test]
async fn identity_headers_of_a_client_are_ignored() {
    let trial = Trial::warm().await;
    for (id, name) in [
        ("A26", "x-auth-info"),
        ("A26", "x-user"),
        ("A26", "x-forwarded-user"),
        ("A26", "x_auth_user"),
        ("A26", "remote-user"),
    ] {
        let request = Request::get("/mcp").header(name, "mallory").header("sub", "mallory");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", trial.fixture.token()));
        let answer = trial.request(id, name, request.body(Body::empty()).unwrap(), "OK").await;
        assert_eq!(answer.body, "alice", "{id} {name}");
    }
}

#[tokio::test]
async fn an_invalid_token_is_rejected_even_if_anonymous_requests_are_allowed() {
    let mut trial = Trial::warm().await;
    let layer = trial.fixture.server.bearer_layer().required_scopes(["mcp:tools"]);
    trial.app = App::new(layer.allow_anonymous());
    let issuer = &trial.fixture.issuer;
    let valid = trial.fixture.token();
    let expired = issuer.token().audience(RESOURCE).scope("mcp:tools").expired().sign();
    // Changes the first character of the signature.
    let at = valid.rfind('.').unwrap() + 1;
    let other = if valid[at..].starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{}{other}{}", &valid[..at], &valid[at + 1..]);
    for (id, authorization, verdict, body) in [
        ("A28", None, "OK", Some("anonymous")),
        ("A28", Some("Basic dXNlcjpwYXNz".to_owned()), "R401N", None),
        ("A28", Some(format!("Bearer {valid}")), "OK", Some("alice")),
        ("A28", Some(format!("Bearer {expired}")), "R401", None),
        ("A28", Some(format!("Bearer {forged}")), "R401", None),
        ("A28", Some("Bearer a b".to_owned()), "R400", None),
        ("A28", Some(format!("Bearer {}", issuer.token().audience(RESOURCE).sign())), "R403", None),
    ] {
        let mut request = Request::get("/mcp");
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = trial.request(id, verdict, request.body(Body::empty()).unwrap(), verdict).await;
        if let Some(body) = body {
            assert_eq!(answer.body, body, "{id} {authorization:?}");
        }
    }
}
