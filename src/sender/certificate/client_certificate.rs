use crate::crypto;
use crate::jose::Thumbprint;

/// The certificate that the client has presented in the TLS handshake, as its thumbprint (RFC 8705, section 3.1).
///
/// The program that accepts TLS connections inserts it into the extensions of each request of the connection, if the client
/// has presented a certificate. A middleware outside of the layer can insert it too, for a proxy that
/// [`ClientCertificateHeader`](super::ClientCertificateHeader) does not have.
///
/// The TLS library must have verified that the client has the private key, as each TLS library does. An access token is bound
/// to one certificate, so the issuer of the certificate is not important to this crate: the server may accept self-signed
/// certificates (RFC 8705, sections 2.2 and 6.2).
///
/// ```
/// use http::Request;
/// use mcp_bearer::sender::{ClientCertificate, InvalidCertificate};
///
/// /// Called for each request, with the first of rustls's `peer_certificates()`.
/// fn with_certificate<B>(mut request: Request<B>, der: Option<&[u8]>) -> Result<Request<B>, InvalidCertificate> {
///     if let Some(der) = der {
///         request.extensions_mut().insert(ClientCertificate::from_der(der)?);
///     }
///     Ok(request)
/// }
/// # assert!(with_certificate(Request::new(()), None).is_ok());
/// # assert!(with_certificate(Request::new(()), Some(b"-----BEGIN CERTIFICATE-----")).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientCertificate(Thumbprint);

impl ClientCertificate {
    /// Takes the DER encoding of one X.509 certificate, and keeps its SHA-256 digest.
    ///
    /// # Errors
    /// If the bytes are not exactly one certificate: PEM text, a key, a chain, or bytes after the certificate. In a build
    /// without a cryptography backend, always.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidCertificate> {
        if !is_certificate(der) {
            return Err(CertificateFault::NotDer.into());
        }
        let digest = crypto::sha256(der).ok_or(CertificateFault::NoBackend)?;
        Ok(Self(Thumbprint::from_bytes(digest)))
    }

    /// Takes the thumbprint, from a TLS library or a proxy that gives only the SHA-256 digest of the certificate.
    #[must_use]
    pub const fn from_thumbprint(thumbprint: Thumbprint) -> Self {
        Self(thumbprint)
    }

    /// The SHA-256 digest of the DER encoding, which the member `x5t#S256` of the claim `cnf` has.
    #[must_use]
    pub const fn thumbprint(&self) -> Thumbprint {
        self.0
    }
}

/// A client certificate that cannot be read. `Display` says why, and how to repair it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub struct InvalidCertificate(CertificateFault);

/// Why a client certificate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateFault {
    NotDer,
    NoBackend,
    Repeated,
    TooLong,
    NotByteSequence,
    NotEscapedPem,
    NotEnvoy,
    SeveralElements,
    NoHash,
    HashMismatch,
}

impl From<CertificateFault> for InvalidCertificate {
    fn from(fault: CertificateFault) -> Self {
        Self(fault)
    }
}

impl InvalidCertificate {
    #[cfg(test)]
    pub(super) const fn fault(self) -> CertificateFault {
        self.0
    }

    /// The cause with its repair: a fixed sentence without a byte of the request.
    pub(crate) const fn reason(self) -> &'static str {
        match self.0 {
            CertificateFault::NotDer => {
                "the client certificate is not the DER encoding of one X.509 certificate; pass its bytes without PEM \
                 markers, and without other certificates"
            }
            CertificateFault::NoBackend => {
                "this build does not have a cryptography backend; enable the feature `aws-lc-rs` or `rust-crypto`"
            }
            CertificateFault::Repeated => {
                "the request has more than one header with the client certificate; let the proxy replace the header that \
                 the client sends"
            }
            CertificateFault::TooLong => {
                "the header with the client certificate has more than 16 KiB; let the proxy send the certificate without its \
                 chain"
            }
            CertificateFault::NotByteSequence => {
                "`Client-Cert` is not a colon, the certificate in base64, and a colon (RFC 9440, section 2.1); check the \
                 configuration of the proxy"
            }
            CertificateFault::NotEscapedPem => {
                "`ssl-client-cert` is not one PEM certificate in percent-encoding; set it to `$ssl_client_escaped_cert` in \
                 nginx"
            }
            CertificateFault::NotEnvoy => {
                "`X-Forwarded-Client-Cert` is not a list of the form `key=value;key=value` with at most one `Hash` and one \
                 `Cert`; check the configuration of the proxy"
            }
            CertificateFault::SeveralElements => {
                "`X-Forwarded-Client-Cert` has the certificates of several connections; let Envoy replace the header that the \
                 client sends, with `forward_client_cert_details: SANITIZE_SET`"
            }
            CertificateFault::NoHash => {
                "`X-Forwarded-Client-Cert` has neither `Hash` nor `Cert`; let Envoy set the header, with \
                 `forward_client_cert_details: SANITIZE_SET`"
            }
            CertificateFault::HashMismatch => {
                "`Hash` of `X-Forwarded-Client-Cert` is not the SHA-256 digest of `Cert`; check which proxy writes the header"
            }
        }
    }
}

/// Whether `der` is a SEQUENCE of a SEQUENCE, a SEQUENCE and a BIT STRING (RFC 5280, section 4.1), and nothing else.
///
/// The TLS library or the proxy has parsed the certificate. This check finds input of another kind, whose digest would be
/// compared in vain, and bytes that would change the digest.
fn is_certificate(der: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let parts = || {
        let (content, rest) = element(SEQUENCE, der)?;
        let (_to_be_signed, parts) = element(SEQUENCE, content)?;
        let (_algorithm, parts) = element(SEQUENCE, parts)?;
        let (_signature, parts) = element(BIT_STRING, parts)?;
        Some((rest, parts))
    };
    parts().is_some_and(|(rest, parts)| rest.is_empty() && parts.is_empty())
}

/// The content of the element at the start, and the bytes after it (X.690, sections 8.1 and 10.1).
fn element(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = input.split_first_chunk()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        // A length in as few bytes as possible. Four bytes are more than any message can have.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = bytes.iter().fold(0_u32, |length, byte| length << 8 | u32::from(*byte));
            let is_shortest = length >= 0x80 && bytes.first() != Some(&0);
            (is_shortest.then(|| usize::try_from(length).ok()).flatten()?, rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element with this tag and content, with the length in the shortest form.
    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(3)..];
        let long = [0x80 | u8::try_from(significant.len()).unwrap()];
        let prefix = if content.len() < 0x80 { &[] } else { &long[..] };
        [&[tag], prefix, significant, content].concat()
    }

    fn certificate(parts: &[Vec<u8>]) -> Vec<u8> {
        der(0x30, &parts.concat())
    }

    #[test]
    fn only_the_der_encoding_of_one_certificate_is_accepted() {
        let (sequence, bits) = (der(0x30, &[2, 1, 7]), der(0x03, &[0, 1]));
        let valid = certificate(&[sequence.clone(), sequence.clone(), bits.clone()]);
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let long = certificate(&[der(0x30, &vec![0; length]), sequence.clone(), bits.clone()]);
            assert!(ClientCertificate::from_der(&long).is_ok(), "{length}");
        }
        let key = certificate(&[sequence.clone(), bits.clone()]);
        let with_length = |length: &[u8]| [&[0x30], length, &valid[2..]].concat();
        let content = u8::try_from(valid.len() - 2).unwrap();
        for (what, wrong) in [
            ("empty", vec![]),
            ("a tag alone", vec![0x30]),
            ("PEM", b"-----BEGIN CERTIFICATE-----\nMIIB".to_vec()),
            ("base64", b"MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0w".to_vec()),
            ("bytes after it", [&valid[..], b"\n"].concat()),
            ("a zero byte after it", [&valid[..], &[0]].concat()),
            ("two certificates", valid.repeat(2)),
            ("cut", valid[..valid.len() - 1].to_vec()),
            ("an empty sequence", certificate(&[])),
            ("a public key", key.clone()),
            ("four parts", certificate(&[sequence.clone(), sequence.clone(), bits.clone(), bits.clone()])),
            ("parts in another order", certificate(&[sequence.clone(), bits.clone(), sequence.clone()])),
            ("an octet string as signature", certificate(&[sequence.clone(), sequence.clone(), der(0x04, &[0])])),
            ("a set", der(0x31, &[sequence.clone(), sequence.clone(), bits.clone()].concat())),
            ("a certificate in a sequence", der(0x30, &valid)),
            ("a length of indefinite form", [&with_length(&[0x80])[..], &[0, 0]].concat()),
            ("a longer form of the length", with_length(&[0x81, content])),
            ("a zero before the length", with_length(&[0x82, 0, content])),
            ("a length of five bytes", with_length(&[0x85, 0, 0, 0, 0, content])),
            ("a length beyond the input", with_length(&[0x84, 0xff, 0xff, 0xff, 0xff])),
            ("no bytes of the length", vec![0x30, 0x84, 1]),
            ("the reserved length", with_length(&[0xff])),
        ] {
            assert_eq!(ClientCertificate::from_der(&wrong), Err(CertificateFault::NotDer.into()), "{what}");
        }
    }
}
