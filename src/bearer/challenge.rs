use http::HeaderValue;

use super::Guard;
use crate::scope::Scopes;

/// Writes a `Bearer` challenge (RFC 6750, section 3; RFC 9728, section 5.1). Each parameter is quoted and appears once.
pub(super) fn challenge(guard: &Guard, error: Option<(&str, &str)>, scopes: &Scopes) -> HeaderValue {
    let mut text = String::from("Bearer");
    let mut separator = " ";
    let mut parameter = |name: &str, value: &str| {
        if value.is_empty() {
            return;
        }
        text.push_str(separator);
        text.push_str(name);
        text.push('=');
        push_quoted(&mut text, value);
        separator = ", ";
    };
    if let Some(realm) = &guard.realm {
        parameter("realm", realm);
    }
    if let Some((code, description)) = error {
        parameter("error", code);
        parameter("error_description", description);
    }
    parameter("resource_metadata", &guard.metadata_url);
    parameter("scope", guard.requested.translate(scopes).as_str());
    // The builder rejects a configuration with characters that a header cannot have.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// Writes a quoted-string (RFC 9110, section 5.6.4).
fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_parser_reads_the_challenge() {
        for realm in ["plain", "with \"quotes\" and \\ back\\\\slashes", "a, Bearer error=\"x\""] {
            let url = "https://h/.well-known/oauth-protected-resource/mcp?x=%22";
            let guard = Guard { realm: Some(realm.into()), ..Guard::new(url) };
            let scopes = Scopes::new(["a:b", "c/d"]).unwrap();
            let header = challenge(&guard, Some(("invalid_token", "The access token expired")), &scopes);
            let parsed = http_auth::parse_challenges(header.to_str().unwrap()).unwrap();
            assert_eq!(parsed.len(), 1);
            assert_eq!(parsed[0].scheme, "Bearer");
            let parameters: Vec<_> =
                parsed[0].params.iter().map(|(name, value)| (*name, value.to_unescaped())).collect();
            assert_eq!(
                parameters,
                [
                    ("realm", realm.to_owned()),
                    ("error", "invalid_token".to_owned()),
                    ("error_description", "The access token expired".to_owned()),
                    ("resource_metadata", url.to_owned()),
                    ("scope", "a:b c/d".to_owned()),
                ]
            );
        }
    }
}
