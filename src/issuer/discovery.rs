use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde_json::{Map, Value};
use url::Url;

use super::metadata::Trust;
use super::{AuthorizationServerMetadata, InvalidMetadata};
use crate::http_client::{
    AddressPolicy, DocumentError, FetchError, FetchErrorKind, HttpClient, RemoteAddress, RequestLimits, exchange,
    retry_after,
};
use crate::identifier::{IssuerUrl, PlainHttp};
use crate::json;
use crate::log::Cause;

/// Repairs a metadata document before it is read.
pub(super) type MapMetadata = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Finds the metadata of one issuer.
pub(super) struct Discovery {
    pub(super) issuer: IssuerUrl,
    /// What the document must name as its issuer: the same, or a template of it.
    pub(super) expected: Box<str>,
    /// Where it may be, in the order in which that is tried.
    pub(super) candidates: Vec<Url>,
    pub(super) needs: Needs,
    pub(super) map: Option<MapMetadata>,
    pub(super) plain_http: PlainHttp,
}

/// Which members somebody is going to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    pub(super) jwks_uri: bool,
    pub(super) introspection_endpoint: bool,
}

/// What was found.
pub(super) struct Discovered {
    pub(super) metadata: AuthorizationServerMetadata,
    /// Whether it has all that is needed.
    pub(super) is_complete: bool,
}

impl Discovery {
    /// The first candidate that is the issuer's metadata, with what it lacks taken from those after it.
    ///
    /// Documents that disagree are never merged: what is signed by one server's word is not looked up by another's.
    pub(super) async fn discover(&self, client: &dyn HttpClient) -> Result<Discovered, FetchError> {
        let mut found: Option<AuthorizationServerMetadata> = None;
        let mut worst: Option<FetchError> = None;
        for candidate in &self.candidates {
            let error = match self.try_candidate(client, candidate).await {
                Ok(metadata) => {
                    let merged = match &found {
                        None => metadata,
                        Some(found) => found.completed_by(&metadata).unwrap_or_else(|| found.clone()),
                    };
                    if self.needs.are_met_by(&merged) {
                        return Ok(Discovered { metadata: merged, is_complete: true });
                    }
                    found = Some(merged);
                    continue;
                }
                Err(error) => error,
            };
            let cause = Cause::new(&error);
            tracing::debug!(target: "mcp_bearer::keys", issuer = self.issuer.as_str(), %cause, "no metadata here");
            // All candidates are on one host: if no connection can be made to it, the others need not be tried.
            let unreachable = error.is_unreachable();
            if worst.as_ref().is_none_or(|worst| gravity(&error) > gravity(worst)) {
                worst = Some(error);
            }
            if unreachable {
                break;
            }
        }
        match found {
            Some(metadata) => Ok(Discovered { metadata, is_complete: false }),
            None => Err(worst.unwrap_or_else(|| FetchError::new(FetchErrorKind::Document, self.issuer.as_str()))),
        }
    }

    async fn try_candidate(
        &self,
        client: &dyn HttpClient,
        url: &Url,
    ) -> Result<AuthorizationServerMetadata, FetchError> {
        let Fetched { body, came_from } = get(client, url).await?;
        let error = |kind| FetchError::new(kind, url.as_str());
        let document = json::unique_object(&body)
            .map_err(|source| error(FetchErrorKind::Document).with_source(DocumentError::not_json(&body, &source)))?;
        let (document, written) = self.mapped(document).ok_or_else(|| {
            let source = DocumentError::new("`map_metadata` has made something else than an object of the document");
            error(FetchErrorKind::Document).with_source(source)
        })?;
        // The remote address is that of the very connection: the issuer cannot choose it afterwards by its own records.
        let addresses = match came_from {
            Some(address) if address.is_private() => AddressPolicy::Any,
            _ => AddressPolicy::of_document_at(url),
        };
        let (issuer, plain_http) = (self.issuer.clone(), self.plain_http);
        let metadata = AuthorizationServerMetadata::parse(&document, issuer, &self.expected, plain_http);
        metadata.map(|metadata| metadata.trusted_as(&Trust { addresses, written })).map_err(|invalid| {
            let kind = match invalid {
                InvalidMetadata::Mismatch => FetchErrorKind::IssuerMismatch,
                _ => FetchErrorKind::Document,
            };
            error(kind).with_source(explained(invalid, &document))
        })
    }
}

impl Discovery {
    /// The document as the operator repairs it, and which members the operator has written. `None` if it is not an object
    /// any more.
    fn mapped(&self, document: Map<String, Value>) -> Option<(Map<String, Value>, Vec<&'static str>)> {
        let Some(map) = &self.map else { return Some((document, Vec::new())) };
        let mut mapped = Value::Object(document.clone());
        map(&mut mapped);
        let Value::Object(mapped) = mapped else { return None };
        let is_written = |member: &&str| mapped.get(*member) != document.get(*member);
        let written = ["jwks_uri", "introspection_endpoint"].into_iter().filter(is_written).collect();
        Some((mapped, written))
    }
}

impl Needs {
    const fn are_met_by(self, metadata: &AuthorizationServerMetadata) -> bool {
        (!self.jwks_uri || metadata.jwks_url().is_some())
            && (!self.introspection_endpoint || metadata.introspection_url().is_some())
    }
}

/// Says what the document has, and what the operator can do about it.
fn explained(invalid: InvalidMetadata, document: &Map<String, Value>) -> DocumentError {
    let (member, repair) = match invalid {
        InvalidMetadata::Mismatch => (
            "issuer",
            "configure the issuer exactly as its metadata has it, if it is the one that you mean; where it is reached by \
             another URL, call `well_known_url(..)` or `jwks_uri(..)`, and `dangerously_allow_http()` if that is plain http",
        ),
        InvalidMetadata::JwksUri => (
            "jwks_uri",
            "call `jwks_uri(..)` with the URL to use, or `dangerously_allow_http()` if plain http is all there is",
        ),
        _ => return DocumentError::new(invalid.to_string()),
    };
    let found = document.get(member).map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
    DocumentError::new(invalid.to_string()).found(&found.unwrap_or_default()).repaired_by(repair)
}

/// A document as it came.
struct Fetched {
    body: Bytes,
    came_from: Option<RemoteAddress>,
}

/// Sends a GET to a URL that the operator wrote, and takes nothing but a 200.
async fn get(client: &dyn HttpClient, url: &Url) -> Result<Fetched, FetchError> {
    let error = |kind| FetchError::new(kind, url.as_str());
    let request = Request::get(url.as_str()).header(header::ACCEPT, "application/json").body(Bytes::new());
    let request = request.map_err(|source| error(FetchErrorKind::Document).with_source(source))?;
    let limits = RequestLimits::new(MAX_METADATA, AddressPolicy::Any);
    let response = exchange(client, || Ok(request.clone()), &limits, TOTAL_TIMEOUT).await;
    let response = response.map_err(|source| FetchError::of_exchange(url.as_str(), source))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::of_status(url.as_str(), response.status(), retry_after(response.headers())));
    }
    let came_from = response.extensions().get().copied();
    Ok(Fetched { body: response.into_body(), came_from })
}

/// Which error tells the operator most.
const fn gravity(error: &FetchError) -> u8 {
    match error.kind() {
        FetchErrorKind::IssuerMismatch => 4,
        FetchErrorKind::NoAnswer | FetchErrorKind::Status(500..) | FetchErrorKind::Interrupted => 3,
        FetchErrorKind::Status(401 | 403) => 2,
        FetchErrorKind::Document => 1,
        FetchErrorKind::Status(_) | FetchErrorKind::CredentialsRefused(_) | FetchErrorKind::Unsendable => 0,
    }
}

/// RFC 8414, section 3: the well-known part goes between host and path.
pub(super) fn inserted(issuer: &IssuerUrl, well_known: &str) -> Url {
    let mut url = issuer.url().clone();
    let path = issuer.url().path().trim_end_matches('/');
    url.set_path(&[well_known, path].concat());
    url
}

/// OpenID Connect Discovery 1.0, section 4.1: the well-known part goes after the path.
pub(super) fn appended(issuer: &IssuerUrl, well_known: &str) -> Url {
    let mut url = issuer.url().clone();
    let path = issuer.url().path().trim_end_matches('/');
    url.set_path(&[path, well_known].concat());
    url
}

pub(super) const OAUTH: &str = "/.well-known/oauth-authorization-server";
pub(super) const OIDC: &str = "/.well-known/openid-configuration";
/// The most bytes of a metadata document: real ones take 1 to 10 KiB.
const MAX_METADATA: usize = 256 * 1024;
/// One request, its retry included.
pub(super) const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_urls_follow_from_the_issuer() {
        for (issuer, insert, append) in [
            ("https://h", "https://h/.well-known/openid-configuration", "https://h/.well-known/openid-configuration"),
            ("https://h/", "https://h/.well-known/openid-configuration", "https://h/.well-known/openid-configuration"),
            (
                "https://h:8443/a/b",
                "https://h:8443/.well-known/openid-configuration/a/b",
                "https://h:8443/a/b/.well-known/openid-configuration",
            ),
            (
                "https://h/a/",
                "https://h/.well-known/openid-configuration/a",
                "https://h/a/.well-known/openid-configuration",
            ),
        ] {
            let issuer = IssuerUrl::new(issuer).unwrap();
            assert_eq!(inserted(&issuer, OIDC).as_str(), insert);
            assert_eq!(appended(&issuer, OIDC).as_str(), append);
        }
    }
}
