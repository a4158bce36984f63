//! A file of keys that the background task does not read, or that cannot be read in time.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use http::StatusCode;
use mcp_bearer::ResourceServer;
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::Level;

use super::Keyed;
use super::file::{KeyFile, line, status, wait};
use crate::capture::Capture;
use crate::support::{App, RESOURCE};

/// With a paused clock, and with one thread for blocking work.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).max_blocking_threads(1).build().unwrap()
}

fn key_in_file() -> (ApiKey, KeyFile) {
    let key = ApiKey::generate().unwrap();
    let file = KeyFile::new(&line(&key, "ci"));
    (key, file)
}

/// Lets all tasks run that can run now.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

async fn advance(seconds: u64) {
    settle().await;
    tokio::time::advance(Duration::from_secs(seconds)).await;
    settle().await;
}

fn warnings(capture: &Capture) -> Vec<String> {
    let is_warning =
        |(level, line): &(Level, String)| *level == Level::WARN && line.starts_with("mcp_bearer::api_keys");
    capture.take().into_iter().filter(is_warning).map(|(_, line)| line).collect()
}

#[test]
fn a_removed_key_is_rejected_after_the_runtime_of_the_build_ended() {
    let (key, mut file) = key_in_file();
    let keyed = runtime().block_on(Keyed::new(ApiKeys::from_file(file.path())));
    file.write("");
    runtime().block_on(async {
        advance(11).await;
        assert_eq!(status(&keyed, &key).await, StatusCode::UNAUTHORIZED);
        // The next read is not due.
        file.write(&line(&key, "ci"));
        advance(5).await;
        assert_eq!(status(&keyed, &key).await, StatusCode::UNAUTHORIZED);
    });
}

#[test]
fn a_removed_key_is_rejected_by_a_server_that_was_built_outside_a_runtime() {
    let (key, mut file) = key_in_file();
    let keys = ApiKeys::from_file(file.path());
    let server = ResourceServer::builder(RESOURCE).api_keys(keys).build_lazy().unwrap();
    let app = App::new(server.bearer_layer());
    runtime().block_on(async {
        advance(6).await;
        assert_eq!(app.with_token(key.expose()).await.status, StatusCode::OK);
        file.write("");
        advance(6).await;
        // Reads the file without waiting for it.
        drop(app.with_token(key.expose()).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(app.with_token(key.expose()).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    });
}

#[test]
fn the_first_requests_after_a_suspension_share_a_read_and_wait_for_it() {
    let (key, mut file) = key_in_file();
    runtime().block_on(async {
        let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
        settle().await;
        file.write("");
        let idle = Handle::current().metrics().num_alive_tasks();
        // The monotonic clock does not go on while the machine is suspended.
        keyed.clock.advance(Duration::from_secs(3600));
        let (release, blocked) = mpsc::channel::<()>();
        let blocker = tokio::task::spawn_blocking(move || blocked.recv().is_ok());
        let tasks = async {
            settle().await;
            let tasks = Handle::current().metrics().num_alive_tasks();
            drop(release);
            tasks
        };
        let (statuses, tasks) = join(join_all((0..100).map(|_| status(&keyed, &key))), tasks).await;
        assert!(statuses.iter().all(|status| *status == StatusCode::UNAUTHORIZED), "{statuses:?}");
        // That of the read, and `blocker` if it counts as one.
        assert!(tasks <= idle + 2, "{tasks} tasks, {idle} before");
        assert!(!blocker.await.unwrap());
    });
}

#[test]
fn a_file_that_hangs_is_logged_once_and_delays_the_requests_of_three_seconds() {
    let (key, mut file) = key_in_file();
    runtime().block_on(async {
        let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
        let (release, blocked) = mpsc::channel::<()>();
        // A read cannot start before this ends.
        let blocker = tokio::task::spawn_blocking(move || blocked.recv().is_ok());
        let capture = Capture::of_this_thread();
        keyed.clock.advance(Duration::from_secs(3600));
        file.write("");

        let mut first = Box::pin(status(&keyed, &key));
        tokio::select! {
            biased;
            _ = &mut first => panic!("it did not wait"),
            () = advance(2) => {}
        }
        assert_eq!(join(first, advance(2)).await.0, StatusCode::OK);
        for _ in 0..30 {
            tokio::select! {
                biased;
                status = status(&keyed, &key) => assert_eq!(status, StatusCode::OK),
                () = settle() => panic!("it waited"),
            }
            advance(5).await;
        }
        let found = warnings(&capture);
        let [warning] = &found[..] else { panic!("{found:?}") };
        assert!(warning.contains("reading the file of API keys takes too long"), "{warning}");

        // It reads the file on the caller's thread.
        keyed.server.reload_api_keys().unwrap();
        assert_eq!(status(&keyed, &key).await, StatusCode::UNAUTHORIZED);
        file.write(&line(&key, "ci"));
        drop(release);
        assert!(!blocker.await.unwrap());
        wait().await;
        assert_eq!(status(&keyed, &key).await, StatusCode::OK);
        assert_eq!(warnings(&capture).len(), 0);
    });
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_pipe_in_place_of_the_file_is_not_opened() {
    let (key, file) = key_in_file();
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    let capture = Capture::of_this_thread();
    std::fs::remove_file(file.path()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(file.path()).status().unwrap();
    assert!(made.success());
    wait().await;
    assert_eq!(status(&keyed, &key).await, StatusCode::OK);
    let found = warnings(&capture);
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert!(warning.contains("it is not a regular file"), "{warning}");
}
