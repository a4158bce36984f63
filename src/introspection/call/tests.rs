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
        ("<html>", InvalidResponse::Html),
        (" \n<!DOCTYPE html>", InvalidResponse::Html),
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
        (404, r#"{"error":"invalid_client"}"#, Some(Credentials(404))),
        (405, r#"{"error":"invalid_client"}"#, Some(Status(405))),
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

#[test]
fn retry_after_is_rounded_up_and_has_up_to_thirty_percent_of_jitter() {
    for (millis, least, most) in
        [(0, 1, 1), (1, 1, 1), (1_000, 1, 1), (4_001, 5, 6), (20_000, 20, 26), (50_000, 50, 60), (600_000, 60, 60)]
    {
        let drawn: Vec<u64> = (0..500).map(|_| with_jitter(Duration::from_millis(millis)).as_secs()).collect();
        let found = (drawn.iter().min().copied(), drawn.iter().max().copied());
        assert_eq!(found, (Some(least), Some(most)), "{millis}");
    }
}
