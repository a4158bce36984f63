use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::client_certificate::{CertificateFault, ClientCertificate, InvalidCertificate};
use super::{envoy, pem};
use crate::jose::Thumbprint;

/// The header in which a proxy passes on the certificate that the client has presented to it (RFC 8705, section 6.5).
///
/// # The danger
///
/// The proxy must replace the header in each request, and remove it if the client has presented no certificate. No client may
/// reach this server without the proxy. Otherwise a client can name any certificate, and certificates are not secret: a thief
/// could use a stolen token.
///
/// A request with more than one header of this name, or with another form of its value, is rejected. The other headers of this
/// list are removed from the request, so that no handler reads one that a client has sent.
///
/// ```
/// use mcp_bearer::ResourceServer;
/// use mcp_bearer::sender::{ClientCertificateHeader, SenderConstraint};
///
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
///     .sender_constraint(SenderConstraint::Mtls)
///     .client_certificate_from_header(ClientCertificateHeader::Rfc9440);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCertificateHeader {
    /// `Client-Cert`: the certificate in base64, between two colons (RFC 9440, section 2.1). HAProxy:
    ///
    /// ```text
    /// http-request del-header Client-Cert
    /// http-request set-header Client-Cert ":%[ssl_c_der,base64]:" if { ssl_c_used }
    /// ```
    Rfc9440,
    /// `ssl-client-cert`: the certificate in PEM, percent-encoded. The ingress controller of Kubernetes for nginx uses this
    /// name. nginx:
    ///
    /// ```text
    /// ssl_verify_client optional_no_ca;
    /// proxy_set_header ssl-client-cert $ssl_client_escaped_cert;
    /// ```
    Nginx,
    /// `X-Forwarded-Client-Cert`: exactly one element, with `Hash`, `Cert` or both. Envoy:
    ///
    /// ```text
    /// forward_client_cert_details: SANITIZE_SET
    /// ```
    ///
    /// The headers of several proxies in a row, with `APPEND_FORWARD`, are rejected: the header does not say which element is
    /// that of the proxy in front of this server.
    Envoy,
}

impl ClientCertificateHeader {
    pub(super) const fn name(self) -> &'static HeaderName {
        match self {
            Self::Rfc9440 => &CLIENT_CERT,
            Self::Nginx => &SSL_CLIENT_CERT,
            Self::Envoy => &FORWARDED_CLIENT_CERT,
        }
    }

    /// Removes all headers with certificates, except those that a proxy with this setting sends.
    pub(super) fn remove_others(setting: Option<Self>, headers: &mut HeaderMap) {
        for header in [Self::Rfc9440, Self::Nginx, Self::Envoy] {
            if setting != Some(header) {
                headers.remove(header.name());
            }
        }
        if setting != Some(Self::Rfc9440) {
            headers.remove(&CHAIN);
        }
    }

    /// The thumbprint of the certificate in the header. `None` if the request does not have the header.
    pub(super) fn find(self, headers: &HeaderMap) -> Result<Option<Thumbprint>, InvalidCertificate> {
        let mut fields = headers.get_all(self.name()).iter().map(HeaderValue::as_bytes);
        let value = match (fields.next(), fields.next()) {
            (None, _) => return Ok(None),
            // White space around a value is not part of it (RFC 9110, section 5.5).
            (Some(value), None) => value.trim_ascii(),
            (Some(_), Some(_)) => return Err(CertificateFault::Repeated.into()),
        };
        if value.len() > MAX_HEADER {
            return Err(CertificateFault::TooLong.into());
        }
        let der = match self {
            Self::Rfc9440 => byte_sequence(value).ok_or(CertificateFault::NotByteSequence)?,
            Self::Nginx => pem::escaped_certificate(value).ok_or(CertificateFault::NotEscapedPem)?,
            Self::Envoy => return envoy::find(value).map(Some),
        };
        ClientCertificate::from_der(&der).map(|certificate| Some(certificate.thumbprint()))
    }
}

/// The bytes of a byte sequence without parameters (RFC 9651, section 3.3.5). Base64 is strict: RFC 9440 requires padding.
fn byte_sequence(value: &[u8]) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value.strip_prefix(b":")?.strip_suffix(b":")?).ok()
}

/// The certificates that issued the certificate in `Client-Cert` (RFC 9440, section 2.3).
static CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
static SSL_CLIENT_CERT: HeaderName = HeaderName::from_static("ssl-client-cert");
static FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// The longest value of a header. A certificate in percent-encoded PEM has 2 to 4 KiB, and one with a hundred names 10 KiB. HTTP
/// servers accept 16 KiB for all headers, or a few times as much.
const MAX_HEADER: usize = 16 * 1024;

#[cfg(test)]
mod tests;
