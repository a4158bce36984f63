use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::de::IgnoredAny;
use url::Url;

use super::AuthorizationServerMetadata;
use super::discovery::TOTAL_TIMEOUT;
use super::metadata_source::MetadataSource;
use crate::http_client::{
    AddressPolicy, DocumentError, FetchError, FetchErrorKind, HttpClient, RequestLimits, exchange, retry_after,
};
use crate::jose::{InvalidJwkSet, JwkSet};
use crate::keys::{FetchFuture, FetchKeySet, FetchRequest, Fetched, UnusableKeys, Validators};

/// Fetches the key set of an issuer, from where the operator or the issuer's metadata says it is.
pub(super) struct KeySetFetch {
    issuer: Box<str>,
    client: Arc<dyn HttpClient>,
    location: Location,
    limits: KeySetLimits,
    unusable: UnusableKeys,
}

/// How much of a key set is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeySetLimits {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}

pub(super) enum Location {
    /// The operator wrote it.
    Fixed(Url),
    /// The issuer's metadata names it.
    Discovered(Arc<MetadataSource>),
}

impl KeySetFetch {
    pub(super) fn new(issuer: &str, client: Arc<dyn HttpClient>, location: Location, limits: KeySetLimits) -> Self {
        Self { issuer: issuer.into(), client, location, limits, unusable: UnusableKeys::default() }
    }

    async fn run(&self, request: FetchRequest) -> Result<Fetched, Arc<FetchError>> {
        match &self.location {
            Location::Fixed(url) => Ok(self.get(url, AddressPolicy::Any, &request).await?),
            Location::Discovered(source) => self.run_discovered(source, request).await,
        }
    }

    async fn run_discovered(&self, source: &MetadataSource, request: FetchRequest) -> Result<Fetched, Arc<FetchError>> {
        let was_known = source.known().is_some();
        let current = source.current().await?;
        let fetched = self.get_discovered(&current, &request).await;
        match &fetched {
            // The key set moved (RFC 9110, sections 15.5.5 and 15.5.11): the metadata knows where to.
            Err(error) if was_known && matches!(error.kind(), FetchErrorKind::Status(404 | 410)) => {
                let metadata = source.renew().await?;
                if metadata.jwks_uri() == current.jwks_uri() {
                    return Ok(fetched?);
                }
                Ok(self.get_discovered(&metadata, &request).await?)
            }
            _ => Ok(fetched?),
        }
    }

    async fn get_discovered(
        &self,
        metadata: &AuthorizationServerMetadata,
        request: &FetchRequest,
    ) -> Result<Fetched, FetchError> {
        let Some(named) = metadata.jwks_url() else {
            return Err(FetchError::new(FetchErrorKind::Document, &self.issuer).with_source(NoJwksUri));
        };
        self.get(&named.url, named.addresses.clone(), request).await
    }

    /// Reads a key set, and reports its keys that cannot be used, even if none can.
    fn read(&self, document: &[u8]) -> Result<JwkSet, InvalidJwkSet> {
        let set = JwkSet::read(document, self.limits.keys)?;
        self.unusable.report(&self.issuer, &set);
        if set.keys().len() == 0 { Err(InvalidJwkSet::NoUsableKey) } else { Ok(set) }
    }

    async fn get(&self, url: &Url, addresses: AddressPolicy, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let error = |kind| FetchError::new(kind, url.as_str());
        let sent =
            conditional_get(url, request).map_err(|source| error(FetchErrorKind::Document).with_source(source))?;
        let limits = RequestLimits::new(self.limits.bytes, addresses);
        let response = exchange(self.client.as_ref(), || Ok(sent.clone()), &limits, TOTAL_TIMEOUT).await;
        let response = response.map_err(|source| FetchError::of_exchange(url.as_str(), source))?;
        let lifetime = lifetime(response.headers());
        match response.status() {
            StatusCode::OK => {
                let keys = self.read(response.body()).map_err(|invalid| {
                    let error = error(FetchErrorKind::Document);
                    match serde_json::from_slice::<IgnoredAny>(response.body()) {
                        Err(source) => error.with_source(DocumentError::not_json(response.body(), &source)),
                        Ok(IgnoredAny) => error.with_source(invalid),
                    }
                })?;
                let validators = validators(url, response.headers());
                Ok(Fetched::Modified { keys: Arc::new(keys), validators, lifetime })
            }
            StatusCode::NOT_MODIFIED if validators_for(url, request).is_some() => Ok(Fetched::NotModified { lifetime }),
            status => Err(FetchError::of_status(url.as_str(), status, retry_after(response.headers()))),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the metadata has no \"jwks_uri\": configure one with `Issuer::jwks_uri`")]
struct NoJwksUri;

impl FetchKeySet for KeySetFetch {
    fn fetch(&self, request: FetchRequest) -> FetchFuture<'_> {
        Box::pin(self.run(request))
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn unusable_keys(&self) -> usize {
        self.unusable.count()
    }
}

fn conditional_get(url: &Url, request: &FetchRequest) -> Result<Request<Bytes>, http::Error> {
    let mut sent = Request::get(url.as_str())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Bytes::new())?;
    let headers = sent.headers_mut();
    if request.forced {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(validators) = validators_for(url, request) {
        if let Some(etag) = &validators.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(last_modified) = &validators.last_modified {
            headers.insert(header::IF_MODIFIED_SINCE, last_modified.clone());
        }
    }
    Ok(sent)
}

/// The validators of the set at hand, if it came from this URL: at another one an equal tag means nothing.
fn validators_for<'r>(url: &Url, request: &'r FetchRequest) -> Option<&'r Validators> {
    request.validators.as_ref().filter(|validators| *validators.url == *url.as_str())
}

fn validators(url: &Url, headers: &HeaderMap) -> Option<Validators> {
    let (etag, last_modified) = (headers.get(header::ETAG).cloned(), headers.get(header::LAST_MODIFIED).cloned());
    let url = url.as_str().into();
    (etag.is_some() || last_modified.is_some()).then_some(Validators { url, etag, last_modified })
}

/// How long an answer says that it is fresh (RFC 9111, section 4.2). `no-cache`, `no-store` and `private` count as no
/// word: servers send them with key sets that change once a month.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-cache" | "no-store" | "private" => return None,
                "max-age" => max_age = value.trim().trim_matches('"').parse::<u64>().ok().or(max_age),
                _ => {}
            }
        }
    }
    let age = text(headers, &header::AGE).and_then(|age| age.parse().ok()).map(Duration::from_secs).unwrap_or_default();
    if let Some(max_age) = max_age {
        return Some(Duration::from_secs(max_age).saturating_sub(age));
    }
    let date = |name| httpdate::parse_http_date(text(headers, name)?).ok();
    // A date that cannot be read is no word, as elsewhere; one before the answer's own means "already expired".
    let lifetime = date(&header::EXPIRES)?.duration_since(date(&header::DATE)?).unwrap_or_default();
    Some(lifetime.saturating_sub(age))
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_read_from_the_headers() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("cache-control", "max-age=600")], Some(600)),
            (&[("cache-control", "public, MAX-AGE=\"600\", must-revalidate")], Some(600)),
            (&[("cache-control", "max-age=600"), ("age", "100")], Some(500)),
            (&[("cache-control", "max-age=600"), ("age", "700")], Some(0)),
            (&[("cache-control", "max-age=0")], Some(0)),
            (&[("cache-control", "max-age=600, no-cache")], None),
            (&[("cache-control", "no-store")], None),
            (&[("cache-control", "private, max-age=600")], None),
            (&[("cache-control", "no-cache"), ("cache-control", "max-age=9")], None),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "max-age=x")], None),
            (&[("cache-control", "max-age=99999999999999999999")], None),
            (&[("expires", "Thu, 01 Jan 2026 01:00:00 GMT"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT")], Some(3600)),
            (&[("expires", "Thu, 01 Jan 2026 00:00:00 GMT"), ("date", "Thu, 01 Jan 2026 01:00:00 GMT")], Some(0)),
            (&[("expires", "Thu, 01 Jan 2026 01:00:00 GMT")], None),
            (&[("expires", "0"), ("date", "Thu, 01 Jan 2026 01:00:00 GMT")], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(lifetime(&map), expected.map(Duration::from_secs), "{headers:?}");
        }
    }
}
