use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::de::IgnoredAny;
use url::Url;

use crate::discovery::{AuthorizationServerMetadata, EndpointSource, MetadataSource};
use crate::http_client::{AddressPolicy, DocumentError, FetchError, FetchErrorKind, HttpClient, RequestLimits, get};
use crate::jose::{InvalidJwkSet, JwkSet, OwnedKeyName, UnusableEntry, UnusableKey};

/// Fetches the key set of one issuer.
pub(crate) struct KeySetFetcher {
    issuer: Box<str>,
    client: Arc<dyn HttpClient>,
    endpoint: EndpointSource,
    limits: KeySetLimits,
    unusable: UnusableKeys,
}

/// The limits of a fetched key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySetLimits {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct FetchRequest {
    /// HTTP caches on the way must not respond.
    pub(super) forced: bool,
    /// The validators of the cached key set.
    pub(super) validators: Option<Validators>,
}

/// The validators of a response, for conditional requests (RFC 9110, section 13.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// They are valid for the document at this URL only.
    url: Box<str>,
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

/// A successful response.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The key set and its validators. `None` if the cached one is not modified (304).
    pub(super) modified: Option<(Arc<JwkSet>, Option<Validators>)>,
    /// How long it is fresh, if the response says so.
    pub(super) lifetime: Option<Duration>,
}

impl KeySetFetcher {
    pub(crate) fn new(
        issuer: &str,
        client: Arc<dyn HttpClient>,
        endpoint: EndpointSource,
        limits: KeySetLimits,
    ) -> Self {
        Self { issuer: issuer.into(), client, endpoint, limits, unusable: UnusableKeys::default() }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How many keys of the last key set cannot be used.
    pub(super) fn unusable_key_count(&self) -> usize {
        self.unusable.count()
    }

    pub(super) async fn fetch(&self, request: FetchRequest) -> Result<Fetched, Arc<FetchError>> {
        match &self.endpoint {
            EndpointSource::Configured(url) => Ok(self.get(url, AddressPolicy::Any, &request).await?),
            EndpointSource::Discovered(source) => self.fetch_discovered(source, request).await,
        }
    }

    async fn fetch_discovered(
        &self,
        source: &MetadataSource,
        request: FetchRequest,
    ) -> Result<Fetched, Arc<FetchError>> {
        let was_known = source.known().is_some();
        let metadata = source.for_background().await?;
        let fetched = self.get_discovered(&metadata, &request).await;
        match &fetched {
            // The key set may have moved (RFC 9110, sections 15.5.5 and 15.5.11). New metadata has its new URL.
            Err(error) if was_known && matches!(error.kind(), FetchErrorKind::Status(404 | 410)) => {
                let renewed = source.fetch().await?;
                if renewed.jwks_uri() == metadata.jwks_uri() {
                    return Ok(fetched?);
                }
                Ok(self.get_discovered(&renewed, &request).await?)
            }
            _ => Ok(fetched?),
        }
    }

    async fn get_discovered(
        &self,
        metadata: &AuthorizationServerMetadata,
        request: &FetchRequest,
    ) -> Result<Fetched, FetchError> {
        let Some(endpoint) = metadata.key_set() else {
            return Err(FetchError::new(FetchErrorKind::Document, &self.issuer).with_source(NoJwksUri));
        };
        self.get(&endpoint.url, endpoint.addresses.clone(), request).await
    }

    async fn get(&self, url: &Url, addresses: AddressPolicy, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let error = |kind| FetchError::new(kind, url.as_str());
        // At another URL, an equal entity tag means nothing.
        let validators = request.validators.as_ref().filter(|validators| *validators.url == *url.as_str());
        let sent = conditional_get(url, request.forced, validators)
            .map_err(|source| error(FetchErrorKind::Document).with_source(source))?;
        let limits = RequestLimits::new(self.limits.bytes, addresses);
        let is_conditional = validators.is_some();
        let accepted = |status| status == StatusCode::OK || (status == StatusCode::NOT_MODIFIED && is_conditional);
        let response = get(self.client.as_ref(), &sent, &limits, accepted).await?;
        let lifetime = lifetime(response.headers());
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched { modified: None, lifetime });
        }
        let keys = self.read(response.body()).map_err(|invalid| {
            let error = error(FetchErrorKind::Document);
            match serde_json::from_slice::<IgnoredAny>(response.body()) {
                Err(source) => error.with_source(DocumentError::not_json(response.body(), &source)),
                Ok(IgnoredAny) => error.with_source(invalid),
            }
        })?;
        Ok(Fetched { modified: Some((Arc::new(keys), Validators::from_response(url, response.headers()))), lifetime })
    }

    /// Reads a key set, and reports its unusable keys, even if no key is usable.
    fn read(&self, document: &[u8]) -> Result<JwkSet, InvalidJwkSet> {
        let set = JwkSet::read(document, self.limits.keys)?;
        self.unusable.report(&self.issuer, &set);
        if set.keys().len() == 0 { Err(InvalidJwkSet::NoUsableKey) } else { Ok(set) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the metadata has no \"jwks_uri\": configure it with `Issuer::jwks_uri`")]
struct NoJwksUri;

fn conditional_get(url: &Url, forced: bool, validators: Option<&Validators>) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::get(url.as_str())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Bytes::new())?;
    let headers = request.headers_mut();
    if forced {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(etag) = validators.and_then(|validators| validators.etag.clone()) {
        headers.insert(header::IF_NONE_MATCH, etag);
    }
    if let Some(last_modified) = validators.and_then(|validators| validators.last_modified.clone()) {
        headers.insert(header::IF_MODIFIED_SINCE, last_modified);
    }
    Ok(request)
}

impl Validators {
    fn from_response(url: &Url, headers: &HeaderMap) -> Option<Self> {
        let (etag, last_modified) = (headers.get(header::ETAG).cloned(), headers.get(header::LAST_MODIFIED).cloned());
        let url = url.as_str().into();
        (etag.is_some() || last_modified.is_some()).then_some(Self { url, etag, last_modified })
    }
}

/// How long a response is fresh (RFC 9111, section 4.2), if it says so. `no-cache`, `no-store` and `private` are ignored with
/// the rest of the header: servers send them with key sets that change once a month.
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
    // An invalid date is ignored. An expiry before the date of the response means "already expired".
    let lifetime = date(&header::EXPIRES)?.duration_since(date(&header::DATE)?).unwrap_or_default();
    Some(lifetime.saturating_sub(age))
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Reports the keys of an issuer's key set that cannot be used: once for each change, however often the set is fetched.
#[derive(Default)]
pub(crate) struct UnusableKeys(Mutex<ReportedKeys>);

#[derive(Default)]
struct ReportedKeys {
    entries: Vec<UnusableEntry>,
    count: usize,
}

impl UnusableKeys {
    /// Logs each unusable key at `warn`, unless the last set had the same ones.
    pub(crate) fn report(&self, issuer: &str, set: &JwkSet) {
        let (entries, count) = (set.unusable(), set.unusable_count());
        {
            let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.count == count && reported.entries == entries {
                return;
            }
            *reported = ReportedKeys { entries: entries.to_vec(), count };
        }
        // All keys beyond the limit have the same cause, and get one line.
        let (too_many, named): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.reason == UnusableKey::TooMany);
        for entry in named.iter().take(MAX_LINES).chain(too_many.first()) {
            let kid = logged(&entry.name);
            tracing::warn!(
                target: "mcp_bearer::keys", issuer, kid, reason = %entry.reason,
                "a published key cannot be used: tokens under its key id get 503"
            );
        }
        let written = named.len().min(MAX_LINES).saturating_add(usize::from(!too_many.is_empty()));
        if count > written {
            tracing::warn!(
                target: "mcp_bearer::keys", issuer, more = count.saturating_sub(written),
                "more published keys cannot be used"
            );
        }
    }

    /// How many keys of the last set cannot be used.
    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

/// The key id, else a thumbprint, for a log line: printable, on one line, and cut.
fn logged(name: &OwnedKeyName) -> Option<String> {
    let name = name.kid.as_deref().or(name.x5t_s256.as_deref()).or(name.x5t.as_deref())?;
    Some(name.chars().flat_map(char::escape_default).take(MAX_LOGGED).collect())
}

/// The most log lines for one key set: its issuer chooses how many keys it has.
const MAX_LINES: usize = 10;
/// The most characters of a key id in one log line.
const MAX_LOGGED: usize = 64;

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
