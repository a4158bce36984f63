use crate::identifier::ResourceUrl;

/// The audiences that are accepted: the resource identifier, aliases, and client ids.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedAudiences {
    resource: Box<str>,
    /// The resource identifier after [`normalize`].
    normalized: Option<Box<str>>,
    aliases: Vec<Box<str>>,
    clients: Vec<Box<str>>,
}

impl AcceptedAudiences {
    /// Accepts only the resource identifier.
    pub(crate) fn new(resource: &ResourceUrl) -> Self {
        let text = resource.as_str();
        let normalized = normalize(text).map(Box::from);
        Self { resource: text.into(), normalized, aliases: Vec::new(), clients: Vec::new() }
    }

    /// Accepts another audience too, compared byte by byte.
    pub(crate) fn with_alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Accepts a client id as an audience, compared byte by byte.
    pub(crate) fn with_client(mut self, client: &str) -> Self {
        self.clients.push(client.into());
        self
    }

    /// Whether `audience` is an accepted client id. ID tokens have such an audience too.
    pub(crate) fn accept_client(&self, audience: &str) -> bool {
        self.clients.iter().any(|client| **client == *audience)
    }

    /// Whether `audience` is an alias or this resource. The resource identifier may differ in the case of scheme and host,
    /// in the default port, and in the slash of an empty path (RFC 3986, section 6.2.3), and in nothing else.
    pub(crate) fn accept(&self, audience: &str) -> bool {
        *self.resource == *audience
            || self.aliases.iter().any(|alias| **alias == *audience)
            || (self.normalized.is_some() && self.normalized.as_deref() == normalize(audience).as_deref())
    }
}

/// The form in which resource identifiers are compared. `None` for a text that is not an http or https URL.
fn normalize(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some([&scheme, "://", authority, slash, path].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(resource: &str, audience: &str) -> bool {
        AcceptedAudiences::new(&ResourceUrl::new(resource).unwrap())
            .with_alias("api://6e74172b")
            .with_alias("https://alias.example.com/x")
            .accept(audience)
    }

    #[test]
    fn the_same_resource_is_accepted() {
        for (resource, audience) in [
            ("https://rs.example.com/mcp", "https://rs.example.com/mcp"),
            ("https://rs.example.com/mcp", "HTTPS://RS.Example.com/mcp"),
            ("https://rs.example.com/mcp", "https://rs.example.com:443/mcp"),
            ("https://rs.example.com:443/mcp", "https://rs.example.com/mcp"),
            ("https://rs.example.com", "https://rs.example.com/"),
            ("https://rs.example.com/", "https://rs.example.com"),
            ("http://127.0.0.1:80/mcp", "http://127.0.0.1/mcp"),
            ("https://rs.example.com/mcp", "api://6e74172b"),
            ("https://rs.example.com/mcp", "https://alias.example.com/x"),
        ] {
            assert!(accepts(resource, audience), "{resource} {audience}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for audience in [
            "",
            " ",
            "*",
            "https://rs.example.com",
            "https://rs.example.com/",
            "https://rs.example.com/mcp/",
            "https://rs.example.com/MCP",
            "https://rs.example.com/mcp-evil",
            "https://rs.example.com/mcp/../admin",
            "https://rs.example.com/./mcp",
            "https://rs.example.com/%6dcp",
            "https://rs.example.com/mcp#x",
            "https://rs.example.com/mcp?x",
            "https://rs.example.com/*",
            "https://rs.example.com.evil.org/mcp",
            "https://rs.example.com@evil.org/mcp",
            "https://user@rs.example.com/mcp",
            "https://rs.example.com:444/mcp",
            "https://rs.example.com:80/mcp",
            "http://rs.example.com/mcp",
            "https://evil.org/?https://rs.example.com/mcp",
            " https://rs.example.com/mcp",
            "https://rs.example.com/mcp ",
            "a,https://rs.example.com/mcp",
            "a https://rs.example.com/mcp",
            "API://6e74172b",
            "https://ALIAS.example.com/x",
            "https://rs.ex\u{e4}mple.com/mcp",
        ] {
            assert!(!accepts("https://rs.example.com/mcp", audience), "{audience}");
        }
    }
}
