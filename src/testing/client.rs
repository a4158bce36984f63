use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use url::form_urlencoded;

use super::requests::ReceivedRequest;

/// A client with a secret (RFC 6749, section 2.3.1).
pub(super) struct TrustedClient {
    id: String,
    secret: String,
}

/// Why a request is not from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTheClient {
    /// No credentials, or wrong ones.
    Wrong,
    /// Credentials in two places (RFC 6749, section 2.3).
    Twice,
}

impl TrustedClient {
    pub(super) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned() }
    }

    /// Whether the request is from this client, by `client_secret_basic` or `client_secret_post`.
    pub(super) fn authenticate(&self, request: &ReceivedRequest) -> Result<(), NotTheClient> {
        let (id, secret) = (request.form_value("client_id"), request.form_value("client_secret"));
        let presented = match (request.headers().contains_key(header::AUTHORIZATION), secret) {
            (true, Some(_)) => return Err(NotTheClient::Twice),
            // The id may stand in the form as well, as long as it is the same.
            (true, None) => basic(request).filter(|(in_header, _)| id.is_none_or(|id| id == *in_header)),
            (false, secret) => id.zip(secret),
        };
        let is_this = presented.is_some_and(|(id, secret)| id == self.id && secret == self.secret);
        is_this.then_some(()).ok_or(NotTheClient::Wrong)
    }
}

/// Id and secret, each form-encoded, then joined and encoded as RFC 7617 has it.
fn basic(request: &ReceivedRequest) -> Option<(String, String)> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("Basic").then(|| form_decoded(id).zip(form_decoded(secret)))?
}

/// A text out of a form; `None` if there is more than one.
fn form_decoded(text: &str) -> Option<String> {
    // As a value, in which `=` stands for itself.
    let form = format!("={text}");
    let mut values = form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned());
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;
    use crate::testing::Endpoint;

    fn verdict(authorization: Option<&str>, form: &str) -> Result<(), NotTheClient> {
        let mut request = Request::post("https://a.example.com/introspect");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Bytes::copy_from_slice(form.as_bytes())).unwrap();
        TrustedClient::new("a b:c", "s=%&+é").authenticate(&ReceivedRequest::new(Endpoint::Introspection, request))
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_client_is_known_by_a_header_or_by_the_form() {
        use NotTheClient::{Twice, Wrong};
        let right = basic_of("a+b%3Ac:s%3D%25%26%2B%C3%A9");
        let form = "client_id=a+b%3Ac&client_secret=s%3D%25%26%2B%C3%A9";
        let (only_id, other_id) = ("token=x&client_id=a%20b:c", "client_id=other");
        for (authorization, form, expected) in [
            (Some(right.as_str()), "token=x", Ok(())),
            (Some(&right.replace("Basic", "bAsIc")), "", Ok(())),
            (Some(&basic_of("a%20b%3Ac:s=%25%26%2b%c3%a9")), "", Ok(())),
            (Some(&right), only_id, Ok(())),
            (None, form, Ok(())),
            (Some(&right), other_id, Err(Wrong)),
            (Some(&right), form, Err(Twice)),
            // Unencoded, as RFC 6749 does not have it.
            (Some(&basic_of("a b%3Ac:s=%&+é")), "", Err(Wrong)),
            (Some(&basic_of("a+b%3Ac:wrong")), "", Err(Wrong)),
            (Some(&basic_of("a+b%3Ac:")), "", Err(Wrong)),
            (Some(&basic_of("a+b%3Ac")), "", Err(Wrong)),
            (Some("Basic !"), "", Err(Wrong)),
            (Some("Basic"), "", Err(Wrong)),
            (Some("Bearer token"), "", Err(Wrong)),
            (None, only_id, Err(Wrong)),
            (None, "client_id=a+b%3Ac&client_secret=wrong", Err(Wrong)),
            (None, "client_secret=s%3D%25%26%2B%C3%A9", Err(Wrong)),
            (None, "", Err(Wrong)),
        ] {
            assert_eq!(verdict(authorization, form), expected, "{authorization:?} {form}");
        }
    }
}
