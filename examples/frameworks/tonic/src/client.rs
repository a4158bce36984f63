//! The client: it sends an access token with each call, and reads why a call was rejected.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::notes::notes_client::NotesClient;

/// The client of the service `Notes` with an access token.
pub type Client = NotesClient<InterceptedService<Channel, AccessToken>>;

/// Makes a client. Without a token, the server rejects each call with a challenge.
///
/// # Errors
/// If the token contains characters that a header must not contain.
pub fn with_token(channel: Channel, token: Option<&str>) -> Result<Client, Status> {
    let header = token.map(|token| format!("Bearer {token}").parse::<MetadataValue<Ascii>>());
    let mut header =
        header.transpose().map_err(|_| Status::unauthenticated("the access token is not a header value"))?;
    if let Some(header) = &mut header {
        // `Debug` of the header does not print the token.
        header.set_sensitive(true);
    }
    Ok(NotesClient::with_interceptor(channel, AccessToken(header)))
}

/// Adds the access token to each call.
#[derive(Clone)]
pub struct AccessToken(Option<MetadataValue<Ascii>>);

impl Interceptor for AccessToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

/// The step of the client after a call that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Get an access token. The challenge says where (RFC 9728, section 5.1).
    LogIn {
        /// The challenge, as in the header `WWW-Authenticate`.
        challenge: String,
    },
    /// Get an access token with more scopes. The challenge names them (RFC 6750, section 3).
    RequestScopes {
        /// The challenge, as in the header `WWW-Authenticate`.
        challenge: String,
    },
    /// Call again after this time: the server cannot verify tokens now.
    RetryAfter(Duration),
    /// Report the error. Another token does not change it.
    GiveUp,
}

impl NextStep {
    /// Reads the status of a call, and its metadata.
    pub fn after(status: &Status) -> Self {
        let header = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let challenge = header("www-authenticate").map(str::to_owned);
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok());
        match (status.code(), challenge, retry_after) {
            (Code::Unauthenticated, Some(challenge), _) => Self::LogIn { challenge },
            (Code::PermissionDenied, Some(challenge), _) => Self::RequestScopes { challenge },
            (Code::Unavailable, _, Some(seconds)) => Self::RetryAfter(Duration::from_secs(seconds)),
            _ => Self::GiveUp,
        }
    }
}
