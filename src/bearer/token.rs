use crate::failure::CheckFailure;
use crate::jose::MAX_TOKEN;
use crate::verify::Credential;

/// Why no access token could be read from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoToken {
    /// The request does not have credentials.
    Missing,
    /// The credentials are of another or an unreadable scheme. The request is not anonymous, because its sender expects an
    /// identity.
    OtherScheme,
    /// The credentials are not one bearer token.
    Malformed,
    /// The credentials are in a header that is not read, or in several headers.
    WrongHeader,
    /// The token is rejected before it is parsed.
    Rejected(CheckFailure),
}

/// The token in a value of `Authorization` (RFC 6750, section 2.1): a `b64token` of at most 64 KiB.
pub(super) fn bearer_token_in(value: &[u8]) -> Result<&[u8], NoToken> {
    token_of_scheme(BEARER, value)
}

/// The same, or a token with the scheme `DPoP` (RFC 9449, section 7.1).
pub(super) fn bearer_or_dpop_token_in(value: &[u8]) -> Result<Credential<'_>, NoToken> {
    match value.split_at_checked(DPOP.len()) {
        Some((scheme, [b' ', ..])) if scheme.eq_ignore_ascii_case(DPOP) => {
            token_of_scheme(DPOP, value).map(Credential::DpopToken)
        }
        _ => bearer_token_in(value).map(Credential::Token),
    }
}

fn token_of_scheme<'v>(expected: &[u8], value: &'v [u8]) -> Result<&'v [u8], NoToken> {
    let scheme_end = value.iter().position(|byte| !is_token_character(*byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(scheme_end).ok_or(NoToken::Malformed)?;
    if !scheme.eq_ignore_ascii_case(expected) {
        return Err(of_another_scheme(value));
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = rest.get(spaces..).unwrap_or_default();
    if spaces == 0 && token.len() <= MAX_TOKEN { Err(NoToken::Malformed) } else { checked(token) }
}

/// The token in a value of another header, which has the token alone. A `Bearer` before it is removed.
pub(super) fn bare_token_in(value: &[u8]) -> Result<&[u8], NoToken> {
    match value.split_at_checked(BEARER.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(BEARER) && rest.first().is_none_or(|next| *next == b' ') => {
            bearer_token_in(value)
        }
        // As an empty `Authorization`: the sender expects an identity.
        _ if value.is_empty() => Err(NoToken::OtherScheme),
        _ => checked(value),
    }
}

fn checked(token: &[u8]) -> Result<&[u8], NoToken> {
    // The length is checked before any byte.
    if token.len() > MAX_TOKEN {
        return Err(NoToken::Rejected(CheckFailure::TooLong));
    }
    if is_token68(token) { Ok(token) } else { Err(NoToken::Malformed) }
}

fn of_another_scheme(value: &[u8]) -> NoToken {
    let prefix = value.get(..MAX_TOKEN).unwrap_or(value);
    let bearer_inside = prefix.split(|byte| *byte == b',').skip(1).any(|piece| {
        let piece = piece.trim_ascii_start();
        piece.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "))
    });
    if bearer_inside || prefix.iter().any(|byte| !byte.is_ascii()) { NoToken::Malformed } else { NoToken::OtherScheme }
}

/// RFC 9110, section 5.6.2.
const fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// RFC 9110, section 11.2: characters, then padding.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let characters = token.get(..token.len().saturating_sub(padding)).unwrap_or_default();
    // The loop does not end early, so that the compiler can check many bytes at once. Most tokens are valid.
    !characters.is_empty() && characters.iter().fold(true, |good, byte| good & is_token68_character(*byte))
}

const fn is_token68_character(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `+`, `-`, `.`, `/` and the digits are a range of ASCII that also contains the comma.
    let is_in_row = (byte.wrapping_sub(b'+') <= b'9' - b'+') & (byte != b',');
    is_letter | is_in_row | (byte == b'_') | (byte == b'~')
}

const BEARER: &[u8] = b"Bearer";
const DPOP: &[u8] = b"DPoP";

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::bearer::CredentialHeaders;

    fn read(fields: &[&[u8]]) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        let found = CredentialHeaders::default().find(&headers);
        found.map(|token| String::from_utf8(token.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_token_is_read_from_one_header_only() {
        for (field, expected) in [
            (&b"Bearer T"[..], Ok("T")),
            (b"bearer T", Ok("T")),
            (b"BEARER T", Ok("T")),
            (b"bEaReR T", Ok("T")),
            (b"Bearer     a.b-c_d~e+f/g==", Ok("a.b-c_d~e+f/g==")),
            (b" Bearer T", Ok("T")),
            (b"\tBearer T \t", Ok("T")),
            (b"", Err(NoToken::OtherScheme)),
            (b" ", Err(NoToken::OtherScheme)),
            (b"Basic dXNlcjpwYXNz", Err(NoToken::OtherScheme)),
            (b"DPoP T", Err(NoToken::OtherScheme)),
            (b"Digest username=\"x\", realm=\"y\"", Err(NoToken::OtherScheme)),
            (b"Bearerx T", Err(NoToken::OtherScheme)),
            (b"Bearer", Err(NoToken::Malformed)),
            (b"Bearer ", Err(NoToken::Malformed)),
            (b"Bearer\tT", Err(NoToken::Malformed)),
            (b"Bearer \tT", Err(NoToken::Malformed)),
            (b"Bearer\xc2\xa0T", Err(NoToken::Malformed)),
            (b"Bearer T1 T2", Err(NoToken::Malformed)),
            (b"Bearer T ", Ok("T")),
            (b"Bearer a,b", Err(NoToken::Malformed)),
            (b"Bearer \"T\"", Err(NoToken::Malformed)),
            (b"Bearer a;b", Err(NoToken::Malformed)),
            (b"Bearer <T>", Err(NoToken::Malformed)),
            (b"Bearer a%20b", Err(NoToken::Malformed)),
            (b"Bearer T=x", Err(NoToken::Malformed)),
            (b"Bearer ==", Err(NoToken::Malformed)),
            (b"Bearer token=\"T\"", Err(NoToken::Malformed)),
            (b"Bearer \xff\xfe", Err(NoToken::Malformed)),
            (b"\xce\x92earer T", Err(NoToken::Malformed)),
            (b"Basic x, Bearer T", Err(NoToken::Malformed)),
        ] {
            assert_eq!(read(&[field]), expected.map(str::to_owned), "{:?}", String::from_utf8_lossy(field));
        }
        assert_eq!(read(&[]), Err(NoToken::Missing));
        for fields in [[&b"Bearer T"[..], b"Bearer T"], [b"Basic x", b"Bearer T"], [b"Bearer T", b"Basic x"]] {
            assert_eq!(read(&fields), Err(NoToken::Malformed));
        }
    }

    #[test]
    fn exactly_the_characters_of_the_grammar_are_token68() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_token68_character(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn a_token_over_the_limit_is_rejected_by_its_length() {
        for length in [MAX_TOKEN + 1, 1 << 20, 16 << 20] {
            let field = [b"Bearer ".to_vec(), vec![b'A'; length]].concat();
            assert_eq!(read(&[&field]), Err(NoToken::Rejected(CheckFailure::TooLong)));
        }
        assert!(read(&[&[b"Bearer ".to_vec(), vec![b'A'; MAX_TOKEN]].concat()]).is_ok());
    }

    #[test]
    fn a_token_does_not_print() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert!(!format!("{:?}", CredentialHeaders::default().find(&headers)).contains("secret"));
    }
}
