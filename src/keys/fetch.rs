use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::IgnoredAny;
use url::Url;

use crate::discovery::{AuthorizationServerMetadata, EndpointSource, EndpointUrl};
use crate::escape::Escaped;
use crate::events::{Event, IssuerEvents, KeyUnusable};
use crate::http_client::{DocumentError, FetchError, FetchErrorKind, HttpClient, RequestLimits, get};
use crate::jose::{InvalidJwkSet, JwkSet, UnusableEntry, UnusableKey};

/// Fetches the key set of one issuer.
pub(crate) struct KeySetFetcher {
    pub(super) events: Arc<IssuerEvents>,
    client: Arc<dyn HttpClient>,
    endpoint: EndpointSource,
    limits: KeySetLimits,
    pub(super) unusable: UnusableKeys,
}

/// The limits of a fetched key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySetLimits {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

/// The headers of a conditional request (RFC 9110, section 13.1). They are valid for the document at this URL only.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    url: Box<str>,
    headers: HeaderMap,
}

/// A successful response.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The key set and its validators. `None` if the cached one is not modified (304).
    pub(super) modified: Option<(Arc<JwkSet>, Option<Arc<Validators>>)>,
    /// How long it is fresh, if the response says so.
    pub(super) lifetime: Option<Duration>,
}

impl KeySetFetcher {
    pub(crate) fn new(
        events: Arc<IssuerEvents>,
        client: Arc<dyn HttpClient>,
        endpoint: EndpointSource,
        limits: KeySetLimits,
    ) -> Self {
        Self { events, client, endpoint, limits, unusable: UnusableKeys::default() }
    }

    /// Fetches the key set. If `forced`, HTTP caches between this server and the issuer must not respond.
    pub(super) async fn fetch(
        &self,
        forced: bool,
        validators: Option<&Validators>,
    ) -> Result<Fetched, Arc<FetchError>> {
        let source = match &self.endpoint {
            EndpointSource::Configured(endpoint) => return Ok(self.get(endpoint, forced, validators).await?),
            EndpointSource::Discovered(source) => source,
        };
        let was_known = source.known().is_some();
        let metadata = source.for_background().await?;
        let endpoint = self.endpoint_in(&metadata)?;
        let fetched = self.get(endpoint, forced, validators).await;
        // The key set may have moved (RFC 9110, sections 15.5.5 and 15.5.11). New metadata has its new URL.
        if was_known && fetched.as_ref().is_err_and(|error| matches!(error.kind(), FetchErrorKind::Status(404 | 410))) {
            let metadata = source.fetch().await?;
            let renewed = self.endpoint_in(&metadata)?;
            if renewed.url != endpoint.url {
                return Ok(self.get(renewed, forced, validators).await?);
            }
        }
        Ok(fetched?)
    }

    fn endpoint_in<'m>(&self, metadata: &'m AuthorizationServerMetadata) -> Result<&'m EndpointUrl, FetchError> {
        let missing = || {
            let has_endpoint = metadata.introspection_endpoint.is_some();
            let source = if has_endpoint { NoJwksUri::WithIntrospection } else { NoJwksUri::Alone };
            FetchError::new(FetchErrorKind::Document, &self.events.issuer).with_source(source)
        };
        metadata.jwks_uri.as_ref().ok_or_else(missing)
    }

    async fn get(
        &self,
        endpoint: &EndpointUrl,
        forced: bool,
        validators: Option<&Validators>,
    ) -> Result<Fetched, FetchError> {
        let url = &endpoint.url;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
        if forced {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        // An entity tag is valid only for the URL that it came from.
        if let Some(validators) = validators.filter(|validators| *validators.url == *url.as_str()) {
            headers.extend(validators.headers.clone());
        }
        let limits = RequestLimits::new(self.limits.bytes, endpoint.addresses.clone());
        let response = get(self.client.as_ref(), url, headers, &limits).await?;
        let lifetime = lifetime(response.headers());
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched { modified: None, lifetime });
        }
        let keys = self.read(response.body()).map_err(|invalid| {
            let error = FetchError::new(FetchErrorKind::Document, url.as_str());
            match serde_json::from_slice::<IgnoredAny>(response.body()) {
                Err(source) => error.with_source(DocumentError::not_json(&response, &source)),
                Ok(IgnoredAny) => error.with_source(invalid),
            }
        })?;
        Ok(Fetched { modified: Some((Arc::new(keys), Validators::from_response(url, response.headers()))), lifetime })
    }

    /// Reads a key set, and reports its unusable keys, even if no key is usable.
    fn read(&self, document: &[u8]) -> Result<JwkSet, InvalidJwkSet> {
        let set = JwkSet::read(document, self.limits.keys)?;
        self.unusable.report(&self.events, &set);
        if set.keys().len() == 0 { Err(InvalidJwkSet::NoUsableKey) } else { Ok(set) }
    }
}

#[derive(Debug, thiserror::Error)]
enum NoJwksUri {
    #[error("the metadata has no \"jwks_uri\": call `jwks_uri(..)` with the URL of the key set")]
    Alone,
    /// The metadata has an introspection endpoint.
    #[error(
        "the metadata has no \"jwks_uri\", but an introspection endpoint: call `introspect_all(..)` to introspect every token, \
         which needs no keys and replaces `introspect_opaque(..)`, or call `jwks_uri(..)` with the URL of the key set"
    )]
    WithIntrospection,
}

impl Validators {
    fn from_response(url: &Url, headers: &HeaderMap) -> Option<Arc<Self>> {
        let named = [(header::IF_NONE_MATCH, header::ETAG), (header::IF_MODIFIED_SINCE, header::LAST_MODIFIED)];
        let sent = |(condition, validator)| Some((condition, headers.get(validator)?.clone()));
        let headers: HeaderMap = named.into_iter().filter_map(sent).collect();
        (!headers.is_empty()).then(|| Arc::new(Self { url: url.as_str().into(), headers }))
    }
}

/// How long a response is fresh (RFC 9111, section 4.2). `None`, so that the default applies, if the response does not say so,
/// or has `no-cache`, `no-store` or `private`: servers send these with key sets that change once a month.
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
    // An invalid date is ignored, unlike in RFC 9111, section 5.3: the default applies. An `Expires` before `Date` means
    // "already expired".
    let lifetime = date(&header::EXPIRES)?.duration_since(date(&header::DATE)?).unwrap_or_default();
    Some(lifetime.saturating_sub(age))
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Reports the keys of an issuer's key set that cannot be used: once for each change, however often the set is fetched.
#[derive(Default)]
pub(crate) struct UnusableKeys {
    /// The unusable keys of the last set, up to a limit, and the number of all.
    reported: Mutex<(Vec<UnusableEntry>, usize)>,
}

impl UnusableKeys {
    /// Logs unusable keys at `warn`, unless the last set had the same ones.
    pub(crate) fn report(&self, events: &IssuerEvents, set: &JwkSet) {
        let (entries, count) = (set.unusable(), set.unusable_count());
        let previous = std::mem::replace(&mut *self.lock(), (entries.to_vec(), count));
        if (previous.0.as_slice(), previous.1) == (entries, count) {
            return;
        }
        // All keys above the limit of usable keys have the same cause. One line shows the first of them.
        let (too_many, named): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.reason == UnusableKey::TooMany);
        let shown: Vec<_> = named.into_iter().take(MAX_LINES).chain(too_many.into_iter().take(1)).collect();
        for entry in &shown {
            let name = &entry.name;
            let kid = name.kid.as_ref().or(name.x5t_s256.as_ref()).or(name.x5t.as_ref());
            let kid = kid.map(|kid| Escaped(kid, MAX_LOGGED).to_string());
            let reason = entry.reason.to_string();
            let event = KeyUnusable { issuer: &events.issuer, key_id: kid.as_deref(), reason: &reason };
            events.emit(&Event::KeyUnusable(event));
        }
        let more = count.saturating_sub(shown.len());
        if more > 0 {
            tracing::warn!(target: "mcp_bearer::keys", issuer = &*events.issuer, more, "more published keys cannot be used");
        }
    }

    /// The keys of the last set that cannot be used, at most `max` of them, and the number of all.
    pub(super) fn last(&self, max: usize) -> (Vec<UnusableEntry>, usize) {
        let reported = self.lock();
        (reported.0.iter().take(max).cloned().collect(), reported.1)
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<UnusableEntry>, usize)> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most keys of one key set that are logged, because its issuer chooses how many it has.
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
