//! Base64url without padding (RFC 4648, section 5), bit by bit.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub fn encode(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)).collect();
    let sextet = |bits: &[u8]| (0..6).fold(0, |value, at| value << 1 | bits.get(at).copied().unwrap_or_default());
    bits.chunks(6).map(|bits| char::from(ALPHABET[usize::from(sextet(bits))])).collect()
}

/// Returns the bytes whose encoding is this text. There are none if the text has another character, or bits that are left
/// over and not zero.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let values: Option<Vec<usize>> =
        text.bytes().map(|character| ALPHABET.iter().position(|known| *known == character)).collect();
    let bits: Vec<usize> = values?.iter().flat_map(|value| (0..6).rev().map(move |shift| value >> shift & 1)).collect();
    let octet = |bits: &[usize]| bits.iter().fold(0, |value, bit| value << 1 | *bit as u8);
    let bytes: Vec<u8> = bits.chunks_exact(8).map(octet).collect();
    (encode(&bytes) == text).then_some(bytes)
}
