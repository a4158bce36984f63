use std::fmt;

use http::{HeaderMap, header};

use crate::failure::CheckFailure;
use crate::jose::MAX_TOKEN;

/// The access token of an `Authorization: Bearer` header (RFC 6750, section 2.1): a `b64token` of at most 64 KiB.
///
/// A token in the query, in a form or in a cookie is ignored (OAuth 2.1, section 5.1).
pub(crate) struct BearerToken(Box<[u8]>);

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
    /// The token is rejected before it is parsed.
    Rejected(CheckFailure),
}

impl BearerToken {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, NoToken> {
        Self::find(headers).map(|token| Self(token.into()))
    }

    /// The bytes of the token, for a caller that does not keep it.
    pub(crate) fn find(headers: &HeaderMap) -> Result<&[u8], NoToken> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Err(NoToken::Missing),
            // White space around a value is not part of it (RFC 9110, section 5.5). HTTP servers remove it; code that calls
            // this service directly may not.
            (Some(value), None) => token_in(value.as_bytes().trim_ascii()),
            // A proxy may have used the first field and ignored the last, or the other way round.
            (Some(_), Some(_)) => Err(NoToken::Malformed),
        }
    }

    /// The token in ASCII.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken").finish_non_exhaustive()
    }
}

fn token_in(value: &[u8]) -> Result<&[u8], NoToken> {
    let scheme_end = value.iter().position(|byte| !is_token_character(*byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(scheme_end).ok_or(NoToken::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(of_another_scheme(value));
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = rest.get(spaces..).unwrap_or_default();
    // The length is checked before any byte.
    if token.len() > MAX_TOKEN {
        return Err(NoToken::Rejected(CheckFailure::TooLong));
    }
    if spaces == 0 || !is_token68(token) { Err(NoToken::Malformed) } else { Ok(token) }
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(fields: &[&[u8]]) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        BearerToken::from_headers(&headers).map(|token| String::from_utf8(token.as_bytes().to_vec()).unwrap())
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
        assert!(!format!("{:?}", BearerToken::from_headers(&headers).unwrap()).contains("secret"));
    }
}
