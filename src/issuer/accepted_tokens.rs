//! Settings of an issuer that say which of its tokens are access tokens for this resource.

use super::Issuer;
use crate::claims::WithoutAudience;

impl Issuer {
    /// Accepts, of this issuer, tokens for this audience too, such as `api://...`. It is compared as it is.
    ///
    /// An authorization server that makes a client id the audience of its access tokens issues ID tokens with the same
    /// audience: use [`accept_client_id_as_audience`](Self::accept_client_id_as_audience) there.
    #[must_use]
    pub fn accept_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts, of this issuer, tokens whose audience is this client id, where a token shows that it is an access token:
    /// it has a scope (in `scope`, `scp`, `scopes` or a [`scope_claim`](Self::scope_claim)), a `roles` claim, or, in a
    /// JWT that is verified with the issuer's keys, the header `typ: at+jwt`. Any other token with this audience alone is rejected with 401, since an ID token
    /// has the client id as its audience too (OpenID Connect Core 1.0, section 2).
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    ///
    /// let issuer = Issuer::discover("https://auth.example.com").accept_client_id_as_audience("notes-client");
    /// ```
    #[must_use]
    pub fn accept_client_id_as_audience(mut self, client_id: impl Into<Box<str>>) -> Self {
        self.client_audiences.push(client_id.into());
        self
    }

    /// Adds the scopes at this JSON pointer (RFC 6901) of the claims, such as `/permissions` or `/realm_access/roles`: a
    /// string, an array of strings, or an object whose names are the scopes, as in Zitadel's
    /// `/urn:zitadel:iam:org:project:roles`. A name in such an object counts if its value is an object or `true`, and
    /// does not count if that is `false` or `null`. A token with anything else at this place is malformed.
    ///
    /// A `/` in the name of a claim is written `~1`, a `~` is written `~0`: `/https:~1~1example.com~1roles`.
    #[must_use]
    pub fn scope_claim(mut self, pointer: impl Into<String>) -> Self {
        self.scope_claims.push(pointer.into());
        self
    }

    /// Accepts tokens without any audience if they were issued to one of these clients, for authorization servers that
    /// write none (Cognito without resource binding). A token that names another audience is still refused.
    ///
    /// Whatever else these clients use their tokens for, they can use them here: list only clients of this resource.
    ///
    /// An introspection answer without an audience must then have a `token_type`: some authorization servers answer for a
    /// refresh token as for an access token, but without it. See
    /// [`dangerously_accept_missing_token_type`](Self::dangerously_accept_missing_token_type).
    #[must_use]
    pub fn dangerously_accept_clients_without_audience<I>(mut self, client_ids: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Box<str>>,
    {
        self.without_audience = WithoutAudience::Clients(client_ids.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts tokens without any audience: everything that the authorization server issues for anything, unless it
    /// names another audience. Anybody who was ever shown such a token can use it here (RFC 9700, section 2.3).
    ///
    /// An introspection answer without an audience must then have a `token_type`: some authorization servers answer for a
    /// refresh token as for an access token, but without it. See
    /// [`dangerously_accept_missing_token_type`](Self::dangerously_accept_missing_token_type).
    #[must_use]
    pub fn dangerously_accept_missing_audience(mut self) -> Self {
        self.without_audience = WithoutAudience::Accepted;
        self
    }

    /// Accepts introspection answers that have neither an audience nor a `token_type`, for authorization servers that
    /// never write the latter (django-oauth-toolkit). Where the server answers for refresh tokens too, those are accepted
    /// as access tokens: check that yours does not.
    ///
    /// It needs [`dangerously_accept_missing_audience`](Self::dangerously_accept_missing_audience) or
    /// [`dangerously_accept_clients_without_audience`](Self::dangerously_accept_clients_without_audience), and
    /// introspection.
    #[must_use]
    pub const fn dangerously_accept_missing_token_type(mut self) -> Self {
        self.missing_token_type_accepted = true;
        self
    }

    /// Accepts access tokens that carry `nonce`, `at_hash` or `c_hash`, in JWTs and in introspection answers, for
    /// authorization servers that write claims of an ID token into access tokens (Dex). An ID token for an accepted
    /// audience then passes as an access token: make sure that the audience is this resource, not a client.
    ///
    /// Access tokens of Azure AD B2C need no setting: beside `nonce` they have `scp`, `azp` and the name of a policy, which
    /// its ID tokens do not have together.
    #[must_use]
    pub const fn dangerously_accept_id_token_claims(mut self) -> Self {
        self.id_token_claims_accepted = true;
        self
    }

    /// Accepts only JWTs that follow RFC 9068: the header has `typ: at+jwt` (section 2.1), and the claims `iss`, `exp`,
    /// `aud`, `sub`, `client_id`, `iat` and `jti` are all there (section 2.2).
    #[must_use]
    pub const fn require_at_jwt(mut self) -> Self {
        self.at_jwt_required = true;
        self
    }
}
