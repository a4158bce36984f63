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

/// Listens on a free loopback port for the authorization response (RFC 8252, section 7.3).
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
        // The task ends with the process.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { redirect_uri: format!("{origin}{PATH}"), answers })
    }

    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the redirect to the callback and returns its whole URL.
    pub(crate) async fn answer(mut self) -> Result<String, Failure> {
        let answer = tokio::time::timeout(TIME_LIMIT, self.answers.recv()).await;
        let url =
            answer.map_err(|_| "the login was not approved in time")?.ok_or("the callback listener has stopped")?;
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
                Err(format!("the authorization server returned an error: {error} {description}").into())
            }
        }
    }
}

async fn receive(State(shared): State<Arc<(String, mpsc::Sender<String>)>>, OriginalUri(uri): OriginalUri) -> Response {
    let (origin, sender) = shared.as_ref();
    // Only the first response is used. rmcp compares its `state` with that of the request.
    match sender.try_send(format!("{origin}{uri}")) {
        Ok(()) => Html("<!doctype html><title>Done</title><p>You can close this page.").into_response(),
        Err(_) => (StatusCode::CONFLICT, "the client has already received a response\n").into_response(),
    }
}

const PATH: &str = "/callback";
/// The time that a user has to approve the request.
const TIME_LIMIT: Duration = Duration::from_secs(300);
