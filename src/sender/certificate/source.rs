use http::{Extensions, HeaderMap};

use super::{ClientCertificate, ClientCertificateHeader, InvalidCertificate};
use crate::jose::Thumbprint;

/// Where a server gets the certificate of the client from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateSource {
    /// A [`ClientCertificate`] in the extensions of the request.
    Connection,
    /// The header of a trusted proxy.
    Header(ClientCertificateHeader),
}

impl CertificateSource {
    /// The thumbprint of the client's certificate. `None` if the client has presented no certificate.
    pub(crate) fn find(
        self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Option<Thumbprint>, InvalidCertificate> {
        match self {
            Self::Connection => Ok(extensions.get::<ClientCertificate>().map(ClientCertificate::thumbprint)),
            Self::Header(header) => header.find(headers),
        }
    }

    /// Removes all headers with certificates that are not from the trusted proxy, so that no handler reads them.
    pub(crate) fn remove_untrusted(self, headers: &mut HeaderMap) {
        match self {
            Self::Connection => ClientCertificateHeader::remove_others(None, headers),
            Self::Header(header) => ClientCertificateHeader::remove_others(Some(header), headers),
        }
    }
}
