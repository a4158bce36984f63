//! A server with one variant on a loopback socket, and its authorization server.
//!
//! `server [--algorithm RS256] [--threads 1] [--max-age SECONDS] VARIANT`, where a variant is a name of
//! [`mcp_bearer_peers::NAMES`], `raw-check` or `busy`. Prints its address, its process id and a token. Then reads
//! commands, one per line, and responds to each with one line; [`Served::run_command`] lists them. It exits at the end
//! of its input.
//!
//! Both servers are in one process. The authorization server has its own thread, which only works when keys are
//! fetched. So under steady load, all processor time is that of the server.

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
        match served.run_command(command?.trim()) {
            Some(answer) => writeln!(output, "{}", answer?)?,
            None => break,
        }
    }
    // Does not wait for requests to a stopped authorization server.
    runtime.shutdown_background();
    Ok(())
}

/// The state that commands change.
struct Served {
    subject: Subject,
    requests: Arc<AtomicU64>,
    max_age: Option<u32>,
    /// The key set with the next key.
    next_key_set: Option<serde_json::Value>,
}

impl Served {
    fn new(options: &Options) -> io::Result<Self> {
        let subject = Subject::new(options.algorithm)?;
        let served = Self { subject, requests: Arc::default(), max_age: options.max_age, next_key_set: None };
        served.set_max_age();
        Ok(served)
    }

    /// Runs a command. Returns `None` to exit.
    fn run_command(&mut self, command: &str) -> Option<Result<String, Box<dyn Error>>> {
        let issuer = &self.subject.issuer;
        let answer = match command {
            // Returns the processor time of the process in microseconds, the requests, and the fetches of the key set.
            "cpu" => {
                let requests = self.requests.load(Ordering::Relaxed);
                Ok(format!("{} {requests} {}", processor_time(), issuer.requests(Endpoint::KeySet)))
            }
            "token" => Ok(self.subject.unsigned().sign()),
            // Creates the next key without publishing it, because that takes time. Returns a token of that key.
            "prepare" => Ok(self.prepare()),
            // Publishes the next key. The previous key stays, because its tokens are valid until they expire.
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
            _ => Err(format!("{command:?} is not a command").into()),
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
        let next = self.next_key_set.take().ok_or("the next key is missing: send prepare first")?;
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

/// Counts all requests, valid and invalid.
fn counted(app: Router, requests: &Arc<AtomicU64>) -> Router {
    let requests = Arc::clone(requests);
    app.layer(MapRequestLayer::new(move |request: axum::extract::Request| {
        requests.fetch_add(1, Ordering::Relaxed);
        request
    }))
}

/// Returns the processor time of the process in user and kernel mode, in microseconds.
fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
