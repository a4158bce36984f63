//! Authentication of a request outside of a tower service.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use super::admission::{Admission, BearerState, conclude, outer_layer};
use super::{AuthInfo, BearerAuthLayer, Caller, Guard, Rejection, RejectionKind};
use crate::events::RequestInfo;
use crate::sender::DPOP_NONCE;

/// A request that was accepted: its caller, and the headers for its response.
///
/// [`ResourceServer::authenticate`](crate::ResourceServer::authenticate) and [`BearerAuthLayer::authenticate`] return it.
#[derive(Clone)]
pub struct Authenticated {
    auth: AuthInfo,
    response_headers: HeaderMap,
}

impl Authenticated {
    fn new(auth: AuthInfo, request: &Parts) -> Self {
        auth.set_request(request.into());
        let nonce = auth.nonce_source().and_then(|nonces| nonces.fresh_nonce());
        let response_headers = nonce.map(|nonce| (DPOP_NONCE, nonce)).into_iter().collect();
        Self { auth, response_headers }
    }

    /// The caller of the request.
    #[must_use]
    pub const fn auth_info(&self) -> &AuthInfo {
        &self.auth
    }

    /// The caller of the request, for the request's extensions or another place that needs an owned value.
    #[must_use]
    pub fn into_auth_info(self) -> AuthInfo {
        self.auth
    }

    /// Headers to add to the response of the handler, whatever its status. On a route that requires a nonce in DPoP proofs, it is
    /// `DPoP-Nonce` with the nonce for the next proof (RFC 9449, section 8.2).
    #[must_use]
    pub const fn response_headers(&self) -> &HeaderMap {
        &self.response_headers
    }
}

impl BearerAuthLayer {
    /// Decides about a request as the layer does, for servers without tower: verifies the access token, and compares its
    /// scopes with the [required scopes](Self::required_scopes).
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use mcp_bearer::ResourceServer;
    ///
    /// async fn handle(server: &ResourceServer, request: Request<Bytes>) -> Response<Bytes> {
    ///     let (head, body) = request.into_parts();
    ///     let layer = server.bearer_layer().required_scopes(["notes:read"]);
    ///     let accepted = match layer.authenticate(&head).await {
    ///         Ok(accepted) => accepted,
    ///         Err(rejection) => return rejection.to_response(),
    ///     };
    ///     let mut response = Response::new(Bytes::from(format!("{:?} sent {} bytes", accepted.auth_info().subject(), body.len())));
    ///     response.headers_mut().extend(accepted.response_headers().clone());
    ///     response
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let issuer = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
    /// # let server = ResourceServer::builder("https://api.example.com/notes").issuer(issuer.issuer()).build_lazy().unwrap();
    /// # let token = issuer.token().audience("https://api.example.com/notes").scope("notes:read").sign();
    /// # let request = Request::get("/notes").header("authorization", format!("Bearer {token}"));
    /// # assert_eq!(handle(&server, request.body(Bytes::new()).unwrap()).await.status(), 200);
    /// # assert_eq!(handle(&server, Request::new(Bytes::new())).await.status(), 401);
    /// # }
    /// # main();
    /// # }
    /// ```
    ///
    /// The [guide](crate::guide::without_a_framework) has complete servers for actix-web, poem, warp, hyper and tonic.
    ///
    /// Unlike the layer, the function
    /// - does not answer requests for the metadata document: route them to
    ///   [`metadata_service`](crate::ResourceServer::metadata_service),
    /// - rejects a CORS preflight, because it does not have an access token: answer preflights before,
    /// - does not remove [headers with client certificates](crate::sender::ClientCertificateHeader) that a client may have sent:
    ///   never read them in a handler,
    /// - does not call [`on_rejection`](Self::on_rejection): change the response of the [`Rejection`] instead.
    ///
    /// Dropping the future cancels the wait. A key set or an introspection result that other requests wait for is still
    /// fetched.
    ///
    /// # Errors
    /// A [`Rejection`], whose [`to_response`](Rejection::to_response) is the response to the request.
    pub async fn authenticate(&self, request: &Parts) -> Result<Authenticated, Rejection> {
        match self.state().decide(request).await? {
            Caller::Token(auth) => Ok(Authenticated::new(auth, request)),
            Caller::Anonymous(guard) => Err(missing_token(&guard, request)),
        }
    }

    /// [`authenticate`](Self::authenticate) for a layer that [allows anonymous requests](Self::allow_anonymous): `None` for
    /// a request without credentials.
    ///
    /// # Errors
    /// Those of `authenticate`. A request with invalid credentials is an error and not anonymous. So is a request without
    /// credentials if the layer does not allow anonymous requests.
    pub async fn authenticate_optional(&self, request: &Parts) -> Result<Option<Authenticated>, Rejection> {
        Ok(match self.state().decide(request).await? {
            Caller::Token(auth) => Some(Authenticated::new(auth, request)),
            Caller::Anonymous(_) => None,
        })
    }
}

impl BearerState {
    /// Decides about a request, and waits for the verification of its token.
    async fn decide(&self, request: &Parts) -> Result<Caller, Rejection> {
        let info = RequestInfo::from(request);
        match self.admit(info, &request.extensions, outer_layer(&request.extensions)) {
            Admission::Unauthenticated(mark) if mark.anonymous_allowed => Ok(Caller::Anonymous(mark.guard)),
            // A preflight: the layer would pass it on.
            Admission::Unauthenticated(mark) => Err(missing_token(&mark.guard, request)),
            Admission::Decided(decision) => decision.map(Caller::Token),
            Admission::Pending(verification, guard, started_at) => {
                conclude(verification.await, guard, info, started_at).map(Caller::Token)
            }
        }
    }
}

fn missing_token(guard: &Arc<Guard>, request: &Parts) -> Rejection {
    Rejection::new(RejectionKind::MissingToken).logged(guard, Some(request.into()))
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated").field("auth_info", &self.auth).finish_non_exhaustive()
    }
}
