use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, header};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::PAUSE;
use super::ledger::{Ledger, Wrong};

/// Chooses the tokens to send, and checks the responses.
pub trait Judge: Send + Sync + 'static {
    type Token: Send + 'static;

    /// Chooses the token of the next request.
    fn draw(&self) -> Drawn<Self::Token>;

    fn judge(&self, drawn: &Self::Token, answer: &Answer) -> Result<(), Wrong>;
}

pub struct Drawn<T> {
    /// The name of this kind of token in the summary.
    pub kind: &'static str,
    /// `None` for a request without a token.
    pub token: Option<Arc<str>>,
    pub expected: T,
}

/// The status of a response, and when the request was sent and answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub sent: Instant,
    pub answered: Instant,
}

impl Answer {
    /// Returns whether the response took 2.5 s or more. The server's own time limit for its issuer is 3 s.
    pub fn is_slow(&self) -> bool {
        self.answered.duration_since(self.sent) >= Duration::from_millis(2500)
    }
}

/// A client with a persistent connection.
pub struct Sender {
    client: Client,
    url: String,
    ledger: Arc<Ledger>,
}

impl Sender {
    pub fn new(client: &Client, url: &str, ledger: &Arc<Ledger>) -> Self {
        Self { client: client.clone(), url: url.to_owned(), ledger: Arc::clone(ledger) }
    }
}

/// Sends one request at a time, at most one in each [`PAUSE`].
pub async fn send_until_cancelled<J: Judge>(judge: Arc<J>, sender: Sender) {
    let mut ticks = interval(PAUSE);
    // A slow machine skips missed ticks instead of catching up with a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Drawn { kind, token, expected } = judge.draw();
        let answer = send(&sender.client, &sender.url, token.as_deref()).await;
        sender.ledger.record(kind, answer.status, judge.judge(&expected, &answer));
    }
}

async fn send(client: &Client, url: &str, token: Option<&str>) -> Answer {
    let mut request = client.get(url);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let sent = Instant::now();
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    // The body is read to its end, so that the client can reuse the connection.
    drop(response.bytes().await.unwrap());
    Answer { status, sent, answered: Instant::now() }
}

/// Sends a valid token until it is accepted. Fails after 70 s, which is more than the longest back-off of 60 s.
pub async fn accepted_eventually(client: &Client, url: &str, token: &str) {
    let started = Instant::now();
    loop {
        let status = send(client, url, Some(token)).await.status;
        if status == 200 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(70), "still {status} long after all outages ended");
        sleep(Duration::from_millis(200)).await;
    }
}
