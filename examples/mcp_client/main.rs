//! An MCP client that logs in to a protected server step by step, with the OAuth client of rmcp.
//!
//! `cargo run --example mcp_client [-- [--approve] [--dpop] [URL]]` calls `whoami` on `http://127.0.0.1:9000/mcp`, which is the
//! default URL of `cargo run --example mcp_server`. The client opens a browser for the consent page. With `--approve`
//! it approves the request itself, which only works with the development authorization server of that example. With `--dpop`
//! it binds its tokens to a key, and sends a proof with each request (RFC 9449).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints for its user")]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "an example panics when it cannot continue")]

mod browser;
mod callback;
mod consent;
mod dpop;
mod proof;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use reqwest::header;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState, default_oauth_http_client,
};
use rmcp::transport::streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig};

use callback::Callback;
use dpop::{ProvingMcpClient, ProvingOAuthClient};
use proof::ProofKey;

/// Errors of different types. The program prints all of them in the same way.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("usage: mcp_client [--approve] [--dpop] [URL]");
        return ExitCode::FAILURE;
    };
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp_client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line arguments.
struct Arguments {
    url: String,
    approve: bool,
    dpop: bool,
}

impl Arguments {
    fn parse(words: impl Iterator<Item = String>) -> Option<Self> {
        let (options, mut urls): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with('-'));
        if options.iter().any(|option| option != "--approve" && option != "--dpop") || urls.len() > 1 {
            return None;
        }
        let has = |option: &str| options.iter().any(|given| given == option);
        let url = urls.pop().unwrap_or_else(|| "http://127.0.0.1:9000/mcp".to_owned());
        Some(Self { url, approve: has("--approve"), dpop: has("--dpop") })
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let challenge = challenge(&arguments.url).await?;
    println!("rejected without a token, as expected: {challenge}");

    let inner = reqwest::Client::new();
    if !arguments.dpop {
        let state = OAuthState::new(&arguments.url, None).await?;
        let manager = log_in(arguments, &challenge, state).await?;
        return call_tools(&arguments.url, AuthClient::new(inner, manager)).await;
    }
    let key = Arc::new(ProofKey::new());
    let oauth = ProvingOAuthClient { inner: default_oauth_http_client()?, key: Arc::clone(&key) };
    let state = OAuthState::new_with_oauth_http_client(&arguments.url, Arc::new(oauth)).await?;
    let manager = log_in(arguments, &challenge, state).await?;
    call_tools(&arguments.url, AuthClient::new(ProvingMcpClient { inner, key }, manager)).await
}

/// Sends a request without a token and returns the challenge of the response.
async fn challenge(url: &str) -> Result<String, Failure> {
    let answer =
        reqwest::Client::new().get(url).send().await.map_err(|error| {
            format!("{url} does not respond ({error}); start it with: cargo run --example mcp_server")
        })?;
    let challenge = answer.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    match (answer.status().as_u16(), challenge) {
        (401, Some(challenge)) => Ok(challenge.to_owned()),
        (status, _) => {
            Err(format!("{url} responds with {status} and without a challenge, so it does not need a login").into())
        }
    }
}

/// Performs discovery, registration, consent and the token request (MCP Authorization, 2026-07-28).
async fn log_in(
    arguments: &Arguments,
    challenge: &str,
    mut state: OAuthState,
) -> Result<AuthorizationManager, Failure> {
    let callback = Callback::listen().await?;
    let request = AuthorizationRequest::new(callback.redirect_uri())
        .with_client_name("mcp_client example")
        .with_initial_scope_selection()
        .with_challenge(challenge);
    state.start_authorization(request).await?;
    let consent_page = state.get_authorization_url().await?;
    println!("authorization server: {consent_page}");

    if arguments.approve {
        consent::approve(&consent_page).await?;
    } else {
        println!("waiting for your approval in the browser");
        browser::open(&consent_page);
    }
    state.handle_callback_url(&callback.answer().await?).await?;
    let manager = state.into_authorization_manager().ok_or("the login did not complete")?;
    println!("logged in");
    Ok(manager)
}

async fn call_tools<C>(url: &str, client: AuthClient<C>) -> Result<(), Failure>
where
    C: StreamableHttpClient + Sync,
{
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let session = ().serve(StreamableHttpClientTransport::with_client(client, config)).await?;

    let tools = session.list_all_tools().await?;
    println!("tools: {}", tools.iter().map(|tool| tool.name.as_ref()).collect::<Vec<_>>().join(", "));

    let result = session.call_tool(CallToolRequestParams::new("whoami")).await?;
    let text = result.content.iter().filter_map(|content| content.as_text()).map(|content| content.text.as_str());
    println!("whoami: {}", text.collect::<String>());
    session.cancel().await?;
    Ok(())
}
