//! The challenges of a 401. No other file uses the crate `http_auth`.

use http::{HeaderMap, header};

/// The parameters of a `Bearer` challenge (RFC 6750, section 3; RFC 9728, section 5.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    pub(crate) resource_metadata: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
}

/// A `DPoP` challenge (RFC 9449, section 7.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DpopChallenge {
    /// The parameter `algs`: the algorithms of proofs, separated by spaces.
    pub(crate) algorithms: Option<String>,
    /// Whether no `Bearer` challenge comes before it.
    pub(crate) is_before_bearer: bool,
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

impl DpopChallenge {
    /// Reads the first `DPoP` challenge of a response. Skips values that do not follow the grammar.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut is_before_bearer = true;
        for challenge in values.filter_map(|value| http_auth::parse_challenges(value).ok()).flatten() {
            if challenge.scheme.eq_ignore_ascii_case("DPoP") {
                let algorithms = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("algs"));
                let algorithms = algorithms.map(|(_, value)| value.to_unescaped());
                return Some(Self { algorithms, is_before_bearer });
            }
            is_before_bearer &= !challenge.scheme.eq_ignore_ascii_case("Bearer");
        }
        None
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

    #[test]
    fn the_dpop_challenge_is_found_in_each_place() {
        let found = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("www-authenticate", HeaderValue::from_static(value));
            }
            DpopChallenge::from_headers(&headers)
        };
        let expected = |algorithms: Option<&str>, is_before_bearer| {
            Some(DpopChallenge { algorithms: algorithms.map(str::to_owned), is_before_bearer })
        };
        let together = "Bearer scope=\"a, DPoP b\", dpop error=\"e\", Algs=\"ES256 PS256\"";
        assert_eq!(found(&[together]), expected(Some("ES256 PS256"), false));
        assert_eq!(found(&["Bearer scope=\"a\"", "DPoP algs=\"ES256\""]), expected(Some("ES256"), false));
        assert_eq!(found(&["Basic realm=\"a\"", "DPoP", "Bearer"]), expected(None, true));
        for without in [&[][..], &["Bearer scope=\"DPoP\""], &["DPoP algs=\"ES256"], &["DPoPx algs=\"ES256\""]] {
            assert_eq!(found(without), None, "{without:?}");
        }
    }

    proptest! {
        #[test]
        fn every_header_is_read_without_a_panic(value in "(Bearer|DPoP|[ -~]|[,=\"\\\\ a-z]{0,4}|\u{e9}){0,12}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert("www-authenticate", value);
                let _either = BearerChallenge::from_headers(&headers);
                let _either = DpopChallenge::from_headers(&headers);
            }
        }
    }
}
