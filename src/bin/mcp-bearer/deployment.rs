//! The deployment that is examined: its identifiers, and the URLs that follow from them.

use mcp_bearer::{Issuer, ResourceServer};
use url::Url;

use crate::command_line::DoctorArguments;
use crate::printable::{public_part, quoted};
use crate::probe::Probe;
use crate::sender::AdvertisedSenders;

/// The identifiers of the command line, and the URLs that follow from them.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) issuer: String,
    /// The issuer in the configuration of a resource server.
    pub(crate) configured_issuer: Issuer,
    pub(crate) accepted_audiences: Vec<String>,
    /// The URLs of the issuer's metadata, in the order in which the resource server tries them.
    pub(crate) issuer_documents: Vec<String>,
    pub(crate) resource: String,
    /// The URL of the protected resource metadata (RFC 9728, section 3.1).
    pub(crate) metadata_url: String,
    /// The well-known URL without a path, if it is another one.
    pub(crate) root_metadata_url: Option<String>,
    pub(crate) mcp: String,
    /// A URL beside the MCP endpoint that should not exist.
    pub(crate) unknown_url: String,
    pub(crate) protocol: Protocol,
    /// The origin of a web page, unless the checks for browsers are left out.
    pub(crate) origin: Option<String>,
}

/// The protocol of the endpoint, which decides the requests to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The Streamable HTTP transport of MCP: POST with a message.
    Mcp,
    /// Any other HTTP service: GET, which changes nothing.
    Rest,
}

impl Protocol {
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Mcp => "POST",
            Self::Rest => "GET",
        }
    }

    /// The request headers of clients that need a preflight, in the order and in the case of Fetch.
    pub(crate) fn request_headers(self, accepts_dpop: bool) -> Vec<&'static str> {
        let headers: &[_] = match self {
            Self::Mcp => &[
                "authorization",
                "content-type",
                "last-event-id",
                "mcp-method",
                "mcp-name",
                "mcp-protocol-version",
                "mcp-session-id",
            ],
            Self::Rest => &["authorization", "content-type"],
        };
        let mut headers = headers.to_vec();
        headers.extend(accepts_dpop.then_some("dpop"));
        headers.sort_unstable();
        headers
    }

    /// The response headers that scripts read. The first one is necessary.
    pub(crate) fn response_headers(self, accepts_dpop: bool) -> Vec<&'static str> {
        let headers: &[_] = match self {
            Self::Mcp => &["WWW-Authenticate", "Mcp-Session-Id", "MCP-Protocol-Version", "Retry-After"],
            Self::Rest => &["WWW-Authenticate", "Retry-After"],
        };
        headers.iter().copied().chain(accepts_dpop.then_some(DPOP_NONCE)).collect()
    }
}

impl Deployment {
    /// Parses the arguments by the rules of the resource server, except that plain http is accepted everywhere.
    pub(crate) fn new(arguments: &DoctorArguments, probe: &Probe) -> Result<Self, String> {
        let (issuer, resource) = (arguments.issuer.as_str(), arguments.resource.as_str());
        let mcp = arguments.mcp.as_deref().unwrap_or(resource);
        for (name, value) in [("--issuer", issuer), ("--resource", resource), ("--mcp", mcp)] {
            refuse_password(name, value)?;
        }
        let configured_issuer = Issuer::discover(issuer).http_client(probe.client.clone()).dangerously_allow_http();
        let issuer_documents = configured_issuer.metadata_urls().map_err(|error| error.to_string())?;
        let accepted_audiences = arguments.accept_audience.clone();
        let server = build(resource, &configured_issuer, &accepted_audiences, &AdvertisedSenders::default())?;
        let metadata_url = server.metadata_url().to_owned();
        let mcp_url = parse("--mcp", mcp)?;
        let at = |path: &str| {
            let mut url = mcp_url.clone();
            url.set_query(None);
            url.set_path(path);
            String::from(url)
        };
        let folder = mcp_url.path().trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
        let unknown_url = at(&[folder, UNKNOWN].concat());
        let root_metadata_url = parse("--resource", resource)?.join(WELL_KNOWN).map(String::from).ok();
        let origin = match arguments.no_browser {
            true => None,
            false => Some(parse_origin(&arguments.origin)?),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            configured_issuer,
            accepted_audiences,
            issuer_documents,
            resource: resource.to_owned(),
            root_metadata_url: root_metadata_url.filter(|url| *url != metadata_url),
            metadata_url,
            mcp: mcp.to_owned(),
            unknown_url,
            protocol: if arguments.rest { Protocol::Rest } else { Protocol::Mcp },
            origin,
        })
    }

    /// A resource server with these identifiers, which verifies JWTs and accepts the bound tokens of `senders`.
    ///
    /// Outside of a runtime, it fetches no keys before it needs them.
    pub(crate) fn server(&self, senders: &AdvertisedSenders) -> Result<ResourceServer, String> {
        build(&self.resource, &self.configured_issuer, &self.accepted_audiences, senders)
    }

    /// URLs at which the metadata is after a common mistake: with or without the slash at the end, or with its router nested
    /// below a part of the path, or below `/api`.
    pub(crate) fn mistaken_metadata_urls(&self) -> Vec<String> {
        let Ok(resource) = Url::parse(&self.resource) else { return Vec::new() };
        let path = resource.path().trim_end_matches('/');
        let other_slash = match resource.path() {
            "" | "/" => None,
            path if path.ends_with('/') => Some([WELL_KNOWN, path.trim_end_matches('/')].concat()),
            path => Some([WELL_KNOWN, path, "/"].concat()),
        };
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]);
        let mut prefixes: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
        prefixes.extend(["/api", "/v1"]);
        let prefixes = prefixes.into_iter().filter(|prefix| !prefix.is_empty());
        let nested = prefixes.flat_map(|prefix| {
            let rests = [Some(path), path.strip_prefix(prefix)].into_iter().flatten();
            rests.map(move |rest| [prefix, WELL_KNOWN, rest].concat())
        });
        let mut urls: Vec<String> = Vec::new();
        for path in other_slash.into_iter().chain(nested) {
            urls.extend(resource.join(&path).map(String::from).ok().filter(|url| !urls.contains(url)));
        }
        urls.truncate(MAX_MISTAKEN);
        urls
    }
}

fn build(
    resource: &str,
    issuer: &Issuer,
    audiences: &[String],
    senders: &AdvertisedSenders,
) -> Result<ResourceServer, String> {
    let server = ResourceServer::builder(resource).issuer(issuer.clone()).dangerously_allow_http();
    let server = audiences.iter().fold(server, |server, audience| server.accept_audience(audience.as_str()));
    senders.configure(server).build_lazy().map_err(|error| error.to_string())
}

fn parse(name: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{name} {} is not a URL: {error}", quoted(text)))?;
    match url.scheme() {
        "http" | "https" if url.has_host() && url.fragment().is_none() => Ok(url),
        _ => Err(format!("{name} {} is not an http or https URL without a fragment", quoted(text))),
    }
}

/// The messages of the library repeat a URL, which must not show a password.
fn refuse_password(name: &str, text: &str) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            let without = public_part(text);
            Err(format!("{name} has a user or a password in it: remove them and write \"{without}\""))
        }
        _ => Ok(()),
    }
}

fn parse_origin(text: &str) -> Result<String, String> {
    let origin = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == text => Ok(origin),
        _ => Err(format!("--origin {} is not an origin: write it as https://host or http://host:port", quoted(text))),
    }
}

/// Whether plain http to this URL stays on this machine, or the URL is https.
pub(crate) fn is_protected_on_the_way(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url))
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The response header with the nonce of the next DPoP proof (RFC 9449, section 8).
pub(crate) const DPOP_NONCE: &str = "DPoP-Nonce";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// No server has this path.
const UNKNOWN: &str = "/mcp-bearer-doctor-looks-for-an-unknown-path";
/// Each is one request.
const MAX_MISTAKEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(resource: &str, mcp: Option<&str>) -> Result<Deployment, String> {
        let arguments = DoctorArguments {
            issuer: "https://auth.example.com".to_owned(),
            resource: resource.to_owned(),
            mcp: mcp.map(str::to_owned),
            origin: "http://localhost:6274".to_owned(),
            no_browser: false,
            rest: false,
            token: None,
            accept_audience: Vec::new(),
            json: false,
        };
        Deployment::new(&arguments, &Probe::new().unwrap())
    }

    #[test]
    fn the_urls_follow_from_the_resource() {
        let found = deployment("http://h.internal/api/mcp", Some("http://h.internal/api/v2/mcp?x=1")).unwrap();
        let well_known = "http://h.internal/.well-known/oauth-protected-resource";
        assert_eq!(found.metadata_url, format!("{well_known}/api/mcp"));
        assert_eq!(found.root_metadata_url.as_deref(), Some(well_known));
        assert_eq!(found.unknown_url, format!("http://h.internal/api/v2{UNKNOWN}"));
        let mistaken = found.mistaken_metadata_urls();
        let expected =
            [format!("{WELL_KNOWN}/api/mcp/"), format!("/api{WELL_KNOWN}/api/mcp"), format!("/api{WELL_KNOWN}/mcp")];
        assert_eq!(mistaken[..3], expected.map(|path| ["http://h.internal", &path].concat()));
        assert!(mistaken.len() <= MAX_MISTAKEN);
        let root = deployment("https://h.example.com", None).unwrap();
        assert_eq!((root.root_metadata_url, root.unknown_url), (None, format!("https://h.example.com{UNKNOWN}")));
    }

    #[test]
    fn a_password_is_not_repeated() {
        for (resource, mcp) in [("https://u:secret@h/mcp", None), ("https://h/mcp", Some("https://u:secret@h/mcp"))] {
            let message = deployment(resource, mcp).unwrap_err();
            assert!(!message.contains("secret") && message.contains("\"https://h/mcp\""), "{message}");
        }
        assert!(deployment("https://h/mcp#x", None).unwrap_err().contains("fragment"));
        assert!(deployment("https://h/mcp", Some("ftp://h")).unwrap_err().starts_with("--mcp \"ftp://h\""));
    }
}
