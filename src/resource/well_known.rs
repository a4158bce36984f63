use crate::error::{BuildError, BuildErrorKind};
use crate::identifier::{self, PlainHttp, ResourceUrl};

/// The URL of the protected resource metadata (RFC 9728, section 3.1): the well-known part is between the host and the path,
/// and the query stays at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WellKnown {
    /// The absolute URL in challenges.
    pub(crate) url: String,
    /// The local paths of the document.
    pub(crate) paths: Vec<String>,
}

impl WellKnown {
    pub(crate) fn new(resource: &ResourceUrl, at_root: bool) -> Self {
        let url = resource.url();
        // Only the slash of an empty path has no meaning.
        let path = if url.path() == "/" { "" } else { url.path() };
        let query = url.query().map(|query| ["?", query].concat()).unwrap_or_default();
        let origin = url.origin().ascii_serialization();
        let mut paths = vec![[PREFIX, path].concat()];
        // Some clients remove the slash at the end.
        paths.extend(path.strip_suffix('/').map(|path| [PREFIX, path].concat()));
        if at_root && !path.is_empty() {
            paths.push(PREFIX.to_owned());
        }
        Self { url: [&origin, PREFIX, path, &query].concat(), paths }
    }

    /// Changes the URL in challenges, and serves its path as well.
    pub(crate) fn move_to(
        &mut self,
        text: &str,
        resource: &ResourceUrl,
        plain_http: PlainHttp,
    ) -> Result<(), BuildError> {
        let url = identifier::endpoint(text, plain_http).map_err(|error| wrong(format!("the metadata URL {error}")))?;
        let origin = resource.url().origin();
        if url.origin() != origin {
            let origin = origin.ascii_serialization();
            return Err(wrong(format!(
                "the metadata URL {text:?} has another origin than the resource; use a URL with the origin {origin:?}"
            )));
        }
        self.url = text.to_owned();
        self.add(url.path());
        Ok(())
    }

    /// Serves the document at another path as well.
    pub(crate) fn serve_at(&mut self, path: &str) -> Result<(), BuildError> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'{' | b'}');
        if !path.starts_with('/') || !path.bytes().all(is_plain) {
            return Err(wrong(format!(
                "the metadata path {path:?} is not a plain path; start it with '/', and remove query, fragment and braces"
            )));
        }
        self.add(path);
        Ok(())
    }

    fn add(&mut self, path: &str) {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }
}

fn wrong(message: String) -> BuildError {
    BuildError::new(BuildErrorKind::Setting, message)
}

const PREFIX: &str = "/.well-known/oauth-protected-resource";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_from_the_resource() {
        for (resource, url, paths) in [
            ("https://h", "https://h/.well-known/oauth-protected-resource", &[""][..]),
            ("https://h/", "https://h/.well-known/oauth-protected-resource", &[""]),
            ("https://h/mcp", "https://h/.well-known/oauth-protected-resource/mcp", &["/mcp"]),
            ("https://h/mcp/", "https://h/.well-known/oauth-protected-resource/mcp/", &["/mcp/", "/mcp"]),
            ("https://h/a/b", "https://h/.well-known/oauth-protected-resource/a/b", &["/a/b"]),
            ("https://h//", "https://h/.well-known/oauth-protected-resource//", &["//", "/"]),
            ("https://h/mcp//", "https://h/.well-known/oauth-protected-resource/mcp//", &["/mcp//", "/mcp/"]),
            ("https://h:8443/x", "https://h:8443/.well-known/oauth-protected-resource/x", &["/x"]),
            ("HTTPS://H.example:443/x", "https://h.example/.well-known/oauth-protected-resource/x", &["/x"]),
            ("https://h/mcp?x=1", "https://h/.well-known/oauth-protected-resource/mcp?x=1", &["/mcp"]),
            ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/.well-known/oauth-protected-resource/mcp", &["/mcp"]),
        ] {
            let well_known = WellKnown::new(&ResourceUrl::new(resource).unwrap(), false);
            let paths: Vec<_> = paths.iter().map(|path| format!("{PREFIX}{path}")).collect();
            assert_eq!((well_known.url.as_str(), well_known.paths), (url, paths), "{resource}");
        }
        let aliased = WellKnown::new(&ResourceUrl::new("https://h/mcp").unwrap(), true);
        assert_eq!(aliased.paths, [format!("{PREFIX}/mcp"), PREFIX.to_owned()]);
    }
}
