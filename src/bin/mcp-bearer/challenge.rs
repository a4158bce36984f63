//! The challenge of a 401. No other file uses the crate `http_auth`.

use http::{HeaderMap, header};

/// The parameters of a `Bearer` challenge (RFC 6750, section 3; RFC 9728, section 5.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    pub(crate) resource_metadata: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
}

/// Why a response does not have a `Bearer` challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoChallenge {
    /// It does not have the header `WWW-Authenticate`.
    NoHeader,
    /// The header does not follow the grammar of RFC 9110, section 11.6.1.
    Malformed,
    /// The header has challenges of other schemes only.
    OtherScheme,
}

impl BearerChallenge {
    /// Reads the first `Bearer` challenge of a response.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, NoChallenge> {
        let mut values = headers.get_all(header::WWW_AUTHENTICATE).iter().peekable();
        values.peek().ok_or(NoChallenge::NoHeader)?;
        for value in values {
            let value = value.to_str().map_err(|_| NoChallenge::Malformed)?;
            let challenges = http_auth::parse_challenges(value).map_err(|_| NoChallenge::Malformed)?;
            let bearer = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer"));
            let Some(bearer) = bearer else { continue };
            let parameter = |name: &str| {
                let mut parameters = bearer.params.iter();
                let found = parameters.find(|(parameter, _)| parameter.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            return Ok(Self {
                resource_metadata: parameter("resource_metadata"),
                scope: parameter("scope"),
                error: parameter("error"),
                error_description: parameter("error_description"),
            });
        }
        Err(NoChallenge::OtherScheme)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(BearerChallenge::from_headers(&headers), Err(NoChallenge::NoHeader));
        headers.append("www-authenticate", HeaderValue::from_static("Basic realm=\"x\""));
        assert_eq!(BearerChallenge::from_headers(&headers), Err(NoChallenge::OtherScheme));
        let bearer = "DPoP algs=\"ES256\", bearer scope=\"a b\", Resource_Metadata=\"https://h/x\"";
        headers.append("www-authenticate", HeaderValue::from_static(bearer));
        let found = BearerChallenge::from_headers(&headers).unwrap();
        assert_eq!((found.scope.as_deref(), found.error), (Some("a b"), None));
        assert_eq!(found.resource_metadata.as_deref(), Some("https://h/x"));
        headers.insert("www-authenticate", HeaderValue::from_static("Bearer scope=\"a"));
        assert_eq!(BearerChallenge::from_headers(&headers), Err(NoChallenge::Malformed));
    }

    proptest! {
        #[test]
        fn every_header_is_read_without_a_panic(value in "(Bearer|DPoP|[ -~]|[,=\"\\\\ a-z]{0,4}|\u{e9}){0,12}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert("www-authenticate", value);
                let _either = BearerChallenge::from_headers(&headers);
            }
        }
    }
}
