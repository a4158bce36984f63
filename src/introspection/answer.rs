use http::StatusCode;
use serde_json::Value;

use crate::claims::Claims;
use crate::json;

/// What the authorization server says of a token.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Active, and this is what it says.
    Active(Claims),
    Inactive,
    /// Not a kind of token that it introspects (`unsupported_token_type`, as in RFC 7009, section 2.2.1).
    Unsupported,
}

/// Why an answer says nothing about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A 401 or 403, or a 400 that names the client.
    #[error("the client credentials are refused with status {0}")]
    Credentials(u16),
    #[error("the status is {0}")]
    Status(u16),
    #[error("the answer is no JSON object with unique names")]
    Malformed,
    #[error("the answer has no boolean \"active\"")]
    Active,
    #[error("the answer is active, but its claims have wrong types")]
    Claims,
}

/// Reads an answer strictly (RFC 7662, section 2.2): what is not exactly one says nothing about the token.
pub(crate) fn read(status: StatusCode, body: &[u8], issuer: &str) -> Result<Verdict, Unreadable> {
    match status {
        StatusCode::OK => read_document(body, issuer),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unreadable::Credentials(status.as_u16())),
        StatusCode::BAD_REQUEST => match error_code(body).as_deref() {
            Some("unsupported_token_type") => Ok(Verdict::Unsupported),
            Some("invalid_client" | "unauthorized_client") => Err(Unreadable::Credentials(status.as_u16())),
            _ => Err(Unreadable::Status(status.as_u16())),
        },
        _ => Err(Unreadable::Status(status.as_u16())),
    }
}

fn read_document(body: &[u8], issuer: &str) -> Result<Verdict, Unreadable> {
    match json::unique_object(body).map_err(|_| Unreadable::Malformed)?.get("active") {
        Some(Value::Bool(true)) => {
            let claims = Claims::from_introspection(body, issuer).map_err(|_| Unreadable::Claims)?;
            Ok(Verdict::Active(claims))
        }
        Some(Value::Bool(false)) => Ok(Verdict::Inactive),
        _ => Err(Unreadable::Active),
    }
}

fn error_code(body: &[u8]) -> Option<String> {
    json::unique_object(body).ok()?.get("error")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_with_a_boolean_says_anything() {
        let read = |body: &str| read(StatusCode::OK, body.as_bytes(), "https://as");
        assert!(matches!(read(r#"{"active":true,"exp":1}"#), Ok(Verdict::Active(_))));
        assert!(matches!(read(r#"{"active":false,"sub":"admin","exp":"x"}"#), Ok(Verdict::Inactive)));
        for (body, expected) in [
            ("", Unreadable::Malformed),
            ("null", Unreadable::Malformed),
            ("true", Unreadable::Malformed),
            ("[]", Unreadable::Malformed),
            ("{}", Unreadable::Active),
            (r#"{"active":"true"}"#, Unreadable::Active),
            (r#"{"active":1}"#, Unreadable::Active),
            (r#"{"active":null}"#, Unreadable::Active),
            (r#"{"active":[true]}"#, Unreadable::Active),
            (r#"{"Active":true}"#, Unreadable::Active),
            (r#"{"active":true,"active":true}"#, Unreadable::Malformed),
            (r#"{"active":false,"active":true}"#, Unreadable::Malformed),
            (r#"{"active":true,"exp":"1"}"#, Unreadable::Claims),
            (r#"{"active":true,"aud":7}"#, Unreadable::Claims),
            (r#"{"active":true}x"#, Unreadable::Malformed),
            (r#"{"active":tru"#, Unreadable::Malformed),
            ("\u{feff}{\"active\":true}", Unreadable::Malformed),
            ("<html>", Unreadable::Malformed),
        ] {
            assert_eq!(read(body).err(), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_is_null_is_not_said() {
        let nulls = r#"{"active":true,"iss":null,"sub":null,"aud":null,"exp":null,"nbf":null,"iat":null,"scope":null,
            "token_type":null,"typ":null,"client_id":null,"nonce":null,"events":null,"resource":"https://rs"}"#;
        let Ok(Verdict::Active(claims)) = read(StatusCode::OK, nulls.as_bytes(), "https://as") else { panic!() };
        assert_eq!((claims.issuer(), claims.subject(), claims.expires_at()), (Some("https://as"), None, None));
        assert_eq!(claims.audience().collect::<Vec<_>>(), ["https://rs"]);
    }

    #[test]
    fn a_refusal_of_our_credentials_is_told_from_a_bad_token() {
        use Unreadable::{Credentials, Status};
        for (status, body, expected) in [
            (401, "", Some(Credentials(401))),
            (403, "<html>", Some(Credentials(403))),
            (400, r#"{"error":"invalid_client"}"#, Some(Credentials(400))),
            (400, r#"{"error":"unsupported_token_type"}"#, None),
            (400, r#"{"error":"invalid_request"}"#, Some(Status(400))),
            (400, "", Some(Status(400))),
            (404, "", Some(Status(404))),
            (204, "", Some(Status(204))),
            (302, "", Some(Status(302))),
            (500, r#"{"active":true}"#, Some(Status(500))),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(read(status, body.as_bytes(), "https://as").err(), expected, "{status} {body}");
        }
    }
}
