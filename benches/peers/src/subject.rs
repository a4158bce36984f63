use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use axum::response::Response;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{TestIssuer, TestToken};
use tower::ServiceExt as _;

use crate::application::PATH;

/// The input of every peer: an issuer on a loopback socket, and its token for [`RESOURCE`].
pub struct Subject {
    /// The authorization server, with one key.
    pub issuer: TestIssuer,
    /// The algorithm of the key. Peers must not accept another one.
    pub algorithm: Algorithm,
    /// A token that is valid for a day.
    pub token: String,
}

impl Subject {
    /// Returns the error of the operating system if no port is available.
    pub fn new(algorithm: Algorithm) -> io::Result<Self> {
        let issuer = TestIssuer::builder("http://127.0.0.1:0").algorithm(algorithm).serve()?;
        let token = valid_token(&issuer).sign();
        Ok(Self { issuer, algorithm, token })
    }

    /// Returns a token like [`Subject::token`] that can still be changed.
    pub fn unsigned(&self) -> TestToken<'_> {
        valid_token(&self.issuer)
    }

    /// Returns the URL of the key set.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.issuer.url())
    }

    /// Sends a request with this token through the whole application.
    pub async fn call(router: &Router, token: Option<&str>) -> Response {
        let mut request = Request::builder().uri(PATH);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap_or_default();
        router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

/// Creates a token of typical size: about 700 bytes with an RSA signature, 450 with another.
fn valid_token(issuer: &TestIssuer) -> TestToken<'_> {
    issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").expires_in(LIFETIME)
}

/// The protected resource, which is the audience of the tokens. No server listens at this URL.
pub const RESOURCE: &str = "https://mcp.example.com/mcp";

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
