use http::StatusCode;
use serde_json::{Map, Value, json};

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

/// Why a response is not an answer about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// An error code says that this server's credentials are rejected, with this status.
    #[error("the client credentials are refused with status {0}")]
    Credentials(u16),
    #[error("the status is {0}")]
    Status(u16),
    /// Status 400, with an error code that blames the request. Some servers answer so about unknown tokens.
    #[error("the status is 400, and the request is named as the cause")]
    Request,
    #[error("the answer is no JSON object with unique names")]
    Malformed,
    #[error("the answer has no boolean \"active\"")]
    Active,
    /// Names the claim.
    #[error("the answer is active, but its claim \"{0}\" has a wrong type")]
    Claims(&'static str),
}

/// Reads a response strictly (RFC 7662, section 2.2): anything else is not an answer about the token.
///
/// `{"active": false}` is an answer whatever the status is: some servers send it with status 401 for an unknown token.
pub(crate) fn read(status: StatusCode, body: &[u8], issuer: &str) -> Result<Verdict, Unreadable> {
    let document = json::unique_object(body);
    let member = |name: &str| document.as_ref().ok().and_then(|document| document.get(name));
    match (status, member("active")) {
        (_, Some(Value::Bool(false))) => Ok(Verdict::Inactive),
        (StatusCode::OK, Some(Value::Bool(true))) => Claims::from_introspection(body, issuer)
            .map(Verdict::Active)
            .map_err(|_| Unreadable::Claims(document.as_ref().ok().and_then(ill_typed).unwrap_or("unknown"))),
        (StatusCode::OK, _) if document.is_ok() => Err(Unreadable::Active),
        (StatusCode::OK, _) => Err(Unreadable::Malformed),
        _ => rejected(status, member("error").and_then(Value::as_str)),
    }
}

/// A response with another status than 200, by its error code (RFC 6749, section 5.2).
fn rejected(status: StatusCode, code: Option<&str>) -> Result<Verdict, Unreadable> {
    let number = status.as_u16();
    match (number, code) {
        (400, Some("unsupported_token_type")) => Ok(Verdict::Unsupported),
        (400 | 401 | 403, Some("invalid_client" | "unauthorized_client")) => Err(Unreadable::Credentials(number)),
        (400, Some(code)) if !matches!(code, "server_error" | "temporarily_unavailable") => Err(Unreadable::Request),
        _ => Err(Unreadable::Status(number)),
    }
}

/// The first claim that alone makes an answer malformed, for the log.
fn ill_typed(document: &Map<String, Value>) -> Option<&'static str> {
    let is_ill_typed = |name: &&str| {
        let answer = document.get(*name).map(|value| json!({ "active": true, *name: value }).to_string());
        answer.is_some_and(|answer| Claims::from_introspection(answer.as_bytes(), "").is_err())
    };
    TYPED_CLAIMS.into_iter().find(is_ill_typed)
}

/// The claims whose type is checked.
const TYPED_CLAIMS: [&str; 23] = [
    "iss",
    "sub",
    "aud",
    "resource",
    "exp",
    "nbf",
    "iat",
    "scope",
    "scp",
    "scopes",
    "client_id",
    "azp",
    "cid",
    "appid",
    "cnf",
    "typ",
    "token_use",
    "token_type",
    "type",
    "jti",
    "roles",
    "username",
    "events",
];

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
            (r#"{"active":true,"exp":"1"}"#, Unreadable::Claims("exp")),
            (r#"{"active":true,"aud":7}"#, Unreadable::Claims("aud")),
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
        use Unreadable::{Credentials, Request, Status};
        for (status, body, expected) in [
            (401, "", Some(Status(401))),
            (401, r#"{"error":"request_unauthorized"}"#, Some(Status(401))),
            (401, r#"{"error":"invalid_client"}"#, Some(Credentials(401))),
            (401, r#"{"active":false}"#, None),
            (403, "<html>", Some(Status(403))),
            (403, r#"{"error":"invalid_client"}"#, Some(Credentials(403))),
            (400, r#"{"error":"invalid_client"}"#, Some(Credentials(400))),
            (400, r#"{"error":"unsupported_token_type"}"#, None),
            (400, r#"{"error":"invalid_request"}"#, Some(Request)),
            (400, r#"{"error":"server_error"}"#, Some(Status(400))),
            (400, r#"{"error":7}"#, Some(Status(400))),
            (404, r#"{"error":"invalid_client"}"#, Some(Status(404))),
            (400, "", Some(Status(400))),
            (404, "", Some(Status(404))),
            (204, "", Some(Status(204))),
            (302, "", Some(Status(302))),
            (500, r#"{"active":true}"#, Some(Status(500))),
            (500, r#"{"active":false}"#, None),
            (500, r#"{"active":false,"active":false}"#, Some(Status(500))),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(read(status, body.as_bytes(), "https://as").err(), expected, "{status} {body}");
        }
    }
}
