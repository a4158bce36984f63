use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The DER encoding in a percent-encoded PEM text with exactly one certificate (RFC 7468, section 5; RFC 3986, section 2.1).
pub(super) fn escaped_certificate(text: &[u8]) -> Option<Vec<u8>> {
    certificate(&percent_decoded(text)?)
}

fn certificate(pem: &[u8]) -> Option<Vec<u8>> {
    let pem = without_line_end(pem).unwrap_or(pem);
    let lines = pem.strip_prefix(b"-----BEGIN CERTIFICATE-----")?.strip_suffix(b"-----END CERTIFICATE-----")?;
    let mut base64 = Vec::with_capacity(lines.len());
    // Each line ends with LF or CRLF, as does the marker before the first line.
    let mut lines = lines.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_after_marker = lines.next()?.is_empty();
    let is_before_marker = lines.next_back()?.is_empty();
    for line in lines {
        base64.extend_from_slice(line);
    }
    (is_after_marker && is_before_marker).then(|| BASE64_STANDARD.decode(base64).ok())?
}

fn without_line_end(text: &[u8]) -> Option<&[u8]> {
    text.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Replaces each `%` and its two hexadecimal digits by their byte. A plus sign is not a space, unlike in forms.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_first_chunk()?;
            rest = after;
            decoded.push(hex_byte(*digits)?);
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}

/// The byte with these two hexadecimal digits.
pub(super) fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high?.checked_mul(16)?.checked_add(low?)?).ok()
}
