use axum::http::{HeaderMap, header};

use super::error::OAuthError;

/// The parameters of a query or a form. A parameter with an empty value counts as missing (RFC 6749, section 3.1).
#[derive(Debug)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Parses the form of a POST request.
    pub(crate) fn from_form(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let is_form = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let wrong = || OAuthError::new("invalid_request", "send application/x-www-form-urlencoded");
        is_form.then(|| Self::parse(body)).ok_or_else(wrong)
    }

    pub(crate) fn parse(text: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(text).into_owned();
        Self { pairs: pairs.filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// Returns the value of a parameter that may appear once.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(OAuthError::new("invalid_request", format!("{name} appears more than once"))),
        }
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.optional(name)?.ok_or_else(|| OAuthError::new("invalid_request", format!("{name} is missing")))
    }

    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_appears_twice_is_rejected() {
        let parameters = Parameters::parse(b"a=1&b=&c=x+y&c=z");
        assert_eq!(parameters.required("a").unwrap(), "1");
        assert_eq!(parameters.optional("b").unwrap(), None);
        assert!(parameters.optional("c").is_err() && parameters.required("b").is_err());
        assert_eq!(parameters.all("c").collect::<Vec<_>>(), ["x y", "z"]);
    }
}
