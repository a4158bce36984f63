//! A file of keys that changes while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use tracing::Level;

use super::Keyed;
use crate::capture::Capture;

/// A file of keys in a folder for temporary files. It is removed at the end.
pub struct KeyFile(PathBuf);

impl KeyFile {
    pub fn new(text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("mcp-bearer-keys-{}-{number}.jsonl", std::process::id());
        let mut file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&mut self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    pub fn write_bytes(&mut self, bytes: &[u8]) {
        fs::write(&self.0, bytes).unwrap();
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

pub fn line(key: &ApiKey, name: &str) -> String {
    key.stored_as(name).scopes(["notes:read"]).to_line()
}

pub async fn status(keyed: &Keyed, key: &ApiKey) -> StatusCode {
    keyed.app().with_token(key.expose()).await.status
}

/// Longer than the interval at which the file is read.
pub async fn wait() {
    tokio::time::sleep(Duration::from_secs(6)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_added_or_removed_take_effect_without_a_restart() {
    let (old, new, fixed) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let mut file = KeyFile::new(&format!("\u{feff}# of CI\n\n  {}  \r\n", line(&old, "ci-1")));
    let keys = ApiKeys::from_file(file.path()).key(fixed.stored_as("fixed").scopes(["notes:read"]));
    let keyed = Keyed::new(keys).await;
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [200, 401]);

    // Both keys, during a rotation.
    file.write(&format!("{}\n{}\n", line(&old, "ci-1"), line(&new, "ci-2")));
    let capture = Capture::of_this_thread();
    wait().await;
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [200, 200]);
    let log = capture.take();
    let changed =
        |(level, line): &&(Level, String)| *level == Level::INFO && line.contains("the file of API keys has changed");
    let line_of_log = log.iter().find(changed).unwrap();
    assert!(line_of_log.1.contains("before=2 keys=3"), "{}", line_of_log.1);

    file.write(&line(&new, "ci-2"));
    wait().await;
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [401, 200]);

    // An empty file revokes all of its keys.
    file.write("");
    wait().await;
    assert_eq!([status(&keyed, &new).await, status(&keyed, &fixed).await], [401, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_file_without_keys_is_a_warning() {
    let key = ApiKey::generate().unwrap();
    let mut file = KeyFile::new(&line(&key, "ci"));
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    let capture = Capture::of_this_thread();
    file.write("");
    wait().await;
    assert_eq!(status(&keyed, &key).await, 401);
    let log = capture.take();
    let is_warning =
        |(level, line): &&(Level, String)| *level == Level::WARN && line.contains("does not have keys any more");
    assert_eq!(log.iter().filter(is_warning).count(), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn the_old_keys_stay_if_the_new_file_has_a_mistake_and_one_warning_names_its_lines() {
    let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let mut file = KeyFile::new(&line(&old, "ci-1"));
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    let capture = Capture::of_this_thread();
    let warnings = || -> Vec<String> {
        let target =
            |(level, line): &(Level, String)| *level == Level::WARN && line.starts_with("mcp_bearer::api_keys");
        capture.take().into_iter().filter(target).map(|(_, line)| line).collect()
    };

    file.write(&format!("{}\n{{}}\n{}\n", line(&new, "ci-2"), new.expose()));
    for _ in 0..3 {
        wait().await;
    }
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [200, 401]);
    let found = warnings();
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert!(warning.contains("line 2: ") && warning.contains("line 3: an API key is written here"), "{warning}");
    assert!(warning.contains("the previous keys stay in use") && !warning.contains(new.expose()), "{warning}");
    let error = keyed.server.reload_api_keys().unwrap_err().to_string();
    assert!(error.contains("line 2: ") && !error.contains(new.expose()), "{error}");

    fs::remove_file(file.path()).unwrap();
    for _ in 0..3 {
        wait().await;
    }
    assert_eq!(status(&keyed, &old).await, 200);
    assert_eq!(warnings().len(), 1);

    file.write(&line(&new, "ci-2"));
    wait().await;
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [401, 200]);
    assert_eq!(warnings().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_effect_at_once() {
    let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let mut file = KeyFile::new(&line(&old, "ci-1"));
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    file.write(&line(&new, "ci-2"));
    keyed.server.reload_api_keys().unwrap();
    assert_eq!([status(&keyed, &old).await, status(&keyed, &new).await], [401, 200]);
    // Does nothing without a file.
    let keyed = Keyed::new(ApiKeys::new().key(old.stored_as("ci").scopes(["notes:read"]))).await;
    keyed.server.reload_api_keys().unwrap();
    assert_eq!(status(&keyed, &old).await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_file_is_not_read_any_more_after_the_server_is_dropped() {
    let mut file = KeyFile::new("");
    let keyed = Keyed::new(ApiKeys::from_file(file.path())).await;
    drop(keyed.server);
    for _ in 0..2 {
        wait().await;
    }
    let capture = Capture::of_this_thread();
    file.write("not a key");
    for _ in 0..3 {
        wait().await;
    }
    assert!(capture.take().is_empty());
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
