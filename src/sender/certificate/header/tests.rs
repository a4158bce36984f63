#![allow(clippy::string_slice, reason = "tests know their data")]

use http::{Extensions, HeaderName};

use super::*;
use crate::sender::CertificateSource;

/// The certificate and its thumbprint of RFC 8705, appendix A.
const BASE64: [&str; 6] = [
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx",
    "ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG",
    "SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ",
    "/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID",
    "SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV",
    "bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=",
];
const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
const HEX: &str = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
/// The certificate of RFC 9440, appendix A, in three lines.
const OTHER: [&str; 3] = [
    "MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0D",
    "AQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIw",
    "HQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=",
];

fn pem() -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.join("\n"))
}

/// As nginx writes it: only unreserved characters are not encoded.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// As Envoy writes it: five characters are encoded.
fn escaped_by_envoy(text: &str) -> String {
    let encoded = [("%", "%25"), ("\n", "%0A"), (" ", "%20"), ("+", "%2B"), ("/", "%2F"), ("=", "%3D")];
    encoded.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn find(header: ClientCertificateHeader, values: &[&str]) -> Result<Option<String>, CertificateFault> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header.name(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    match CertificateSource::Header(header).find(&headers, &Extensions::new()) {
        Ok(found) => Ok(found.map(|thumbprint| thumbprint.to_string())),
        Err(error) => Err(error.fault()),
    }
}

fn found() -> Result<Option<String>, CertificateFault> {
    Ok(Some(THUMBPRINT.to_owned()))
}

#[test]
fn a_request_without_the_header_has_no_certificate() {
    for header in [ClientCertificateHeader::Rfc9440, ClientCertificateHeader::Nginx, ClientCertificateHeader::Envoy] {
        assert_eq!(find(header, &[]), Ok(None));
    }
}

#[test]
fn client_cert_is_one_byte_sequence() {
    let base64 = BASE64.concat();
    let der = BASE64_STANDARD.decode(&base64).unwrap();
    let encoded = |bytes: &[u8]| format!(":{}:", BASE64_STANDARD.encode(bytes));
    let valid = format!(":{base64}:");
    assert_eq!(find(ClientCertificateHeader::Rfc9440, &[&valid]), found());
    assert_eq!(find(ClientCertificateHeader::Rfc9440, &[&format!(" \t{valid} ")]), found());
    let other = find(ClientCertificateHeader::Rfc9440, &[&format!(":{}:", OTHER.concat())]).unwrap().unwrap();
    assert_eq!(other, "v68ffgcPn6jdYpBfFY2nP4ShE2Yk-6_Mk5PI9yh6aes");

    use CertificateFault::{NotByteSequence, NotDer, Repeated, TooLong};
    for (what, values, fault) in [
        ("twice", &[&*valid, &valid][..], Repeated),
        ("twice, one of them empty", &[&valid, ""], Repeated),
        ("joined", &[&format!("{valid}, {valid}")], NotByteSequence),
        ("joined without a space", &[&format!("{valid},{valid}")], NotByteSequence),
        ("empty", &[""], NotByteSequence),
        ("one colon", &[":"], NotByteSequence),
        ("no colons", &[&base64], NotByteSequence),
        ("no colon at the end", &[&format!(":{base64}")], NotByteSequence),
        ("no colon at the start", &[&format!("{base64}:")], NotByteSequence),
        ("two colons at the end", &[&format!("{valid}:")], NotByteSequence),
        ("in quotes", &[&format!("\"{base64}\"")], NotByteSequence),
        ("a parameter", &[&format!("{valid};a=1")], NotByteSequence),
        ("a list", &[&format!("({valid})")], NotByteSequence),
        ("no padding", &[&valid.replace('=', "")], NotByteSequence),
        ("too much padding", &[&valid.replace('=', "==")], NotByteSequence),
        ("bits that are left over", &[&valid.replace("SY=", "SZ=")], NotByteSequence),
        ("base64url", &[&valid.replace('+', "-").replace('/', "_")], NotByteSequence),
        ("a space in it", &[&valid.replace("MIIB", "MIIB ")], NotByteSequence),
        ("percent-encoded", &[&escaped(&valid)], NotByteSequence),
        ("PEM without line ends", &[&format!(":{}:", pem().replace('\n', ""))], NotByteSequence),
        ("a thumbprint in hexadecimal", &[HEX], NotByteSequence),
        ("not ASCII", &[":\u{e9}:"], NotByteSequence),
        ("no bytes", &["::"], NotDer),
        ("bytes after it", &[&encoded(&[&der[..], &[0]].concat())], NotDer),
        ("bytes before it", &[&encoded(&[&[0], &der[..]].concat())], NotDer),
        ("two certificates", &[&encoded(&[&der[..], &der].concat())], NotDer),
        ("the last byte is missing", &[&encoded(&der[..der.len() - 1])], NotDer),
        ("its first part only", &[&encoded(&der[4..])], NotDer),
        ("PEM in base64", &[&encoded(pem().as_bytes())], NotDer),
        ("base64 in base64", &[&encoded(base64.as_bytes())], NotDer),
        ("a thumbprint", &[&encoded(&[7; 32])], NotDer),
        ("long", &[&format!(":{}:", "A".repeat(MAX_HEADER - 1))], TooLong),
    ] {
        assert_eq!(find(ClientCertificateHeader::Rfc9440, values), Err(fault), "{what}");
    }
}

#[test]
fn ssl_client_cert_is_one_certificate_in_percent_encoded_pem() {
    let valid = escaped(&pem());
    for (what, value) in [
        ("nginx", valid.clone()),
        ("small hexadecimal digits", valid.replace("%2B", "%2b").replace("%0A", "%0a")),
        ("only line ends are encoded", pem().replace('\n', "%0A")),
        ("no line end at the end", escaped(pem().trim_end())),
        ("CRLF", escaped(&pem().replace('\n', "\r\n"))),
        ("one line of base64", escaped(&pem().replace(&BASE64.join("\n"), &BASE64.concat()))),
    ] {
        assert_eq!(find(ClientCertificateHeader::Nginx, &[&value]), found(), "{what}");
    }
    let with = |from: &str, to: &str| escaped(&pem().replacen(from, to, 1));

    use CertificateFault::{NotDer, NotEscapedPem, Repeated, TooLong};
    for (what, values, fault) in [
        ("twice", &[&*valid, &valid][..], Repeated),
        ("joined", &[&format!("{valid},{valid}")], NotEscapedPem),
        ("empty", &[""], NotEscapedPem),
        ("not encoded, with tabs", &[&pem().trim_end().replace('\n', "\t")], NotEscapedPem),
        ("not encoded, with spaces", &[&pem().trim_end().replace('\n', " ")], NotEscapedPem),
        ("encoded twice", &[&escaped(&valid)], NotEscapedPem),
        ("plus signs for spaces", &[&valid.replace("%20", "+")], NotEscapedPem),
        ("plus signs that are not encoded twice", &[&valid.replace("%2B", "%20")], NotEscapedPem),
        ("a cut escape", &[&valid[..valid.len() - 1]], NotEscapedPem),
        ("an escape without digits", &[&valid.replace("%20", "%2g")], NotEscapedPem),
        ("an escape with a sign", &[&valid.replace("%0A", "%+A")], NotEscapedPem),
        ("two certificates", &[&escaped(&pem().repeat(2))], NotEscapedPem),
        ("text before it", &[&escaped(&format!("subject=mtls\n{}", pem()))], NotEscapedPem),
        ("text after it", &[&escaped(&format!("{}x", pem()))], NotEscapedPem),
        ("a line end before it", &[&escaped(&format!("\n{}", pem()))], NotEscapedPem),
        ("two line ends after it", &[&escaped(&format!("{}\n", pem()))], NotEscapedPem),
        ("a trusted certificate", &[&escaped(&pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE"))], NotEscapedPem),
        ("a key", &[&escaped(&pem().replace("CERTIFICATE", "PRIVATE KEY"))], NotEscapedPem),
        ("a marker in small letters", &[&escaped(&pem().replace("CERTIFICATE", "certificate"))], NotEscapedPem),
        ("no end marker", &[&escaped(pem().split("-----END").next().unwrap())], NotEscapedPem),
        ("no markers", &[&escaped(&BASE64.join("\n"))], NotEscapedPem),
        ("no line end after the marker", &[&with("-----\n", "-----")], NotEscapedPem),
        ("no line end before the marker", &[&with("\n-----END", "-----END")], NotEscapedPem),
        ("headers in it", &[&with("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n")], NotEscapedPem),
        (
            "a space at the end of a line",
            &[&with(
                "MTAx
", "MTAx 
",
            )],
            NotEscapedPem,
        ),
        ("a CR alone", &[&escaped(&pem().replace('\n', "\r"))], NotEscapedPem),
        ("a zero byte", &[&with("MIIB", "MIIB\0")], NotEscapedPem),
        ("not base64", &[&with("MIIB", "MI-B")], NotEscapedPem),
        ("no padding", &[&with("=", "")], NotEscapedPem),
        ("Client-Cert", &[&format!(":{}:", BASE64.concat())], NotEscapedPem),
        ("bytes after it", &[&with("SY=", "SYA")], NotDer),
        ("no bytes", &[&escaped("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----")], NotDer),
        ("long", &[&"%41".repeat(MAX_HEADER)], TooLong),
    ] {
        assert_eq!(find(ClientCertificateHeader::Nginx, values), Err(fault), "{what}");
    }
}

#[test]
fn x_forwarded_client_cert_is_one_element_with_a_hash_or_a_certificate() {
    let hash = format!("Hash={HEX}");
    let cert = format!("Cert=\"{}\"", escaped_by_envoy(&pem()));
    let subject = "Subject=\"CN=\\\"a\\\\\\\";Hash=0\\\",C=DE\"";
    for value in [
        hash.clone(),
        cert.clone(),
        format!("{hash};{cert}"),
        format!("By=spiffe://a/sa/b;{hash};{subject};URI=spiffe://a/sa/c;DNS=a.example;DNS=b.example"),
        format!("{subject};{hash}"),
        format!("By=;{hash};URI=https://a.example/?b=c"),
        format!("hash={}", HEX.to_uppercase()),
        format!("Hash=\"{HEX}\""),
        format!("Cert={}", escaped(&pem())),
        format!("Chain=\"{}\";{hash}", escaped_by_envoy(&pem().repeat(2))),
    ] {
        assert_eq!(find(ClientCertificateHeader::Envoy, &[&value]), found(), "{value}");
    }
    let other = format!("Hash={}", "0".repeat(64));

    use CertificateFault::{HashMismatch, NoHash, NotDer, NotEnvoy, Repeated, SeveralElements, TooLong};
    for (what, values, fault) in [
        ("twice", &[&*hash, &hash][..], Repeated),
        ("two elements", &[&format!("{hash},{hash}")], SeveralElements),
        ("two elements with a space", &[&format!("{other}, {hash}")], SeveralElements),
        ("an empty element after it", &[&format!("{hash},")], SeveralElements),
        ("a URI of the certificate with a comma", &[&format!("{other};URI=a,{hash}")], SeveralElements),
        ("a URI of the certificate with a semicolon", &[&format!("{other};URI=a;{hash}")], NotEnvoy),
        ("two hashes", &[&format!("{hash};{hash}")], NotEnvoy),
        ("two hashes with different keys", &[&format!("{hash};HASH={HEX}")], NotEnvoy),
        ("two certificates", &[&format!("{cert};{cert}")], NotEnvoy),
        ("two certificates in one value", &[&format!("Cert=\"{}\"", escaped_by_envoy(&pem().repeat(2)))], NotEnvoy),
        ("another hash", &[&format!("{other};{cert}")], HashMismatch),
        ("neither hash nor certificate", &["By=a;Subject=\"CN=mtls\";URI=b"], NoHash),
        ("a hash in the subject", &[&format!("Subject=\";{hash}\"")], NoHash),
        ("a chain only", &[&cert.replace("Cert", "Chain")], NoHash),
        ("empty", &[""], NotEnvoy),
        ("an empty element before it", &[&format!(",{hash}")], NotEnvoy),
        ("a semicolon at the end", &[&format!("{hash};")], NotEnvoy),
        ("two semicolons", &[&format!("{hash};;{cert}")], NotEnvoy),
        ("a space after a semicolon", &[&format!("By=a; {hash}")], NotEnvoy),
        ("a space before the sign", &[&hash.replace('=', " =")], NotEnvoy),
        ("no sign", &["Hash"], NotEnvoy),
        ("no key", &[&format!("={HEX}")], NotEnvoy),
        ("no value", &["Hash="], NotEnvoy),
        ("no end of the quotes", &[&format!("Hash=\"{HEX}")], NotEnvoy),
        ("an escaped end of the quotes", &[&format!("Hash=\"{HEX}\\\"")], NotEnvoy),
        ("text after the quotes", &[&format!("Hash=\"{HEX}\"a")], NotEnvoy),
        ("quotes in the value", &[&format!("By=a\"b\";{hash}")], NotEnvoy),
        ("a short hash", &[&hash[..hash.len() - 1]], NotEnvoy),
        ("a long hash", &[&format!("{hash}0")], NotEnvoy),
        ("a hash with colons", &["Hash=03:80:ed:2f"], NotEnvoy),
        ("a hash with a sign", &[&hash.replace("=03", "=+3")], NotEnvoy),
        ("a hash in base64url", &[&format!("Hash={THUMBPRINT}")], NotEnvoy),
        ("a hash in UTF-8", &[&hash.replace("=03", "=\u{e9}")], NotEnvoy),
        ("SHA-1", &["Hash=0380ed2f626650c840b2f263e6d2b29fae12ab39"], NotEnvoy),
        ("a certificate that is not PEM", &["Cert=\"AAAA\""], NotEnvoy),
        ("an empty certificate", &["Cert=\"\""], NotEnvoy),
        (
            "base64 of another kind",
            &["Cert=\"-----BEGIN CERTIFICATE-----%0AAAAA%0A-----END CERTIFICATE-----\""],
            NotDer,
        ),
        ("a valid hash and an invalid certificate", &[&format!("{hash};Cert=\"AAAA\"")], NotEnvoy),
        ("an invalid hash and a valid certificate", &[&format!("Hash=00;{cert}")], NotEnvoy),
        ("Client-Cert", &[&format!(":{}:", BASE64.concat())], NotEnvoy),
        ("long", &[&format!("By={};{hash}", "a".repeat(MAX_HEADER))], TooLong),
    ] {
        assert_eq!(find(ClientCertificateHeader::Envoy, values), Err(fault), "{what}");
    }
}

#[test]
fn headers_that_are_not_from_the_configured_proxy_are_removed() {
    const NAMES: [&str; 5] =
        ["client-cert", "client-cert-chain", "ssl-client-cert", "x-forwarded-client-cert", "x-other"];
    for (source, left) in [
        (CertificateSource::Connection, &["x-other"][..]),
        (CertificateSource::Header(ClientCertificateHeader::Rfc9440), &["client-cert", "client-cert-chain", "x-other"]),
        (CertificateSource::Header(ClientCertificateHeader::Nginx), &["ssl-client-cert", "x-other"]),
        (CertificateSource::Header(ClientCertificateHeader::Envoy), &["x-forwarded-client-cert", "x-other"]),
    ] {
        let mut headers = HeaderMap::new();
        for name in NAMES.iter().chain(&NAMES) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("a"));
        }
        source.remove_untrusted(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, left, "{source:?}");
    }
}

#[test]
fn each_source_reads_its_own_place_only() {
    let der = BASE64_STANDARD.decode(BASE64.concat()).unwrap();
    let certificate = ClientCertificate::from_der(&der).unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(certificate);
    let mut headers = HeaderMap::new();
    headers.insert("client-cert", HeaderValue::try_from(format!(":{}:", BASE64.concat())).unwrap());

    let header = CertificateSource::Header(ClientCertificateHeader::Rfc9440);
    for (source, headers, extensions, expected) in [
        (CertificateSource::Connection, &headers, &extensions, true),
        (CertificateSource::Connection, &HeaderMap::new(), &extensions, true),
        (CertificateSource::Connection, &headers, &Extensions::new(), false),
        (header, &headers, &Extensions::new(), true),
        (header, &HeaderMap::new(), &extensions, false),
        (CertificateSource::Header(ClientCertificateHeader::Nginx), &headers, &extensions, false),
    ] {
        let found = source.find(headers, extensions).unwrap();
        assert_eq!(found, expected.then(|| certificate.thumbprint()), "{source:?}");
    }
}
