//! The program `mcp-bearer` as a process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// The output of one run of the program.
pub(crate) struct Run {
    pub(crate) exit_status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The report in its JSON form.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The differences of the report in JSON from its expected first cause, exit status and texts. `what` names the row.
    pub(crate) fn compared_with(
        &self,
        what: &str,
        cause: &str,
        exit_status: i32,
        texts: impl Iterator<Item = String>,
    ) -> Vec<String> {
        let report = self.json();
        let first = report["causes"][0].as_str().unwrap_or("none");
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == first);
        let shown = check.map(|check| serde_json::to_string_pretty(check).unwrap()).unwrap_or_default();
        let mut wrong = Vec::new();
        if (first, self.exit_status) != (cause, exit_status) {
            wrong.push(format!("{what}: {first} with exit status {} instead of {cause}: {shown}", self.exit_status));
        }
        // Code in quotes is escaped in JSON.
        let is_there = |text: &String| shown.contains(text) || shown.contains(&text.replace('"', "\\\""));
        wrong.extend(texts.filter(|text| !is_there(text)).map(|text| format!("{what}: {text} is missing in {shown}")));
        wrong
    }
}

/// Runs the program with an empty stdin.
pub(crate) async fn run(arguments: &[&str]) -> Run {
    run_with_stdin(arguments, b"").await
}

/// Runs the program, which trusts only the certificates of the test root.
pub(crate) async fn run_with_stdin(arguments: &[&str], stdin: &[u8]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-bearer"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("SSL_CERT_DIR");
    command.env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/hostile/tls/ca.pem"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    // A program that does not read its stdin may end before all of it is written.
    drop(process.stdin.take().unwrap().write_all(stdin).await);
    let output = timeout(TIME_LIMIT, process.wait_with_output()).await.unwrap().unwrap();
    Run {
        exit_status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Much longer than a run takes.
const TIME_LIMIT: Duration = Duration::from_secs(60);
