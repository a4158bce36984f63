use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::secret::{Secret, SecretError, SecretSource};
use crate::crypto::random;
use crate::error::{BuildError, SetterMistake};
use crate::jose::{Algorithm, PrivateKey};

/// The client authentication of this server at an introspection endpoint (RFC 7662, section 2.1; RFC 6749, section 2.3).
///
/// `Debug` shows no secret. Secrets are zeroised when the last clone is dropped. The HTTP request has its own copy, which is
/// not zeroised.
///
/// A secret can change without a restart: [`basic_from_file`](Self::basic_from_file) reads it from a file, and
/// [`basic_from`](Self::basic_from) gets it from your code. If the authorization server rejects the credentials, the secret is read
/// again at once, and the request is repeated once if it has changed.
///
/// ```
/// use mcp_bearer::introspection::ClientCredentials;
///
/// let credentials = ClientCredentials::basic("mcp-server", "s3cret");
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    client_id: Box<str>,
    method: AuthMethod,
}

#[derive(Clone)]
enum AuthMethod {
    Basic(SecretSource),
    Post(SecretSource),
    PrivateKeyJwt(Arc<PrivateKey>),
    PrivateKeyFile { pem: SecretSource, algorithm: Algorithm, key_id: Option<Box<str>> },
    Bearer(SecretSource),
    None,
}

#[derive(Debug, thiserror::Error)]
#[error("the client credentials cannot be written into a request")]
pub(super) struct Unwritable;

impl ClientCredentials {
    /// A client id and a secret in the `Authorization` header (`client_secret_basic`), which most servers accept. Both are
    /// form-encoded first (RFC 6749, section 2.3.1).
    #[must_use]
    pub fn basic(client_id: impl Into<Box<str>>, secret: impl Into<String>) -> Self {
        Self::with_basic(client_id, SecretSource::Fixed(Secret::new(secret)))
    }

    /// [`basic`](Self::basic) with a secret that can change. `secret` is called for each request, and must not block: keep the
    /// secret in memory, and renew it elsewhere.
    ///
    /// If it returns `None` or an empty text, or panics, the introspection fails. Its token gets 503, and the log says why.
    ///
    /// ```
    /// use std::sync::{Arc, RwLock};
    ///
    /// use mcp_bearer::introspection::ClientCredentials;
    ///
    /// // Another task of the program gets the secret from a vault, and renews it.
    /// let secret = Arc::new(RwLock::new(None::<String>));
    /// let current = Arc::clone(&secret);
    /// let credentials = ClientCredentials::basic_from("mcp-server", move || current.read().ok()?.clone());
    /// ```
    #[must_use]
    pub fn basic_from(
        client_id: impl Into<Box<str>>,
        secret: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::with_basic(client_id, SecretSource::Function(Arc::new(secret)))
    }

    /// [`basic`](Self::basic) with a secret in a file, such as a mounted secret of Kubernetes or Docker. A new secret is used
    /// within a second, without a restart.
    ///
    /// The file has the secret as UTF-8 text of at most 8 KiB. One newline at its end is not part of the secret. The file is read
    /// when the server is built, and then at most once per second, when a token is introspected. While it cannot be read or is
    /// empty, the last secret is used, and the log has one warning.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::introspection::ClientCredentials;
    ///
    /// let credentials = ClientCredentials::basic_from_file("mcp-server", "/run/secrets/introspection");
    /// let issuer = Issuer::discover("https://auth.example.com").introspect_all(credentials);
    /// ```
    ///
    /// # Errors
    /// The server is not built if the file cannot be read, is empty or too large: [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting).
    #[must_use]
    pub fn basic_from_file(client_id: impl Into<Box<str>>, path: impl Into<PathBuf>) -> Self {
        Self::with_basic(client_id, SecretSource::file(path))
    }

    /// A client id and a secret in the request body (`client_secret_post`).
    #[must_use]
    pub fn post(client_id: impl Into<Box<str>>, secret: impl Into<String>) -> Self {
        Self::with_post(client_id, SecretSource::Fixed(Secret::new(secret)))
    }

    /// [`post`](Self::post) with a secret from a function, as for [`basic_from`](Self::basic_from).
    #[must_use]
    pub fn post_from(
        client_id: impl Into<Box<str>>,
        secret: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::with_post(client_id, SecretSource::Function(Arc::new(secret)))
    }

    /// [`post`](Self::post) with a secret in a file, as for [`basic_from_file`](Self::basic_from_file).
    #[must_use]
    pub fn post_from_file(client_id: impl Into<Box<str>>, path: impl Into<PathBuf>) -> Self {
        Self::with_post(client_id, SecretSource::file(path))
    }

    /// A client id and a private key (`private_key_jwt`; RFC 7523, section 2.2). Each request has a new assertion that is valid
    /// for one minute. Its only audience is the issuer.
    #[must_use]
    pub fn private_key_jwt(client_id: impl Into<Box<str>>, key: PrivateKey) -> Self {
        Self { client_id: client_id.into(), method: AuthMethod::PrivateKeyJwt(Arc::new(key)) }
    }

    /// [`private_key_jwt`](Self::private_key_jwt) with a key in a file, which is read again as that of
    /// [`basic_from_file`](Self::basic_from_file). The file has an unencrypted PKCS #8 key in PEM for `algorithm`.
    ///
    /// A new key keeps the key id. Without one, authorization servers try all keys of the client.
    ///
    /// ```
    /// use mcp_bearer::introspection::ClientCredentials;
    /// use mcp_bearer::jose::Algorithm;
    ///
    /// let path = "/run/secrets/client_key.pem";
    /// let credentials = ClientCredentials::private_key_jwt_from_file("mcp-server", Algorithm::ES256, path, None);
    /// ```
    ///
    /// # Errors
    /// The server is not built if the file cannot be read or does not have such a key: [`BuildErrorKind::Setting`](crate::BuildErrorKind::Setting).
    #[must_use]
    pub fn private_key_jwt_from_file(
        client_id: impl Into<Box<str>>,
        algorithm: Algorithm,
        path: impl Into<PathBuf>,
        key_id: Option<&str>,
    ) -> Self {
        let (pem, key_id) = (SecretSource::key_file(path, algorithm), key_id.map(Box::from));
        Self { client_id: client_id.into(), method: AuthMethod::PrivateKeyFile { pem, algorithm, key_id } }
    }

    /// An access token of this server (RFC 7662, section 2.1), for authorization servers that do not use client credentials
    /// here. `token` is called for each request and must not block. Your code must renew the token in time.
    #[must_use]
    pub fn bearer(token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self::with_bearer(SecretSource::Function(Arc::new(move || Some(token()))))
    }

    /// [`bearer`](Self::bearer) with an access token in a file, as for [`basic_from_file`](Self::basic_from_file).
    #[must_use]
    pub fn bearer_from_file(path: impl Into<PathBuf>) -> Self {
        Self::with_bearer(SecretSource::file(path))
    }

    /// No credentials, for an introspection endpoint that needs none, such as that on the admin port of Ory Hydra.
    ///
    /// Anybody who reaches such an endpoint can introspect every token, and so learns whose token it is and what it grants. Use
    /// this only if the network lets this server and nobody else reach the endpoint. A request has no `Authorization` header, and
    /// its form has only `token` and `token_type_hint`.
    ///
    /// ```
    /// use mcp_bearer::Issuer;
    /// use mcp_bearer::introspection::ClientCredentials;
    ///
    /// let issuer = Issuer::discover("https://auth.example.com")
    ///     .introspect_opaque(ClientCredentials::none())
    ///     .introspection_endpoint("https://hydra-admin.internal/admin/oauth2/introspect");
    /// ```
    #[must_use]
    pub fn none() -> Self {
        Self { client_id: Box::default(), method: AuthMethod::None }
    }

    fn with_basic(client_id: impl Into<Box<str>>, secret: SecretSource) -> Self {
        Self { client_id: client_id.into(), method: AuthMethod::Basic(secret) }
    }

    fn with_post(client_id: impl Into<Box<str>>, secret: SecretSource) -> Self {
        Self { client_id: client_id.into(), method: AuthMethod::Post(secret) }
    }

    fn with_bearer(token: SecretSource) -> Self {
        Self { client_id: Box::default(), method: AuthMethod::Bearer(token) }
    }

    /// Empty for [`bearer`](Self::bearer) and [`none`](Self::none).
    pub(super) const fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where the secret comes from. `None` without credentials, and for a private key that does not change.
    pub(super) const fn secret(&self) -> Option<&SecretSource> {
        match &self.method {
            AuthMethod::Basic(secret)
            | AuthMethod::Post(secret)
            | AuthMethod::Bearer(secret)
            | AuthMethod::PrivateKeyFile { pem: secret, .. } => Some(secret),
            AuthMethod::PrivateKeyJwt(_) | AuthMethod::None => None,
        }
    }

    /// The first mistake, with the constructor or the argument that it is about.
    pub(super) fn check(&self) -> Result<(), SetterMistake> {
        let is_empty = |part: &str| {
            format!("the client {part} for introspection is empty; use the one that the authorization server has")
        };
        if self.client_id.is_empty() && !matches!(self.method, AuthMethod::Bearer(_) | AuthMethod::None) {
            return Err(("client_id", BuildError::setting(is_empty("identifier"))));
        }
        self.secret().map_or(Ok(()), SecretSource::check).map_err(|error| {
            let message = match error {
                SecretError::NotAvailable | SecretError::Panicked(_) => is_empty("secret"),
                SecretError::File { .. } => {
                    format!("{error}; write the client secret for introspection into a file that this program may read")
                }
            };
            (self.constructor(), BuildError::setting(message))
        })
    }

    /// The constructor that made them.
    const fn constructor(&self) -> &'static str {
        match &self.method {
            AuthMethod::Basic(SecretSource::File(_)) => "basic_from_file",
            AuthMethod::Basic(_) => "basic",
            AuthMethod::Post(SecretSource::File(_)) => "post_from_file",
            AuthMethod::Post(_) => "post",
            AuthMethod::PrivateKeyJwt(_) => "private_key_jwt",
            AuthMethod::PrivateKeyFile { .. } => "private_key_jwt_from_file",
            AuthMethod::Bearer(_) => "bearer_from_file",
            AuthMethod::None => "none",
        }
    }

    /// Writes the credentials into a request to the authorization server `issuer`. `secret` is empty if
    /// [`secret`](Self::secret) is `None`.
    pub(super) fn write(
        &self,
        secret: &str,
        issuer: &str,
        now: Duration,
        headers: &mut HeaderMap,
        form: &mut form_urlencoded::Serializer<'_, String>,
    ) -> Result<(), Unwritable> {
        match &self.method {
            AuthMethod::Basic(_) => {
                let pair = Zeroizing::new([&*encoded(&self.client_id), ":", &*encoded(secret)].concat());
                authorize(headers, &["Basic ", &STANDARD.encode(pair.as_bytes())].concat())?;
            }
            AuthMethod::Post(_) => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", secret);
            }
            AuthMethod::PrivateKeyJwt(key) => self.write_assertion(key, issuer, now, form)?,
            AuthMethod::PrivateKeyFile { algorithm, key_id, .. } => {
                let key = PrivateKey::from_pkcs8_pem(*algorithm, secret).map_err(|_| Unwritable)?;
                let key = key_id.iter().cloned().fold(key, PrivateKey::key_id);
                self.write_assertion(&key, issuer, now, form)?;
            }
            AuthMethod::Bearer(_) => authorize(headers, &Zeroizing::new(["Bearer ", secret].concat()))?,
            AuthMethod::None => {}
        }
        Ok(())
    }

    fn write_assertion(
        &self,
        key: &PrivateKey,
        issuer: &str,
        now: Duration,
        form: &mut form_urlencoded::Serializer<'_, String>,
    ) -> Result<(), Unwritable> {
        let assertion = self.assertion(key, issuer, now).ok_or(Unwritable)?;
        form.append_pair("client_assertion_type", ASSERTION_TYPE);
        form.append_pair("client_assertion", &assertion);
        Ok(())
    }

    fn assertion(&self, key: &PrivateKey, issuer: &str, now: Duration) -> Option<String> {
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            // Only the issuer: with an endpoint as the audience, one server could replay the assertion at another.
            "aud": issuer,
            "jti": format!("{:032x}", u128::from_ne_bytes(random()?)),
            "iat": now.as_secs(),
            "exp": now.saturating_add(ASSERTION_LIFETIME).as_secs(),
        });
        key.sign_jwt(ASSERTION_TYP, &claims)
    }
}

fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
}

fn authorize(headers: &mut HeaderMap, value: &str) -> Result<(), Unwritable> {
    let mut value = HeaderValue::try_from(value).map_err(|_| Unwritable)?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(())
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            AuthMethod::Basic(_) => "client_secret_basic",
            AuthMethod::Post(_) => "client_secret_post",
            AuthMethod::PrivateKeyJwt(_) | AuthMethod::PrivateKeyFile { .. } => "private_key_jwt",
            AuthMethod::Bearer(_) => "bearer",
            AuthMethod::None => "none",
        };
        f.debug_struct("ClientCredentials").field("method", &method).finish_non_exhaustive()
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An explicit type, so that the assertion cannot be used as another kind of JWT (RFC 8725, section 3.11).
const ASSERTION_TYP: &str = "client-authentication+jwt";
/// Longer than a request takes, with a margin for clock skew.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(credentials: &ClientCredentials) -> (HeaderMap, String) {
        let (mut headers, mut form) = (HeaderMap::new(), form_urlencoded::Serializer::new(String::new()));
        let secret = match credentials.secret() {
            Some(SecretSource::Fixed(secret)) => secret.text(),
            Some(_) => panic!("the secret is not fixed"),
            None => "",
        };
        credentials.write(secret, "https://as", Duration::from_secs(1_000), &mut headers, &mut form).unwrap();
        (headers, form.finish())
    }

    #[test]
    fn basic_credentials_are_form_encoded_first() {
        let (headers, form) = written(&ClientCredentials::basic("a:b", "s%c r+t/\u{e9}\""));
        assert_eq!(headers[header::AUTHORIZATION], "Basic YSUzQWI6cyUyNWMrciUyQnQlMkYlQzMlQTklMjI=");
        assert!(headers[header::AUTHORIZATION].is_sensitive());
        assert_eq!(form, "");
    }

    #[test]
    fn posted_credentials_are_in_the_body_alone() {
        let (headers, form) = written(&ClientCredentials::post("a", "s&=+% "));
        assert_eq!((headers.len(), form.as_str()), (0, "client_id=a&client_secret=s%26%3D%2B%25+"));
    }

    #[test]
    fn no_credentials_write_nothing() {
        let none = ClientCredentials::none();
        assert!(none.check().is_ok() && none.client_id().is_empty());
        let (headers, form) = written(&none);
        assert_eq!((headers.len(), form.as_str()), (0, ""));
        assert_eq!(format!("{none:?}"), r#"ClientCredentials { method: "none", .. }"#);
    }

    #[test]
    fn secrets_do_not_print() {
        for credentials in [ClientCredentials::basic("id", "hush"), ClientCredentials::post("id", "hush")] {
            assert!(!format!("{credentials:?}").contains("hush"));
        }
    }
}
