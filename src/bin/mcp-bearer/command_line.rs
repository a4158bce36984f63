//! The arguments of the program. No other file uses the crate `clap`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Error, Parser, Subcommand};

use crate::access_token::TokenSource;

/// Tools for resource servers that are built with the Rust crate mcp-bearer.
#[derive(Debug, Parser)]
#[command(name = "mcp-bearer", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Looks at a deployment from outside, and says what to repair first.
    ///
    /// Sends at most 20 requests to the three URLs and to the URLs in their documents, and 9 more with
    /// `--token`. It follows no redirect and uses no proxy. The exit status is 0 without a fault, 1 with a fault, and 2 if something could not be checked.
    Doctor(DoctorArguments),
    /// Generates API keys, and checks files of them.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Generates an API key.
    ///
    /// Prints the key on stderr, once, and the line for the file of keys on stdout: append it with `>> api_keys.jsonl`. The
    /// line has the SHA-256 digest of the key and no secret.
    New(NewKeyArguments),
    /// Checks a file of API keys as a server does at its start. The exit status is 0 without a mistake, and else 2.
    Check(CheckKeysArguments),
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArguments {
    /// The name of the key, for you and for the log. Each key of a server has another one.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// A scope that the key grants. Can be given several times.
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,

    /// The caller that uses the key: the subject of its requests. Default: the name. Several keys may have the same identity.
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) identity: Option<String>,

    /// The key is rejected from the start of this day in UTC, or from a time such as 2027-01-31T18:00:00Z. Default: never.
    #[arg(long, value_name = "DATE")]
    pub(crate) expires: Option<String>,

    /// The prefix of the key, if the server sets one with `ApiKeys::prefix`.
    #[arg(long, value_name = "PREFIX", default_value = "mcpk")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct CheckKeysArguments {
    /// The file of keys.
    #[arg(value_name = "FILE")]
    pub(crate) file: std::path::PathBuf,

    /// The prefix of the keys, if the server sets one with `ApiKeys::prefix`.
    #[arg(long, value_name = "PREFIX", default_value = "mcpk")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The issuer identifier of the authorization server, exactly as the resource server has it in its configuration.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,

    /// The resource identifier, exactly as the resource server has it in its configuration.
    #[arg(long, value_name = "URL")]
    pub(crate) resource: String,

    /// The URL of the MCP endpoint. Default: the resource.
    #[arg(long, value_name = "URL")]
    pub(crate) mcp: Option<String>,

    /// Sends GET requests instead of calls of a tool, for an endpoint that is not an MCP server.
    #[arg(long)]
    pub(crate) rest: bool,

    /// The origin of a web page that is a client. Default: MCP Inspector on this machine.
    #[arg(long, value_name = "ORIGIN", default_value = "http://localhost:6274", conflicts_with = "no_browser")]
    pub(crate) origin: String,

    /// Leaves out the checks that matter only to clients in a browser.
    #[arg(long)]
    pub(crate) no_browser: bool,

    /// An access token to explain. `-` reads it from stdin, so that it is neither in the history of the shell nor in the list
    /// of processes. The program verifies it as the resource server does. It neither prints it nor sends it to a server.
    #[arg(long, value_name = "TOKEN|-")]
    pub(crate) token: Option<TokenSource>,

    /// Another audience that the resource server accepts (`accept_audience`). Can be given several times.
    #[arg(long, value_name = "AUDIENCE", requires = "token")]
    pub(crate) accept_audience: Vec<String>,

    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    /// The arguments of this process. Ends the process with a message and exit status 2 if they are invalid.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_values(error).exit())
    }
}

/// The error without an argument that may be a token, as in `--token Bearer TOKEN` without quotes.
fn without_values(error: Error) -> Error {
    let is_option = |value: &ContextValue| matches!(value, ContextValue::String(text) if text.starts_with('-'));
    let repeats_a_value = match error.kind() {
        ErrorKind::UnknownArgument => !error.get(ContextKind::InvalidArg).is_some_and(is_option),
        ErrorKind::InvalidSubcommand | ErrorKind::TooManyValues => true,
        _ => false,
    };
    match repeats_a_value {
        true => Arguments::command().error(
            ErrorKind::UnknownArgument,
            "there is an argument without an option or with a wrong one; it is not repeated here, because it may be a token. \
             Write `doctor --token TOKEN`, or `doctor --token -` for stdin",
        ),
        false => error,
    }
}
