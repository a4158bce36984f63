//! Sends the requests of one run, and collects the facts. Nothing is judged here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, Method, StatusCode, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::verify::{CheckFailure, ExplainedCheck};
use serde_json::json;

use crate::access_token::AccessToken;
use crate::challenge::BearerChallenge;
use crate::deployment::{Deployment, Protocol};
use crate::facts::{Facts, IssuerFacts, McpFacts, ResourceFacts, TokenFacts, have_same_origin};
use crate::probe::Probe;
use crate::reply::{NoReply, Reply};
use crate::sender::TokenBinding;

/// Sends all requests: at most 3 for the metadata of the issuer, 1 for its key set, 5 to the MCP endpoint, and 11 for the
/// metadata of the resource. A request whose connection is closed without a response is sent once more.
///
pub(crate) async fn survey(probe: &Probe, deployment: Deployment) -> Facts {
    let issuer = survey_issuer(probe, &deployment).await;
    let mcp = survey_mcp(probe, &deployment).await;
    let resource = survey_resource(probe, &deployment, &mcp).await;
    let mut facts = Facts { deployment, issuer, mcp, resource, token: None };
    survey_page(probe, &mut facts).await;
    facts
}

/// Lets `server` verify a token. It fetches the metadata and the key set of the issuer again: at most 4 requests, each sent once
/// more if it fails. An opaque token causes 1 more request to the MCP endpoint.
pub(crate) async fn survey_token(probe: &Probe, facts: &mut Facts, server: &ResourceServer, token: &AccessToken) {
    let explanation = server.explain(token.as_str()).await;
    if explanation.failed().is_some_and(is_opaque) && facts.mcp.without_token.result.is_ok() {
        let reply = send_to_mcp(probe, &facts.deployment, &[(header::AUTHORIZATION, MADE_UP_OPAQUE)]).await;
        facts.mcp.with_opaque_token = Some(reply);
    }
    facts.token = Some(TokenFacts { explanation, binding: TokenBinding::from_token(token.as_str()) });
}

async fn survey_issuer(probe: &Probe, deployment: &Deployment) -> IssuerFacts {
    let mut documents = Vec::new();
    for url in &deployment.issuer_documents {
        let reply = probe.get(url, ACCEPT_JSON).await;
        let is_unreachable = matches!(reply.result, Err(NoReply::Unreachable(_) | NoReply::Certificate(_)));
        documents.push(reply);
        // All URLs have the same host.
        if is_unreachable {
            break;
        }
    }
    let mut issuer = IssuerFacts { documents, key_set: None };
    if let Some((document, url)) = issuer.endpoint(&deployment.issuer, "jwks_uri") {
        issuer.key_set = Some(probe.get_linked(&url, document).await);
    }
    issuer
}

async fn survey_mcp(probe: &Probe, deployment: &Deployment) -> McpFacts {
    let without_token = send_to_mcp(probe, deployment, &[]).await;
    let mut facts = McpFacts {
        without_token,
        with_invalid_token: None,
        with_opaque_token: None,
        unknown_path: None,
        from_page: None,
        preflight: None,
    };
    if facts.without_token.result.is_err() {
        return facts;
    }
    let credentials = format!("Bearer {}", made_up_token(deployment));
    let authorization = [(header::AUTHORIZATION, credentials.as_str())];
    facts.with_invalid_token = Some(send_to_mcp(probe, deployment, &authorization).await);
    facts.unknown_path = Some(probe.get(&deployment.unknown_url, &[]).await);
    facts
}

/// The requests of a web page to the MCP endpoint. The metadata of the resource decides which headers clients send.
async fn survey_page(probe: &Probe, facts: &mut Facts) {
    let deployment = &facts.deployment;
    let (Some(origin), Ok(_)) = (&deployment.origin, &facts.mcp.without_token.result) else { return };
    let headers = deployment.protocol.request_headers(facts.accepts_dpop()).join(",");
    facts.mcp.from_page = Some(send_to_mcp(probe, deployment, &[(header::ORIGIN, origin)]).await);
    facts.mcp.preflight = Some(preflight(probe, &deployment.mcp, origin, deployment.protocol.method(), &headers).await);
}

async fn send_to_mcp(probe: &Probe, deployment: &Deployment, headers: &[(HeaderName, &str)]) -> Reply {
    match deployment.protocol {
        Protocol::Mcp => {
            let headers = [MESSAGE_HEADERS, headers].concat();
            probe.request(Method::POST, &deployment.mcp, &headers, MESSAGE).await
        }
        Protocol::Rest => probe.get(&deployment.mcp, &[ACCEPT_JSON, headers].concat()).await,
    }
}

async fn survey_resource(probe: &Probe, deployment: &Deployment, mcp: &McpFacts) -> ResourceFacts {
    let at_path = probe.get(&deployment.metadata_url, ACCEPT_JSON).await;
    let mut facts =
        ResourceFacts { at_path, at_root: None, at_link: None, elsewhere: None, from_page: None, preflight: None };
    if facts.at_path.result.is_err() {
        return facts;
    }
    if let Some(root) = &deployment.root_metadata_url {
        facts.at_root = Some(probe.get(root, ACCEPT_JSON).await);
    }
    let challenge = mcp.without_token.headers().and_then(|headers| BearerChallenge::from_headers(headers).ok());
    let link = challenge.and_then(|challenge| challenge.resource_metadata);
    let link = link.filter(|link| *link != deployment.metadata_url && have_same_origin(link, &deployment.mcp));
    if let Some(link) = link {
        facts.at_link = Some(probe.get(&link, ACCEPT_JSON).await);
    }
    let Some((found, _)) = facts.used() else {
        if facts.at_path.status() == Some(StatusCode::NOT_FOUND) {
            facts.elsewhere = find_elsewhere(probe, deployment).await;
        }
        return facts;
    };
    if let Some(origin) = &deployment.origin {
        let url = found.url.clone();
        facts.from_page = Some(probe.get(&url, &[ACCEPT_JSON, &[(header::ORIGIN, origin)]].concat()).await);
        facts.preflight = Some(preflight(probe, &url, origin, "GET", "mcp-protocol-version").await);
    }
    facts
}

/// Looks for the document where a mistake has put it.
async fn find_elsewhere(probe: &Probe, deployment: &Deployment) -> Option<Reply> {
    for url in deployment.mistaken_metadata_urls() {
        let reply = probe.get(&url, ACCEPT_JSON).await;
        if reply.document().is_ok_and(|document| document.contains_key("resource")) {
            return Some(reply);
        }
    }
    None
}

/// The request that a browser sends before that of a script (Fetch, section 4.8).
async fn preflight(probe: &Probe, url: &str, origin: &str, method: &str, headers: &str) -> Reply {
    let headers = [
        (header::ORIGIN, origin),
        (header::ACCESS_CONTROL_REQUEST_METHOD, method),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, headers),
    ];
    probe.request(Method::OPTIONS, url, &headers, "").await
}

/// A token that nobody has signed. The server has to look up its key before it can reject it, so it shows whether the server
/// has the keys of its issuer.
fn made_up_token(deployment: &Deployment) -> String {
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "mcp-bearer-doctor"});
    let claims = json!({
        "iss": deployment.issuer, "aud": deployment.resource, "sub": "mcp-bearer-doctor", "client_id": "mcp-bearer-doctor",
        "iat": 1_750_000_000, "exp": FAR_FUTURE, "jti": "mcp-bearer-doctor",
    });
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
    format!("{header}.{claims}.{}", encode(&[7; 64]))
}

/// Whether a token is rejected because it is not a JWT.
fn is_opaque(failed: &ExplainedCheck) -> bool {
    failed.cause() == Some(CheckFailure::NotJwt.label())
}

/// Shows whether the server introspects opaque tokens. The given token is not sent.
const MADE_UP_OPAQUE: &str = "Bearer mcp-bearer-doctor-made-up-token";
const ACCEPT_JSON: &[(HeaderName, &str)] = &[(header::ACCEPT, "application/json")];
/// The headers of a message of the Streamable HTTP transport.
const MESSAGE_HEADERS: &[(HeaderName, &str)] =
    &[(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "application/json, text/event-stream")];
/// A call of a tool that does not exist. It changes nothing if the endpoint is not protected. Servers that let everybody list
/// their tools still need a token for a call.
const MESSAGE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"mcp-bearer-doctor-unknown-tool","arguments":{}}}"#;
/// The end of the year 2099.
const FAR_FUTURE: u64 = 4_102_444_799;
