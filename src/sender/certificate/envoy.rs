use super::client_certificate::{CertificateFault, ClientCertificate, InvalidCertificate};
use super::pem;
use crate::jose::Thumbprint;

/// The thumbprint in a value of `X-Forwarded-Client-Cert` with one element.
///
/// An element has pairs `key=value` with semicolons between them, and is about one connection. Proxies append elements with a
/// comma. Which of several elements this server's proxy has written cannot be seen in the header, so only one is accepted.
///
/// Envoy does not quote the names of the certificate in `URI`. A client that can choose its names could add pairs with them,
/// so a repeated `Hash` or `Cert` is rejected.
pub(super) fn find(value: &[u8]) -> Result<Thumbprint, InvalidCertificate> {
    let mut named = NamedCertificate::default();
    let mut rest = value;
    loop {
        let (key, value, after) = pair(rest).ok_or(CertificateFault::NotEnvoy)?;
        named.set(key, value)?;
        match after.split_first() {
            None => return named.thumbprint(),
            Some((b';', after)) => rest = after,
            Some((b',', _)) => return Err(CertificateFault::SeveralElements.into()),
            Some(_) => return Err(CertificateFault::NotEnvoy.into()),
        }
    }
}

/// The pairs that name the certificate of the client. Names, and the certificates that issued it, are not read.
#[derive(Default)]
struct NamedCertificate<'v> {
    hash: Option<&'v [u8]>,
    certificate: Option<&'v [u8]>,
}

impl<'v> NamedCertificate<'v> {
    /// Keeps the value of a key, which is not case-sensitive.
    fn set(&mut self, key: &[u8], value: &'v [u8]) -> Result<(), CertificateFault> {
        let place = match key {
            _ if key.eq_ignore_ascii_case(b"hash") => &mut self.hash,
            _ if key.eq_ignore_ascii_case(b"cert") => &mut self.certificate,
            _ => return Ok(()),
        };
        place.replace(value).map_or(Ok(()), |_| Err(CertificateFault::NotEnvoy))
    }

    fn thumbprint(&self) -> Result<Thumbprint, InvalidCertificate> {
        let hash = self.hash.map(|hash| sha256_in_hex(hash).ok_or(CertificateFault::NotEnvoy)).transpose()?;
        let of_certificate = match self.certificate {
            Some(pem) => {
                let der = pem::escaped_certificate(pem).ok_or(CertificateFault::NotEnvoy)?;
                Some(ClientCertificate::from_der(&der)?.thumbprint())
            }
            None => None,
        };
        match (hash, of_certificate) {
            (Some(hash), Some(of_certificate)) if hash != of_certificate => Err(CertificateFault::HashMismatch.into()),
            (Some(thumbprint), _) | (None, Some(thumbprint)) => Ok(thumbprint),
            (None, None) => Err(CertificateFault::NoHash.into()),
        }
    }
}

/// The first pair of an element: its key, its value without quotes, and the text after it.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, value) = text.split_at_checked(text.iter().position(|byte| *byte == b'=')?)?;
    let value = value.strip_prefix(b"=")?;
    let is_key = !key.is_empty() && key.iter().all(u8::is_ascii_alphanumeric);
    let (value, after) = match value.strip_prefix(b"\"") {
        Some(quoted) => {
            let (value, after) = quoted.split_at_checked(closing_quote(quoted)?)?;
            (value, after.strip_prefix(b"\"")?)
        }
        None => {
            let end = value.iter().position(|byte| matches!(byte, b';' | b',' | b'"')).unwrap_or(value.len());
            value.split_at_checked(end)?
        }
    };
    is_key.then_some((key, value, after))
}

/// The position of the first quote that no backslash is before. A backslash belongs to the byte after it.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })
}

fn sha256_in_hex(text: &[u8]) -> Option<Thumbprint> {
    let digits: &[u8; 64] = text.try_into().ok()?;
    let (pairs, _) = digits.as_chunks();
    let bytes: Vec<u8> = pairs.iter().map(|digits| pem::hex_byte(*digits)).collect::<Option<_>>()?;
    bytes.try_into().ok().map(Thumbprint::from_bytes)
}
