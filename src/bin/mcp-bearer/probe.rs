//! Sends the requests, each within limits, with the HTTP client of the library.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, header};
use mcp_bearer::http_client::{
    AddressPolicy, HttpClient as _, HttpError, HttpErrorKind, RemoteAddress, RequestLimits, ReqwestClient,
};
use tokio::time::timeout;
use url::Url;

use crate::reply::{NoReply, Reply};

/// The HTTP client. It follows no redirect, decodes nothing, and uses no proxy.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) client: ReqwestClient,
    has_ca_certificates: bool,
}

impl Probe {
    pub(crate) fn new() -> Result<Self, String> {
        if let Ok(client) = ReqwestClient::new() {
            return Ok(Self { client, has_ca_certificates: true });
        }
        // A machine without CA certificates can still look at servers with plain http.
        let client =
            ReqwestClient::configured(|builder| builder.tls_certs_only([])).map_err(|error| root_cause(&error))?;
        Ok(Self { client, has_ca_certificates: false })
    }

    /// Fetches a document from a URL that the operator has given or that follows from it.
    pub(crate) async fn get(&self, url: &str, headers: &[(HeaderName, &str)]) -> Reply {
        self.send(Method::GET, url, headers, Bytes::new(), AddressPolicy::Any).await
    }

    /// Fetches a document from a URL in another document, which must not lead from a public server to a private address.
    pub(crate) async fn get_linked(&self, url: &str, from: &Reply) -> Reply {
        let accept = [(header::ACCEPT, "application/json")];
        self.send(Method::GET, url, &accept, Bytes::new(), addresses_for_links_of(from)).await
    }

    /// Sends a request to a URL that the operator has given or that follows from it.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, &str)],
        body: &'static str,
    ) -> Reply {
        self.send(method, url, headers, Bytes::from_static(body.as_bytes()), AddressPolicy::Any).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
        addresses: AddressPolicy,
    ) -> Reply {
        let limits = RequestLimits::new(MAX_BODY, addresses);
        let mut result = self.send_once(&method, url, headers, &body, &limits).await;
        // A server may close an idle connection at any time, so that one request is lost.
        if let Err(NoReply::Closed(_)) = result {
            result = self.send_once(&method, url, headers, &body, &limits).await;
        }
        Reply { url: url.to_owned(), result }
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &str,
        headers: &[(HeaderName, &str)],
        body: &Bytes,
        limits: &RequestLimits,
    ) -> Result<Response<Bytes>, NoReply> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(body.clone()).map_err(|error| NoReply::Unsendable(error.to_string()))?;
        match timeout(TIME_LIMIT, self.client.send(request, limits.clone())).await {
            Ok(result) => result.map_err(|error| self.no_reply(&error)),
            Err(_) => Err(NoReply::Unreachable(format!("no complete response within {} s", TIME_LIMIT.as_secs()))),
        }
    }

    fn no_reply(&self, error: &HttpError) -> NoReply {
        let cause = root_cause(error);
        match error.kind() {
            _ if cause.contains("certificate") && self.has_ca_certificates => NoReply::Certificate(cause),
            _ if cause.contains("certificate") => {
                NoReply::Unreachable("this machine has no CA certificates".to_owned())
            }
            HttpErrorKind::TooLarge => NoReply::TooLarge,
            HttpErrorKind::ForbiddenAddress => NoReply::PrivateAddress,
            HttpErrorKind::Encoded => NoReply::Unsendable(error.to_string()),
            HttpErrorKind::Closed => NoReply::Closed(cause),
            _ => NoReply::Unreachable(cause),
        }
    }
}

/// The rule of the resource server for URLs in a fetched document.
fn addresses_for_links_of(document: &Reply) -> AddressPolicy {
    let remote = document.result.as_ref().ok().and_then(|reply| reply.extensions().get::<RemoteAddress>().copied());
    let authority = Url::parse(&document.url).ok().and_then(|url| {
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        Some(match url.port_or_known_default() {
            None | Some(443) => host,
            Some(port) => format!("{host}:{port}"),
        })
    });
    match (remote.is_some_and(RemoteAddress::is_private), authority) {
        (false, Some(authority)) => AddressPolicy::NoMorePrivateThan(authority.into()),
        _ => AddressPolicy::Any,
    }
}

/// The deepest source of an error. The errors above it only say that the request failed.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Longer than a request to a slow server takes, and short enough to wait for.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of a response. Metadata documents and key sets have 1 to 50 KiB.
const MAX_BODY: usize = 256 * 1024;

#[cfg(test)]
mod tests;
