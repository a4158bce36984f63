//! DPoP for the clients of rmcp, which have bearer tokens only. Both wrappers add a proof to each request.
//!
//! rmcp does not show the headers of a response, so these wrappers cannot read a nonce of the server.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::auth::{OAuthHttpClient, OAuthHttpClientFuture, OAuthHttpRequest};
use rmcp::transport::common::client_side_sse::BoxedSseResponse;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse, StreamableHttpResponseLimits,
};

use crate::proof::ProofKey;

/// Sends the requests of rmcp's OAuth client. Token requests get a proof, so the tokens are bound to its key (RFC 9449,
/// section 5).
pub(crate) struct ProvingOAuthClient<C> {
    pub(crate) inner: C,
    pub(crate) key: Arc<ProofKey>,
}

impl<C: OAuthHttpClient> OAuthHttpClient for ProvingOAuthClient<C> {
    fn execute(&self, mut request: OAuthHttpRequest) -> OAuthHttpClientFuture<'_> {
        let parts = &mut request.request;
        // Only token requests are forms.
        if parts.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-www-form-urlencoded") {
            let proof = self.key.proof(parts.method().as_str(), &parts.uri().to_string(), None);
            parts.headers_mut().insert(DPOP, header_value(proof));
        }
        self.inner.execute(request)
    }
}

/// Sends the requests of rmcp's MCP client, with the access token in the scheme `DPoP` and a proof (RFC 9449, section 7).
#[derive(Clone)]
pub(crate) struct ProvingMcpClient {
    pub(crate) inner: reqwest::Client,
    pub(crate) key: Arc<ProofKey>,
}

type Headers = HashMap<HeaderName, HeaderValue>;

impl ProvingMcpClient {
    fn prove(&self, method: &str, url: &str, token: Option<String>, mut headers: Headers) -> Headers {
        if let Some(token) = token {
            headers.insert(DPOP, header_value(self.key.proof(method, url, Some(&token))));
            headers.insert(AUTHORIZATION, header_value(format!("DPoP {token}")));
        }
        headers
    }
}

impl StreamableHttpClient for ProvingMcpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session, token, headers, limits).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Self::Error>> {
        let headers = self.prove("POST", &uri, token, headers);
        self.inner.post_message_with_response_limits(uri, message, session, None, headers, limits).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Self::Error>> {
        let headers = self.prove("DELETE", &uri, token, headers);
        self.inner.delete_session(uri, session, None, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<BoxedSseResponse, StreamableHttpError<Self::Error>> {
        let headers = self.prove("GET", &uri, token, headers);
        self.inner.get_stream(uri, session, last_event_id, None, headers).await
    }
}

fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("tokens and proofs are ASCII")
}

const DPOP: HeaderName = HeaderName::from_static("dpop");
