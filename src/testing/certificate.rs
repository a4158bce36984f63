use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::jose::Thumbprint;
use crate::sender::{ClientCertificate, ClientCertificateHeader};
use crate::testing::signing_key::sha256;

/// An X.509 certificate with its private key, for tests of tokens that are bound to a certificate (RFC 8705).
///
/// It has a new P-256 key and never expires. Clones are the same certificate. It works in real TLS connections, for clients
/// and for servers.
///
/// ```
/// use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
/// use mcp_bearer::sender::SenderConstraint;
/// use mcp_bearer::testing::{TestCertificate, TestIssuer};
/// use mcp_bearer::{AuthInfo, ResourceServer};
/// use tower::ServiceExt as _;
///
/// async fn whoami(auth: AuthInfo) -> String {
///     format!("{:?}", auth.subject())
/// }
///
/// # #[cfg(not(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
/// # fn main() {}
/// # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "rust-crypto")))]
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let issuer = TestIssuer::new("https://auth.example.com");
///     let server = ResourceServer::builder("https://mcp.example.com/mcp")
///         .issuer(issuer.issuer())
///         .sender_constraint(SenderConstraint::Mtls)
///         .client_certificate_from_connection()
///         .build()
///         .await?;
///     let app = Router::new().route("/mcp", get(whoami)).route_layer(server.bearer_layer());
///
///     let certificate = TestCertificate::new("client.example");
///     let token = issuer.token().audience("https://mcp.example.com/mcp");
///     let token = token.bound_to_certificate(certificate.thumbprint()).sign();
///     // In production, the TLS acceptor inserts this extension.
///     for (presented, status) in [
///         (Some(certificate.client_certificate()), StatusCode::OK),
///         (Some(TestCertificate::new("thief.example").client_certificate()), StatusCode::UNAUTHORIZED),
///         (None, StatusCode::UNAUTHORIZED),
///     ] {
///         let mut request = Request::get("/mcp")
///             .header("authorization", format!("Bearer {token}"))
///             .body(Body::empty())?;
///         if let Some(presented) = presented {
///             request.extensions_mut().insert(presented);
///         }
///         assert_eq!(app.clone().oneshot(request).await?.status(), status);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct TestCertificate(Arc<CertifiedIssuer<'static, KeyPair>>);

impl TestCertificate {
    /// Makes a self-signed certificate with this name.
    ///
    /// # Panics
    /// If the name is neither an IP address nor a host name in ASCII.
    #[must_use]
    #[track_caller]
    pub fn new(name: &str) -> Self {
        made(CertifiedIssuer::self_signed(parameters(name), key()))
    }

    /// Makes the certificate of a certificate authority. [`issue`](Self::issue) makes certificates that it has signed.
    ///
    /// # Panics
    /// If the name is neither an IP address nor a host name in ASCII.
    #[must_use]
    #[track_caller]
    pub fn authority(name: &str) -> Self {
        let mut parameters = parameters(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        parameters.extended_key_usages.clear();
        made(CertifiedIssuer::self_signed(parameters, key()))
    }

    /// Makes a certificate with this name that this certificate authority has signed.
    ///
    /// ```
    /// use mcp_bearer::testing::TestCertificate;
    ///
    /// let authority = TestCertificate::authority("authority.example");
    /// let (client, server) = (authority.issue("client.example"), authority.issue("127.0.0.1"));
    /// assert_ne!(client.thumbprint(), server.thumbprint());
    /// ```
    ///
    /// # Panics
    /// If the name is neither an IP address nor a host name in ASCII.
    #[must_use]
    #[track_caller]
    pub fn issue(&self, name: &str) -> Self {
        made(CertifiedIssuer::signed_by(parameters(name), key(), &self.0))
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// The private key in DER (PKCS #8).
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        self.0.key().serialized_der()
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.der())
    }

    /// The private key in PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key_der())
    }

    /// The SHA-256 digest of the certificate in DER, for [`bound_to_certificate`](super::TestToken::bound_to_certificate).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(self.der()))
    }

    /// The extension of a request on a connection on which the client has presented this certificate.
    #[must_use]
    pub fn client_certificate(&self) -> ClientCertificate {
        ClientCertificate::from_thumbprint(self.thumbprint())
    }

    /// The header of a request from a proxy to which the client has presented this certificate.
    ///
    /// ```
    /// use http::Request;
    /// use mcp_bearer::sender::ClientCertificateHeader;
    /// use mcp_bearer::testing::TestCertificate;
    ///
    /// let (name, value) = TestCertificate::new("client.example").proxy_header(ClientCertificateHeader::Rfc9440);
    /// let request = Request::get("/mcp").header(name, value).body(()).unwrap();
    /// assert!(request.headers()["client-cert"].as_bytes().starts_with(b":MII"));
    /// ```
    #[must_use]
    #[expect(clippy::expect_used, reason = "base64, percent-encoding and hexadecimal are ASCII")]
    pub fn proxy_header(&self, header: ClientCertificateHeader) -> (HeaderName, HeaderValue) {
        let (name, value) = match header {
            ClientCertificateHeader::Rfc9440 => ("client-cert", format!(":{}:", BASE64_STANDARD.encode(self.der()))),
            ClientCertificateHeader::Nginx => ("ssl-client-cert", percent_encoded(&self.pem())),
            ClientCertificateHeader::Envoy => {
                let hash = self.thumbprint().as_bytes().iter().fold(String::new(), |mut hash, byte| {
                    let _ = write!(hash, "{byte:02x}");
                    hash
                });
                let value = format!("Hash={hash};Cert=\"{}\";Subject=\"\"", percent_encoded(&self.pem()));
                ("x-forwarded-client-cert", value)
            }
        };
        (HeaderName::from_static(name), HeaderValue::try_from(value).expect("the value is ASCII"))
    }
}

#[track_caller]
#[expect(clippy::expect_used, reason = "a mistake in a test stops the test")]
fn parameters(name: &str) -> CertificateParams {
    let names = vec![name.to_owned()];
    let mut parameters = CertificateParams::new(names).expect("the name is an IP address or a host name");
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

#[expect(clippy::expect_used, reason = "making a key fails only without a source of randomness")]
fn key() -> KeyPair {
    KeyPair::generate().expect("a key pair can be made")
}

#[expect(clippy::expect_used, reason = "a new key pair signs")]
fn made(certificate: Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error>) -> TestCertificate {
    TestCertificate(Arc::new(certificate.expect("a certificate can be made")))
}

/// PEM (RFC 7468, section 2).
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Encodes all characters that are not unreserved (RFC 3986, section 2.1), as nginx does.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Without the private key.
impl fmt::Debug for TestCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificate").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{Extensions, HeaderMap};

    use super::*;
    use crate::sender::CertificateSource;

    #[test]
    fn the_extension_and_each_header_name_the_same_certificate() {
        let authority = TestCertificate::authority("authority.example");
        for certificate in [TestCertificate::new("client.example"), authority.issue("127.0.0.1"), authority] {
            let expected = Ok(Some(certificate.thumbprint()));
            assert_eq!(ClientCertificate::from_der(certificate.der()), Ok(certificate.client_certificate()));
            let mut extensions = Extensions::new();
            extensions.insert(certificate.client_certificate());
            assert_eq!(CertificateSource::Connection.find(&HeaderMap::new(), &extensions), expected);
            for header in
                [ClientCertificateHeader::Rfc9440, ClientCertificateHeader::Nginx, ClientCertificateHeader::Envoy]
            {
                let headers = HeaderMap::from_iter([certificate.proxy_header(header)]);
                assert_eq!(
                    CertificateSource::Header(header).find(&headers, &Extensions::new()),
                    expected,
                    "{header:?}"
                );
            }
        }
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let certificate = TestCertificate::new("client.example");
        let printed = format!("{certificate:?}");
        assert_eq!(printed, format!("TestCertificate {{ thumbprint: Thumbprint({}), .. }}", certificate.thumbprint()));
    }
}
