//! D, G, H and I, continued: cases over a real connection, with the crate's own HTTP client.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcp_bearer::Issuer;
use mcp_bearer::http_client::ReqwestClient;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestClock, TestIssuer};
use serde_json::json;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::trial::{self, Trial, own_key};
use crate::capture::Capture;
use crate::support::{ISSUER, RESOURCE};

/// A server that reads the head of a request and then writes an arbitrary response.
struct Raw {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    fn start(respond: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, heads) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
        let seen = Arc::clone(&heads);
        // The thread ends with the process. It holds only a port.
        drop(std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if !matches!(stream.read(&mut byte), Ok(1)) {
                        break;
                    }
                    head.extend(byte);
                }
                // An unread body could reset the connection and lose the response.
                let text = String::from_utf8_lossy(&head).to_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
                let body = length.map_or(0, |length| length.trim().parse().unwrap());
                drop(stream.read_exact(&mut vec![0; body]));
                seen.lock().unwrap().push(text);
                respond(&mut stream);
            }
        }));
        Self { port, heads }
    }

    /// The heads of the requests received so far, in lower case.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// A server that fetches its keys from this URL, with the crate's own client.
fn fetching_from(url: &str) -> Trial {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    fetching_keys_of(issuer, clock, url)
}

fn fetching_keys_of(issuer: TestIssuer, clock: TestClock, url: &str) -> Trial {
    let accepted = Issuer::discover(ISSUER).jwks_uri(url);
    Trial::of(issuer, clock, |server| server.issuer(accepted))
}

/// A server whose issuer listens on a local port.
fn discovering() -> Trial {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder("http://127.0.0.1:0").clock(clock.clone()).serve().unwrap();
    let accepted = Issuer::discover(issuer.url());
    Trial::of(issuer, clock, |server| server.issuer(accepted))
}

#[tokio::test]
async fn a_token_cannot_cause_a_request_to_another_server() {
    let (trial, canary) = (discovering(), TestIssuer::serve().unwrap());
    trial.fixture.server.warm_up().await.unwrap();
    let (url, claims) = (canary.url(), trial.claims());
    for (id, header) in [
        ("D02", json!({"alg": "EdDSA", "kid": "x", "jku": format!("{url}/jwks")})),
        ("D02", json!({"alg": "EdDSA", "jku": format!("{url}/jwks"), "jwk": own_key::jwk("x")})),
        ("D02", json!({"alg": "EdDSA", "kid": "y", "x5u": format!("{url}/chain.pem")})),
    ] {
        trial.token(id, &header.to_string(), &own_key::sign(&header, &claims), "R401").await;
        assert_eq!(canary.total_requests(), 0, "{id} {header}");
    }
    let before = trial.requests();
    for (id, token) in [
        ("I10", canary.token().audience(RESOURCE).scope("mcp:tools").sign()),
        ("I10", canary.token().audience(RESOURCE).claim("iss", format!("{url}/")).sign()),
        ("I10", format!("{}.AAAA", canary.token().audience(RESOURCE).sign().rsplit_once('.').unwrap().0)),
    ] {
        trial.reject(id, &token, &token).await;
    }
    assert_eq!((trial.requests(), canary.total_requests()), (before, 0), "I10");
    trial.accept_a_valid_token().await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for (id, status, location) in [
        ("H02", 301, "{canary}/jwks"),
        ("H02", 302, "{canary}/jwks"),
        ("H02", 303, "{canary}/jwks"),
        ("H02", 307, "{canary}/jwks"),
        ("H02", 308, "{canary}/jwks"),
        ("H02", 302, "//127.0.0.1:{port}/jwks"),
        ("H02", 302, "http://169.254.169.254/latest/meta-data"),
        ("H02", 302, "/elsewhere"),
        ("H02", 302, "/keys"),
    ] {
        let canary = TestIssuer::serve().unwrap();
        let port = canary.url().rsplit(':').next().unwrap();
        let location = location.replace("{canary}", canary.url()).replace("{port}", port);
        let answer =
            format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let raw = Raw::start(move |stream| drop(stream.write_all(answer.as_bytes())));
        let trial = fetching_from(&raw.url("/keys"));
        trial.token(id, &format!("{status} {location}"), &trial.fixture.token(), "R503").await;
        assert_eq!(canary.total_requests(), 0, "{id} {status} {location}");
        assert_eq!(raw.heads().len(), 1, "{id} {status} {location}");
    }
    for (id, status) in [("I09", 302), ("I09", 307), ("I09", 301)] {
        let canary = TestIssuer::serve().unwrap();
        let location = format!("{}/.well-known/openid-configuration", canary.url());
        let answer =
            format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let raw = Raw::start(move |stream| drop(stream.write_all(answer.as_bytes())));
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(&raw.url("")).clock(clock.clone()).build();
        let accepted = Issuer::discover(raw.url(""));
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.token(id, &status.to_string(), &trial.fixture.token(), "R503").await;
        assert_eq!(
            (raw.heads().len(), canary.total_requests()),
            (2, 0),
            "{id} {status}: both metadata locations and no redirect"
        );
    }
}

#[tokio::test]
async fn a_document_that_is_too_large_is_cut_off_while_it_arrives() {
    for (id, what, most) in [
        ("G09", "content-length: 5242880", 5 << 20),
        ("G09", "content-length: 1073741824", 1 << 30),
        ("G09", "connection: close", 1 << 30),
        ("G09", "transfer-encoding: chunked", usize::MAX),
    ] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        // A valid key set after a long run of white space. A client without a limit would accept it.
        let (keys, written) = (issuer.jwk_set().to_string(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&written);
        let raw = Raw::start(move |stream| {
            let chunk = match what {
                "transfer-encoding: chunked" => [b"1000\r\n", &[b' '; 4096][..], b"\r\n"].concat(),
                _ => vec![b' '; 4096],
            };
            let mut is_open = stream.write_all(format!("HTTP/1.1 200 OK\r\n{what}\r\n\r\n").as_bytes()).is_ok();
            while is_open && counter.load(Ordering::SeqCst) < most.saturating_sub(4096) {
                is_open = stream.write_all(&chunk).is_ok();
                counter.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            drop(stream.write_all(format!("{:>4096}", keys).as_bytes()));
        });
        let trial = fetching_keys_of(issuer, clock, &raw.url("/keys"));
        let start = Instant::now();
        trial.token(id, what, &trial.fixture.token(), "R503").await;
        assert!(start.elapsed() < Duration::from_secs(4), "{id} {what}: the client waited for the end of the body");
        // The client reads 256 KiB. The buffers of both sockets hold more.
        assert!(written.load(Ordering::SeqCst) <= 20 << 20, "{id} {what}: {written:?}");
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    for (id, compressed, verdict) in [("control", false, "OK"), ("G09", true, "R503")] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let keys = issuer.jwk_set().to_string().into_bytes();
        // A client that decompresses the body finds a valid key set.
        let (encoding, body) = if compressed { ("gzip", gzip(&keys)) } else { ("identity", keys) };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), &body].concat();
        let raw = Raw::start(move |stream| drop(stream.write_all(&answer)));
        let trial = fetching_keys_of(issuer, clock, &raw.url("/keys"));
        trial.token(id, encoding, &trial.fixture.token(), verdict).await;
        let asks_for_identity = |head: &String| head.contains("\r\naccept-encoding: identity\r\n");
        assert!(raw.heads().iter().all(asks_for_identity), "{id} {:?}", raw.heads());
    }
}

#[tokio::test]
async fn an_introspection_response_is_not_decompressed() {
    // Compressed, the body is larger than the limit of 64 KiB. It must be rejected before anything is decompressed.
    let bomb = vec![0; 1 << 20];
    for (id, what, encoding, content, verdict) in [
        ("control", "plain", "identity", None, "OK"),
        ("K24", "a valid response", "gzip", Some(Vec::new()), "R503"),
        ("K24", "a valid response, unlabelled", "identity", Some(Vec::new()), "R503"),
        ("K24", "a bomb", "gzip", Some(bomb), "R503"),
    ] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let answer = json!({"active": true, "aud": RESOURCE, "scope": "mcp:tools"}).to_string().into_bytes();
        // A client that decompresses the first two bodies finds a valid response.
        let body = match content {
            None => answer,
            Some(content) => [gzip(&answer), content].concat(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), &body].concat();
        let raw = Raw::start(move |stream| drop(stream.write_all(&answer)));
        let accepted = Issuer::discover(ISSUER).introspection_endpoint(raw.url("/introspect"));
        let accepted = accepted.introspect_all(trial::credentials());
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.token(id, what, "2YotnFZFEjr1zCsicMWpAA", verdict).await;
        let heads = raw.heads();
        let asks_for_identity = |head: &String| head.contains("\r\naccept-encoding: identity\r\n");
        assert!(!heads.is_empty() && heads.iter().all(asks_for_identity), "{id} {heads:?}");
    }
}

/// A client that trusts only the root certificate of these servers.
pub(crate) fn trusts_root() -> ReqwestClient {
    let root = reqwest::Certificate::from_pem(ROOT).unwrap();
    ReqwestClient::configured(|builder| builder.tls_certs_only([root.clone()])).unwrap()
}

#[tokio::test]
async fn a_token_is_sent_only_to_a_server_with_a_valid_certificate() {
    const GOOD: &[u8] = include_bytes!("tls/good.pem");
    const SELF_SIGNED: &[u8] = include_bytes!("tls/self_signed.pem");
    let trusts_root = trusts_root();
    for (id, certificate, verdict) in [("control", GOOD, "OK"), ("K10", SELF_SIGNED, "R503")] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let body = json!({"active": true, "aud": RESOURCE, "scope": "mcp:tools"}).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let accepted = Issuer::discover(ISSUER).introspection_endpoint(serve_tls(certificate, answer));
        let accepted = accepted.introspect_all(trial::credentials()).http_client(trusts_root.clone());
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        trial.token(id, "TLS", "2YotnFZFEjr1zCsicMWpAA", verdict).await;
    }
}

/// A gzip file with one stored block (RFC 1951, section 3.2.4; RFC 1952).
fn gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let crc = !content.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    let block = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    [&head[..], &block, content, &crc.to_le_bytes(), &u32::from(length).to_le_bytes()].concat()
}

const SERVER_KEY: &[u8] = include_bytes!("tls/server.key");
const ROOT: &[u8] = include_bytes!("tls/ca.pem");

#[tokio::test]
async fn keys_are_accepted_only_from_a_server_with_a_valid_certificate() {
    const GOOD: &[u8] = include_bytes!("tls/good.pem");
    const EXPIRED: &[u8] = include_bytes!("tls/expired.pem");
    const OTHER_HOST: &[u8] = include_bytes!("tls/other_host.pem");
    const SELF_SIGNED: &[u8] = include_bytes!("tls/self_signed.pem");
    let trusts_root = trusts_root();
    let by_default = ReqwestClient::new().unwrap();
    for (id, what, certificate, client, verdict) in [
        ("control", "a known root", GOOD, &trusts_root, "OK"),
        ("H04", "an unknown root", GOOD, &by_default, "R503"),
        ("H04", "self-signed", SELF_SIGNED, &by_default, "R503"),
        ("H04", "self-signed", SELF_SIGNED, &trusts_root, "R503"),
        ("H04", "expired", EXPIRED, &trusts_root, "R503"),
        ("H04", "another host", OTHER_HOST, &trusts_root, "R503"),
    ] {
        let (issuer, clock) = trial::issuer(Algorithm::ES256);
        let body = issuer.jwk_set().to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let url = serve_tls(certificate, answer);
        let accepted = Issuer::discover(ISSUER).jwks_uri(url).http_client(client.clone());
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        let capture = Capture::of_this_thread();
        let (_, seen) = capture.since(0);
        trial.token(id, what, &trial.fixture.token(), verdict).await;
        let (log, _) = capture.since(seen);
        let cause = match what {
            "expired" => "Expired",
            "another host" => "not valid for name",
            _ => "UnknownIssuer",
        };
        let is_named = log.to_lowercase().contains(&cause.to_lowercase());
        assert!(is_named || verdict == "OK", "{id} {what}: {log}");
    }
    // A server that speaks TLS 1.0 only: its hello selects TLS_RSA_WITH_AES_128_CBC_SHA.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/keys", listener.local_addr().unwrap());
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
            let record = [&[22, 3, 1, 0, u8::try_from(hello.len()).unwrap()][..], &hello].concat();
            let mut stream = stream.unwrap();
            drop(stream.write_all(&record));
            // Reads until the client closes the connection.
            drop(stream.read_to_end(&mut Vec::new()));
        }
    }));
    let trial = fetching_from(&url);
    trial.token("H04", "TLS 1.0", &trial.fixture.token(), "R503").await;
}

/// Starts a server with this certificate that answers every request with these bytes. Returns its URL.
pub(crate) fn serve_tls(certificate: &[u8], answer: String) -> String {
    let certificates = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/keys", listener.local_addr().unwrap());
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut head = [0; 4096];
            // A client that does not trust the certificate closes the connection here.
            if stream.read(&mut head).is_ok() {
                drop(stream.write_all(answer.as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    }));
    url
}

/// Runs once as it is, and once in [`a_proxy_of_the_environment_is_not_used`], with a proxy in the environment.
#[tokio::test]
async fn keys_are_fetched_directly() {
    let trial = discovering();
    trial.accept_a_valid_token().await;
    assert_eq!(trial.requests(), (2, 0), "H18");
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let canary = Raw::start(|_| {});
    let test = "hostile::network::keys_are_fetched_directly";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--test-threads", "1"]).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, canary.url(""));
    }
    let output = child.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "H18 {stdout}");
    assert_eq!(canary.heads().len(), 0, "H18: the proxy received a request");
}
