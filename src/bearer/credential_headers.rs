use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::token::{NoToken, bare_token_in, bearer_or_dpop_token_in, bearer_token_in};
use crate::error::BuildError;
use crate::escape::{Escaped, MAX_SHOWN};
use crate::verify::Credential;

/// The headers that a request may have credentials in: `Authorization: Bearer` (RFC 6750, section 2.1), unless the
/// configuration names others.
///
/// Credentials in the query, in a form or in a cookie are ignored (OAuth 2.1, section 5.1).
#[derive(Debug, Default)]
pub(crate) struct CredentialHeaders {
    other: Option<Box<OtherHeaders>>,
    /// Whether the scheme `DPoP` of `Authorization` is accepted too (RFC 9449, section 7.1).
    accepts_dpop: bool,
}

/// A configuration with other headers.
#[derive(Debug)]
struct OtherHeaders {
    /// Replaces `Authorization`.
    token: Option<HeaderName>,
    /// Accepts API keys, beside the header of the token.
    api_key: Option<HeaderName>,
    /// Where the credentials must be, for the log.
    advice: String,
}

impl CredentialHeaders {
    /// `token` is the argument of `token_from`, and `api_key` that of `ApiKeys::header`. No name may begin with `reserved`.
    ///
    /// # Errors
    /// An error if one of them is not a header that can have credentials.
    pub(crate) fn new(token: Option<&str>, api_key: Option<&str>, reserved: &str) -> Result<Self, BuildError> {
        let token = token.map(|name| parse("token_from", name, reserved)).transpose()?;
        let api_key = api_key.map(|name| parse("ApiKeys::header", name, reserved)).transpose()?;
        if let (Some(name), true) = (&token, token == api_key) {
            return Err(BuildError::setting(format!(
                "`token_from` and `ApiKeys::header` both name {:?}; remove `ApiKeys::header`, because API keys are \
                 accepted in the header of the token too",
                name.as_str()
            )));
        }
        let advice = match (&token, &api_key) {
            (None, None) => return Ok(Self::default()),
            (Some(token), None) => format!(
                "send one header `{token}`, and in it the token; let the client or the proxy remove the header \
                 `Authorization`"
            ),
            (None, Some(key)) => format!(
                "send one header: either `Authorization`, and in it the word `Bearer`, a space and the token, or `{key}`, \
                 and in it the API key"
            ),
            (Some(token), Some(key)) => format!(
                "send one header: either `{token}`, and in it the token, or `{key}`, and in it the API key; let the client \
                 or the proxy remove the header `Authorization`"
            ),
        };
        Ok(Self { other: Some(Box::new(OtherHeaders { token, api_key, advice })), accepts_dpop: false })
    }

    /// Accepts the scheme `DPoP` too.
    ///
    /// # Errors
    /// An error if the token is in another header than `Authorization`, which does not have a scheme.
    pub(crate) fn with_dpop(self) -> Result<Self, BuildError> {
        match self.other.as_ref().and_then(|other| other.token.as_ref()) {
            None => Ok(Self { accepts_dpop: true, ..self }),
            Some(name) => Err(BuildError::setting(format!(
                "`token_from` names the header {:?}, and `sender_constraint` accepts DPoP, whose tokens are in the header \
                 `Authorization`; remove one of the two, or use `SenderConstraint::Mtls`",
                name.as_str()
            ))),
        }
    }

    /// The credentials of a request. This is the only function that reads them.
    pub(crate) fn find<'r>(&self, headers: &'r HeaderMap) -> Result<Credential<'r>, NoToken> {
        match &self.other {
            None => in_authorization(headers, self.accepts_dpop),
            Some(other) => other.find(headers, self.accepts_dpop),
        }
    }

    /// The header that has the token.
    pub(super) fn token_header(&self) -> &HeaderName {
        self.other.as_ref().and_then(|other| other.token.as_ref()).unwrap_or(&header::AUTHORIZATION)
    }

    /// The advice that names the configured headers. `None` with the default configuration.
    pub(super) fn advice(&self, no_token: NoToken) -> Option<&str> {
        let other = self.other.as_ref().filter(|_| !matches!(no_token, NoToken::Rejected(_)))?;
        Some(&other.advice)
    }
}

impl OtherHeaders {
    fn find<'r>(&self, headers: &'r HeaderMap, accepts_dpop: bool) -> Result<Credential<'r>, NoToken> {
        let has_authorization = headers.contains_key(header::AUTHORIZATION);
        let has_token = self.token.as_ref().map_or(has_authorization, |name| headers.contains_key(name));
        // A proxy may have checked one of them, and a client has sent the other.
        if self.token.is_some() && has_authorization {
            return Err(NoToken::WrongHeader);
        }
        if let Some(name) = self.api_key.as_ref().filter(|name| headers.contains_key(*name)) {
            if has_token {
                return Err(NoToken::WrongHeader);
            }
            return only(headers, name, bare_token_in).map(Credential::ApiKey);
        }
        match &self.token {
            Some(name) => only(headers, name, bare_token_in).map(Credential::Token),
            None => in_authorization(headers, accepts_dpop),
        }
    }
}

fn in_authorization(headers: &HeaderMap, accepts_dpop: bool) -> Result<Credential<'_>, NoToken> {
    if accepts_dpop {
        return only(headers, &header::AUTHORIZATION, bearer_or_dpop_token_in);
    }
    only(headers, &header::AUTHORIZATION, bearer_token_in).map(Credential::Token)
}

/// The credentials in a header that a request must not have twice.
fn only<'r, T>(
    headers: &'r HeaderMap,
    name: &HeaderName,
    read: fn(&'r [u8]) -> Result<T, NoToken>,
) -> Result<T, NoToken> {
    let mut fields = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    match (fields.next(), fields.next()) {
        (None, _) => Err(NoToken::Missing),
        // White space around a value is not part of it (RFC 9110, section 5.5). HTTP servers remove it; code that calls
        // this service directly may not.
        (Some(value), None) => read(value.trim_ascii()),
        // A proxy may have used the first field and ignored the last, or the other way round.
        (Some(_), Some(_)) => Err(NoToken::Malformed),
    }
}

fn parse(setting: &str, text: &str, reserved: &str) -> Result<HeaderName, BuildError> {
    let wrong = |what: &str| {
        Err(BuildError::setting(format!("`{setting}` names the header \"{}\", {what}", Escaped(text, MAX_SHOWN))))
    };
    let Ok(name) = HeaderName::try_from(text) else {
        return wrong("which is not a header name; write the name alone, as in \"x-example-assertion\"");
    };
    if name == header::AUTHORIZATION {
        return wrong("which is read by default; remove the call");
    }
    let found = name.as_str();
    if UNSUITABLE.contains(&found) || UNSUITABLE_STARTS.iter().chain([&reserved]).any(|start| found.starts_with(start))
    {
        return wrong(
            "which has another meaning, or is forwarded or logged as it is; name the header that the proxy or the client \
             puts the credentials into",
        );
    }
    Ok(name)
}

/// Headers that HTTP servers, proxies, browsers or this crate use for something else (RFC 9110; Fetch standard).
const UNSUITABLE: [&str; 52] = [
    "age",
    "allow",
    "alt-svc",
    "baggage",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "dnt",
    "dpop",
    "early-data",
    "etag",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-correlation-id",
    "x-http-method-override",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];
const UNSUITABLE_STARTS: [&str; 8] =
    ["accept", "access-control-", "content-", "grpc-", "if-", "sec-", "x-b3-", "x-forwarded-"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(configured: &CredentialHeaders, fields: &[(&str, &str)]) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        configured.find(&headers).map(|found| match found {
            Credential::Token(token) => format!("token {}", String::from_utf8_lossy(token)),
            Credential::DpopToken(token) => format!("DPoP {}", String::from_utf8_lossy(token)),
            Credential::ApiKey(key) => format!("key {}", String::from_utf8_lossy(key)),
        })
    }

    #[test]
    fn credentials_are_in_one_header_only() {
        let names = [(None, None), (Some("X-Token"), None), (None, Some("x-key")), (Some("x-token"), Some("X-Key"))];
        let [default, token, key, both] = names.map(|(token, key)| CredentialHeaders::new(token, key, "own-").unwrap());
        let authorization = ("authorization", "Bearer T");
        let basic = ("authorization", "Basic eA==");
        let (missing, malformed, wrong) = (NoToken::Missing, NoToken::Malformed, NoToken::WrongHeader);
        for (configured, fields, expected) in [
            (&default, &[][..], Err(missing)),
            (&default, &[("x-token", "T"), ("x-key", "K")], Err(missing)),
            (&default, &[authorization, ("x-token", "T"), ("x-key", "K")], Ok("token T")),
            (&token, &[], Err(missing)),
            (&token, &[("x-key", "K")], Err(missing)),
            (&token, &[("x-token", "T")], Ok("token T")),
            (&token, &[("x-token", "bearer  T")], Ok("token T")),
            (&token, &[("x-token", " T\t")], Ok("token T")),
            (&token, &[("x-token", "Bearer.T")], Ok("token Bearer.T")),
            (&token, &[("x-token", "")], Err(NoToken::OtherScheme)),
            (&token, &[("x-token", "Bearer")], Err(malformed)),
            (&token, &[("x-token", "Bearer ")], Err(malformed)),
            (&token, &[("x-token", "Basic eA==")], Err(malformed)),
            (&token, &[("x-token", "T U")], Err(malformed)),
            (&token, &[("x-token", "T,U")], Err(malformed)),
            (&token, &[("x-token", "\"T\"")], Err(malformed)),
            (&token, &[("x-token", "T"), ("x-token", "T")], Err(malformed)),
            (&token, &[authorization], Err(wrong)),
            (&token, &[basic], Err(wrong)),
            (&token, &[("authorization", "")], Err(wrong)),
            (&token, &[("x-token", "T"), authorization], Err(wrong)),
            (&token, &[("x-token", ""), authorization], Err(wrong)),
            (&key, &[], Err(missing)),
            (&key, &[authorization], Ok("token T")),
            (&key, &[basic], Err(NoToken::OtherScheme)),
            (&key, &[("x-key", "K")], Ok("key K")),
            (&key, &[("x-key", "Bearer K")], Ok("key K")),
            (&key, &[("x-key", "")], Err(NoToken::OtherScheme)),
            (&key, &[("x-key", "K"), ("x-key", "K")], Err(malformed)),
            (&key, &[("x-key", "K"), authorization], Err(wrong)),
            (&key, &[("x-key", "K"), basic], Err(wrong)),
            (&key, &[("x-key", ""), ("authorization", "")], Err(wrong)),
            (&both, &[("x-token", "T")], Ok("token T")),
            (&both, &[("x-key", "K")], Ok("key K")),
            (&both, &[("x-token", "T"), ("x-key", "K")], Err(wrong)),
            (&both, &[("x-key", "K"), authorization], Err(wrong)),
            (&both, &[authorization], Err(wrong)),
        ] {
            assert_eq!(read(configured, fields), expected.map(str::to_owned), "{configured:?} {fields:?}");
        }
        let long = "A".repeat(crate::jose::MAX_TOKEN + 1);
        for name in ["x-token", "x-key"] {
            assert!(matches!(read(&both, &[(name, &long)]), Err(NoToken::Rejected(_))), "{name}");
        }
    }
}
