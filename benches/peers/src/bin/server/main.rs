//! A server with one variant on a loopback socket, and its authorization server beside it.
//!
//! `server [--algorithm RS256] [--threads 1] [--max-age SECONDS] VARIANT`, where a variant is a name of
//! [`mcp_bearer_peers::NAMES`], `raw-check` or `busy`. It prints its address, its process id and a token, then reads
//! commands, one a line, and answers each with one line; what they are stands at [`Served::obey`]. It ends with its
//! input.
//!
//! Both servers are one process: the authorization server has a thread of its own, which does nothing unless keys are
//! fetched, so that in the steady state all processor time is the server's.

mod floor;
mod options;

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer_peers::{PATH, Subject, router};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tower::util::MapRequestLayer;

use crate::options::Options;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build()?;
    let mut served = Served::new(&options)?;
    let (listener, app) = runtime.block_on(async {
        let app = match options.variant.as_str() {
            "raw-check" => floor::raw_check(&served.subject)?,
            "busy" => floor::busy(),
            name => router(name, &served.subject).await?,
        };
        Ok::<_, Box<dyn Error>>((TcpListener::bind("127.0.0.1:0").await?, app))
    })?;
    let (address, app) = (listener.local_addr()?, counted(app, &served.requests));
    runtime.spawn(async move { axum::serve(listener, app).await });

    let mut output = io::stdout().lock();
    writeln!(output, "http://{address}{PATH} {} {}", std::process::id(), served.subject.token)?;
    for command in io::stdin().lock().lines() {
        match served.obey(command?.trim()) {
            Some(answer) => writeln!(output, "{}", answer?)?,
            None => break,
        }
    }
    // What still waits for an authorization server that is gone is not waited for.
    runtime.shutdown_background();
    Ok(())
}

/// What commands are about.
struct Served {
    subject: Subject,
    requests: Arc<AtomicU64>,
    max_age: Option<u32>,
    /// Has the next key in it.
    next_key_set: Option<serde_json::Value>,
}

impl Served {
    fn new(options: &Options) -> io::Result<Self> {
        let subject = Subject::new(options.algorithm)?;
        let served = Self { subject, requests: Arc::default(), max_age: options.max_age, next_key_set: None };
        served.set_max_age();
        Ok(served)
    }

    /// `None` ends the program.
    fn obey(&mut self, command: &str) -> Option<Result<String, Box<dyn Error>>> {
        let issuer = &self.subject.issuer;
        let answer = match command {
            // Of this process so far: microseconds on a processor, requests, fetches of the key set.
            "cpu" => {
                let requests = self.requests.load(Ordering::Relaxed);
                Ok(format!("{} {requests} {}", processor_time(), issuer.requests(Endpoint::KeySet)))
            }
            "token" => Ok(self.subject.unsigned().sign()),
            // Makes the next key, which takes a while and is not yet published, and answers with a token signed by it.
            "prepare" => Ok(self.prepare()),
            // Publishes it. The previous one stays: its tokens are good until they expire.
            "rotate" => self.rotate(),
            "stop" => {
                issuer.stop();
                Ok("stopped".to_owned())
            }
            "restart" => issuer.restart().map(|()| "restarted".to_owned()).map_err(Into::into),
            "fault" => {
                issuer.fault(Endpoint::KeySet, Fault::Status(503));
                Ok("failing".to_owned())
            }
            "heal" => {
                issuer.heal();
                self.set_max_age();
                Ok("healed".to_owned())
            }
            "quit" => return None,
            _ => Err(format!("{command:?} is no command").into()),
        };
        Some(answer)
    }

    fn prepare(&mut self) -> String {
        let issuer = &self.subject.issuer;
        let before = issuer.jwk_set();
        let key = issuer.add_key(self.subject.algorithm);
        self.next_key_set = Some(issuer.jwk_set());
        issuer.publish_key_set(before);
        self.subject.unsigned().key(&key).sign()
    }

    fn rotate(&mut self) -> Result<String, Box<dyn Error>> {
        let next = self.next_key_set.take().ok_or("there is no next key: prepare one")?;
        self.subject.issuer.publish_key_set(next);
        Ok("rotated".to_owned())
    }

    fn set_max_age(&self) {
        if let Some(seconds) = self.max_age {
            let header = Fault::headers([("cache-control", format!("max-age={seconds}"))]);
            self.subject.issuer.fault(Endpoint::KeySet, header);
        }
    }
}

/// Counts the requests that arrive, good or bad.
fn counted(app: Router, requests: &Arc<AtomicU64>) -> Router {
    let requests = Arc::clone(requests);
    app.layer(MapRequestLayer::new(move |request: axum::extract::Request| {
        requests.fetch_add(1, Ordering::Relaxed);
        request
    }))
}

/// Of this process so far, in user and in kernel mode, in microseconds.
fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
