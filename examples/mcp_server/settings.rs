use std::env::{self, VarError};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The settings from environment variables.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `MCP_BIND` | `127.0.0.1:9000` | the address of the MCP server; port 0 selects a free port |
/// | `MCP_RESOURCE` | `http://<bind>/mcp` | the resource identifier: the URL that clients use |
/// | `MCP_ISSUER` | a development server | authorization servers, separated by commas |
/// | `MCP_REQUIRED_SCOPES` | `mcp:tools` | the scopes for every request, separated by spaces or commas; may be empty |
/// | `MCP_SCOPES_SUPPORTED` | the required ones and `write:notes` | the scopes in the metadata |
/// | `MCP_ALLOWED_ORIGINS` | origins on loopback | web origins that may send requests, by commas; may be empty |
/// | `MCP_AUDIENCE` | none | further accepted audiences, separated by commas |
/// | `MCP_INTROSPECTION_CLIENT_ID` | none | the client for the introspection of opaque tokens |
/// | `MCP_INTROSPECTION_CLIENT_SECRET` | none | the secret of that client, sent with `client_secret_basic` |
/// | `MCP_INTROSPECT_ALL` | `0` | `1` introspects JWTs too |
/// | `MCP_INTROSPECTION_CACHE_SECONDS` | `30` | how long to cache an active result: 0 to 300 |
/// | `MCP_LAZY` | `0` | `1` starts without waiting for the issuers |
/// | `MCP_FILTER_LISTS` | `0` | `1` removes tools from lists that the client may not call |
/// | `MCP_BIND_SESSIONS` | `0` | `1` keeps sessions (MCP up to 2025-11-25), and binds each to the user that opened it |
/// | `MCP_CLOCK_SKEW_SECONDS` | `60` | how long a token is accepted after its expiry: 0 to 300 |
/// | `MCP_REVALIDATE_STREAMS_SECONDS` | never | how often to check the token of an open stream: 1 to 3600 |
/// | `MCP_DEV_AS_BIND` | `127.0.0.1:9001` | the address of the development server: loopback only |
/// | `MCP_DEV_AS_OPAQUE` | `0` | `1` makes it issue opaque tokens |
///
/// With several issuers, only the first one introspects, because an opaque token does not name its issuer. With the
/// development server, the example creates the client for introspection itself.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) bind: SocketAddr,
    pub(crate) issuers: Vec<String>,
    pub(crate) required_scopes: Vec<String>,
    pub(crate) scopes_supported: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    /// The client for introspection at the first issuer.
    pub(crate) introspection: Option<IntrospectionClient>,
    pub(crate) introspects_all: bool,
    pub(crate) introspection_cache: Option<Duration>,
    pub(crate) is_lazy: bool,
    pub(crate) filters_lists: bool,
    pub(crate) binds_sessions: bool,
    pub(crate) clock_skew: Option<Duration>,
    pub(crate) stream_revalidation: Option<Duration>,
    pub(crate) development_bind: SocketAddr,
    pub(crate) development_is_opaque: bool,
    resource: Option<String>,
}

/// The client that authenticates this server for introspection.
pub(crate) struct IntrospectionClient {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl fmt::Debug for IntrospectionClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionClient").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::read(|name| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid Unicode")),
        })
    }

    fn read(variable: impl Fn(&str) -> Result<Option<String>, String>) -> Result<Self, String> {
        let filled = |name: &str| variable(name).map(|value| value.filter(|text| !text.trim().is_empty()));
        let list = |name: &str| filled(name).map(|value| words(&value.unwrap_or_default(), &[',']));
        let address = |name: &str, default: &str| {
            let text = filled(name)?.unwrap_or_else(|| default.to_owned());
            let wrong = |_| format!("{name}={text} is not an address: write it as 127.0.0.1:9000");
            text.trim().parse::<SocketAddr>().map_err(wrong)
        };
        // An empty value means that no scope is required.
        let scopes = |name: &str| Ok::<_, String>(variable(name)?.map(|value| words(&value, &[',', ' '])));
        let required_scopes = scopes("MCP_REQUIRED_SCOPES")?.unwrap_or_else(|| vec!["mcp:tools".to_owned()]);
        let scopes_supported =
            scopes("MCP_SCOPES_SUPPORTED")?.unwrap_or_else(|| union(&required_scopes, &["write:notes".to_owned()]));
        let allowed_origins = variable("MCP_ALLOWED_ORIGINS")?.map(|value| words(&value, &[',', ' ']));
        let on_loopback = || LOOPBACK_ORIGINS.map(str::to_owned).to_vec();
        let issuers = list("MCP_ISSUER")?;
        let introspection = introspection_client(filled(CLIENT_ID)?, filled(CLIENT_SECRET)?)?;
        let introspects_all = switch(INTROSPECT_ALL, filled(INTROSPECT_ALL)?.as_deref())?;
        if issuers.is_empty() && introspection.is_some() {
            return Err(format!("{CLIENT_ID} is set without MCP_ISSUER: the development server has its own client"));
        }
        if introspects_all && !issuers.is_empty() && introspection.is_none() {
            return Err(format!("{INTROSPECT_ALL}=1 needs a client: set {CLIENT_ID} and {CLIENT_SECRET}"));
        }
        Ok(Self {
            bind: address("MCP_BIND", "127.0.0.1:9000")?,
            issuers,
            required_scopes,
            scopes_supported,
            audiences: list("MCP_AUDIENCE")?,
            allowed_origins: allowed_origins.unwrap_or_else(on_loopback),
            introspection,
            introspects_all,
            introspection_cache: seconds(CACHE_SECONDS, filled(CACHE_SECONDS)?.as_deref())?,
            is_lazy: switch("MCP_LAZY", filled("MCP_LAZY")?.as_deref())?,
            filters_lists: switch(FILTER_LISTS, filled(FILTER_LISTS)?.as_deref())?,
            binds_sessions: switch(BIND_SESSIONS, filled(BIND_SESSIONS)?.as_deref())?,
            clock_skew: seconds(CLOCK_SKEW, filled(CLOCK_SKEW)?.as_deref())?,
            stream_revalidation: seconds(REVALIDATION, filled(REVALIDATION)?.as_deref())?,
            development_bind: address("MCP_DEV_AS_BIND", "127.0.0.1:9001")?,
            development_is_opaque: switch("MCP_DEV_AS_OPAQUE", filled("MCP_DEV_AS_OPAQUE")?.as_deref())?,
            resource: filled("MCP_RESOURCE")?.map(|text| text.trim().to_owned()),
        })
    }

    /// Returns the resource identifier, which is the URL that clients use.
    pub(crate) fn resource(&self, bound: SocketAddr) -> Result<String, String> {
        if let Some(resource) = &self.resource {
            return Ok(resource.clone());
        }
        if !bound.ip().is_loopback() {
            let what = "is not on loopback: set MCP_RESOURCE to the https URL that clients use";
            return Err(format!("MCP_BIND={} {what}", self.bind));
        }
        Ok(format!("http://{bound}/mcp"))
    }

    /// Returns all scopes that a client can request.
    pub(crate) fn all_scopes(&self) -> Vec<String> {
        union(&self.required_scopes, &self.scopes_supported)
    }
}

fn words(text: &str, separators: &[char]) -> Vec<String> {
    text.split(separators).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn union(first: &[String], second: &[String]) -> Vec<String> {
    let more = second.iter().filter(|scope| !first.contains(scope));
    first.iter().chain(more).cloned().collect()
}

fn introspection_client(id: Option<String>, secret: Option<String>) -> Result<Option<IntrospectionClient>, String> {
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => Ok(Some(IntrospectionClient { id: id.trim().to_owned(), secret })),
        (Some(_), None) => Err(format!("{CLIENT_ID} is set without {CLIENT_SECRET}: set both, or neither")),
        (None, Some(_)) => Err(format!("{CLIENT_SECRET} is set without {CLIENT_ID}: set both, or neither")),
    }
}

fn seconds(name: &str, value: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = value else { return Ok(None) };
    let seconds = text.trim().parse().map_err(|_| format!("{name}={text} is not a whole number of seconds"))?;
    Ok(Some(Duration::from_secs(seconds)))
}

fn switch(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(format!("{name}={other} is neither 0 nor 1")),
    }
}

const CLIENT_ID: &str = "MCP_INTROSPECTION_CLIENT_ID";
const CLIENT_SECRET: &str = "MCP_INTROSPECTION_CLIENT_SECRET";
const CACHE_SECONDS: &str = "MCP_INTROSPECTION_CACHE_SECONDS";
const INTROSPECT_ALL: &str = "MCP_INTROSPECT_ALL";
const FILTER_LISTS: &str = "MCP_FILTER_LISTS";
const BIND_SESSIONS: &str = "MCP_BIND_SESSIONS";
const CLOCK_SKEW: &str = "MCP_CLOCK_SKEW_SECONDS";
const REVALIDATION: &str = "MCP_REVALIDATE_STREAMS_SECONDS";
/// The origins of tools on the developer's own machine, such as MCP Inspector.
const LOOPBACK_ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let value = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Settings::read(|name| Ok(value(name)))
    }

    #[test]
    fn all_settings_have_defaults() {
        let settings = read(&[("MCP_ISSUER", ""), ("MCP_RESOURCE", " ")]).unwrap();
        assert_eq!(settings.resource(settings.bind).unwrap(), "http://127.0.0.1:9000/mcp");
        assert_eq!(settings.scopes_supported, ["mcp:tools", "write:notes"]);
        assert!(settings.issuers.is_empty() && settings.audiences.is_empty() && !settings.is_lazy);
        assert!(!settings.filters_lists && !settings.binds_sessions && settings.stream_revalidation.is_none());
        assert_eq!(settings.allowed_origins, LOOPBACK_ORIGINS);
        assert!(read(&[("MCP_ALLOWED_ORIGINS", "")]).unwrap().allowed_origins.is_empty());
        assert!(settings.introspection.is_none() && !settings.introspects_all && !settings.development_is_opaque);
    }

    #[test]
    fn lists_are_split_at_their_separators() {
        let settings = read(&[
            ("MCP_ISSUER", "https://a.example.com, https://b.example.com/"),
            ("MCP_REQUIRED_SCOPES", ""),
            ("MCP_SCOPES_SUPPORTED", "read, write admin"),
            ("MCP_LAZY", "1"),
            ("MCP_ALLOWED_ORIGINS", "https://a.example.com, https://b.example.com"),
        ])
        .unwrap();
        assert_eq!(settings.allowed_origins, ["https://a.example.com", "https://b.example.com"]);
        assert_eq!(settings.issuers, ["https://a.example.com", "https://b.example.com/"]);
        assert_eq!((settings.required_scopes.len(), settings.all_scopes().len(), settings.is_lazy), (0, 3, true));
    }

    #[test]
    fn introspection_needs_an_issuer_a_client_id_and_a_secret() {
        let (issuer, id) = (("MCP_ISSUER", "https://a.example.com"), (CLIENT_ID, " notes "));
        let (secret, all) = ((CLIENT_SECRET, "s3cr3t "), (INTROSPECT_ALL, "1"));
        let settings = read(&[issuer, id, secret, all]).unwrap();
        let client = settings.introspection.as_ref().unwrap();
        assert_eq!((client.id.as_str(), client.secret.as_str(), settings.introspects_all), ("notes", "s3cr3t ", true));
        for (variables, expected) in [
            (&[issuer, id][..], "MCP_INTROSPECTION_CLIENT_ID is set without MCP_INTROSPECTION_CLIENT_SECRET"),
            (&[issuer, secret], "MCP_INTROSPECTION_CLIENT_SECRET is set without MCP_INTROSPECTION_CLIENT_ID"),
            (&[issuer, id, (CLIENT_SECRET, "")], "MCP_INTROSPECTION_CLIENT_ID is set without"),
            (&[issuer, all], "MCP_INTROSPECT_ALL=1 needs a client: set MCP_INTROSPECTION_CLIENT_ID and"),
            (&[id, secret], "MCP_INTROSPECTION_CLIENT_ID is set without MCP_ISSUER"),
        ] {
            let error = read(variables).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("s3cr3t"), "{error}");
        }
        let development = read(&[all, ("MCP_DEV_AS_OPAQUE", "1")]).unwrap();
        assert!(development.introspects_all && development.development_is_opaque);
    }

    #[test]
    fn the_debug_output_does_not_contain_the_secret() {
        let settings = read(&[("MCP_ISSUER", "https://a"), (CLIENT_ID, "notes"), (CLIENT_SECRET, "s3cr3t")]).unwrap();
        let printed = format!("{settings:?}");
        assert!(printed.contains("notes") && !printed.contains("s3cr3t"), "{printed}");
    }

    #[test]
    fn an_invalid_variable_is_named() {
        for (name, value) in [
            ("MCP_BIND", "localhost"),
            ("MCP_DEV_AS_BIND", "9001"),
            ("MCP_DEV_AS_OPAQUE", "maybe"),
            ("MCP_INTROSPECT_ALL", "maybe"),
            ("MCP_LAZY", "maybe"),
            (FILTER_LISTS, "maybe"),
            (BIND_SESSIONS, "2"),
            (CLOCK_SKEW, "-1"),
            (REVALIDATION, "1m"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}={value} ")), "{error}");
        }
        let everywhere = read(&[("MCP_BIND", "0.0.0.0:9000")]).unwrap();
        assert!(everywhere.resource(everywhere.bind).unwrap_err().contains("MCP_RESOURCE"));
    }
}
