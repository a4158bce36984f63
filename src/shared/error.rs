use std::time::Duration;

use crate::escape::{Escaped, MAX_SHOWN};

/// Why Redis cannot be used. The messages are for the log and for the operator. They do not contain the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedisError {
    /// The connection failed, or could not be made.
    #[error("Redis cannot be reached: {0}; start it, or correct its address")]
    Connection(Box<str>),
    #[error("Redis did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The server does not accept the user name or the password.
    #[error("Redis rejects the credentials: {0}; correct the user name and the password in the URL")]
    Credentials(Box<str>),
    /// The reply to a command is an error.
    #[error("Redis answers with the error {0}")]
    ErrorReply(Box<str>),
    /// The user may not use a command, a key or the channel.
    #[error(
        "Redis rejects a command: {0}; allow the commands, keys and channels that the documentation of `shared` lists"
    )]
    Permission(Box<str>),
    #[error("the memory of Redis is full; raise its `maxmemory`")]
    OutOfMemory,
    #[error("the answer of Redis to {0} cannot be understood; check that the address is that of a Redis server")]
    Nonsense(&'static str),
    #[error("the Redis server cannot be used: {0}")]
    Unsuitable(String),
    /// The server may have lost the use of this proof. The value is the time until a nonce helps.
    #[error("Redis was started or replaced just now, and may have lost used proofs: no proof is accepted for {} s", .0.as_secs())]
    Restarted(Duration),
    /// The server may have lost the use of this proof, and not that of a proof with a fresh nonce.
    #[error("Redis was started or replaced, and may have lost used proofs: a proof needs a fresh nonce")]
    NonceNeeded,
    #[error("some revocations in Redis cannot be read by this version of the server, or are too many for it")]
    Incomplete,
    /// This machine does not give random bytes, or the build does not have a cryptography backend.
    #[error("no random bytes are available on this machine")]
    NoRandomness,
}

impl RedisError {
    /// An error with a text of the server, or of a library.
    pub(super) fn shown(variant: impl FnOnce(Box<str>) -> Self, text: &str) -> Self {
        variant(Escaped(text, MAX_SHOWN).to_string().into())
    }

    /// Whether another connection may do better.
    pub(super) const fn ends_connection(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::TimedOut(_) | Self::Nonsense(_) | Self::Unsuitable(_))
    }

    /// Whether Redis works as it should, although the command fails.
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::Restarted(_) | Self::NonceNeeded | Self::OutOfMemory)
    }

    /// Whether the same command may succeed on a new connection at once.
    pub(super) const fn may_be_retried(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::TimedOut(_))
    }
}
