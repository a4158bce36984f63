//! Client secrets from a file or a function, which change while the server runs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_bearer::bearer::RejectionKind;
use mcp_bearer::introspection::{ClientCredentials, Introspection, IntrospectionState};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, TestClock, TestIssuer};
use mcp_bearer::{BuildErrorKind, ResourceServer, ResourceServerBuilder};
use tokio::time::{Instant, advance, sleep};
use tracing::Level;

use crate::capture::Capture;
use crate::introspection;
use crate::introspection::credentials::{assertion, key_pair};
use crate::introspection::stub::{Page, Stub, active};
use crate::support::{App, ISSUER, RESOURCE, quiet};

const CLIENT: &str = "mcp-server";
const OLD: &str = "old-secret-4711";
const NEW: &str = "new-secret-0815";

/// A function without a secret.
type Function = fn() -> Option<String>;

/// A file of this test run.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let file = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id())));
        file.write(content);
        file
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).unwrap();
    }

    fn basic(&self) -> ClientCredentials {
        ClientCredentials::basic_from_file(CLIENT, &self.0)
    }
}

/// An issuer with the client, and a server that introspects every token there.
struct Introspected {
    issuer: TestIssuer,
    clock: TestClock,
}

impl Introspected {
    fn new(secret: &str) -> Self {
        let clock = TestClock::new();
        Self {
            issuer: TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client(CLIENT, secret).build(),
            clock,
        }
    }

    fn builder(&self, credentials: ClientCredentials) -> ResourceServerBuilder {
        let introspection = Introspection::new(credentials).positive_cache(Duration::ZERO);
        let issuer = self.issuer.issuer().introspect_all(introspection);
        ResourceServer::builder(RESOURCE).issuer(issuer).clock(self.clock.clone())
    }

    /// A server without a background task.
    fn quiet(&self, credentials: ClientCredentials) -> ResourceServer {
        quiet(self.builder(credentials))
    }

    fn rotate(&self) {
        self.issuer.set_introspection_client(CLIENT, NEW);
    }

    fn token(&self) -> String {
        self.issuer.token().audience(RESOURCE).opaque()
    }

    fn introspections(&self) -> usize {
        self.issuer.requests(Endpoint::Introspection)
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changes_in_its_file_is_used_without_a_failed_request() {
    for (name, credentials) in [
        ("basic", ClientCredentials::basic_from_file as fn(&'static str, PathBuf) -> ClientCredentials),
        ("post", ClientCredentials::post_from_file),
    ] {
        let (file, fixture) = (SecretFile::new(name, OLD), Introspected::new(OLD));
        let app = App::new(fixture.quiet(credentials(CLIENT, file.0.clone())).bearer_layer());
        let token = fixture.token();
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        fixture.rotate();
        file.write(NEW);
        // The rejected request is sent again with the new secret.
        let before = fixture.introspections();
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        assert_eq!(fixture.introspections() - before, 2);
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        assert_eq!(fixture.introspections() - before, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_within_a_second_and_at_most_once_per_second() {
    let file = SecretFile::new("interval", OLD);
    let stub = Stub::with_page(Page::json(&active()));
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(
        stub.issuer(Introspection::new(ClientCredentials::bearer_from_file(&file.0)).positive_cache(Duration::ZERO)),
    ));
    let app = App::new(server.bearer_layer());
    let sent = || stub.last().0.headers()["authorization"].to_str().unwrap().to_owned();
    advance(Duration::from_secs(5)).await;
    assert_eq!(app.with_token("a").await.verdict(), "OK");
    file.write(NEW);
    advance(Duration::from_millis(990)).await;
    assert_eq!((app.with_token("a").await.verdict().as_str(), sent()), ("OK", format!("Bearer {OLD}")));
    advance(Duration::from_millis(10)).await;
    assert_eq!((app.with_token("a").await.verdict().as_str(), sent()), ("OK", format!("Bearer {NEW}")));
    assert!(stub.last().0.headers()["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_private_key_that_changes_in_its_file_signs_the_next_assertion() {
    for kid in [None, Some("key-1")] {
        let ((old, old_verifier), (new, new_verifier)) = (key_pair(Algorithm::ES256), key_pair(Algorithm::ES256));
        let file = SecretFile::new("key", old);
        let issuer = TestIssuer::new(ISSUER);
        issuer.introspection_answer("opaque", active());
        let credentials =
            ClientCredentials::private_key_jwt_from_file(introspection::CLIENT, Algorithm::ES256, &file.0, kid);
        assert!(!format!("{credentials:?}").contains("key-1"));
        let settings = Introspection::new(credentials).positive_cache(Duration::ZERO);
        let server = quiet(ResourceServer::builder(RESOURCE).issuer(issuer.issuer().introspect_all(settings)));
        let app = App::new(server.bearer_layer());
        assert_eq!(app.with_token("opaque").await.verdict(), "OK");
        let (header, claims) = assertion(&issuer, &old_verifier, Algorithm::ES256);
        assert_eq!((header.kid.as_deref(), claims["sub"].as_str()), (kid, Some(introspection::CLIENT)));
        // A file that is half written does not replace the key.
        for (content, verifier) in [("-----BEGIN PRIVATE KEY-----\n", &old_verifier), (&new, &new_verifier)] {
            file.write(content);
            advance(Duration::from_secs(1)).await;
            assert_eq!(app.with_token("opaque").await.verdict(), "OK");
            assert_eq!(assertion(&issuer, verifier, Algorithm::ES256).0.kid.as_deref(), kid);
        }
    }
}

#[test]
fn a_file_without_a_usable_private_key_fails_the_build() {
    let fixture = Introspected::new(OLD);
    let (other, _) = key_pair(Algorithm::EdDSA);
    for (content, problem) in [
        ("hush", "does not have a usable private key: the text is not an unencrypted PKCS #8 key"),
        (other.as_str(), "does not have a usable private key: the key is not for ES256"),
        ("", "is empty"),
    ] {
        let file = SecretFile::new("bad-key", content);
        let credentials = ClientCredentials::private_key_jwt_from_file(CLIENT, Algorithm::ES256, &file.0, None);
        let error = fixture.builder(credentials).build_lazy().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::Setting);
        let text = error.to_string();
        assert!(text.contains(problem) && text.contains("bad-key") && !text.contains("hush"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_newline_at_the_end_is_not_part_of_the_secret() {
    for (content, secret) in
        [("s\n", "s"), ("s\r\n", "s"), ("s", "s"), ("s\n\n", "s\n"), (" s ", " s "), ("\u{e9}\n", "\u{e9}")]
    {
        let (file, fixture) = (SecretFile::new("newline", content), Introspected::new(secret));
        let app = App::new(fixture.quiet(file.basic()).bearer_layer());
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK", "{content:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_with_a_wrong_secret_recovers_when_the_file_is_corrected() {
    let (file, fixture) = (SecretFile::new("corrected", OLD), Introspected::new(NEW));
    let error = fixture.builder(file.basic()).build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Credentials);
    // With requests, a second after the change: the circuit breaker is open for longer than that.
    let app = App::new(fixture.quiet(file.basic()).bearer_layer());
    let token = fixture.token();
    for _ in 0..3 {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    let before = fixture.introspections();
    file.write(NEW);
    advance(Duration::from_secs(1)).await;
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
    assert_eq!(fixture.introspections() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_traffic_becomes_ready_when_the_file_is_corrected() {
    let (file, fixture) = (SecretFile::new("traffic", OLD), Introspected::new(NEW));
    let server = fixture.builder(file.basic()).build_lazy().unwrap();
    sleep(Duration::from_secs(300)).await;
    let health = server.health();
    assert_eq!(
        (health.is_ready(), health.issuers()[0].introspection()),
        (false, IntrospectionState::CredentialsRejected)
    );
    file.write(NEW);
    sleep(Duration::from_secs(12)).await;
    let health = server.health();
    assert_eq!((health.is_ready(), health.issuers()[0].introspection()), (true, IntrospectionState::Ready));
}

#[tokio::test(start_paused = true)]
async fn after_a_rotation_the_server_recovers_when_the_file_follows_later() {
    let (file, fixture) = (SecretFile::new("later", OLD), Introspected::new(OLD));
    let app = App::new(fixture.quiet(file.basic()).bearer_layer());
    let tokens: Vec<_> = (0..10).map(|_| fixture.token()).collect();
    for token in &tokens {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
    fixture.rotate();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        for token in &tokens {
            assert_eq!(app.with_token(token).await.verdict(), "R503");
        }
        sleep(Duration::from_secs(1)).await;
    }
    file.write(NEW);
    sleep(Duration::from_secs(1)).await;
    for token in &tokens {
        assert_eq!(app.with_token(token).await.verdict(), "OK");
    }
}

/// The authorization server may reject the credentials because of a made-up token, so the log waits until no other token was
/// confirmed for two minutes.
#[tokio::test(start_paused = true)]
async fn a_wrong_new_secret_is_an_error_in_the_log_also_for_tokens_that_are_new() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (file, fixture) = (SecretFile::new("wrong-new", OLD), Introspected::new(OLD));
    let app = App::new(fixture.quiet(file.basic()).bearer_layer());
    assert_eq!(app.with_token(&fixture.token()).await.verdict(), "OK");
    file.write("wrong");
    let start = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let token = fixture.token();
    let is_error = |(level, line): &(Level, String)| *level == Level::ERROR && line.contains("client credentials");
    loop {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
        if capture.take().iter().any(is_error) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(125), "no error was logged");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_becomes_unusable_does_not_replace_the_last_secret() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (file, fixture) = (SecretFile::new("unusable-secret", OLD), Introspected::new(OLD));
    let app = App::new(fixture.quiet(file.basic()).bearer_layer());
    let token = fixture.token();
    for content in [Some(&b""[..]), Some(b"\xff\xfe"), None] {
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        capture.take();
        content.map_or_else(|| fs::remove_file(&file.0).unwrap(), |content| file.write(content));
        for _ in 0..5 {
            advance(Duration::from_secs(2)).await;
            assert_eq!(app.with_token(&token).await.verdict(), "OK");
        }
        let log = capture.take();
        let warnings: Vec<_> = log.iter().filter(|(level, _)| *level == Level::WARN).collect();
        let [(_, warning)] = warnings.as_slice() else { panic!("{log:?}") };
        assert!(warning.contains("the client secret file cannot be used, so its last secret is used"), "{warning}");
        assert!(warning.contains(file.0.to_str().unwrap()) && !warning.contains(OLD), "{warning}");
        file.write(OLD);
        advance(Duration::from_secs(2)).await;
    }
}

#[test]
fn a_bad_file_fails_the_build_and_its_content_is_not_shown() {
    let build = |path: &PathBuf| {
        let fixture = Introspected::new(OLD);
        fixture.builder(ClientCredentials::basic_from_file(CLIENT, path)).build_lazy().unwrap_err()
    };
    let long = "hush".repeat(4000);
    for (name, content, expected) in [
        ("empty", &b""[..], "is empty; write the client secret"),
        ("newline-only", b"\n", "is empty; write the client secret"),
        ("latin", b"hush\xe9", "is not valid UTF-8; write"),
        ("long", long.as_bytes(), "has more than 8192 bytes; write"),
    ] {
        let file = SecretFile::new(name, content);
        let (error, path) = (build(&file.0), &file.0);
        assert_eq!(error.kind(), BuildErrorKind::Setting);
        let message = format!("{error:?}");
        assert!(message.starts_with(&format!("the client secret file {path:?} {expected}")), "{message}");
        assert!(!message.contains("hush"), "{message}");
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for (path, expected) in [(folder.join("no-secret"), "cannot be read: "), (folder, "is not a regular file")] {
        let message = build(&path).to_string();
        assert!(message.starts_with(&format!("the client secret file {path:?} {expected}")), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_without_a_secret_is_an_outage_with_a_cause() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    // The functions return nothing, an empty text, or panic, until the secret is there.
    let cases: [(Function, &str); 3] = [
        (|| None, "the function for the client secret returned no secret, or an empty one"),
        (|| Some(String::new()), "the function for the client secret returned no secret, or an empty one"),
        (|| panic!("{OLD}"), "the function for the client secret panicked"),
    ];
    for (absent, cause) in cases {
        let secret = Arc::new(Mutex::new(None::<String>));
        let current = Arc::clone(&secret);
        let function = move || current.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone().or_else(absent);
        let fixture = Introspected::new(OLD);
        for credentials in [
            ClientCredentials::basic_from(CLIENT, function.clone()),
            ClientCredentials::post_from(CLIENT, function.clone()),
        ] {
            *secret.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
            let app = App::new(fixture.quiet(credentials).bearer_layer());
            let token = fixture.token();
            capture.take();
            let before = fixture.introspections();
            let answer = app.with_token(&token).await;
            assert_eq!((answer.verdict().as_str(), answer.header("www-authenticate")), ("R503", None));
            assert_eq!(answer.rejection.as_ref().unwrap().kind(), RejectionKind::Misconfigured);
            let log = capture.take();
            assert!(log.iter().any(|(level, line)| *level == Level::ERROR && line.contains(cause)), "{log:?}");
            assert!(log.iter().all(|(_, line)| !line.contains(OLD)), "{log:?}");
            // Nothing was sent, and the circuit breaker is closed.
            assert_eq!(fixture.introspections(), before);
            *secret.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(OLD.to_owned());
            assert_eq!(app.with_token(&token).await.verdict(), "OK");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_function_has_no_secret_yet_is_not_ready_until_it_has() {
    let secret = Arc::new(Mutex::new(None::<String>));
    let current = Arc::clone(&secret);
    let credentials = ClientCredentials::basic_from(CLIENT, move || current.lock().unwrap().clone());
    let fixture = Introspected::new(OLD);
    let error = fixture.builder(credentials.clone()).build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Credentials);
    assert!(format!("{error:?}").contains("the function for the client secret returned no secret"), "{error:?}");
    let server = fixture.builder(credentials).build_lazy().unwrap();
    sleep(Duration::from_secs(30)).await;
    assert!(!server.health().is_ready());
    *secret.lock().unwrap() = Some(OLD.to_owned());
    sleep(Duration::from_secs(61)).await;
    assert!(server.health().is_ready());
    assert_eq!(App::new(server.bearer_layer()).with_token(&fixture.token()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_returns_another_secret_each_time_does_not_cause_a_flood() {
    let (fixture, calls) = (Introspected::new(OLD), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let credentials = ClientCredentials::basic_from(CLIENT, move || {
        Some(format!("wrong-{}", counted.fetch_add(1, Ordering::SeqCst)))
    });
    let app = App::new(fixture.quiet(credentials).bearer_layer());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        assert_eq!(app.with_token(&fixture.token()).await.verdict(), "R503");
        sleep(Duration::from_millis(100)).await;
    }
    // Five until the circuit breaker opens, one that is repeated with the next secret, and then fewer and fewer.
    assert!((6..=20).contains(&fixture.introspections()), "{}", fixture.introspections());
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_never_logged_or_printed() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let (file, fixture) = (SecretFile::new("printed", OLD), Introspected::new(OLD));
    let from_code = ClientCredentials::post_from(CLIENT, || Some(OLD.to_owned()));
    for credentials in [file.basic(), from_code] {
        assert!(!format!("{credentials:?}").contains("secret-4711"));
        let server = fixture.quiet(credentials);
        let app = App::new(server.bearer_layer());
        let token = fixture.token();
        assert_eq!(app.with_token(&token).await.verdict(), "OK");
        fixture.rotate();
        advance(Duration::from_secs(2)).await;
        let answer = app.with_token(&token).await;
        assert_eq!(answer.verdict(), "R503");
        file.write(NEW);
        advance(Duration::from_secs(2)).await;
        app.with_token(&token).await;
        let seen = format!("{answer:?} {:?} {:?}", server.health(), capture.take());
        assert!(!seen.contains(OLD) && !seen.contains(NEW), "{seen}");
        file.write(OLD);
        fixture.issuer.set_introspection_client(CLIENT, OLD);
        advance(Duration::from_secs(300)).await;
    }
}
