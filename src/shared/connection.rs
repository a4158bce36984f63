//! One connection to Redis. No other file uses the crate `redis`.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo,
    PushKind, RedisError as LibraryError, ServerErrorKind, TlsCertificates, Value,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use tokio::sync::mpsc;
use url::Url;

use super::error::RedisError;

/// Makes connections to one server.
pub(super) struct Connector {
    client: Client,
    /// The time limit of a connection, and of each reply.
    timeout: Duration,
}

/// A connection that any number of requests use at the same time. Clones share it.
#[derive(Clone)]
pub(super) struct RedisConnection {
    inner: MultiplexedConnection,
    timeout: Duration,
}

/// A reply that is not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RedisReply {
    Nil,
    Integer(i64),
    Text(Vec<u8>),
    List(Vec<Self>),
}

/// Something that a server sends without a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RedisPush {
    /// A message of a channel.
    Message { channel: Vec<u8>, message: Vec<u8> },
    /// The connection is closed.
    Closed,
    /// A message that is not valid.
    Nonsense,
}

/// The sender of what a server sends without a command.
pub(super) struct PushSender {
    pub(super) queue: mpsc::Sender<RedisPush>,
    /// Set when the queue was full, so that something is lost.
    pub(super) is_incomplete: Arc<AtomicBool>,
}

impl Connector {
    /// `roots` are certificates in PEM, to be trusted instead of those of the system.
    pub(super) fn new(url: Url, roots: Option<&[u8]>, timeout: Duration) -> Result<Self, LibraryError> {
        let is_tls = ["rediss", "valkeys"].contains(&url.scheme());
        let info = url.into_connection_info()?;
        // The connection of subscriptions sends commands too, which only this version allows.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let client = match roots {
            Some(roots) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) };
                Client::build_with_tls(info, certificates)?
            }
            None => Client::open(info)?,
        };
        if is_tls && CryptoProvider::get_default().is_none() {
            // The crate `redis` uses the provider of the process, and panics if there is none. An error means that another
            // thread has just installed one.
            _ = provider::default_provider().install_default();
        }
        Ok(Self { client, timeout })
    }

    /// Connects. `pushes` gets what the server sends without a command.
    pub(super) async fn connect(&self, pushes: Option<PushSender>) -> Result<RedisConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
            .set_concurrency_limit(MAX_IN_FLIGHT);
        let config = match pushes {
            Some(pushes) => config.set_push_sender(move |push| {
                pushes.send(push);
                Ok::<_, Infallible>(())
            }),
            None => config,
        };
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        match connected {
            Ok(inner) => Ok(RedisConnection { inner, timeout: self.timeout }),
            Err(error) => Err(connect_error(&error, self.timeout)),
        }
    }
}

impl RedisConnection {
    /// Sends a command.
    pub(super) async fn call(&self, command: &[&[u8]]) -> Result<RedisReply, RedisError> {
        let mut connection = self.inner.clone();
        let reply = connection.send_packed_command(&to_command(command)).await;
        reply.map_err(|error| call_error(&error, self.timeout)).and_then(|value| self.reply(value))
    }

    /// Sends all commands in one round trip. The first error reply is the error.
    pub(super) async fn call_all(&self, commands: &[Vec<&[u8]>]) -> Result<Vec<RedisReply>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(to_command(command));
        }
        let mut connection = self.inner.clone();
        let replies = connection.send_packed_commands(&pipeline, 0, commands.len()).await;
        let replies = replies.map_err(|error| call_error(&error, self.timeout))?;
        if replies.len() != commands.len() {
            return Err(RedisError::Nonsense("several commands"));
        }
        replies.into_iter().map(|value| self.reply(value)).collect()
    }

    pub(super) async fn subscribe(&self, channel: &[u8]) -> Result<(), RedisError> {
        let mut connection = self.inner.clone();
        connection.subscribe(channel).await.map_err(|error| call_error(&error, self.timeout))
    }

    fn reply(&self, value: Value) -> Result<RedisReply, RedisError> {
        Ok(match value {
            Value::Nil => RedisReply::Nil,
            Value::Int(number) => RedisReply::Integer(number),
            Value::BulkString(bytes) => RedisReply::Text(bytes),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => RedisReply::Text(text.into_bytes()),
            Value::Okay => RedisReply::Text(b"OK".to_vec()),
            Value::Array(values) => {
                RedisReply::List(values.into_iter().map(|value| self.reply(value)).collect::<Result<_, _>>()?)
            }
            Value::ServerError(error) => return Err(call_error(&error.into(), self.timeout)),
            _ => return Err(RedisError::Nonsense("a command")),
        })
    }
}

impl PushSender {
    /// Never waits, because all replies of the connection would wait too.
    fn send(&self, push: PushInfo) {
        let push = match (push.kind, <[Value; 2]>::try_from(push.data)) {
            (PushKind::Message, Ok([Value::BulkString(channel), Value::BulkString(message)])) => {
                RedisPush::Message { channel, message }
            }
            (PushKind::Message, _) => RedisPush::Nonsense,
            (PushKind::Disconnection | PushKind::Unsubscribe, _) => RedisPush::Closed,
            _ => return,
        };
        if self.queue.try_send(push).is_err() {
            self.is_incomplete.store(true, Ordering::SeqCst);
        }
    }
}

fn to_command(arguments: &[&[u8]]) -> Cmd {
    let mut command = Cmd::new();
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

/// The error of the commands that begin a connection. A server may quote their arguments, which contain the password. So its text
/// is not shown.
fn connect_error(error: &LibraryError, timeout: Duration) -> RedisError {
    if error.kind() == ErrorKind::Io {
        return own_error(error, error.to_string(), timeout);
    }
    // The code is the first word of the text.
    let is_code = |code: &&str| code.len() <= MAX_CODE && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let code = error.code().filter(is_code).unwrap_or("(unknown code)");
    match own_error(error, code.to_owned(), timeout) {
        RedisError::ErrorReply(code) => {
            let advice =
                "check that it has the database of the URL, and the commands that the documentation of `shared` lists";
            RedisError::ErrorReply(format!("{code} at the start of the connection; {advice}").into())
        }
        error => error,
    }
}

/// The error of a command.
fn call_error(error: &LibraryError, timeout: Duration) -> RedisError {
    own_error(error, error.to_string(), timeout)
}

/// The error without types of the library. `timeout` is the limit that the connection has.
fn own_error(error: &LibraryError, text: String, timeout: Duration) -> RedisError {
    match error.kind() {
        _ if error.is_timeout() => RedisError::TimedOut(timeout),
        ErrorKind::Io => RedisError::shown(RedisError::Connection, &text),
        ErrorKind::AuthenticationFailed => RedisError::shown(RedisError::Credentials, &text),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => RedisError::Nonsense("a command"),
        // Each call on this connection would fail, because it leads to a server that is no longer the primary.
        ErrorKind::Server(ServerErrorKind::ReadOnly) => RedisError::shown(RedisError::Connection, &text),
        ErrorKind::Server(ServerErrorKind::NoPerm) => RedisError::shown(RedisError::Permission, &text),
        _ => match error.code() {
            Some("OOM") => RedisError::OutOfMemory,
            Some("NOAUTH" | "WRONGPASS") => RedisError::shown(RedisError::Credentials, &text),
            _ => RedisError::shown(RedisError::ErrorReply, &text),
        },
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// How many commands wait for their replies at the same time. Further requests wait for a place, within their time limit.
const MAX_IN_FLIGHT: usize = 1_024;
/// The longest error code that is shown, in bytes. Those of Redis have up to 14.
const MAX_CODE: usize = 20;
