//! The connection that all requests share: made when it is needed, checked before it is used, and replaced when it fails.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::timeout;

use super::connection::{Connector, PushSender, RedisConnection, RedisReply};
use super::error::RedisError;
use super::facts::ServerFacts;
use crate::clock::Clock;
use crate::http_client::SingleFlight;
use crate::log::{Cause, EventLimit, EventSummary, limited};

/// A Redis server.
pub(crate) struct RedisStore {
    connector: Connector,
    /// The address without credentials, for messages.
    pub(super) address: Box<str>,
    pub(super) key_prefix: Box<str>,
    pub(super) database: u16,
    /// The time limit of each attempt.
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    current: ArcSwapOption<CheckedConnection>,
    /// Requests that need a connection at the same time wait for the same one.
    connecting: SingleFlight<(), Result<Arc<CheckedConnection>, RedisError>>,
    /// The server of the last connection.
    known: Mutex<Option<KnownServer>>,
    is_down: AtomicBool,
    limit: Arc<EventLimit>,
}

/// A connection to a server that can be used.
pub(super) struct CheckedConnection {
    pub(super) connection: RedisConnection,
    /// Data that the server stored before this time may be lost.
    pub(super) reliable_since: Duration,
}

struct KnownServer {
    identity: Box<str>,
    reliable_since: Duration,
}

impl RedisStore {
    pub(super) fn new(
        connector: Connector,
        (address, key_prefix, database): (Box<str>, Box<str>, u16),
        timeout: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            connector,
            address,
            key_prefix,
            database,
            timeout,
            clock: Arc::clone(clock),
            current: ArcSwapOption::empty(),
            connecting: SingleFlight::new(),
            known: Mutex::new(None),
            is_down: AtomicBool::new(false),
            limit: Arc::default(),
        }
    }

    /// Makes a connection, unless there is one.
    pub(crate) async fn check(self: &Arc<Self>) -> Result<(), RedisError> {
        self.connection().await.map(drop)
    }

    /// Sends `commands` in one round trip, and again on a new connection if this one fails. So each of them must have the same
    /// result if it is executed twice. `read` reads the replies. Failures are logged.
    ///
    /// `is_acceptable` is asked before, with the time since which the server has lost nothing.
    pub(super) async fn call<T>(
        self: &Arc<Self>,
        commands: &[Vec<&[u8]>],
        is_acceptable: impl Fn(Duration) -> Result<(), RedisError>,
        read: impl Fn(&[RedisReply]) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let result = self.execute(commands, is_acceptable, RedisError::may_be_retried, read).await;
        match &result {
            Ok(_) => self.log_success(),
            Err(error) => self.log_failure(error),
        }
        result
    }

    /// The same without the log, and with a choice of the errors after which the commands are sent again.
    pub(super) async fn execute<T>(
        self: &Arc<Self>,
        commands: &[Vec<&[u8]>],
        is_acceptable: impl Fn(Duration) -> Result<(), RedisError>,
        may_be_retried: impl Fn(&RedisError) -> bool,
        read: impl Fn(&[RedisReply]) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let attempt = async |connection: Arc<CheckedConnection>| {
            is_acceptable(connection.reliable_since)?;
            let replies = timeout(self.timeout, connection.connection.call_all(commands)).await;
            let replies = replies.unwrap_or(Err(RedisError::TimedOut(self.timeout)));
            let result = replies.and_then(|replies| read(&replies));
            if result.as_ref().is_err_and(RedisError::ends_connection) {
                self.discard(&connection);
            }
            result
        };
        match attempt(self.connection().await?).await {
            // The server may have closed a connection that was idle.
            Err(error) if may_be_retried(&error) => attempt(self.connection().await?).await,
            result => result,
        }
    }

    /// Closes a connection, after the calls that still use it.
    fn discard(&self, connection: &Arc<CheckedConnection>) {
        self.current.compare_and_swap(connection, None);
    }

    async fn connection(self: &Arc<Self>) -> Result<Arc<CheckedConnection>, RedisError> {
        if let Some(connection) = self.current.load_full() {
            return Ok(connection);
        }
        let this = Arc::clone(self);
        let connected = self.connecting.join((), self.timeout, || async move {
            let connected = this.connect(None).await.map(Arc::new);
            match &connected {
                Ok(connection) => this.current.store(Some(Arc::clone(connection))),
                Err(error) => this.log_failure(error),
            }
            connected
        });
        connected.await.unwrap_or(Err(RedisError::TimedOut(self.timeout)))
    }

    /// Makes a connection, and asks the server what it is.
    pub(super) async fn connect(&self, pushes: Option<PushSender>) -> Result<CheckedConnection, RedisError> {
        let connection = self.connector.connect(pushes).await?;
        // One command for each section: Redis before 7.0 accepts only one, and its version must be read for the error.
        let sections: [&[u8]; 3] = [b"server", b"replication", b"memory"];
        let commands = sections.map(|section| vec![b"INFO".as_slice(), section]);
        let mut info = Vec::new();
        for reply in connection.call_all(&commands).await? {
            let RedisReply::Text(section) = reply else { return Err(RedisError::Nonsense("`INFO`")) };
            info.extend_from_slice(&section);
        }
        let facts = ServerFacts::parse(&info)?;
        let reliable_since = self.reliable_since(&facts);
        Ok(CheckedConnection { connection, reliable_since })
    }

    /// Since when the server has lost nothing.
    fn reliable_since(&self, facts: &ServerFacts) -> Duration {
        let now = self.clock.since_epoch();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let reliable_since = match &*known {
            Some(server) if server.identity == facts.identity => server.reliable_since,
            // Another process, or another server, which may lack what the last one stored until just now.
            Some(_) => now,
            // It may have been promoted just now, and a failover loses what was stored last.
            None if facts.was_promoted => now,
            // An earlier process may have lost what it stored until this one started.
            None => now.saturating_sub(Duration::from_secs(facts.uptime)).saturating_add(UPTIME_ERROR).min(now),
        };
        *known = Some(KnownServer { identity: facts.identity.clone(), reliable_since });
        reliable_since
    }

    /// Logs the end of an outage.
    pub(super) fn log_success(&self) {
        if self.is_down.load(Ordering::Relaxed) && self.is_down.swap(false, Ordering::SeqCst) {
            let is_shown = self.limit.is_shown("available", None, summary);
            limited!(is_shown, info, target: "mcp_bearer::shared", server = &*self.address, "Redis is available again");
        }
    }

    /// Logs the first failure of an outage.
    pub(super) fn log_failure(&self, error: &RedisError) {
        if !error.is_answer() && !self.is_down.swap(true, Ordering::SeqCst) {
            let is_shown = self.limit.is_shown("unavailable", None, summary);
            limited!(is_shown, warn, target: "mcp_bearer::shared", server = &*self.address, cause = %Cause(error),
                "Redis cannot be used: requests with DPoP proofs get 503, and revocations are not shared");
        }
    }

    /// Logs that introspection results are not shared for a while, although Redis works.
    pub(super) fn log_results_not_shared(&self, error: &RedisError) {
        let is_shown = self.limit.is_shown("results not shared", None, summary);
        limited!(is_shown, warn, target: "mcp_bearer::shared", server = &*self.address, cause = %Cause(error),
            "introspection results are not shared for some seconds: each replica introspects");
    }

    /// Logs that an introspection result cannot be decrypted.
    pub(super) fn log_forged_result(&self) {
        let is_shown = self.limit.is_shown("forged", None, summary);
        limited!(is_shown, warn, target: "mcp_bearer::shared", server = &*self.address,
            "an introspection result in Redis was not written by a replica of this server, and is ignored: check who can write to \
             Redis");
    }
}

fn summary(EventSummary { cause, events, hidden, .. }: EventSummary) {
    tracing::warn!(target: "mcp_bearer::shared", cause, count = events, hidden,
        "the state of Redis changed many times within a minute: only the first changes appear above");
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Redis computes `uptime_in_seconds` from two times in whole seconds, and updates one of them late.
const UPTIME_ERROR: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
