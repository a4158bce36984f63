use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::log::Reason;
use super::sender_check::SenderChecks;
use super::{Guard, Rejection, RejectionKind, Unauthenticated, log};
use crate::claims::{Claims, CredentialKind};
use crate::events::{Detail, RequestHead, RequestInfo};
use crate::failure::CheckFailure;
use crate::scope::{ScopeRequirement, Scopes};
use crate::sender::Sender;

/// The caller of a request, according to a verified access token.
///
/// The bearer layer inserts it into the extensions of each request that it accepts. With the feature `axum` it is an
/// extractor:
///
/// ```
/// use mcp_bearer::{AuthInfo, Rejection};
///
/// async fn delete_note(auth: AuthInfo) -> Result<String, Rejection> {
///     auth.require_scopes(["notes:write"])?;
///     Ok(format!("deleted by {:?}", auth.identity()))
/// }
/// ```
///
/// Handlers can be tested without a request. [`TestToken::auth_info`](crate::testing::TestToken::auth_info) makes an
/// `AuthInfo`.
///
/// Issuer and subject together identify a user: see [`identity`](Self::identity). The access token is not part of the value,
/// because a resource server must not send it to others (RFC 9700, section 2.3; MCP 2026-07-28). Cloning is cheap.
#[derive(Clone)]
pub struct AuthInfo {
    claims: Claims,
    guard: Arc<Guard>,
    sender: Sender,
    /// The request, for the event of a rejection by the handler. Set by an extractor.
    request: OnceLock<Arc<RequestHead>>,
}

impl AuthInfo {
    pub(crate) const fn new(claims: Claims, guard: Arc<Guard>, sender: Sender) -> Self {
        Self { claims, guard, sender, request: OnceLock::new() }
    }

    /// Stores the request, for the event of a rejection by the handler.
    pub(super) fn set_request(&self, request: RequestInfo<'_>) {
        self.request.get_or_init(|| Arc::new(request.to_head()));
    }

    /// The caller of a request that a layer accepted, for frameworks without an extractor.
    ///
    /// # Errors
    /// A [`Rejection`] with a challenge (401) if a layer accepted the request without an access token. An internal error
    /// (500) if no bearer layer covers the route, which is a mistake in the program.
    pub fn from_parts(request: &Parts) -> Result<&Self, Rejection> {
        let extensions = &request.extensions;
        let info = RequestInfo::from(request);
        if let Some(auth) = extensions.get::<Self>() {
            auth.set_request(info);
            return Ok(auth);
        }
        if let Some(mark) = extensions.get::<Unauthenticated>() {
            return Err(Rejection::new(RejectionKind::MissingToken).logged(&mark.guard, Some(info)));
        }
        log::misconfigured_outside(
            "no_layer",
            Some(request.uri.path()),
            "no `BearerAuthLayer` covers this route: add `.route_layer(server.bearer_layer())`, or the middleware that calls `authenticate`",
        );
        Err(Rejection::new(RejectionKind::Internal))
    }

    /// The caller of a request that a layer accepted, for frameworks without an extractor. `None` if the layer accepted the request without an
    /// access token, because it [allows anonymous requests](crate::BearerAuthLayer::allow_anonymous).
    ///
    /// # Errors
    /// Those of [`from_parts`](Self::from_parts). A request that no bearer layer has seen is an error and not anonymous.
    pub fn optional_from_parts(request: &Parts) -> Result<Option<&Self>, Rejection> {
        match request.extensions.get::<Unauthenticated>() {
            Some(mark) if mark.anonymous_allowed && request.extensions.get::<Self>().is_none() => Ok(None),
            _ => Self::from_parts(request).map(Some),
        }
    }

    /// The kind of credential that the caller presented.
    #[must_use]
    pub fn kind(&self) -> CredentialKind {
        self.claims.kind()
    }

    /// How the sender has proved that the access token is its own.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The source of the nonce for the next DPoP proof, if the route requires nonces.
    pub(super) fn nonce_source(&self) -> Option<Arc<SenderChecks>> {
        self.guard.sender.nonce_source(&self.sender)
    }

    /// The name of the API key that the caller presented, for logs and statistics. `None` for other credentials. The caller is the
    /// [`subject`](Self::subject), which several keys may share.
    #[must_use]
    pub fn api_key_name(&self) -> Option<&str> {
        // The claims of other credentials may have any member.
        let is_key = self.kind() == CredentialKind::ApiKey;
        self.claims().get(Claims::API_KEY_NAME).filter(|_| is_key)?.as_str()
    }

    /// The issuer identifier of the authorization server that issued the access token (`iss`). JWTs and introspected tokens
    /// always have one.
    ///
    /// For a result of [`Verified::for_this_resource`](crate::verify::Verified::for_this_resource), it is the name in
    /// [`Issuer::with_verifier`](crate::Issuer::with_verifier). `None` for all other credentials.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.issuer()
    }

    /// The subject of the access token (`sub`). `None` if the token has none, as some tokens of the client credentials grant.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.claims.subject()
    }

    /// The issuer and the subject, which together identify a user: use both as the key in a database. `None` if one of them
    /// is missing.
    ///
    /// A subject is unique only within its issuer, and a client id may look like a subject (RFC 9700, section 4.15).
    #[must_use]
    pub fn identity(&self) -> Option<(&str, &str)> {
        self.issuer().zip(self.subject())
    }

    /// The OAuth client that the access token was issued to: `client_id`, else `azp`, `cid` or `appid`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.claims.client_id()
    }

    /// Whether a client calls on its own behalf and not for a user, as with the client credentials grant (RFC 6749, section 4.4).
    ///
    /// By RFC 9068, section 2.2, such a token has the client as its subject. The method returns `true` if `sub` equals
    /// [`client_id`](Self::client_id), or if the token has neither `sub` nor `username`.
    ///
    /// `false` does not prove that a user calls. Some authorization servers give the client a subject of another form:
    /// Keycloak the id of a service account, Auth0 `<client_id>@clients`, Entra the id of a service principal. `true` does
    /// not prove that a client calls either if users can choose a subject that equals a client id (RFC 9700, section 4.15).
    #[must_use]
    pub fn is_client_credentials(&self) -> bool {
        match self.subject() {
            Some(subject) => self.client_id() == Some(subject),
            None => self.claims().get("username").and_then(Value::as_str).is_none(),
        }
    }

    /// The audience of the access token (`aud`), which contains this resource. It is empty if a setting named
    /// `dangerously_...` accepts tokens without an audience, and for a credential of another [kind](Self::kind), whose verifier
    /// vouches for the audience.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.claims.audience()
    }

    /// The scopes in the access token, without the scopes that they imply.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.claims.scopes()
    }

    /// Whether the access token grants `scope`, directly or by a scope that
    /// [implies](crate::ResourceServerBuilder::scope_implies) it.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.guard.hierarchy.grants(self.scopes(), scope)
    }

    /// Returns an error unless the access token grants all of `scopes`, directly or by scopes that imply them.
    ///
    /// # Errors
    /// A [`Rejection`] (403) whose challenge names the scopes of the layer and these. An internal error (500) if a text is
    /// not a scope, which is a mistake in the handler.
    pub fn require_scopes(&self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Rejection> {
        let scopes = Scopes::new(scopes).map_err(|_| {
            log::misconfigured(
                &self.guard,
                "not_a_scope",
                "a handler requires a text that is not a scope (RFC 6749, section 3.3)",
            );
            Rejection::new(RejectionKind::Internal)
        })?;
        if ScopeRequirement::from(scopes.clone()).is_met(self.scopes(), &self.guard.hierarchy) {
            return Ok(());
        }
        Err(self.lacks(scopes, self.request.get().map(|head| head.info()), None))
    }

    /// The rejection of this token, which lacks scopes of the layer or `more`. `duration` is that of the verification, if
    /// no other event has it.
    pub(crate) fn lacks(
        &self,
        more: Scopes,
        request: Option<RequestInfo<'_>>,
        duration: Option<Duration>,
    ) -> Rejection {
        let mut rejection = Rejection::new(RejectionKind::InsufficientScope);
        let required = self.guard.required.challenge(&self.guard.hierarchy).union(&more);
        let detail = Detail::scopes(required.iter(), self.scopes().iter());
        rejection.scopes = more;
        let (issuer, advice) = (self.issuer(), self.unread_scopes());
        let api_key = self.api_key_name();
        let reason = Reason { issuer, api_key, detail: Some(&detail), advice, duration, ..Reason::default() };
        rejection.logged_with(&self.guard, request, &reason)
    }

    /// The rejection of this token by an operation that needs a sender-constrained token.
    pub(crate) fn is_not_bound(&self, request: RequestInfo<'_>) -> Rejection {
        let reason = Reason { issuer: self.issuer(), ..Reason::default() };
        let kind = RejectionKind::InvalidToken(CheckFailure::NotSenderConstrained);
        Rejection::new(kind).logged_with(&self.guard, Some(request), &reason)
    }

    /// The advice for a token without scopes, which may have them in a claim that is not read.
    fn unread_scopes(&self) -> Option<&'static str> {
        if !self.scopes().is_empty() {
            return None;
        }
        let found = UNREAD_SCOPES.iter().find(|(claim, _)| self.claims().contains_key(*claim));
        Some(found.map_or("the token does not have scopes: let the client request them", |(_, advice)| advice))
    }

    /// When the access token expires (`exp`). Requests are accepted for up to the clock skew longer. `None` if only the
    /// authorization server knows: an introspection response may omit it (RFC 7662, section 2.2).
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.claims.expires_at()
    }

    pub(crate) fn expires_since_epoch(&self) -> Option<Duration> {
        self.claims.exp()
    }

    /// All claims, as the access token or the introspection response states them.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        self.claims.members()
    }

    /// The claims as a type of the application.
    ///
    /// ```
    /// use mcp_bearer::AuthInfo;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Tenant<'a> {
    ///     tenant: &'a str,
    ///     #[serde(default)]
    ///     groups: Vec<String>,
    /// }
    ///
    /// fn tenant(auth: &AuthInfo) -> Option<&str> {
    ///     let claims: Tenant = auth.claims_as().ok()?;
    ///     claims.groups.contains(&"staff".to_owned()).then_some(claims.tenant)
    /// }
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// # let issuer = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
    /// # let token = issuer.token().claim("tenant", "t1").claim("groups", vec!["staff"]);
    /// # assert_eq!(tenant(&token.auth_info()), Some("t1"));
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of serde if the claims do not have the form of `T`.
    pub fn claims_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        T::deserialize(self.claims())
    }

    pub(crate) const fn verified_claims(&self) -> &Claims {
        &self.claims
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl fmt::Debug for AuthInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthInfo").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

/// The claims in which authorization servers put permissions and roles, and what to do about each.
const UNREAD_SCOPES: [(&str, &str); 4] = [
    (
        "permissions",
        "the token does not have scopes, but the claim `permissions`: call `Issuer::scope_claim(\"/permissions\")` to use it",
    ),
    (
        "realm_access",
        "the token does not have scopes, but the claim `realm_access`: call `Issuer::scope_claim(\"/realm_access/roles\")` to use it",
    ),
    (
        "roles",
        "the token does not have scopes, but the claim `roles`: call `Issuer::scope_claim(\"/roles\")` to use it",
    ),
    (
        "groups",
        "the token does not have scopes, but the claim `groups`: call `Issuer::scope_claim(\"/groups\")` to use it",
    ),
];
