//! Each accepted header names the certificate that a lenient reader finds in it, and no reader can find another one.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests know their data"
)]

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use http::{Extensions, HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::crypto::sha256;
use crate::jose::Thumbprint;
use crate::properties::cases;

const HEADERS: [ClientCertificateHeader; 3] =
    [ClientCertificateHeader::Rfc9440, ClientCertificateHeader::Nginx, ClientCertificateHeader::Envoy];

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn each_header_has_the_thumbprint_of_the_extension(certificate in certificates()) {
        let expected = ClientCertificate::from_der(&certificate).unwrap().thumbprint();
        prop_assert_eq!(Some(*expected.as_bytes()), sha256(&certificate));
        for header in HEADERS {
            prop_assert_eq!(find(header, &value(header, &certificate)), Some(expected), "{:?}", header);
        }
    }

    #[test]
    fn an_accepted_value_names_one_certificate_for_each_reader(
        certificate in certificates(),
        header in prop::sample::select(&HEADERS[..]),
        edits in prop::collection::vec(edits(), 1..4),
    ) {
        let mut text = value(header, &certificate);
        for (place, is_at_mark, length, insertion) in edits {
            let marks = text.match_indices([':', ';', '"', '%']).map(|(at, _)| at);
            let marks: Vec<_> = if is_at_mark { marks.chain([text.len()]).collect() } else { (0..=text.len()).collect() };
            let start = *place.get(&marks);
            text.replace_range(start..text.len().min(start + length), &insertion);
        }
        if let Some(found) = find(header, &text) {
            let read = match header {
                ClientCertificateHeader::Rfc9440 => vec![digest(text.trim().trim_matches(':'))],
                ClientCertificateHeader::Nginx => certificates_in(&text),
                _ => named_by_envoy(&text),
            };
            prop_assert!(!read.is_empty() && read.iter().all(|read| *read == found), "{text}: {found}, {read:?}");
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(0x20_u8.., 0..80), der in any::<Vec<u8>>()) {
        let _ = ClientCertificate::from_der(&der);
        for header in HEADERS {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            let headers = HeaderMap::from_iter([(name(header), value)]);
            let _ = CertificateSource::Header(header).find(&headers, &Extensions::new());
        }
    }
}

fn find(header: ClientCertificateHeader, value: &str) -> Option<Thumbprint> {
    let headers = HeaderMap::from_iter([(name(header), HeaderValue::try_from(value).unwrap())]);
    CertificateSource::Header(header).find(&headers, &Extensions::new()).ok().map(|found| found.unwrap())
}

fn name(header: ClientCertificateHeader) -> http::HeaderName {
    header.name().clone()
}

/// Certificates in which only the three parts are those of a certificate.
fn certificates() -> impl Strategy<Value = Vec<u8>> {
    let part = || prop::collection::vec(any::<u8>(), 0..100);
    (part(), part(), part()).prop_map(|(to_be_signed, algorithm, signature)| {
        der(0x30, &[der(0x30, &to_be_signed), der(0x30, &algorithm), der(0x03, &signature)].concat())
    })
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..0x80 => [&[tag, length[1]], content].concat(),
        0x80..0x100 => [&[tag, 0x81, length[1]], content].concat(),
        _ => [&[tag, 0x82, length[0], length[1]], content].concat(),
    }
}

/// The value that the proxy sends.
fn value(header: ClientCertificateHeader, certificate: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(certificate);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let encoded = [("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
    let pem = encoded.iter().fold(pem, |text, (from, to)| text.replace(from, to));
    match header {
        ClientCertificateHeader::Rfc9440 => format!(":{base64}:"),
        ClientCertificateHeader::Nginx => pem,
        _ => {
            let hash: String = sha256(certificate).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            let cert = if certificate.len().is_multiple_of(2) { format!("Cert=\"{pem}\";") } else { String::new() };
            format!("By=spiffe://a/b;Hash={hash};{cert}Subject=\"CN=\\\"a\\\"\";URI=spiffe://a/c")
        }
    }
}

/// A place, whether a punctuation mark or the end is there, the number of bytes that are removed, and the text that is inserted.
fn edits() -> impl Strategy<Value = (prop::sample::Index, bool, usize, String)> {
    let marks = ["", "A", "=", "%", ":", ";", ",", "\"", "\\", " ", "%0A", "%0D%0A", "Hash=", "hash=00", "Cert=\""];
    let hash = "0a".repeat(32);
    let pairs = vec![format!(";Hash={hash}"), format!(",Hash={hash}"), format!("hash=\"{hash}\";")];
    let insertion = prop_oneof![
        prop::sample::select(marks.to_vec()).prop_map(str::to_owned),
        prop::sample::select(pairs),
        "[ -~]{0,3}",
    ];
    let length = prop_oneof![3 => Just(0), 1 => 1..3_usize, 1 => 0..400_usize];
    (any::<prop::sample::Index>(), any::<bool>(), length, insertion)
}

/// The digest of everything in the text that is base64, whatever else is in it.
fn digest(text: &str) -> Thumbprint {
    let base64: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || "+/".contains(*c)).collect();
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&base64::alphabet::STANDARD, config).decode(base64).unwrap_or_default();
    Thumbprint::from_bytes(sha256(&bytes).unwrap())
}

/// The digests of all certificates between markers, in a text with or without percent-encoding.
fn certificates_in(text: &str) -> Vec<Thumbprint> {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.map_or('%', char::from));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded.push_str(rest);
    let starts = decoded.split("BEGIN CERTIFICATE-----").skip(1);
    starts.map(|start| digest(start.split("-----END").next().unwrap())).collect()
}

/// The digests that all `Hash` and `Cert` of all elements name, for a reader that knows quotes.
fn named_by_envoy(text: &str) -> Vec<Thumbprint> {
    let (mut pairs, mut is_quoted, mut is_escaped) = (vec![String::new()], false, false);
    for character in text.trim().chars() {
        match character {
            '"' if !is_escaped => is_quoted = !is_quoted,
            ';' | ',' if !is_quoted => pairs.push(String::new()),
            _ => pairs.last_mut().unwrap().push(character),
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    let mut named = Vec::new();
    for (key, value) in pairs.iter().filter_map(|pair| pair.split_once('=')) {
        match key.trim().to_ascii_lowercase().as_str() {
            "hash" => {
                let bytes =
                    (0..value.len() / 2).map(|at| u8::from_str_radix(&value[2 * at..2 * at + 2], 16).unwrap_or(0));
                named.extend(<[u8; 32]>::try_from(bytes.collect::<Vec<_>>()).map(Thumbprint::from_bytes));
            }
            "cert" => named.extend(certificates_in(value)),
            _ => {}
        }
    }
    named
}
