//! A server that answers as a test wants it to.
#![allow(clippy::arithmetic_side_effects, reason = "tests know their data")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, broadcast};

use super::settings::RedisState;
use super::store::RedisStore;
use crate::clock::Clock;

/// The reaction of the server to a command.
pub(super) enum FakeReply {
    Bytes(Vec<u8>),
    /// No reply, and the connection stays open.
    Silence,
    Close,
}

type Script = Box<dyn FnMut(&[Vec<u8>]) -> FakeReply + Send>;

/// A server with the facts of Redis 7, whose other replies come from a script.
#[derive(Clone)]
pub(super) struct FakeRedis {
    pub(super) port: u16,
    pub(super) connections: Arc<AtomicUsize>,
    facts: Arc<Mutex<String>>,
    /// The reply to the first command of a connection.
    hello: Arc<Mutex<String>>,
    /// The pushes that all connections get without a command.
    pub(super) pushes: broadcast::Sender<Vec<u8>>,
    pub(super) commands: Arc<Mutex<Vec<Vec<Vec<u8>>>>>,
}

/// A clock that a test sets.
#[derive(Debug, Clone)]
pub(super) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

pub(super) fn bytes(reply: impl AsRef<[u8]>) -> FakeReply {
    FakeReply::Bytes(reply.as_ref().to_vec())
}

pub(super) fn bulk(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

impl FakeRedis {
    pub(super) async fn start(script: impl FnMut(&[Vec<u8>]) -> FakeReply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            facts: Arc::new(Mutex::new(facts("a", 1_000_000))),
            hello: Arc::new(Mutex::new("%1\r\n+proto\r\n:3\r\n".to_owned())),
            pushes: broadcast::Sender::new(16),
            commands: Arc::default(),
        };
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let this = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(this.clone().serve(stream, Arc::clone(&script)));
            }
        });
        fake
    }

    /// Another process answers from now on, which has run for this time.
    pub(super) fn set_process(&self, run: &str, uptime: u64) {
        self.set_facts(&facts(run, uptime));
    }

    pub(super) fn set_facts(&self, facts: &str) {
        *self.facts.lock().unwrap() = facts.to_owned();
    }

    pub(super) fn set_hello(&self, reply: &str) {
        *self.hello.lock().unwrap() = reply.to_owned();
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.commands.lock().unwrap().iter().filter(|command| command[0] == name.as_bytes()).count()
    }

    /// A store on this server, and its clock.
    pub(super) fn store(&self, timeout: Duration) -> (Arc<RedisStore>, SetClock) {
        let clock = SetClock(Arc::new(AtomicU64::new(NOW)));
        let state = RedisState::new(format!("redis://mcp:s3cretpassword@127.0.0.1:{}", self.port)).timeout(timeout);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        (state.store(&shared).unwrap(), clock)
    }

    async fn serve(self, stream: TcpStream, script: Arc<Mutex<Script>>) {
        let (reader, writer) = stream.into_split();
        let (mut stream, writer) = (BufReader::new(reader), Arc::new(AsyncMutex::new(writer)));
        let (mut pushes, pusher) = (self.pushes.subscribe(), Arc::downgrade(&writer));
        tokio::spawn(async move {
            while let Ok(push) = pushes.recv().await {
                let Some(writer) = pusher.upgrade() else { return };
                _ = writer.lock().await.write_all(&push).await;
            }
        });
        while let Some(command) = read_command(&mut stream).await {
            let reply = match command[0].as_slice() {
                b"HELLO" => bytes(self.hello.lock().unwrap().as_str()),
                b"CLIENT" => bytes("+OK\r\n"),
                b"INFO" => bytes(bulk(if command[1] == b"server" {
                    self.facts.lock().unwrap().clone()
                } else {
                    String::new()
                })),
                _ => {
                    self.commands.lock().unwrap().push(command.clone());
                    script.lock().unwrap()(&command)
                }
            };
            match reply {
                FakeReply::Bytes(reply) => _ = writer.lock().await.write_all(&reply).await,
                FakeReply::Silence => {}
                FakeReply::Close => return,
            }
        }
    }
}

/// An array of bulk strings. `None` at the end of the connection.
async fn read_command(stream: &mut BufReader<OwnedReadHalf>) -> Option<Vec<Vec<u8>>> {
    let count = read_length(stream).await?;
    let mut command = Vec::new();
    for _ in 0..count {
        let mut argument = vec![0; read_length(stream).await? + 2];
        stream.read_exact(&mut argument).await.ok()?;
        argument.truncate(argument.len() - 2);
        command.push(argument);
    }
    Some(command)
}

async fn read_length(stream: &mut BufReader<OwnedReadHalf>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().get(1..)?.parse().ok()
}

pub(super) fn facts(run: &str, uptime: u64) -> String {
    format!(
        "redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:{run}\r\nuptime_in_seconds:{uptime}\r\nrole:master\r\n\
         master_replid:b\r\nmaster_replid2:00\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
    )
}

/// The time of the clock at first.
pub(super) const NOW: u64 = 1_800_000_000;
