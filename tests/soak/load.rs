use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, header};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::PAUSE;
use super::ledger::{Ledger, Wrong};

/// Chooses what is shown, and judges what came of it.
pub trait Judge: Send + Sync + 'static {
    type Token: Send + 'static;

    /// What to show now.
    fn draw(&self) -> Shown<Self::Token>;

    fn judge(&self, shown: &Self::Token, answer: &Answer) -> Result<(), Wrong>;
}

pub struct Shown<T> {
    /// What the summary calls it.
    pub kind: &'static str,
    /// Absent: no token at all.
    pub token: Option<Arc<str>>,
    pub about: T,
}

/// An answer, and between which moments it was found.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub sent: Instant,
    pub answered: Instant,
}

impl Answer {
    /// Half a second before the server itself gives up waiting for its issuer.
    pub fn is_slow(&self) -> bool {
        self.answered.duration_since(self.sent) >= Duration::from_millis(2500)
    }
}

/// One client, whose connection is kept alive.
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

/// One request at a time, never more often than every [`PAUSE`].
pub async fn send_for_ever<J: Judge>(judge: Arc<J>, sender: Sender) {
    let mut ticks = interval(PAUSE);
    // What was missed is not caught up with.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Shown { kind, token, about } = judge.draw();
        let answer = send(&sender.client, &sender.url, token.as_deref()).await;
        sender.ledger.enter(kind, answer.status, judge.judge(&about, &answer));
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
    // Read to its end, so that the connection is used again.
    drop(response.bytes().await.unwrap());
    Answer { status, sent, answered: Instant::now() }
}

/// Shows a good token until it is accepted, for a minute and a bit: the longest pause that anything makes.
pub async fn accepted_in_the_end(client: &Client, url: &str, token: &str) {
    let begun = Instant::now();
    loop {
        let status = send(client, url, Some(token)).await.status;
        if status == 200 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(70), "{status} long after all issuers are back");
        sleep(Duration::from_millis(200)).await;
    }
}
