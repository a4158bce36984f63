use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use url::{Host, Url};

use super::error::OAuthError;
use super::parameters::Parameters;
use super::secret::SecretMaker;

/// A registered client.
///
/// The client id contains the whole registration (RFC 7591, appendix A.5.2): the name, letters for its grants and
/// authentication method, and its redirect URIs. The server stores nothing, so a client keeps its registration when the
/// server restarts. The id is not signed: registration is open, so a forged id gives nothing that a registration would
/// not give.
#[derive(Debug, PartialEq)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) grants: Vec<Grant>,
    pub(crate) authentication: Authentication,
    pub(crate) redirect_uris: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Grant {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Authentication {
    None,
    Basic,
    Post,
}

impl Grant {
    const ALL: [(Self, &str, char); 3] = [
        (Self::AuthorizationCode, "authorization_code", 'a'),
        (Self::RefreshToken, "refresh_token", 'r'),
        (Self::ClientCredentials, "client_credentials", 'c'),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(grant, ..)| grant)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(grant, ..)| *grant == self).map_or("", |(_, name, _)| name)
    }
}

impl Authentication {
    const ALL: [(Self, &str, char); 3] =
        [(Self::None, "none", 'n'), (Self::Basic, "client_secret_basic", 'b'), (Self::Post, "client_secret_post", 'p')];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(method, ..)| method)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(method, ..)| *method == self).map_or("", |(_, name, _)| name)
    }
}

impl Client {
    pub(crate) fn id(&self) -> String {
        let letters: String = Grant::ALL
            .into_iter()
            .filter(|(grant, ..)| self.grants.contains(grant))
            .map(|(.., letter)| letter)
            .chain(Authentication::ALL.into_iter().filter(|(way, ..)| *way == self.authentication).map(|(.., c)| c))
            .collect();
        format!("{}.{letters}.{}", self.name, URL_SAFE_NO_PAD.encode(self.redirect_uris.join(" ")))
    }

    /// Parses a client id. Returns `None` if the id is invalid.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        let [name, letters, redirect_uris] = id.split('.').collect::<Vec<_>>().try_into().ok()?;
        let redirect_uris = String::from_utf8(URL_SAFE_NO_PAD.decode(redirect_uris).ok()?).ok()?;
        let redirect_uris: Vec<String> = redirect_uris.split_whitespace().map(str::to_owned).collect();
        let has = |wanted: char| letters.contains(wanted);
        let grants = Grant::ALL.into_iter().filter(|(.., letter)| has(*letter)).map(|(grant, ..)| grant).collect();
        let authentication = Authentication::ALL.into_iter().find(|(.., letter)| has(*letter))?.0;
        let client = Self { name: name.to_owned(), grants, authentication, redirect_uris };
        let is_sound = client.name == slug(name) && client.redirect_uris.iter().all(|uri| is_redirect_uri(uri));
        (is_sound && client.id() == id).then_some(client)
    }

    /// Returns the redirect URI to use, if the requested one is registered. It must be identical, except for the port
    /// of a loopback URI (RFC 8252, section 7.3).
    pub(crate) fn redirect_uri(&self, requested: Option<&str>) -> Option<String> {
        let Some(requested) = requested else {
            let [only] = self.redirect_uris.as_slice() else { return None };
            return Some(only.clone());
        };
        let fits = |registered: &String| {
            registered == requested
                || loopback_without_port(registered).is_some_and(|uri| Some(uri) == loopback_without_port(requested))
        };
        (is_redirect_uri(requested) && self.redirect_uris.iter().any(fits)).then(|| requested.to_owned())
    }

    /// Authenticates the client of a token request (RFC 6749, section 2.3.1).
    pub(crate) fn authenticate(
        headers: &HeaderMap,
        form: &Parameters,
        secrets: &SecretMaker,
    ) -> Result<Self, OAuthError> {
        let wrong = || OAuthError::new("invalid_client", "unknown client or wrong secret: register again");
        let (id, secret) = match (basic_credentials(headers), form.optional("client_secret")?) {
            (Some(_), Some(_)) => {
                return Err(OAuthError::new("invalid_request", "the request authenticates the client in two ways"));
            }
            (Some(credentials), None) => credentials.map(|(id, secret)| (id, Some(secret))).ok_or_else(wrong)?,
            (None, secret) => (form.required("client_id")?.to_owned(), secret.map(str::to_owned)),
        };
        if form.optional("client_id")?.is_some_and(|in_form| in_form != id) {
            return Err(OAuthError::new("invalid_request", "the request has two different client ids"));
        }
        let client = Self::from_id(&id).ok_or_else(wrong)?;
        let is_authentic = match (&client.authentication, secret) {
            (Authentication::None, _) => true,
            (_, Some(secret)) => secrets.is_secret_of(&secret, &id),
            (_, None) => false,
        };
        is_authentic.then_some(client).ok_or_else(wrong)
    }
}

/// Returns the id and secret of an `Authorization: Basic` header, which are form-encoded. Returns `Some(None)` for an
/// invalid header.
fn basic_credentials(headers: &HeaderMap) -> Option<Option<(String, String)>> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let read = || {
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let decoded =
            |text: &str| url::form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
        Some((decoded(id)?, decoded(secret)?))
    };
    Some(read())
}

/// Converts a name into the form for client ids: `Claude Code (notes)` becomes `claude-code-notes`.
pub(crate) fn slug(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    slug.truncate(MAX_NAME);
    if slug.is_empty() { "client".to_owned() } else { slug }
}

/// Returns whether the text is a redirect URI with https, with http on loopback, or with a private-use scheme (RFC
/// 8252, section 7).
pub(crate) fn is_redirect_uri(text: &str) -> bool {
    let Ok(uri) = Url::parse(text) else { return false };
    // A browser and this server may parse such a text differently, so it is rejected.
    let is_plain = text.len() <= MAX_REDIRECT_URI && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_safe = match uri.scheme() {
        "https" => true,
        "http" => is_loopback(&uri),
        scheme => !FORBIDDEN_SCHEMES.contains(&scheme),
    };
    is_plain && is_safe && uri.fragment().is_none()
}

fn loopback_without_port(text: &str) -> Option<Url> {
    let mut uri = Url::parse(text).ok().filter(|uri| uri.scheme() == "http" && is_loopback(uri))?;
    uri.set_port(None).ok()?;
    Some(uri)
}

fn is_loopback(uri: &Url) -> bool {
    match uri.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The maximum length of a name, which is enough to tell clients apart.
const MAX_NAME: usize = 40;
/// The redirect URIs are part of the id, and the id is part of URLs.
const MAX_REDIRECT_URI: usize = 512;
/// With these schemes, a browser would execute or show something instead of calling an application.
const FORBIDDEN_SCHEMES: [&str; 7] = ["javascript", "data", "vbscript", "file", "blob", "about", "ws"];

#[cfg(test)]
mod tests {
    use super::*;

    fn client(redirect_uris: &[&str]) -> Client {
        Client {
            name: "inspector".into(),
            grants: vec![Grant::AuthorizationCode, Grant::RefreshToken],
            authentication: Authentication::None,
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
        }
    }

    #[test]
    fn a_client_id_contains_the_registration() {
        for uris in [&["http://localhost:6274/oauth/callback"][..], &["https://a.example.com/cb", "app.notes:/cb"], &[]]
        {
            let client = client(uris);
            assert_eq!(Client::from_id(&client.id()), Some(client));
        }
        for id in ["", "x", "x.an.", "x.a.", "X.an.", "x.na.", "x.an.!!", "x.an.amF2YXNjcmlwdDphbGVydCgxKQ"] {
            let is_client = Client::from_id(id).is_some();
            assert_eq!(is_client, id == "x.an.", "{id:?}");
        }
    }

    #[test]
    fn a_redirect_uri_is_matched_exactly_except_for_loopback_ports() {
        let client = client(&["http://127.0.0.1:1234/cb", "https://app.example.com/cb"]);
        for (requested, expected) in [
            ("http://127.0.0.1:1234/cb", true),
            ("http://127.0.0.1:9/cb", true),
            ("http://127.0.0.1/cb", true),
            ("http://localhost:1234/cb", false),
            ("http://127.0.0.1:1234/cb/", false),
            ("http://127.0.0.1:1234/cb?x=1", false),
            ("http://127.0.0.1:1234/cb#f", false),
            ("https://app.example.com/cb", true),
            ("https://app.example.com:8443/cb", false),
            ("https://app.example.com/cb?x", false),
            ("https://evil.example.com/cb", false),
            ("http://127.0.0.1@evil.example.com/cb", false),
        ] {
            assert_eq!(client.redirect_uri(Some(requested)).is_some(), expected, "{requested}");
        }
        assert_eq!(client.redirect_uri(None), None);
    }

    #[test]
    fn dangerous_redirect_uris_are_rejected() {
        for uri in
            ["javascript:alert(1)", "data:text/html,x", "http://example.com/", "https://h/#f", "/cb", "https://h/ x"]
        {
            assert!(!is_redirect_uri(uri), "{uri}");
        }
        for uri in ["http://[::1]:1/cb", "cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/cb"] {
            assert!(is_redirect_uri(uri), "{uri}");
        }
    }

    #[test]
    fn a_name_becomes_a_slug() {
        for (name, expected) in [("Claude Code (notes)", "claude-code-notes"), ("é", "client"), ("", "client")] {
            assert_eq!(slug(name), expected);
        }
    }
}
