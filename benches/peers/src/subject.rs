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

/// What every peer is given: an issuer at a loopback socket, and a token of it for [`RESOURCE`].
pub struct Subject {
    /// The authorization server, with one key.
    pub issuer: TestIssuer,
    /// Its key's algorithm; no other is to be accepted.
    pub algorithm: Algorithm,
    /// A token that is good for a day.
    pub token: String,
}

impl Subject {
    /// # Errors
    /// What the operating system says if there is no port to be had.
    pub fn new(algorithm: Algorithm) -> io::Result<Self> {
        let issuer = TestIssuer::builder("http://127.0.0.1:0").algorithm(algorithm).serve()?;
        let token = good_token(&issuer).sign();
        Ok(Self { issuer, algorithm, token })
    }

    /// A token like [`Subject::token`], to be made worse.
    pub fn unsigned(&self) -> TestToken<'_> {
        good_token(&self.issuer)
    }

    /// Where the issuer publishes its key set.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.issuer.url())
    }

    /// A request with this token, through all of the application.
    pub async fn call(router: &Router, token: Option<&str>) -> Response {
        let mut request = Request::builder().uri(PATH);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap_or_default();
        router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

/// As long as access tokens are: about 700 bytes with an RSA signature, 450 with another.
fn good_token(issuer: &TestIssuer) -> TestToken<'_> {
    issuer.token().audience(RESOURCE).scope("mcp:tools notes:read").expires_in(LIFETIME)
}

/// The protected resource, which is the audience of the tokens. Nothing listens there.
pub const RESOURCE: &str = "https://mcp.example.com/mcp";

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
