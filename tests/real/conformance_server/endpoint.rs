//! The HTTP transport.

use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use crate::changes::Changes;
use crate::everything::Everything;
use crate::request_state::RequestStates;

pub(crate) type Endpoint = StreamableHttpService<Everything, LocalSessionManager>;

/// Up to 2025-11-25, the endpoint has sessions, and every response is an event stream. Later revisions have no
/// sessions, and a response with one message can be JSON.
pub(crate) fn endpoint(prefers_json: bool) -> Endpoint {
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(true).with_json_response(prefers_json);
    let (changes, states) = (Changes::default(), RequestStates::new());
    StreamableHttpService::new(move || Ok(Everything::new(changes.clone(), states)), Default::default(), config)
}
