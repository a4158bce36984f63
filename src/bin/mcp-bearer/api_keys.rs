//! The commands about API keys.

use std::io::Write as _;
use std::process::ExitCode;

use mcp_bearer::api_key::{ApiKey, ApiKeys, StoredKey};
use serde_json::Value;

use crate::command_line::{CheckKeysArguments, KeyCommand, NewKeyArguments};
use crate::printable::printable;

pub(crate) fn run(command: &KeyCommand) -> ExitCode {
    let (name, written) = match command {
        KeyCommand::New(arguments) => ("new", new(arguments).and_then(|(key, line)| write(&key, &line))),
        KeyCommand::Check(arguments) => ("check", check(arguments).and_then(|result| write("", &result))),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(std::io::stderr(), "mcp-bearer key {name}: {}", printable(&message)));
            ExitCode::from(FAILED)
        }
    }
}

/// The text with the new key for stderr, and the line for stdout.
fn new(arguments: &NewKeyArguments) -> Result<(String, String), String> {
    let key = ApiKey::generate_with_prefix(&arguments.prefix).map_err(|error| error.to_string())?;
    let identity = arguments.identity.as_ref().unwrap_or(&arguments.name);
    let scopes = arguments.scope.iter().map(String::as_str);
    let stored = key.stored_as(arguments.name.as_str()).identity(identity.as_str()).scopes(scopes);
    let stored = match &arguments.expires {
        Some(text) => expiring(&stored, text)?,
        None => stored,
    };
    let line = stored.to_line();
    ApiKeys::new().prefix(arguments.prefix.as_str()).key(stored).check().map_err(|error| error.to_string())?;
    let text = format!(
        "The API key, which cannot be shown again:\n\n{}\n\nThe line for the file of keys is on stdout.\n",
        key.expose()
    );
    Ok((text, line))
}

/// The key with an expiry, which is read by the rules of the file.
fn expiring(stored: &StoredKey, expires: &str) -> Result<StoredKey, String> {
    let mut line: Value = serde_json::from_str(&stored.to_line()).map_err(|error| error.to_string())?;
    if let Some(members) = line.as_object_mut() {
        members.insert("expires".to_owned(), expires.into());
    }
    line.to_string().parse().map_err(|error: mcp_bearer::BuildError| error.to_string())
}

fn check(arguments: &CheckKeysArguments) -> Result<String, String> {
    let keys = ApiKeys::from_file(&arguments.file).prefix(arguments.prefix.as_str());
    match keys.check().map_err(|error| error.to_string())? {
        1 => Ok("1 key, no mistake".to_owned()),
        number => Ok(format!("{number} keys, no mistake")),
    }
}

fn write(to_stderr: &str, to_stdout: &str) -> Result<(), String> {
    // The line comes first: a key without a line in the file is of no use.
    let written = writeln!(std::io::stdout(), "{to_stdout}").and_then(|()| write!(std::io::stderr(), "{to_stderr}"));
    written.map_err(|error| format!("the result cannot be written: {error}"))
}

/// The exit status after a mistake.
const FAILED: u8 = 2;
