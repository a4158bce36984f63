//! What a Redis server says about itself (`INFO`), as far as it decides whether the server can be used.

use super::error::RedisError;
use crate::escape::{Escaped, MAX_SHOWN};

/// A server that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFacts {
    /// Changes with each restart, and with each failover.
    pub(super) identity: Box<str>,
    /// How long the process has been running, in seconds.
    pub(super) uptime: u64,
    /// The value of `maxmemory-policy`, if it makes the server remove entries before they expire.
    pub(super) eviction: Option<Box<str>>,
}

impl ServerFacts {
    /// Reads the sections `server`, `replication` and `memory` of `INFO`.
    pub(super) fn parse(info: &[u8]) -> Result<Self, RedisError> {
        let info = std::str::from_utf8(info).map_err(|_| RedisError::Nonsense("`INFO`"))?;
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.next().filter(|value| !value.is_empty()).ok_or(RedisError::Nonsense("`INFO`"))
        };
        let version = field("redis_version")?;
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.ok_or(RedisError::Nonsense("`INFO`"))? < OLDEST {
            return Err(RedisError::Unsuitable(format!(
                "it has the version {}; use Redis {OLDEST}.0 or later, or Valkey 7.2 or later",
                Escaped(version, MAX_SHOWN)
            )));
        }
        // Valkey 8 has renamed the field.
        match field("redis_mode").or_else(|_| field("server_mode"))? {
            "standalone" => {}
            "cluster" => {
                return Err(RedisError::Unsuitable(
                    "it is a node of a cluster; use a server without cluster mode".into(),
                ));
            }
            mode => {
                let mode = Escaped(mode, MAX_SHOWN);
                return Err(RedisError::Unsuitable(format!("its mode is \"{mode}\"; use the address of the primary")));
            }
        }
        if field("role")? != "master" {
            return Err(RedisError::Unsuitable("it is a read-only replica; use the address of the primary".into()));
        }
        let (run, replication) = (field("run_id")?, field("master_replid")?);
        if [run, replication].iter().any(|id| id.len() > MAX_ID) {
            return Err(RedisError::Nonsense("`INFO`"));
        }
        let uptime = field("uptime_in_seconds")?.parse().map_err(|_| RedisError::Nonsense("`INFO`"))?;
        let policy = field("maxmemory_policy")?;
        let evicts = policy != "noeviction" && field("maxmemory")? != "0";
        Ok(Self {
            identity: [run, " ", replication].concat().into(),
            uptime,
            eviction: evicts.then(|| Escaped(policy, MAX_SHOWN).to_string().into()),
        })
    }
}

/// The first version whose `EXPIREAT` has `GT`.
const OLDEST: u32 = 7;
/// The longest id of a server that is kept, in bytes. Redis has 40.
const MAX_ID: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:aaaa\r\nuptime_in_seconds:12\r\n\
        # Replication\r\nrole:master\r\nmaster_replid:bbbb\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";

    fn parse(change: (&str, &str)) -> Result<ServerFacts, String> {
        assert!(INFO.contains(change.0), "{change:?}");
        ServerFacts::parse(INFO.replacen(change.0, change.1, 1).as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_facts_are_read_from_info() {
        let facts = parse(("", "")).unwrap();
        assert_eq!((&*facts.identity, facts.uptime, facts.eviction), ("aaaa bbbb", 12, None));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nserver_mode";
        assert!(parse(("redis_version:7.0.15\r\nredis_mode", valkey)).is_ok());
    }

    #[test]
    fn a_policy_that_evicts_matters_only_with_a_limit_of_memory() {
        let evicts = "maxmemory:0\r\nmaxmemory_policy:allkeys-lru";
        assert_eq!(parse(("maxmemory:0\r\nmaxmemory_policy:noeviction", evicts)).unwrap().eviction, None);
        let evicts = "maxmemory:1024\r\nmaxmemory_policy:volatile-ttl";
        let facts = parse(("maxmemory:0\r\nmaxmemory_policy:noeviction", evicts)).unwrap();
        assert_eq!(facts.eviction.as_deref(), Some("volatile-ttl"));
    }

    #[test]
    fn a_server_that_cannot_be_used_gets_a_reason_and_a_repair() {
        for (change, reason) in [
            (("redis_version:7.0.15", "redis_version:6.2.14"), "version 6.2.14; use Redis 7.0 or later"),
            (("redis_mode:standalone", "redis_mode:cluster"), "use a server without cluster mode"),
            (("redis_mode:standalone", "redis_mode:sentinel"), "\"sentinel\"; use the address of the primary"),
            (("role:master", "role:slave"), "use the address of the primary"),
        ] {
            let error = parse(change).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn facts_that_are_missing_or_malformed_are_an_error() {
        for field in
            ["redis_version", "redis_mode", "run_id", "uptime_in_seconds", "role", "master_replid", "maxmemory_policy"]
        {
            assert!(parse((&format!("{field}:"), "other:")).is_err(), "{field}");
        }
        for change in [
            ("redis_version:7.0.15", "redis_version:x"),
            ("uptime_in_seconds:12", "uptime_in_seconds:-1"),
            ("run_id:aaaa", "run_id:"),
            ("run_id:aaaa", &*format!("run_id:{}", "a".repeat(1000))),
        ] {
            assert!(parse(change).is_err(), "{change:?}");
        }
        assert!(ServerFacts::parse(b"").is_err() && ServerFacts::parse(b"\xff").is_err());
    }
}
