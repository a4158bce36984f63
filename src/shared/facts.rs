//! The facts that a Redis server reports about itself (`INFO`), as far as they decide whether the server can be used.

use super::error::RedisError;
use crate::escape::{Escaped, MAX_SHOWN};

/// A server that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFacts {
    /// Changes with each restart, and with each failover.
    pub(super) identity: Box<str>,
    /// How long the process has been running, in seconds.
    pub(super) uptime: u64,
    /// Whether the process was a read-only replica once. It may lack what its primary stored last.
    pub(super) was_promoted: bool,
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
        if policy != "noeviction" && field("maxmemory")? != "0" {
            return Err(RedisError::Unsuitable(format!(
                "its `maxmemory-policy` is \"{}\", which removes used DPoP proofs before they expire, so that they can be used \
                 again; set `maxmemory-policy noeviction`",
                Escaped(policy, MAX_SHOWN)
            )));
        }
        // The id of the former primary, or zeros. A server without this field is not trusted.
        let was_promoted = !field("master_replid2").is_ok_and(|id| id.bytes().all(|byte| byte == b'0'));
        Ok(Self { identity: [run, " ", replication].concat().into(), uptime, was_promoted })
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
        # Replication\r\nrole:master\r\nmaster_replid:bbbb\r\nmaster_replid2:0000\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n";

    fn parse(change: (&str, &str)) -> Result<ServerFacts, String> {
        assert!(INFO.contains(change.0), "{change:?}");
        ServerFacts::parse(INFO.replacen(change.0, change.1, 1).as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_facts_are_read_from_info() {
        let facts = parse(("", "")).unwrap();
        assert_eq!((&*facts.identity, facts.uptime, facts.was_promoted), ("aaaa bbbb", 12, false));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nserver_mode";
        assert!(parse(("redis_version:7.0.15\r\nredis_mode", valkey)).is_ok());
    }

    #[test]
    fn a_policy_that_evicts_is_rejected_with_a_limit_of_memory() {
        let memory = |evicts: &str| parse(("maxmemory:0\r\nmaxmemory_policy:noeviction", evicts));
        assert!(memory("maxmemory:0\r\nmaxmemory_policy:allkeys-lru").is_ok());
        assert!(memory("maxmemory:1024\r\nmaxmemory_policy:noeviction").is_ok());
        for policy in ["volatile-lru", "volatile-ttl", "allkeys-random", "a-new-one"] {
            let error = memory(&format!("maxmemory:1024\r\nmaxmemory_policy:{policy}")).unwrap_err();
            assert!(error.contains(policy) && error.contains("set `maxmemory-policy noeviction`"), "{error}");
        }
        assert!(memory("maxmemory_policy:volatile-lru").is_err());
    }

    #[test]
    fn a_server_that_was_a_replica_once_is_known() {
        for second in ["master_replid2:1fa0", "other:0000", "master_replid2:"] {
            assert!(parse(("master_replid2:0000", second)).unwrap().was_promoted, "{second}");
        }
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
