#![allow(clippy::string_slice, reason = "tests know their data")]

use super::*;

const BASE64: &str = "mZ0bWmyzCYhYUqBy3sPqWVzDJ1cIYtnAfjuY3sNqG5U=";
const BASE64URL: &str = "-_0bWmyzCYhYUqBy3sPqWVzDJ1cIYtnAfjuY3sNqG5U";
const HEX: &str = "4f1c2d7a90b3e86655f02a8c1d94be37AA60C5D21E9F7B4830D6C1A27BE5F908";

#[test]
fn a_key_file_has_one_key_per_line() {
    let text = format!("\u{feff}# current\r\n{BASE64}\r\n\n  {BASE64URL}\t\n# next\n{HEX}");
    let key = NonceKey::parse(&text).unwrap();
    assert_eq!(key.signing, SecretKey::parse(BASE64).unwrap());
    assert_eq!((key.signing.as_bytes()[0], key.signing.as_bytes()[31]), (0x99, 0x95));
    assert_eq!(key.accepted.iter().map(|key| key.as_bytes()[0]).collect::<Vec<_>>(), [0xfb, 0x4f]);
    assert_eq!(key.accepted[1].as_bytes()[31], 0x08);
}

#[test]
fn a_mistake_in_a_key_file_names_the_line_and_the_repair_and_no_key() {
    let number = |number: u8| format!("{number:064x}");
    let lines = |lines: &[&str]| lines.join("\n");
    for (text, message) in [
        (
            String::new(),
            "a nonce key is missing; write 32 random bytes in Base64 into a line, as of `openssl rand -base64 32`",
        ),
        ("# no key\n\n".to_owned(), "a nonce key is missing"),
        (
            "secret".to_owned(),
            "line 1 is not a nonce key: it has 6 characters, and a key has 44 in Base64, 43 in base64url, or 64 in \
             hexadecimal; write 32 random bytes in Base64 into a line, as of `openssl rand -base64 32`",
        ),
        (lines(&["#", BASE64, &BASE64[..40]]), "line 3 is not a nonce key: it has 40 characters"),
        (format!("{BASE64} # comment"), "line 1 is not a nonce key: it has 54 characters"),
        (format!("{BASE64},{HEX}"), "line 1 is not a nonce key: it has 109 characters"),
        ("ü".repeat(43), "line 1 is not a nonce key: it has 43 characters, which are not base64url without padding"),
        (BASE64.replace('m', "-"), "line 1 is not a nonce key: it has 44 characters, which are not Base64"),
        (BASE64URL.replace('-', "+"), "line 1 is not a nonce key: it has 43 characters, which are not base64url"),
        // Bits are left over at the end.
        (BASE64URL.replace("5U", "5V"), "line 1 is not a nonce key: it has 43 characters, which are not base64url"),
        (HEX.replace('f', "g"), "line 1 is not a nonce key: it has 64 characters, which are not hexadecimal"),
        (HEX.replace("4f", "+f"), "line 1 is not a nonce key: it has 64 characters, which are not hexadecimal"),
        (lines(&[BASE64, HEX, &HEX.to_lowercase()]), "line 3 has the same nonce key as line 2; remove one of them"),
        (
            lines(&[1, 2, 3, 4, 5].map(number).each_ref().map(String::as_str)),
            "line 5 has a fifth nonce key, and at most 4 are accepted; remove the oldest key",
        ),
    ] {
        let error = NonceKey::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
        assert!(text.lines().all(|line| line.len() < 10 || !error.contains(line.trim())), "{error}");
    }
}

#[test]
fn keys_that_are_also_accepted_add_up() {
    let [a, b, c] = [1, 2, 3].map(|byte| NonceKey::new([byte; 32]));
    let key = a.also_accepts(b.also_accepts(c));
    assert_eq!(key.accepted.iter().map(|key| key.as_bytes()[0]).collect::<Vec<_>>(), [2, 3]);
}
