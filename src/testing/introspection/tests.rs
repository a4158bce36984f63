use std::time::Duration;

use http::Request;

use super::*;
use crate::http_client::{AddressPolicy, HttpClient, HttpErrorKind, RequestLimits};
use crate::testing::{Fault, TestClock, TestIssuer};

const URL: &str = "https://a.example.com/t";
const FORM: &str = "application/x-www-form-urlencoded";

fn issuer() -> TestIssuer {
    TestIssuer::builder(URL).clock(TestClock::at(1_000)).build()
}

async fn ask(issuer: &TestIssuer, request: Request<Bytes>) -> Result<Response<Bytes>, HttpErrorKind> {
    let limits = RequestLimits::new(256 * 1024, AddressPolicy::Any);
    issuer.http_client().send(request, limits).await.map_err(|error| error.kind())
}

fn form(endpoint: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(format!("{URL}/{endpoint}")).header("content-type", FORM).body(body.into()).unwrap()
}

async fn introspect(issuer: &TestIssuer, token: &str) -> Value {
    let answer = ask(issuer, form("introspect", format!("token={token}&token_type_hint=access_token"))).await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((answer.status().as_u16(), header("content-type")), (200, Some("application/json")));
    assert_eq!((header("cache-control"), header("etag")), (Some("no-store"), None));
    let answer = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(issuer.introspect(token), answer);
    answer
}

#[tokio::test]
async fn an_opaque_token_is_active_with_its_claims() {
    let issuer = issuer();
    let token = issuer.token().audience("https://mcp.example.com").scope("a b").claim("jti", "1").opaque();
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    assert!(token.len() == 43 && token.bytes().all(base64url), "{token}");
    assert_ne!(token, issuer.token().opaque());
    let expected = json!({
        "active": true, "token_type": "Bearer", "iss": URL, "sub": "alice", "client_id": "test-client", "iat": 1_000,
        "exp": 1_300, "jti": "1", "aud": "https://mcp.example.com", "scope": "a b",
    });
    assert_eq!(introspect(&issuer, &token).await, expected);
    let other = issuer.token().claim("token_type", "DPoP").without("exp").opaque();
    assert_eq!(introspect(&issuer, &other).await["token_type"], "DPoP");
}

#[tokio::test]
async fn a_signed_token_is_active_while_its_key_is_published() {
    let issuer = issuer();
    let token = issuer.token().scope("a").without_header("kid").sign();
    let answer = introspect(&issuer, &token).await;
    assert_eq!((&answer["active"], &answer["scope"]), (&json!(true), &json!("a")));
    let raw = issuer.sign_raw(&issuer.key_id(), "not JSON", r#"{"sub":"raw"}"#);
    assert_eq!(introspect(&issuer, &raw).await["sub"], "raw");
    let inactive = json!({ "active": false });
    let foreign = TestIssuer::builder(URL).clock(TestClock::at(1_000)).build().token().sign();
    let spoiled = format!("{token}A");
    let no_claims = issuer.sign_raw(&issuer.key_id(), "{}", "[]");
    for token in [&foreign, &spoiled, &no_claims] {
        assert_eq!(introspect(&issuer, token).await, inactive, "{token}");
    }
    issuer.rotate();
    assert_eq!(introspect(&issuer, &token).await, inactive);
}

#[tokio::test]
async fn unknown_and_expired_tokens_are_inactive_and_nothing_else_is_said() {
    let clock = TestClock::at(1_000);
    let issuer = TestIssuer::builder(URL).clock(clock.clone()).build();
    let token = || issuer.token().expires_in(Duration::from_secs(10));
    let tokens = [token().opaque(), token().sign()];
    clock.set(1_009);
    for token in &tokens {
        assert_eq!(introspect(&issuer, token).await["active"], true);
    }
    clock.set(1_010);
    let inactive = json!({ "active": false });
    for token in [tokens[0].as_str(), &tokens[1], "unknown", "a.b.c"] {
        assert_eq!(introspect(&issuer, token).await, inactive, "{token}");
    }
    assert_eq!(introspect(&issuer, &issuer.token().claim("exp", "soon").opaque()).await["exp"], "soon");
}

#[tokio::test]
async fn a_revoked_token_is_inactive() {
    let issuer = issuer();
    for by_request in [true, false] {
        for token in [issuer.token().opaque(), issuer.token().sign()] {
            assert_eq!(introspect(&issuer, &token).await["active"], true);
            if by_request {
                let answer = ask(&issuer, form("revoke", format!("token={token}"))).await.unwrap();
                assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
                assert_eq!(answer.headers()["cache-control"], "no-store");
            } else {
                issuer.revoke(&token);
            }
            assert_eq!(introspect(&issuer, &token).await, json!({ "active": false }));
        }
    }
    assert_eq!(ask(&issuer, form("revoke", "token=unknown")).await.unwrap().status(), StatusCode::OK);
    assert_eq!((issuer.requests(Endpoint::Introspection), issuer.requests(Endpoint::Revocation)), (8, 3));
}

#[tokio::test]
async fn an_answer_can_be_of_any_shape() {
    let issuer = issuer();
    let token = issuer.token().opaque();
    for answer in [json!({ "active": "yes" }), json!([]), json!({ "active": true, "aud": ["a", 7] }), Value::Null] {
        issuer.introspection_answer(&token, answer.clone());
        assert_eq!(introspect(&issuer, &token).await, answer);
    }
    issuer.revoke(&token);
    assert_eq!(introspect(&issuer, &token).await, json!({ "active": false }));
}

#[tokio::test]
async fn only_a_posted_form_with_one_token_is_understood() {
    let issuer = issuer();
    for endpoint in ["introspect", "revoke"] {
        for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
            let request = Request::builder().method(method).uri(format!("{URL}/{endpoint}?token=x"));
            let answer = ask(&issuer, request.body(Bytes::new()).unwrap()).await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));
        }
        for (kind, body, status) in [
            (FORM, "token=x", 200),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "token=x", 200),
            (FORM, "token=x&token=x", 400),
            (FORM, "token=", 400),
            (FORM, "", 400),
            ("application/json", "token=x", 400),
        ] {
            let request = Request::post(format!("{URL}/{endpoint}")).header("content-type", kind);
            let answer = ask(&issuer, request.body(body.into()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{kind} {body}");
            let body = String::from_utf8_lossy(answer.body());
            assert_eq!(body == r#"{"error":"invalid_request"}"#, status == 400, "{body}");
            assert_eq!(answer.headers()["cache-control"], "no-store");
        }
    }
}

#[tokio::test]
async fn a_configured_client_is_required() {
    let issuer = TestIssuer::builder(URL).introspection_client("id", "secret").build();
    let token = issuer.token().opaque();
    for endpoint in ["introspect", "revoke"] {
        for (credentials, status) in [
            ("&client_id=id&client_secret=secret", 200),
            ("&client_id=id&client_secret=wrong", 401),
            ("&client_id=id", 401),
            ("", 401),
        ] {
            let answer = ask(&issuer, form(endpoint, format!("token={token}{credentials}"))).await.unwrap();
            assert_eq!(answer.status(), status, "{endpoint} {credentials}");
            let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
            assert_eq!(challenge.is_some_and(|challenge| challenge.starts_with("Basic ")), status == 401);
            assert_eq!(answer.body() == r#"{"error":"invalid_client"}"#, status == 401);
        }
    }
    let mut twice = form("introspect", "token=x&client_id=id&client_secret=secret");
    twice.headers_mut().insert("authorization", "Basic aWQ6c2VjcmV0".parse().unwrap());
    assert_eq!(ask(&issuer, twice).await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_was_sent_can_be_looked_at_but_is_not_printed() {
    let builder = TestIssuer::builder(URL).introspection_client("id", "hidden");
    assert!(!format!("{builder:?}").contains("hidden"));
    let issuer = builder.build();
    let mut request = form("introspect", "token=hidden+token&x=1");
    request.headers_mut().insert("authorization", "Basic aGlkZGVu".parse().unwrap());
    ask(&issuer, request).await.unwrap();
    let received = issuer.last_request(Endpoint::Introspection).unwrap();
    assert_eq!(received.body(), b"token=hidden+token&x=1");
    assert_eq!(received.form(), [("token", "hidden token"), ("x", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!((received.form_value("x").as_deref(), received.form_value("y")), (Some("1"), None));
    assert_eq!((received.header("authorization"), received.path()), (Some("Basic aGlkZGVu"), "/t/introspect"));
    let printed = format!("{received:?} {issuer:?} {:?}", issuer.http_client());
    assert!(!printed.contains("hidden") && !printed.contains("aGlkZGVu"), "{printed}");
}

#[tokio::test]
async fn both_endpoints_fail_as_the_others_do() {
    let issuer = issuer();
    for (name, endpoint) in [("introspect", Endpoint::Introspection), ("revoke", Endpoint::Revocation)] {
        for (fault, expected) in [
            (Fault::Status(503), Ok(503)),
            (Fault::Document(json!([])), Ok(200)),
            (Fault::Redirect(URL.into()), Ok(302)),
            (Fault::Drop, Err(HttpErrorKind::Other)),
            (Fault::Oversize, Err(HttpErrorKind::TooLarge)),
        ] {
            issuer.fault_times(endpoint, fault.clone(), 1);
            let status = ask(&issuer, form(name, "token=x")).await.map(|answer| answer.status().as_u16());
            assert_eq!(status, expected, "{name} {fault:?}");
        }
        assert_eq!(ask(&issuer, form(name, "token=x")).await.unwrap().status(), StatusCode::OK);
        assert_eq!(issuer.requests(endpoint), 6);
    }
}

#[test]
fn the_metadata_names_both_endpoints() {
    let issuer = issuer();
    let metadata = issuer.metadata();
    assert_eq!(metadata["introspection_endpoint"], format!("{URL}/introspect"));
    assert_eq!(metadata["revocation_endpoint"], format!("{URL}/revoke"));
    issuer.set_metadata_member("introspection_endpoint", Value::Null);
    assert_eq!(issuer.metadata().get("introspection_endpoint"), None);
}

#[tokio::test]
async fn a_socket_reads_the_form_and_not_more_than_it_must() {
    let issuer = TestIssuer::serve().unwrap();
    let token = issuer.token().opaque();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |form: &[(&str, &str)]| http.post(format!("{}/introspect", issuer.url())).form(form).send();
    let answer: Value = post(&[("token", &token)]).await.unwrap().json().await.unwrap();
    assert_eq!(answer, issuer.introspect(&token));
    assert_eq!(issuer.last_request(Endpoint::Introspection).unwrap().form_value("token"), Some(token));
    assert_eq!(post(&[("token", &"x".repeat(64 * 1024))]).await.unwrap().status(), 413);
}
