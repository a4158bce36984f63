use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::*;
use crate::http_client::{AddressPolicy, HttpClient, HttpError, HttpErrorKind, RequestLimits};
use crate::testing::{Documents, TestClock};

const LIMIT: usize = 256 * 1024;

async fn ask(issuer: &TestIssuer, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    issuer.http_client().send(request, RequestLimits::new(LIMIT, AddressPolicy::Any)).await
}

async fn get(issuer: &TestIssuer, path: &str) -> Result<Response<Bytes>, HttpError> {
    ask(issuer, Request::get(format!("{}{path}", issuer.url())).body(Bytes::new()).unwrap()).await
}

async fn get_with(issuer: &TestIssuer, path: &str, name: &str, value: &str) -> Response<Bytes> {
    let request = Request::get(format!("{}{path}", issuer.url())).header(name, value);
    ask(issuer, request.body(Bytes::new()).unwrap()).await.unwrap()
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap()
}

fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    [(); 2].map(|()| serde_json::from_slice(&parts.next().unwrap()).unwrap())
}

#[tokio::test]
async fn metadata_leads_to_the_key_set() {
    let issuer = TestIssuer::new("https://auth.example.com/tenant/");
    let asked = "https://auth.example.com/.well-known/oauth-authorization-server/tenant";
    let answer = ask(&issuer, Request::get(asked).body(Bytes::new()).unwrap()).await.unwrap();
    let metadata = json_of(&answer);
    assert_eq!((metadata["issuer"].as_str(), &metadata), (Some(issuer.url()), &issuer.metadata()));
    let key_set = metadata["jwks_uri"].as_str().unwrap();
    assert_eq!(key_set, "https://auth.example.com/tenant/jwks");
    let answer = ask(&issuer, Request::get(key_set).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(json_of(&answer), issuer.jwk_set());
    assert_eq!(issuer.requests(Endpoint::OauthMetadata), 1);
    assert_eq!(issuer.requests(Endpoint::KeySet), 1);
    assert_eq!(issuer.total_requests(), 2);
    assert_eq!(issuer.recent_requests().first().unwrap().path(), "/.well-known/oauth-authorization-server/tenant");
}

#[tokio::test]
async fn what_is_not_published_is_not_found() {
    let issuer = TestIssuer::builder("https://a.example.com").documents(Documents::OAuth).build();
    for path in ["/.well-known/openid-configuration", "/", "/jwks/", "/token"] {
        assert_eq!(get(&issuer, path).await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    let post = Request::post("https://a.example.com/jwks").body(Bytes::new()).unwrap();
    assert_eq!(ask(&issuer, post).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let head = Request::head("https://a.example.com/jwks").body(Bytes::new()).unwrap();
    let answer = ask(&issuer, head).await.unwrap();
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn another_origin_is_out_of_reach_and_counted() {
    let issuer = TestIssuer::new("https://a.example.com");
    for url in ["https://b.example.com/jwks", "http://a.example.com/jwks", "https://a.example.com:8443/jwks"] {
        let error = ask(&issuer, Request::get(url).body(Bytes::new()).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Connect, "{url}");
    }
    assert_eq!((issuer.stray_requests(), issuer.total_requests()), (3, 0));
    let default_port = Request::get("https://a.example.com:443/jwks").body(Bytes::new()).unwrap();
    assert!(ask(&issuer, default_port).await.is_ok());
}

#[test]
fn a_token_starts_as_an_access_token() {
    let issuer = TestIssuer::builder("https://a.example.com").clock(TestClock::at(1_000)).build();
    let token = issuer.token().audience("https://mcp.example.com").scope("a b").sign();
    let [header, mut claims] = parts(&token);
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": "es256-1" }));
    assert!(claims.as_object_mut().unwrap().remove("jti").is_some());
    let expected = json!({
        "iss": "https://a.example.com", "sub": "alice", "client_id": "test-client", "iat": 1_000, "exp": 1_300,
        "aud": "https://mcp.example.com", "scope": "a b",
    });
    assert_eq!(claims, expected);
}

#[test]
fn any_header_and_any_claim_can_be_set_or_left_out() {
    let issuer = TestIssuer::builder("https://a.example.com").clock(TestClock::at(10_000)).build();
    let token = issuer.token().audience("a").audience("b").without("sub").claim("roles", json!(["x"])).expired();
    let token = token.header("typ", "JWT").header("alg", "none").without_header("kid").header("crit", json!(["x"]));
    let [header, claims] = parts(&token.sign());
    assert_eq!(header, json!({ "typ": "JWT", "alg": "none", "crit": ["x"] }));
    assert_eq!((&claims["aud"], &claims["roles"]), (&json!(["a", "b"]), &json!(["x"])));
    assert_eq!((&claims["iat"], &claims["exp"], claims.get("sub")), (&json!(2_800), &json!(6_400), None));
}

#[test]
fn a_key_for_an_algorithm_is_made_once_and_published() {
    let issuer = TestIssuer::new("https://a.example.com");
    let kids = [Algorithm::PS256, Algorithm::PS256, Algorithm::EdDSA].map(|algorithm| {
        let [header, _] = parts(&issuer.token().algorithm(algorithm).sign());
        assert_eq!(header["alg"], algorithm.name());
        header["kid"].as_str().unwrap().to_owned()
    });
    assert_eq!(kids, ["ps256-2", "ps256-2", "eddsa-3"]);
    assert_eq!(issuer.jwk_set()["keys"].as_array().unwrap().len(), 3);
    assert_eq!(issuer.key_id(), "es256-1");
}

#[test]
fn a_rotation_retires_the_old_key() {
    let issuer = TestIssuer::new("https://a.example.com");
    let old = issuer.key_id();
    let new = issuer.rotate();
    assert_eq!((issuer.key_id(), issuer.jwk_set()["keys"][0]["kid"].as_str()), (new.clone(), Some(new.as_str())));
    assert_eq!(issuer.jwk_set()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(parts(&issuer.token().key(&old).sign())[0]["kid"], old.as_str());
    let next = issuer.add_key(Algorithm::RS256);
    issuer.remove_key(&new);
    assert_eq!(issuer.key_id(), next);
}

#[test]
fn raw_bytes_are_signed_as_they_are() {
    let issuer = TestIssuer::new("https://a.example.com");
    let token = issuer.sign_raw(&issuer.key_id(), br#"{"alg":"ES256","alg":"none"}"#, b"not json");
    let mut parts = token.split('.');
    assert_eq!(parts.next(), Some(URL_SAFE_NO_PAD.encode(br#"{"alg":"ES256","alg":"none"}"#).as_str()));
    assert_eq!(parts.next(), Some(URL_SAFE_NO_PAD.encode(b"not json").as_str()));
}

#[test]
#[should_panic(expected = "never had a key")]
fn a_key_that_never_was_stops_the_test() {
    let _ = TestIssuer::new("https://a.example.com").token().key("nobody").sign();
}

#[tokio::test]
async fn an_asker_that_has_the_document_gets_304() {
    let issuer = TestIssuer::new("https://a.example.com");
    let answer = get(&issuer, "/jwks").await.unwrap();
    let validator = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (etag, modified) = (validator("etag"), validator("last-modified"));
    let again = get_with(&issuer, "/jwks", "if-none-match", &etag).await;
    assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(issuer.last_request(Endpoint::KeySet).unwrap().header("if-none-match"), Some(etag.as_str()));
    assert_eq!(get_with(&issuer, "/jwks", "if-modified-since", &modified).await.status(), StatusCode::NOT_MODIFIED);
    issuer.rotate();
    assert_eq!(get_with(&issuer, "/jwks", "if-none-match", &etag).await.status(), StatusCode::OK);
    assert_eq!(get_with(&issuer, "/jwks", "if-modified-since", &modified).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn faults_change_the_answer() {
    let issuer = TestIssuer::new("https://a.example.com");
    let right = issuer.jwk_set().to_string();
    let answers = [
        (Fault::Status(503), 503, ""),
        (Fault::RetryAfter(Duration::from_secs(7)), 503, ""),
        (Fault::Redirect("https://b.example.com/".into()), 302, ""),
        (Fault::Document(json!([])), 200, "[]"),
        (Fault::headers([("cache-control", "max-age=15")]), 200, right.as_str()),
        (Fault::without_header("etag"), 200, right.as_str()),
    ];
    for (fault, status, body) in answers {
        issuer.fault(Endpoint::KeySet, fault.clone());
        let answer = get(&issuer, "/jwks").await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (status, body.as_bytes()), "{fault:?}");
        let headers = answer.headers();
        assert_eq!(headers.get("retry-after").is_some(), matches!(fault, Fault::RetryAfter(_)), "{fault:?}");
        assert_eq!(headers.get("location").is_some(), matches!(fault, Fault::Redirect(_)), "{fault:?}");
        assert_eq!(headers.get("cache-control").is_some(), matches!(fault, Fault::Headers(_)), "{fault:?}");
        assert_eq!(get(&issuer, "/.well-known/openid-configuration").await.unwrap().status(), StatusCode::OK);
        issuer.heal();
    }
    for fault in [Fault::Garbage, Fault::Html, Fault::Truncated] {
        issuer.fault(Endpoint::KeySet, fault);
        let answer = get(&issuer, "/jwks").await.unwrap();
        assert!(answer.status() == StatusCode::OK && serde_json::from_slice::<Value>(answer.body()).is_err());
        issuer.heal();
    }
    for (fault, kind) in [(Fault::Drop, HttpErrorKind::Other), (Fault::Oversize, HttpErrorKind::TooLarge)] {
        issuer.fault(Endpoint::KeySet, fault);
        assert_eq!(get(&issuer, "/jwks").await.unwrap_err().kind(), kind);
        issuer.heal();
    }
    assert_eq!(json_of(&get(&issuer, "/jwks").await.unwrap()), issuer.jwk_set());
}

#[tokio::test]
async fn a_fault_can_pass_by_itself() {
    let issuer = TestIssuer::new("https://a.example.com");
    issuer.fault_times(Endpoint::KeySet, Fault::Status(500), 2);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(get(&issuer, "/jwks").await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_waits_by_tokios_time() {
    let issuer = TestIssuer::new("https://a.example.com");
    issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(3600)));
    issuer.fault(Endpoint::KeySet, Fault::Status(502));
    let started = tokio::time::Instant::now();
    assert_eq!(get(&issuer, "/jwks").await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(started.elapsed().as_secs(), 3600);
}

#[tokio::test]
async fn published_documents_can_be_replaced() {
    let issuer = TestIssuer::builder("https://a.example.com").metadata_member("jwks_uri", Value::Null).build();
    assert_eq!(issuer.metadata().get("jwks_uri"), None);
    issuer.set_metadata_member("jwks_uri", "https://b.example.com/keys");
    let served = json_of(&get(&issuer, "/.well-known/openid-configuration").await.unwrap());
    assert_eq!(served["jwks_uri"], "https://b.example.com/keys");
    issuer.publish_key_set(json!({ "keys": [] }));
    assert_eq!(json_of(&get(&issuer, "/jwks").await.unwrap()), json!({ "keys": [] }));
    issuer.move_key_set("/keys/2");
    assert_eq!(get(&issuer, "/jwks").await.unwrap().status(), StatusCode::NOT_FOUND);
    issuer.heal();
    assert_eq!(json_of(&get(&issuer, "/keys/2").await.unwrap()), issuer.jwk_set());
}

#[tokio::test]
async fn what_is_stopped_refuses_until_it_is_back() {
    let issuer = TestIssuer::new("https://a.example.com");
    issuer.stop();
    assert_eq!(get(&issuer, "/jwks").await.unwrap_err().kind(), HttpErrorKind::Connect);
    assert_eq!((issuer.refused_requests(), issuer.total_requests()), (1, 0));
    issuer.restart().unwrap();
    assert_eq!(get(&issuer, "/jwks").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_socket_answers_as_memory_does() {
    let issuer = TestIssuer::serve_at("/tenant").unwrap();
    assert!(issuer.url().starts_with("http://127.0.0.1:") && issuer.url().ends_with("/tenant"), "{}", issuer.url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let key_set = format!("{}/jwks", issuer.url());
    let fetch = async || http.get(&key_set).send().await;
    let answer = fetch().await.unwrap();
    assert!(answer.headers().contains_key("etag"));
    assert_eq!(answer.json::<Value>().await.unwrap(), issuer.jwk_set());
    assert_eq!(get(&issuer, "/jwks").await.unwrap().status(), StatusCode::OK);
    assert_eq!(issuer.requests(Endpoint::KeySet), 2);

    issuer.fault(Endpoint::KeySet, Fault::Drop);
    assert_eq!(fetch().await.unwrap_err().status(), None);
    assert_eq!(issuer.last_request(Endpoint::KeySet).unwrap().method(), Method::GET);
    issuer.heal();

    assert_eq!(fetch().await.unwrap().status(), 200);
    issuer.stop();
    assert!(fetch().await.is_err());
    issuer.restart().unwrap();
    assert_eq!(fetch().await.unwrap().status(), 200);
    drop(issuer);
    assert!(fetch().await.is_err());
}

#[test]
fn a_socket_stays_on_loopback() {
    for url in ["http://0.0.0.0:0", "http://example.com:0", "https://127.0.0.1:0", "http://10.0.0.1:0", "nonsense"] {
        let error = TestIssuer::builder(url).serve().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{url}");
    }
}
