//! The setters that decide which tokens of an issuer are access tokens for this resource.

use super::Issuer;
use crate::claims::WithoutAudience;

impl Issuer {
    /// Accepts tokens of this issuer for this audience too, such as `api://...`. The text is compared byte for byte.
    ///
    /// If the audience of the access tokens is a client id, ID tokens have the same audience. Use
    /// [`accept_client_id_as_audience`](Self::accept_client_id_as_audience) then.
    #[must_use]
    pub fn accept_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts tokens of this issuer whose audience is this client id, if they show that they are access tokens.
    ///
    /// An ID token has the client id as its audience too (OpenID Connect Core 1.0, section 2). So the token must have a scope
    /// (in `scope`, `scp`, `scopes` or a [`scope_claim`](Self::scope_claim)), or a `roles` claim, or, in a JWT that is verified
    /// with the issuer's keys, the header `typ: at+jwt`. Other tokens with only this audience are rejected with 401.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    ///
    /// let issuer = Issuer::discover("https://auth.example.com")
    ///     .accept_client_id_as_audience("notes-client");
    /// ```
    #[must_use]
    pub fn accept_client_id_as_audience(mut self, client_id: impl Into<Box<str>>) -> Self {
        self.client_audiences.push(client_id.into());
        self
    }

    /// Adds the scopes at this JSON pointer (RFC 6901) of the claims, such as `/permissions` or `/realm_access/roles`.
    ///
    /// The value is a string, an array of strings, or an object whose member names are the scopes, such as Zitadel's
    /// `/urn:zitadel:iam:org:project:roles`. A member of such an object is a scope if its value is an object or `true`, and is
    /// ignored if its value is `false` or `null`. A token with any other value is malformed.
    ///
    /// In the name of a claim, write `~1` for `/` and `~0` for `~`: `/https:~1~1example.com~1roles`.
    #[must_use]
    pub fn scope_claim(mut self, pointer: impl Into<String>) -> Self {
        self.scope_claims.push(pointer.into());
        self
    }

    /// Accepts tokens without an audience if they were issued to one of these clients. Use it for authorization servers that
    /// write no audience, such as Cognito without resource binding. A token for another audience is still rejected.
    ///
    /// A client can use all its tokens here, whatever they were issued for. List only clients of this resource.
    ///
    /// An introspection response without an audience must then have a `token_type`, because some authorization servers
    /// introspect refresh tokens like access tokens, but without it. See
    /// [`dangerously_accept_missing_token_type`](Self::dangerously_accept_missing_token_type).
    #[must_use]
    pub fn dangerously_accept_clients_without_audience(
        mut self,
        client_ids: impl IntoIterator<Item = impl Into<Box<str>>>,
    ) -> Self {
        self.without_audience = WithoutAudience::Clients(client_ids.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts tokens without an audience, whatever the authorization server issued them for. A token for another audience is
    /// still rejected.
    ///
    /// Any other server that receives such a token can use it here (RFC 9700, section 2.3).
    ///
    /// An introspection response without an audience must then have a `token_type`, because some authorization servers
    /// introspect refresh tokens like access tokens, but without it. See
    /// [`dangerously_accept_missing_token_type`](Self::dangerously_accept_missing_token_type).
    #[must_use]
    pub fn dangerously_accept_missing_audience(mut self) -> Self {
        self.without_audience = WithoutAudience::Accepted;
        self
    }

    /// Accepts introspection responses that have neither an audience nor a `token_type`. Use it for authorization servers that
    /// never write the latter, such as django-oauth-toolkit.
    ///
    /// If the authorization server introspects refresh tokens too, those are then accepted as access tokens: make sure that
    /// it does not.
    ///
    /// It needs introspection, and [`dangerously_accept_missing_audience`](Self::dangerously_accept_missing_audience) or
    /// [`dangerously_accept_clients_without_audience`](Self::dangerously_accept_clients_without_audience).
    #[must_use]
    pub const fn dangerously_accept_missing_token_type(mut self) -> Self {
        self.missing_token_type_accepted = true;
        self
    }

    /// Accepts access tokens with `nonce`, `at_hash` or `c_hash`, in JWTs and in introspection responses. Use it for
    /// authorization servers that write claims of an ID token into access tokens, such as Dex.
    ///
    /// An ID token for an accepted audience is then accepted as an access token: make sure that the audience is this resource
    /// and not a client.
    ///
    /// Access tokens of Azure AD B2C need no setting. Beside `nonce` they have `scp`, `azp` and the name of a policy, which its
    /// ID tokens do not have together.
    #[must_use]
    pub const fn dangerously_accept_id_token_claims(mut self) -> Self {
        self.id_token_claims_accepted = true;
        self
    }

    /// Accepts only JWTs that follow RFC 9068: the header `typ: at+jwt` (section 2.1), and the claims `iss`, `exp`, `aud`,
    /// `sub`, `client_id`, `iat` and `jti` (section 2.2).
    #[must_use]
    pub const fn require_at_jwt(mut self) -> Self {
        self.at_jwt_required = true;
        self
    }
}
