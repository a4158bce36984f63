//! Key sets from a file or a cache, which are used until the first fetch.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::issuer::AuthorizationServerMetadata;
use mcp_bearer::jose::JwkSet;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::{BuildErrorKind, Clock as _, Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE, quiet};

/// A file of this test run, with this name and content.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

/// An issuer, the file with its key set, and the clock of both.
struct Saved {
    issuer: TestIssuer,
    clock: TestClock,
    path: PathBuf,
}

impl Saved {
    fn new(name: &str) -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("rs", "secret").build();
        let path = file(name, "");
        let saved = Self { issuer, clock, path };
        saved.save(&saved.issuer.jwk_set());
        saved
    }

    fn save(&self, document: &Value) {
        fs::write(&self.path, document.to_string()).unwrap();
        File::options().write(true).open(&self.path).unwrap().set_modified(self.clock.now()).unwrap();
    }

    fn configured(&self) -> Issuer {
        self.issuer.issuer().jwks_file(&self.path)
    }

    fn server(&self, issuer: Issuer) -> ResourceServer {
        ResourceServer::builder(RESOURCE).issuer(issuer).clock(self.clock.clone()).build_lazy().unwrap()
    }

    fn token(&self) -> String {
        self.issuer.token().audience(RESOURCE).sign()
    }

    /// A token that names a key that does not exist.
    fn made_up(&self, kid: &str) -> String {
        self.issuer.token().audience(RESOURCE).header("kid", kid).sign()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_verified_while_the_issuer_is_down() {
    let saved = Saved::new("first");
    saved.issuer.stop();
    let server =
        ResourceServer::builder(RESOURCE).issuer(saved.configured()).clock(saved.clock.clone()).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let start = Instant::now();
    assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let health = server.health();
    let health = &health.issuers()[0];
    assert!(health.is_ready() && health.is_seeded());
    assert_eq!((health.key_count(), health.fetched_at(), health.fresh_until()), (1, None, None));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_verified_before_the_issuer_responds() {
    let saved = Saved::new("slow");
    saved.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(4)));
    let server = quiet(ResourceServer::builder(RESOURCE).issuer(saved.configured()).clock(saved.clock.clone()));
    advance(Duration::from_secs(60)).await;
    let app = App::new(server.bearer_layer());
    assert_eq!(saved.issuer.total_requests(), 0);
    let start = Instant::now();
    assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
    assert_eq!(start.elapsed(), Duration::ZERO);
    // The fetch began with the first token.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(saved.issuer.requests(Endpoint::KeySet), 1);
    let health = server.health();
    assert!(!health.issuers()[0].is_seeded() && health.issuers()[0].fetched_at().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_key_set_is_fetched_in_the_background_at_the_start() {
    let saved = Saved::new("background");
    let server = saved.server(saved.configured());
    assert!(server.health().is_ready());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(saved.issuer.requests(Endpoint::KeySet), 1);
    assert!(!server.health().issuers()[0].is_seeded());
    // The rules of a fetched key set apply.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(saved.issuer.requests(Endpoint::KeySet), 1);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_rejected_after_the_first_fetch() {
    let saved = Saved::new("withdrawn");
    let token = saved.token();
    saved.issuer.rotate();
    let server = saved.server(saved.configured());
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token(&token).await.verdict(), "OK");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_saved_keys_do_not_verify_waits_for_the_issuers_keys() {
    // A new key id, a new key under the old key id, and a new key for tokens without key id.
    for case in ["new", "replaced", "unnamed"] {
        let saved = Saved::new(&format!("rotated-{case}"));
        let old = saved.issuer.key_id();
        let other = TestIssuer::builder(ISSUER).clock(saved.clock.clone()).build();
        let mut document = other.jwk_set();
        let key = &mut document["keys"][0];
        match case {
            "new" => key["kid"] = json!("another"),
            "replaced" => key["kid"] = json!(old),
            _ => key["kid"] = Value::Null,
        }
        saved.issuer.publish_key_set(document);
        saved.issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_secs(1)));
        let token = other.token().audience(RESOURCE);
        let token = match case {
            "new" => token.header("kid", "another").sign(),
            "replaced" => token.header("kid", old).sign(),
            _ => token.without_header("kid").sign(),
        };
        let server = saved.server(saved.configured());
        let app = App::new(server.bearer_layer());
        assert_eq!(app.with_token(&token).await.verdict(), "OK", "{case}");
        assert_eq!(saved.issuer.requests(Endpoint::KeySet), 1, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_down_a_token_that_the_saved_keys_do_not_verify_gets_503() {
    let saved = Saved::new("down");
    saved.issuer.stop();
    let other = TestIssuer::builder(ISSUER).clock(saved.clock.clone()).build();
    let server = saved.server(saved.configured());
    let app = App::new(server.bearer_layer());
    for token in [
        saved.made_up("another"),
        other.token().audience(RESOURCE).header("kid", saved.issuer.key_id()).sign(),
        other.token().audience(RESOURCE).without_header("kid").sign(),
    ] {
        assert_eq!(app.with_token(&token).await.verdict(), "R503");
    }
    assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
    // The issuer's own key set decides.
    saved.issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert_eq!(app.with_token(&saved.made_up("another")).await.verdict(), "R401");
}

#[tokio::test(start_paused = true)]
async fn the_saved_keys_are_used_for_the_time_of_last_known_good() {
    let saved = Saved::new("bound");
    saved.issuer.stop();
    let server = saved.server(saved.configured().last_known_good(Duration::from_secs(600)));
    let app = App::new(server.bearer_layer());
    for (time, verdict, ready) in [(590, "OK", true), (20, "R503", false)] {
        sleep(Duration::from_secs(time)).await;
        assert_eq!(app.with_token(&saved.token()).await.verdict(), verdict);
        assert_eq!(server.health().is_ready(), ready);
    }
    // The fetches were attempted all the time, with a back-off.
    assert!((10..=60).contains(&(saved.issuer.refused_requests() / 2)), "{}", saved.issuer.refused_requests());
    saved.issuer.restart().unwrap();
    sleep(Duration::from_secs(61)).await;
    assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_key_ids_does_not_affect_the_saved_keys() {
    let saved = Saved::new("flood");
    saved.issuer.stop();
    let server = saved.server(saved.configured());
    let app = App::new(server.bearer_layer());
    for round in 0..20 {
        let made_up: Vec<_> = (0..50).map(|number| saved.made_up(&format!("{round}-{number}"))).collect();
        let answers = join_all(made_up.iter().map(|token| app.with_token(token))).await;
        assert!(answers.iter().all(|answer| answer.verdict() == "R503"));
        assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
        sleep(Duration::from_secs(1)).await;
    }
    // One attempt per second at most, of two connections for each of two documents.
    assert!(saved.issuer.refused_requests() <= 25 * 6, "{}", saved.issuer.refused_requests());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_too_old_is_not_used() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    for (limit, age, is_used) in [
        (None, 30 * DAY - Duration::from_secs(1), true),
        (None, 30 * DAY, false),
        (Some(365 * DAY), 300 * DAY, true),
        (Some(DAY), 2 * DAY, false),
    ] {
        let capture = Capture::default();
        let _guard = tracing::subscriber::set_default(capture.clone());
        let saved = Saved::new("old");
        saved.clock.advance(age);
        let issuer = saved.configured();
        let issuer = limit.map_or(issuer.clone(), |limit| issuer.max_seed_age(limit));
        let server = saved.server(issuer);
        assert_eq!((server.health().is_ready(), server.health().issuers()[0].is_seeded()), (is_used, is_used));
        let warned = capture.take().iter().any(|(level, line)| {
            *level == Level::WARN && line.contains("the saved key set is too old and is not used")
        });
        assert_eq!(warned, !is_used, "{age:?}");
        // With any file, the server works.
        assert_eq!(App::new(server.bearer_layer()).with_token(&saved.token()).await.verdict(), "OK");
    }
}

#[tokio::test(start_paused = true)]
async fn saved_keys_do_not_outlive_their_highest_age() {
    let saved = Saved::new("remaining");
    saved.issuer.stop();
    saved.clock.advance(Duration::from_secs(3000));
    let server = saved.server(saved.configured().max_seed_age(Duration::from_secs(3600)));
    let app = App::new(server.bearer_layer());
    for (time, verdict) in [(595, "OK"), (10, "R503")] {
        sleep(Duration::from_secs(time)).await;
        assert_eq!(app.with_token(&saved.token()).await.verdict(), verdict);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_set_from_memory_has_the_same_rules() {
    let saved = Saved::new("memory");
    saved.issuer.stop();
    let keys = JwkSet::from_json(saved.issuer.jwk_set().to_string()).unwrap();
    let seeded = |fetched_at| saved.server(saved.issuer.issuer().jwks_seed(keys.clone(), fetched_at));
    let server = seeded(saved.clock.now());
    assert_eq!(App::new(server.bearer_layer()).with_token(&saved.token()).await.verdict(), "OK");
    // Clocks may differ by a few minutes. A time further in the future is not a longer life.
    let ahead = |seconds| seeded(saved.clock.now() + Duration::from_secs(seconds)).health().is_ready();
    assert_eq!((ahead(300), ahead(301), ahead(10 * 365 * 24 * 3600)), (true, false, false));
    let server = seeded(saved.clock.now() + Duration::from_secs(300));
    sleep(Duration::from_secs(3605)).await;
    assert!(!server.health().is_ready());
    assert!(!seeded(SystemTime::UNIX_EPOCH).health().is_ready());
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_keys_and_the_file_is_read_once() {
    let saved = Saved::new("clones");
    let issuer = saved.configured();
    let servers = [RESOURCE, "https://mcp.example.com/two"].map(|resource| {
        let builder = ResourceServer::builder(resource).issuer(issuer.clone()).clock(saved.clock.clone());
        let server = builder.build_lazy().unwrap();
        _ = fs::remove_file(&saved.path);
        server
    });
    sleep(Duration::from_secs(1)).await;
    assert!(servers.iter().all(|server| server.health().is_ready() && !server.health().issuers()[0].is_seeded()));
    assert_eq!(saved.issuer.requests(Endpoint::KeySet), 1);
    // A setter that changes the fetches makes a clone independent, and the file is missing now.
    let error = ResourceServer::builder(RESOURCE).issuer(issuer.max_keys(10)).build_lazy().unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Keys);
}

#[tokio::test(start_paused = true)]
async fn it_works_with_each_source_of_the_key_set_url() {
    let saved = Saved::new("sources");
    saved.issuer.stop();
    let metadata = AuthorizationServerMetadata::from_json(saved.issuer.metadata().to_string()).unwrap();
    let credentials = ClientCredentials::basic("rs", "secret");
    for issuer in [
        Issuer::with_metadata(metadata),
        Issuer::oidc(ISSUER),
        Issuer::discover(ISSUER).jwks_uri("https://auth.example.com/jwks"),
        Issuer::discover(ISSUER).introspect_opaque(credentials),
    ] {
        let issuer = issuer.http_client(saved.issuer.http_client()).jwks_file(&saved.path);
        let app = App::new(saved.server(issuer).bearer_layer());
        assert_eq!(app.with_token(&saved.token()).await.verdict(), "OK");
    }
}

#[test]
fn a_file_that_is_not_a_key_set_fails_the_build() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"});
    let private = |kid: Value, r#use: &str| {
        let mut private = key.clone();
        (private["kid"], private["use"]) = (kid, json!(r#use));
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        json!({"keys": [key, private]}).to_string()
    };
    let (signing, encrypting) = (private(json!("b\u{e9}"), "sig"), private(Value::Null, "enc"));
    for (name, content, expected) in [
        ("empty", "", "is not usable: the document is not a JSON Web Key Set"),
        ("html", "<html>", "is not usable: the document is not a JSON Web Key Set"),
        (
            "metadata",
            r#"{"issuer": "https://auth.example.com", "jwks_uri": "x"}"#,
            "save the document of the issuer's `jwks_uri`",
        ),
        ("bom", "\u{feff}{\"keys\": []}", "is not usable: the document begins with a byte order mark"),
        ("none", r#"{"keys": []}"#, "is not usable: the key set does not have a key that can check signatures"),
        ("signing", &signing, "has a private key with the key id \"b\\u{e9}\"; save the public keys only"),
        ("encrypting", &encrypting, "has a private key; save the public keys only"),
        ("large", &format!("{{\"keys\": []{}}}", " ".repeat(256 * 1024)), "has more than 262144 bytes"),
    ] {
        let path = file(name, content);
        let issuer = Issuer::discover(ISSUER).jwks_file(&path);
        let error = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap_err();
        let message = error.to_string();
        assert_eq!(error.kind(), BuildErrorKind::Keys);
        assert!(message.starts_with(&format!("the key set file {path:?} ")), "{message}");
        assert!(message.contains(expected) && !message.contains("nWGxne"), "{message}");
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for (path, expected) in [(folder.join("missing"), "cannot be read: "), (folder, "is not a regular file")] {
        let issuer = Issuer::discover(ISSUER).jwks_file(&path);
        let message = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("save the document"), "{message}");
    }
}

#[test]
fn a_setting_that_contradicts_the_saved_keys_fails_the_build() {
    let saved = || Issuer::discover(ISSUER).jwks_file("/jwks.json");
    let keys = JwkSet::from_json(TestIssuer::new(ISSUER).jwk_set().to_string()).unwrap();
    let second = Duration::from_secs(1);
    for (issuer, expected) in [
        (Issuer::with_jwks(ISSUER, keys).jwks_file("/jwks.json"), "`jwks_file` has no effect"),
        (saved().introspect_all(ClientCredentials::basic("a", "b")), "`jwks_file` has no effect"),
        (Issuer::discover(ISSUER).max_seed_age(60 * second), "`max_seed_age` has no effect"),
        (saved().last_known_good(Duration::ZERO), "has no effect with `last_known_good` of 0 s"),
        (saved().max_seed_age(second), "`max_seed_age` is 1 s; use between 60 s and 31536000 s"),
    ] {
        let message = ResourceServer::builder(RESOURCE).issuer(issuer).build_lazy().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unusable_key_in_the_file_is_named_in_the_log() {
    let saved = Saved::new("unusable");
    let mut document = saved.issuer.jwk_set();
    document["keys"].as_array_mut().unwrap().push(json!({"kid": "odd", "kty": "EC", "crv": "secp256k1"}));
    saved.save(&document);
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let server = saved.server(saved.configured());
    assert!(capture.take().iter().any(|(level, line)| *level == Level::WARN && line.contains("odd")));
    assert_eq!(server.health().issuers()[0].unusable_key_count(), 1);
    assert_eq!(server.health().issuers()[0].key_count(), 1);
    let named = saved.issuer.token().audience(RESOURCE).header("kid", "odd").sign();
    let app = App::new(server.bearer_layer());
    assert_eq!(app.with_token(&named).await.verdict(), "R401");
}
