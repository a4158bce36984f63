use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::claims::Claims;
use crate::json;

/// The result of an introspection.
#[derive(Debug, Clone)]
pub(crate) enum TokenStatus {
    /// The token is active and has these claims.
    Active(Claims),
    Inactive,
    /// The authorization server does not introspect tokens of this kind (`unsupported_token_type`, as in RFC 7009, section
    /// 2.2.1).
    Unsupported,
}

/// Why a response is not a result for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidResponse {
    /// The error code says that the client credentials of this server are rejected. The value is the status.
    #[error("the client credentials are rejected with status {0}")]
    Credentials(u16),
    #[error("the status is {0}")]
    Status(u16),
    /// Status 400, with an error code that blames the request. Some servers send it for unknown tokens.
    #[error("the status is 400, and the error code blames the request")]
    Request,
    #[error("the response is not a JSON object with unique names")]
    Malformed,
    #[error("the response has no boolean \"active\"")]
    Active,
    /// The value is the name of the claim.
    #[error("the token is active, but its claim \"{0}\" has a wrong type")]
    Claims(&'static str),
}

/// Reads a response strictly (RFC 7662, section 2.2).
///
/// `{"active": false}` is a result with any status: some servers send it with status 401 for an unknown token.
pub(crate) fn read(status: StatusCode, body: &[u8], issuer: &str) -> Result<TokenStatus, InvalidResponse> {
    let document = json::parse::<Map<String, Value>>(body);
    let member = |name: &str| document.as_ref().ok().and_then(|document| document.get(name));
    match (status, member("active")) {
        (_, Some(Value::Bool(false))) => Ok(TokenStatus::Inactive),
        (StatusCode::OK, Some(Value::Bool(true))) => Claims::from_introspection(body, issuer)
            .map(TokenStatus::Active)
            .map_err(|_| InvalidResponse::Claims(document.as_ref().ok().and_then(ill_typed).unwrap_or("unknown"))),
        (StatusCode::OK, _) if document.is_ok() => Err(InvalidResponse::Active),
        (StatusCode::OK, _) => Err(InvalidResponse::Malformed),
        _ => rejected(status, member("error").and_then(Value::as_str)),
    }
}

/// Reads a response with another status than 200 by its error code (RFC 6749, section 5.2).
fn rejected(status: StatusCode, code: Option<&str>) -> Result<TokenStatus, InvalidResponse> {
    let number = status.as_u16();
    match (number, code) {
        (400, Some("unsupported_token_type")) => Ok(TokenStatus::Unsupported),
        (400 | 401 | 403, Some("invalid_client" | "unauthorized_client")) => Err(InvalidResponse::Credentials(number)),
        (400, Some(code)) if !matches!(code, "server_error" | "temporarily_unavailable") => {
            Err(InvalidResponse::Request)
        }
        _ => Err(InvalidResponse::Status(number)),
    }
}

/// The first claim that alone makes a response invalid, for the log.
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
    fn only_a_document_with_a_boolean_is_a_result() {
        let read = |body: &str| read(StatusCode::OK, body.as_bytes(), "https://as");
        assert!(matches!(read(r#"{"active":true,"exp":1}"#), Ok(TokenStatus::Active(_))));
        assert!(matches!(read(r#"{"active":false,"sub":"admin","exp":"x"}"#), Ok(TokenStatus::Inactive)));
        for (body, expected) in [
            ("", InvalidResponse::Malformed),
            ("null", InvalidResponse::Malformed),
            ("true", InvalidResponse::Malformed),
            ("[]", InvalidResponse::Malformed),
            ("{}", InvalidResponse::Active),
            (r#"{"active":"true"}"#, InvalidResponse::Active),
            (r#"{"active":1}"#, InvalidResponse::Active),
            (r#"{"active":null}"#, InvalidResponse::Active),
            (r#"{"active":[true]}"#, InvalidResponse::Active),
            (r#"{"Active":true}"#, InvalidResponse::Active),
            (r#"{"active":true,"active":true}"#, InvalidResponse::Malformed),
            (r#"{"active":false,"active":true}"#, InvalidResponse::Malformed),
            (r#"{"active":true,"exp":"1"}"#, InvalidResponse::Claims("exp")),
            (r#"{"active":true,"aud":7}"#, InvalidResponse::Claims("aud")),
            (r#"{"active":true}x"#, InvalidResponse::Malformed),
            (r#"{"active":tru"#, InvalidResponse::Malformed),
            ("\u{feff}{\"active\":true}", InvalidResponse::Malformed),
            ("<html>", InvalidResponse::Malformed),
        ] {
            assert_eq!(read(body).err(), Some(expected), "{body}");
        }
    }

    #[test]
    fn null_counts_as_missing() {
        let nulls = r#"{"active":true,"iss":null,"sub":null,"aud":null,"exp":null,"nbf":null,"iat":null,"scope":null,
            "token_type":null,"typ":null,"client_id":null,"nonce":null,"events":null,"resource":"https://rs"}"#;
        let Ok(TokenStatus::Active(claims)) = read(StatusCode::OK, nulls.as_bytes(), "https://as") else { panic!() };
        assert_eq!((claims.issuer(), claims.subject(), claims.expires_at()), (Some("https://as"), None, None));
        assert_eq!(claims.audience().collect::<Vec<_>>(), ["https://rs"]);
    }

    #[test]
    fn rejected_credentials_differ_from_an_invalid_token() {
        use InvalidResponse::{Credentials, Request, Status};
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
