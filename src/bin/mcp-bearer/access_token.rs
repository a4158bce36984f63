//! The access token that the program explains. It is never printed.

use std::convert::Infallible;
use std::fmt;
use std::io::Read;
use std::str::FromStr;

/// Where the token is from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    Argument(AccessToken),
    Stdin,
}

/// An access token without white space around it and without the scheme `Bearer` or `DPoP`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccessToken(String);

impl TokenSource {
    /// The token. Reads from `stdin` only if the token is there.
    pub(crate) fn read(&self, stdin: impl Read) -> Result<AccessToken, String> {
        let token = match self {
            Self::Argument(token) => token.clone(),
            Self::Stdin => {
                let mut text = String::new();
                // One byte more shows that there is more.
                let read = stdin.take(MAX_INPUT.saturating_add(1)).read_to_string(&mut text);
                let length = read.map_err(|error| format!("the token cannot be read from stdin: {error}"))?;
                if u64::try_from(length).is_ok_and(|length| length > MAX_INPUT) {
                    return Err(format!("stdin has more than {MAX_INPUT} bytes: write only the token to it"));
                }
                AccessToken::from_text(&text)
            }
        };
        match token.0.is_empty() {
            true => Err("the token is empty: write it after `--token`, or to stdin with `--token -`".to_owned()),
            false => Ok(token),
        }
    }
}

impl FromStr for TokenSource {
    /// An error would repeat the token.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdin } else { Self::Argument(AccessToken::from_text(text)) })
    }
}

impl AccessToken {
    fn from_text(text: &str) -> Self {
        let text = text.trim();
        let (scheme, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let has_scheme = ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        Self(if has_scheme { rest.trim() } else { text }.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Stdin) { "Stdin" } else { "Argument(..)" })
    }
}

/// A server accepts 16 KiB by default. Longer tokens get the check of the length.
const MAX_INPUT: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argument: &str, stdin: &[u8]) -> Result<String, String> {
        let Ok(source) = argument.parse::<TokenSource>();
        source.read(stdin).map(|token| token.as_str().to_owned())
    }

    #[test]
    fn the_scheme_and_white_space_are_removed() {
        for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c\r\n", "BEARER\ta.b.c", "DPoP a.b.c"] {
            assert_eq!(read(text, b"").as_deref(), Ok("a.b.c"), "{text:?}");
            assert_eq!(read("-", text.as_bytes()).as_deref(), Ok("a.b.c"), "{text:?}");
        }
        assert_eq!(read("bearer-1", b"").as_deref(), Ok("bearer-1"));
    }

    #[test]
    fn an_error_does_not_repeat_the_input() {
        for (argument, stdin, expected) in [
            ("", &b""[..], "is empty"),
            ("-", b" \n", "is empty"),
            ("Bearer", b"", "is empty"),
            ("-", b"secret\xff", "cannot be read"),
            ("-", &[b's'; 256 * 1024 + 1], "more than 262144 bytes"),
        ] {
            let message = read(argument, stdin).unwrap_err();
            assert!(message.contains(expected) && !message.contains("secret"), "{message}");
        }
        assert_eq!(read("-", &[b's'; 256 * 1024]).map(|token| token.len()), Ok(256 * 1024));
    }

    #[test]
    fn a_token_is_not_in_the_debug_form() {
        let Ok(source) = "secret".parse::<TokenSource>();
        assert_eq!(format!("{source:?}"), "Argument(..)");
    }
}
