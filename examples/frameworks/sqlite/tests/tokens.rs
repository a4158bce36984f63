//! Requests to the server, with its tokens in a database on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use mcp_bearer::ResourceServer;
use mcp_bearer::verify::{TokenVerifier, Verified, VerifyError};
use sqlite_example::{MAX_CONNECTIONS, SCOPE, TokenTable, app, limits, server};
use tower::ServiceExt as _;

const HOUR: Duration = Duration::from_secs(3600);

/// The table, which counts the queries of the verifier.
#[derive(Clone)]
struct Counted {
    table: TokenTable,
    queries: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl TokenVerifier for Counted {
    async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        self.peak.fetch_max(self.in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let verified = self.table.verify(token).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        verified
    }
}

struct Notes {
    verifier: Counted,
    server: ResourceServer,
    app: Router,
    url: String,
}

impl Notes {
    /// A server with an empty database of this name.
    async fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.db"));
        _ = std::fs::remove_file(&path);
        let url = format!("sqlite:{}", path.display());
        let table = TokenTable::open(&url).await.unwrap();
        let [queries, in_flight, peak] = std::array::from_fn(|_| Arc::default());
        let verifier = Counted { table, queries, in_flight, peak };
        let server = server(verifier.clone(), limits()).await.unwrap();
        let app = app(&server);
        Self { verifier, server, app, url }
    }

    async fn issue(&self, scopes: &str, expires_at: Option<SystemTime>) -> String {
        self.verifier.table.issue("alice", scopes, expires_at).await.unwrap()
    }

    fn list(&self, token: &str) -> impl Future<Output = (StatusCode, String)> + Send + 'static {
        let request = Request::get("/notes").header("authorization", format!("Bearer {token}"));
        let (app, request) = (self.app.clone(), request.body(Body::empty()).unwrap());
        async move {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.into()).unwrap())
        }
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.list(token).await.0
    }

    fn queries(&self) -> usize {
        self.verifier.queries.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_token_in_the_table_is_accepted_and_cached() {
    let notes = Notes::new("accepted").await;
    for expires_at in [None, Some(SystemTime::now() + HOUR)] {
        let token = notes.issue(SCOPE, expires_at).await;
        let queries = notes.queries();
        for _ in 0..3 {
            assert_eq!(notes.list(&token).await, (StatusCode::OK, "the notes of alice".to_owned()));
        }
        assert_eq!(notes.queries(), queries + 1);
    }
}

#[tokio::test]
async fn unknown_expired_and_revoked_tokens_are_rejected() {
    let notes = Notes::new("rejected").await;
    let expired = notes.issue(SCOPE, Some(SystemTime::now() - HOUR)).await;
    assert_eq!(notes.status("notes_made-up").await, StatusCode::UNAUTHORIZED);
    assert_eq!(notes.status(&expired).await, StatusCode::UNAUTHORIZED);
    let token = notes.issue(SCOPE, None).await;
    assert_eq!(notes.status(&token).await, StatusCode::OK);
    notes.verifier.table.revoke(&token).await.unwrap();
    notes.server.forget(&token);
    assert_eq!(notes.status(&token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_without_the_scope_is_rejected() {
    let notes = Notes::new("scope").await;
    for scopes in ["", "notes:write"] {
        let token = notes.issue(scopes, None).await;
        assert_eq!(notes.status(&token).await, StatusCode::FORBIDDEN, "{scopes}");
    }
}

#[tokio::test]
async fn the_database_has_no_token() {
    let notes = Notes::new("digests").await;
    let token = notes.issue(SCOPE, None).await;
    let database = std::fs::read(notes.url.trim_start_matches("sqlite:")).unwrap();
    let (_, secret) = token.split_once('_').unwrap();
    assert!(database.windows(5).any(|bytes| bytes == b"alice"));
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
}

#[tokio::test]
async fn a_closed_pool_is_an_outage_except_for_cached_tokens() {
    let notes = Notes::new("closed").await;
    let [cached, token] = [notes.issue(SCOPE, None).await, notes.issue(SCOPE, None).await];
    assert_eq!(notes.status(&cached).await, StatusCode::OK);
    notes.verifier.table.pool().close().await;
    assert_eq!(notes.status(&token).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(notes.status("notes_made-up").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(notes.status(&cached).await, StatusCode::OK);
}

#[tokio::test]
async fn a_locked_database_is_an_outage_that_ends_with_the_lock() {
    let notes = Notes::new("locked").await;
    let token = notes.issue(SCOPE, None).await;
    let other = TokenTable::open(&notes.url).await.unwrap();
    let mut connection = other.pool().acquire().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut *connection).await.unwrap();
    let started_at = Instant::now();
    assert_eq!(notes.status(&token).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(started_at.elapsed() < Duration::from_secs(3), "{:?}", started_at.elapsed());
    sqlx::query("ROLLBACK").execute(&mut *connection).await.unwrap();
    assert_eq!(notes.status(&token).await, StatusCode::OK);
}

#[tokio::test]
async fn a_flood_of_one_unknown_token_makes_one_query() {
    let notes = Notes::new("flood").await;
    let requests: Vec<_> = (0..300).map(|_| tokio::spawn(notes.list("notes_made-up"))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(notes.queries(), 1);
}

#[tokio::test]
async fn a_flood_of_many_unknown_tokens_leaves_a_connection_for_others() {
    let notes = Notes::new("many").await;
    let requests: Vec<_> =
        (0..300).map(|number| tokio::spawn(notes.list(&format!("notes_made-up-{number}")))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().0, StatusCode::UNAUTHORIZED);
    }
    let peak = notes.verifier.peak.load(Ordering::SeqCst);
    assert!(peak < MAX_CONNECTIONS, "{peak}");
}
