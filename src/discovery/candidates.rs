use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value};
use url::Url;

use super::{AuthorizationServerMetadata, InvalidMetadata};
use crate::http_client::{
    AddressPolicy, DocumentError, FetchError, FetchErrorKind, HttpClient, RemoteAddress, RequestLimits, get,
};
use crate::identifier::{IssuerUrl, PlainHttp};
use crate::json;
use crate::log::Cause;

/// Repairs a metadata document before it is read.
pub(crate) type MapMetadata = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// Fetches the metadata of one issuer.
pub(crate) struct Discovery {
    pub(crate) issuer: IssuerUrl,
    /// The value that the member `issuer` must have: the issuer, or its template with a placeholder for the tenant.
    pub(crate) expected_issuer: Box<str>,
    /// The URLs to try, in this order.
    pub(crate) candidates: Vec<Url>,
    pub(crate) required: RequiredMembers,
    pub(crate) map: Option<MapMetadata>,
    pub(crate) plain_http: PlainHttp,
}

/// The specifications that say where the metadata is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiscoveryMethod {
    /// RFC 8414, then OpenID Connect Discovery 1.0.
    Any,
    OAuth,
    OpenId,
}

/// The members that the metadata must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequiredMembers {
    pub(crate) jwks_uri: bool,
    pub(crate) introspection_endpoint: bool,
}

impl DiscoveryMethod {
    /// The well-known URLs of an issuer, in the order in which they are tried.
    pub(crate) fn candidates(self, issuer: &IssuerUrl) -> Vec<Url> {
        let path = issuer.url().path().trim_end_matches('/');
        let at = |parts: [&str; 2]| {
            let mut url = issuer.url().clone();
            url.set_path(&parts.concat());
            url
        };
        // RFC 8414, section 3, puts the well-known part between host and path. OpenID Connect Discovery 1.0, section 4.1, puts it
        // after the path.
        let mut urls = match self {
            Self::OAuth => vec![at([OAUTH, path])],
            Self::OpenId => vec![at([path, OPENID])],
            Self::Any => vec![at([OAUTH, path]), at([OPENID, path]), at([path, OPENID])],
        };
        // For an issuer without a path, the last two are equal.
        urls.dedup();
        urls
    }
}

impl Discovery {
    /// The first candidate that is the issuer's metadata, with missing members from the later candidates, and whether it has
    /// all required members.
    ///
    /// Documents that contradict each other are not merged: a token that one server signed must not be introspected at
    /// another.
    pub(super) async fn run(&self, client: &dyn HttpClient) -> Result<(AuthorizationServerMetadata, bool), FetchError> {
        let mut found: Option<AuthorizationServerMetadata> = None;
        let mut worst: Option<FetchError> = None;
        let mut tried = Vec::new();
        for url in &self.candidates {
            let error = match self.fetch(client, url).await {
                Ok(metadata) => {
                    let merged = match found {
                        Some(found) => found.completed_by(&metadata),
                        None => metadata,
                    };
                    if self.required.are_in(&merged) {
                        return Ok((merged, true));
                    }
                    found = Some(merged);
                    continue;
                }
                Err(error) => error,
            };
            let cause = Cause(&error);
            tracing::debug!(target: "mcp_bearer::keys", issuer = self.issuer.as_str(), %cause, "no metadata at this URL");
            tried.push((Box::from(url.as_str()), error.kind()));
            // All candidates have the same host. If no connection can be made, the others are not tried.
            let is_unreachable = error.is_unreachable();
            if worst.as_ref().is_none_or(|worst| severity(&error) > severity(worst)) {
                worst = Some(error);
            }
            if is_unreachable {
                break;
            }
        }
        match found {
            Some(metadata) => Ok((metadata, false)),
            None => {
                let worst = worst.unwrap_or_else(|| FetchError::new(FetchErrorKind::Document, self.issuer.as_str()));
                Err(worst.for_metadata(tried))
            }
        }
    }

    async fn fetch(&self, client: &dyn HttpClient, url: &Url) -> Result<AuthorizationServerMetadata, FetchError> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        let limits = RequestLimits::new(MAX_METADATA, AddressPolicy::Any);
        let response = get(client, url, headers, &limits).await?;
        let error = |kind, source: DocumentError| FetchError::new(kind, url.as_str()).with_source(source);
        let fetched: Map<String, Value> = json::parse(response.body())
            .map_err(|invalid| error(FetchErrorKind::Document, DocumentError::not_json(&response, &invalid)))?;
        let mut document = Value::Object(fetched.clone());
        if let Some(map) = &self.map {
            map(&mut document);
        }
        let Value::Object(document) = document else {
            let what = "`map_metadata` has replaced the document by a value that is not an object";
            return Err(error(FetchErrorKind::Document, DocumentError::new(what)));
        };
        // The address is that of the connection itself, so the issuer cannot choose it later by a DNS record.
        let is_private = response.extensions().get::<RemoteAddress>().is_some_and(|address| address.is_private());
        // A member that `map_metadata` has changed is from the operator.
        let addresses = |member: &str| match is_private || document.get(member) != fetched.get(member) {
            true => AddressPolicy::Any,
            false => AddressPolicy::for_document_at(url),
        };
        let (issuer, plain_http) = (self.issuer.clone(), self.plain_http);
        AuthorizationServerMetadata::parse(&document, issuer, &self.expected_issuer, plain_http, addresses).map_err(
            |invalid| {
                let is_mismatch = invalid == InvalidMetadata::Mismatch;
                let kind = if is_mismatch { FetchErrorKind::IssuerMismatch } else { FetchErrorKind::Document };
                error(kind, explained(invalid, &document))
            },
        )
    }
}

impl RequiredMembers {
    const fn are_in(self, metadata: &AuthorizationServerMetadata) -> bool {
        (!self.jwks_uri || metadata.jwks_uri.is_some())
            && (!self.introspection_endpoint || metadata.introspection_endpoint.is_some())
    }
}

/// The error with the invalid value and what the operator can do.
fn explained(invalid: InvalidMetadata, document: &Map<String, Value>) -> DocumentError {
    let (member, repair) = match invalid {
        InvalidMetadata::Mismatch => (
            "issuer",
            "configure the issuer exactly as its metadata has it, if it is the right one; if it is reached by another URL, call \
             `well_known_url(..)` or `jwks_uri(..)`, and `dangerously_allow_http()` if that URL is plain http",
        ),
        InvalidMetadata::JwksUri => (
            "jwks_uri",
            "call `jwks_uri(..)` with the right URL, or `dangerously_allow_http()` if there is only plain http",
        ),
        _ => return DocumentError::new(invalid.to_string()),
    };
    let found = document.get(member).map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
    DocumentError::new(invalid.to_string()).found(&found.unwrap_or_default()).repaired_by(repair)
}

/// How much an error helps the operator: the highest of all candidates is reported.
const fn severity(error: &FetchError) -> u8 {
    match error.kind() {
        FetchErrorKind::IssuerMismatch => 5,
        FetchErrorKind::NoResponse | FetchErrorKind::Status(500..) | FetchErrorKind::Interrupted => 4,
        FetchErrorKind::Status(401 | 403) => 3,
        FetchErrorKind::Document => 2,
        FetchErrorKind::Status(300..=399) => 1,
        _ => 0,
    }
}

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
/// The most bytes of a metadata document: real documents have 1 to 10 KiB.
const MAX_METADATA: usize = 256 * 1024;

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
            let urls = DiscoveryMethod::Any.candidates(&issuer);
            assert_eq!([urls[1].as_str(), urls.last().unwrap().as_str()], [insert, append]);
            assert_eq!(urls[0].as_str(), insert.replace("openid-configuration", "oauth-authorization-server"));
            assert_eq!(DiscoveryMethod::OAuth.candidates(&issuer), urls[..1]);
            assert_eq!(DiscoveryMethod::OpenId.candidates(&issuer), urls[urls.len() - 1..]);
        }
    }
}
