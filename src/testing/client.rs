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

/// Why a request does not have the credentials of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTheClient {
    /// The credentials are missing or wrong.
    Wrong,
    /// The request has credentials in two places (RFC 6749, section 2.3).
    Twice,
}

impl TrustedClient {
    pub(super) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned() }
    }

    /// Checks the credentials in a request, by `client_secret_basic` or `client_secret_post`.
    pub(super) fn authenticate(&self, request: &ReceivedRequest) -> Result<(), NotTheClient> {
        let (id, secret) = (request.form_value("client_id"), request.form_value("client_secret"));
        let presented = match (request.headers().contains_key(header::AUTHORIZATION), secret) {
            (true, Some(_)) => return Err(NotTheClient::Twice),
            // The form may contain the id too, if it is the same.
            (true, None) => basic(request).filter(|(in_header, _)| id.is_none_or(|id| id == *in_header)),
            (false, secret) => id.zip(secret),
        };
        let is_this = presented.is_some_and(|(id, secret)| id == self.id && secret == self.secret);
        is_this.then_some(()).ok_or(NotTheClient::Wrong)
    }
}

/// The id and the secret: each form-encoded, then joined and encoded by RFC 7617.
fn basic(request: &ReceivedRequest) -> Option<(String, String)> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("Basic").then(|| form_decoded(id).zip(form_decoded(secret)))?
}

/// Decodes one form-encoded text.
fn form_decoded(text: &str) -> Option<String> {
    // The text is parsed as a value, because `=` is not special in values.
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
    fn the_client_authenticates_by_a_header_or_by_the_form() {
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
            // These are not form-encoded, against RFC 6749.
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
