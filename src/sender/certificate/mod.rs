//! Client certificates that access tokens are bound to (RFC 8705), from the TLS connection or from the header of a proxy.

mod client_certificate;
mod envoy;
mod header;
mod pem;
mod source;

pub use client_certificate::{ClientCertificate, InvalidCertificate};
pub use header::ClientCertificateHeader;
pub(crate) use source::CertificateSource;

#[cfg(test)]
mod properties;
