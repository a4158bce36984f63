use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Failure;

/// Listens on a free loopback port for the answer of the authorization server (RFC 8252, section 7.3).
pub(crate) struct Callback {
    redirect_uri: String,
    answers: mpsc::Receiver<String>,
}

impl Callback {
    pub(crate) async fn listen() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (sender, answers) = mpsc::channel(1);
        let shared = Arc::new((origin.clone(), sender));
        let app = Router::new().route(PATH, get(receive)).with_state(shared);
        // Ends with the process.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { redirect_uri: format!("{origin}{PATH}"), answers })
    }

    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The whole URL that the browser was sent to, once it was.
    pub(crate) async fn answer(mut self) -> Result<String, Failure> {
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        let url = answer.map_err(|_| "nobody approved in time")?.ok_or("the listener is gone")?;
        let parameter = |name: &str| {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        match parameter("error") {
            None => Ok(url),
            Some(error) => {
                let description = parameter("error_description").unwrap_or_default();
                Err(format!("the authorization server refused: {error} {description}").into())
            }
        }
    }
}

async fn receive(State(shared): State<Arc<(String, mpsc::Sender<String>)>>, OriginalUri(uri): OriginalUri) -> Response {
    let (origin, sender) = shared.as_ref();
    // The first answer counts; rmcp checks that its `state` is the right one.
    match sender.try_send(format!("{origin}{uri}")) {
        Ok(()) => Html("<!doctype html><title>Done</title><p>You can close this page.").into_response(),
        Err(_) => (StatusCode::CONFLICT, "there was an answer already\n").into_response(),
    }
}

const PATH: &str = "/callback";
/// Time to find the browser window.
const PATIENCE: Duration = Duration::from_secs(300);
