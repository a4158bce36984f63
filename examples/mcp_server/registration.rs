use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use mcp_bearer::Issuer;
use mcp_bearer::http_client::{AddressPolicy, HttpClient as _, RequestLimits, ReqwestClient};
use serde::Deserialize;

/// Returns those of the issuers at which an MCP client cannot register itself, so that it needs a client id from the operator.
///
/// An issuer whose metadata cannot be read is not among them.
pub(crate) async fn without_registration(issuers: &[String]) -> Vec<String> {
    let Ok(client) = ReqwestClient::new() else { return Vec::new() };
    let mut without = Vec::new();
    for issuer in issuers {
        let registers = tokio::time::timeout(TIME_LIMIT, can_register(&client, issuer)).await;
        if registers == Ok(Some(false)) {
            without.push(issuer.clone());
        }
    }
    without
}

/// The members of a metadata document by which a client decides how it gets its client id.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    /// Dynamic client registration (RFC 7591).
    registration_endpoint: Option<String>,
    /// Client ID Metadata Documents.
    client_id_metadata_document_supported: Option<bool>,
}

/// Returns whether clients can register themselves at the issuer. Reads all metadata documents, because Spring Authorization Server
/// names its registration endpoint in one of two only. `None` without a document.
async fn can_register(client: &ReqwestClient, issuer: &str) -> Option<bool> {
    let mut found = None;
    for url in Issuer::discover(issuer).metadata_urls().ok()? {
        let Some(metadata) = fetch(client, &url).await.filter(|metadata| metadata.issuer == issuer) else { continue };
        let accepts_documents = metadata.client_id_metadata_document_supported == Some(true);
        found = Some(found == Some(true) || accepts_documents || metadata.registration_endpoint.is_some());
    }
    found
}

async fn fetch(client: &ReqwestClient, url: &str) -> Option<Metadata> {
    let request = Request::get(url).header("accept", "application/json").body(Bytes::new()).ok()?;
    let response = client.send(request, RequestLimits::new(MAX_DOCUMENT, AddressPolicy::Any)).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    serde_json::from_slice(response.body()).ok()
}

/// The server waits for at most this time for each issuer before it prints its greeting.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// The most bytes of a metadata document.
const MAX_DOCUMENT: usize = 256 * 1024;
