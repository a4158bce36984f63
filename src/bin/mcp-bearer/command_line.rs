//! The arguments of the program. No other file uses the crate `clap`.

use clap::{Args, Parser, Subcommand};

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
    /// Sends at most 20 requests to the three URLs and to the URLs in their documents. It follows no redirect and uses no
    /// proxy. The exit status is 0 without a fault, 1 with a fault, and 2 if something could not be checked.
    Doctor(DoctorArguments),
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

    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Arguments {
    /// The arguments of this process. Ends the process with a message and exit status 2 if they are invalid.
    pub(crate) fn read() -> Self {
        Self::parse()
    }
}
