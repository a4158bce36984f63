use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A running `mcp_server` with its development authorization server, both on free ports.
pub(crate) struct Server {
    pub(crate) resource: String,
    pub(crate) issuer: String,
    /// Empty if the server requires DPoP, like `curl`.
    pub(crate) token: String,
    pub(crate) curl: String,
    pub(crate) http: reqwest::Client,
    _process: Program,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let any_port = [("MCP_BIND", "127.0.0.1:0"), ("MCP_DEV_AS_BIND", "127.0.0.1:0")];
        let mut process = Program::start("mcp_server", &[], &[&any_port[..], variables].concat());
        let printed = process.read_until("From here").await;
        let line = |start: &str| printed.iter().find(|line| line.starts_with(start)).cloned().unwrap_or_default();
        let word = |line: String| line.split_whitespace().nth(2).unwrap().to_owned();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self {
            resource: word(line("MCP server")),
            issuer: word(line("Authorization server")),
            token: printed.iter().skip_while(|line| !line.starts_with("A token")).nth(2).cloned().unwrap_or_default(),
            curl: line("curl"),
            http,
            _process: process,
        }
    }

    /// Sends a tool call.
    pub(crate) async fn post(&self, token: &str, tool: &str, arguments: Value) -> reqwest::Response {
        let params = json!({ "name": tool, "arguments": arguments });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let request = self.http.post(&self.resource).bearer_auth(token).json(&call);
        request.header("accept", "application/json, text/event-stream").send().await.unwrap()
    }

    /// Sends a tool call and returns the JSON-RPC message of the response.
    pub(crate) async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let answer = self.post(token, tool, arguments).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Calls a tool that returns JSON text, and parses that text.
    pub(crate) async fn call_json(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let answer = self.call(token, tool, arguments).await;
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
    }
}

/// A running example. The process ends when this value is dropped.
pub(crate) struct Program {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(name, arguments, variables).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// Reads the output up to a line with this start.
    pub(crate) async fn read_until(&mut self, start: &str) -> Vec<String> {
        let mut read = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                read.push(line);
                if read.last().unwrap().starts_with(start) {
                    return true;
                }
            }
            false
        };
        let found = timeout(TIME_LIMIT, reading).await;
        assert!(matches!(found, Ok(true)), "no line starts with {start:?}: {read:#?}");
        read
    }
}

/// Runs an example to its end.
pub(crate) async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    let running = command(name, arguments, variables).stderr(Stdio::piped()).output();
    let Output { status, stdout, stderr } = timeout(TIME_LIMIT, running).await.unwrap().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn command(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary(name));
    for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("MCP_")) {
        command.env_remove(variable);
    }
    command.args(arguments).envs(variables.iter().copied()).env("NO_PROXY", "127.0.0.1").env("RUST_LOG", "error");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// `cargo test` builds the examples into a folder next to that of the test programs.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let binary = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.exists(), "{} is missing: run `cargo build --examples`", binary.display());
    binary
}

/// Much longer than any step takes.
const TIME_LIMIT: Duration = Duration::from_secs(60);
