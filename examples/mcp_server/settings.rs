use std::env::{self, VarError};
use std::net::SocketAddr;

/// What the environment says.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `MCP_BIND` | `127.0.0.1:9000` | where the MCP server listens; port 0 is a free one |
/// | `MCP_RESOURCE` | `http://<bind>/mcp` | the URL that clients know it by |
/// | `MCP_ISSUER` | a development server | authorization servers, separated by commas |
/// | `MCP_REQUIRED_SCOPES` | `mcp:tools` | what every request needs, separated by spaces or commas; may be empty |
/// | `MCP_SCOPES_SUPPORTED` | the required ones and `write:notes` | what the metadata names |
/// | `MCP_AUDIENCE` | none | further accepted audiences, separated by commas |
/// | `MCP_LAZY` | `0` | `1` starts without waiting for the issuers |
/// | `MCP_DEV_AS_BIND` | `127.0.0.1:9001` | where the development server listens: loopback only |
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) bind: SocketAddr,
    pub(crate) issuers: Vec<String>,
    pub(crate) required_scopes: Vec<String>,
    pub(crate) scopes_supported: Vec<String>,
    pub(crate) audiences: Vec<String>,
    pub(crate) is_lazy: bool,
    pub(crate) development_bind: SocketAddr,
    resource: Option<String>,
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
            let wrong = |_| format!("{name}={text} is no address: write it as 127.0.0.1:9000");
            text.trim().parse::<SocketAddr>().map_err(wrong)
        };
        // Set but empty is an answer too: no scope at all.
        let scopes = |name: &str| Ok::<_, String>(variable(name)?.map(|value| words(&value, &[',', ' '])));
        let required_scopes = scopes("MCP_REQUIRED_SCOPES")?.unwrap_or_else(|| vec!["mcp:tools".to_owned()]);
        let scopes_supported =
            scopes("MCP_SCOPES_SUPPORTED")?.unwrap_or_else(|| union(&required_scopes, &["write:notes".to_owned()]));
        Ok(Self {
            bind: address("MCP_BIND", "127.0.0.1:9000")?,
            issuers: list("MCP_ISSUER")?,
            required_scopes,
            scopes_supported,
            audiences: list("MCP_AUDIENCE")?,
            is_lazy: switch("MCP_LAZY", filled("MCP_LAZY")?.as_deref())?,
            development_bind: address("MCP_DEV_AS_BIND", "127.0.0.1:9001")?,
            resource: filled("MCP_RESOURCE")?.map(|text| text.trim().to_owned()),
        })
    }

    /// The URL that clients know this server by.
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

    /// What a token can be asked for.
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

fn switch(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(format!("{name}={other} is neither 0 nor 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let value = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Settings::read(|name| Ok(value(name)))
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let settings = read(&[("MCP_ISSUER", ""), ("MCP_RESOURCE", " ")]).unwrap();
        assert_eq!(settings.resource(settings.bind).unwrap(), "http://127.0.0.1:9000/mcp");
        assert_eq!(settings.scopes_supported, ["mcp:tools", "write:notes"]);
        assert!(settings.issuers.is_empty() && settings.audiences.is_empty() && !settings.is_lazy);
    }

    #[test]
    fn lists_are_split() {
        let settings = read(&[
            ("MCP_ISSUER", "https://a.example.com, https://b.example.com/"),
            ("MCP_REQUIRED_SCOPES", ""),
            ("MCP_SCOPES_SUPPORTED", "read, write admin"),
            ("MCP_LAZY", "1"),
        ])
        .unwrap();
        assert_eq!(settings.issuers, ["https://a.example.com", "https://b.example.com/"]);
        assert_eq!((settings.required_scopes.len(), settings.all_scopes().len(), settings.is_lazy), (0, 3, true));
    }

    #[test]
    fn a_mistake_is_named() {
        for (name, value) in [("MCP_BIND", "localhost"), ("MCP_DEV_AS_BIND", "9001"), ("MCP_LAZY", "maybe")] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}={value} ")), "{error}");
        }
        let everywhere = read(&[("MCP_BIND", "0.0.0.0:9000")]).unwrap();
        assert!(everywhere.resource(everywhere.bind).unwrap_err().contains("MCP_RESOURCE"));
    }
}
