//! Why no connection could be made. An operator repairs each reason in another way.

use std::error::Error as StdError;
use std::io::ErrorKind;

use super::{FetchError, HttpErrorKind};

/// The reason why a request got no response, as far as the causes of its error show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConnectionProblem {
    /// No process listens on the port.
    Refused,
    /// The host name does not have an address.
    UnknownHost,
    TimedOut,
    /// The certificate of the server is not accepted. The value is the message of the TLS library.
    Certificate(String),
    /// The server does not speak TLS.
    NotTls,
    Other,
}

impl ConnectionProblem {
    pub(crate) fn from_error(error: &FetchError) -> Self {
        if error.http_error().is_some_and(|error| error.kind() == HttpErrorKind::Timeout) {
            return Self::TimedOut;
        }
        let causes = std::iter::successors(error.source(), |cause| (**cause).source());
        causes.filter_map(Self::from_cause).next().unwrap_or(Self::Other)
    }

    /// Describes the problem for an operator.
    pub(crate) fn text(&self, error: &FetchError) -> String {
        match self {
            Self::Refused => "the connection was refused".to_owned(),
            Self::TimedOut => "the request timed out".to_owned(),
            Self::UnknownHost => "its host name does not have an address".to_owned(),
            Self::Certificate(text) => text.clone(),
            Self::NotTls => "the server does not respond with TLS".to_owned(),
            Self::Other => {
                let root = std::iter::successors(error.source(), |cause| (**cause).source()).last();
                root.map_or_else(|| "no response".to_owned(), ToString::to_string)
            }
        }
    }

    /// The repair, if it is the same for every URL.
    pub(crate) fn repair(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(text) => Some(certificate_repair(text)),
            Self::NotTls => Some(
                "its URL has the scheme https, but the server speaks http on this port: check the scheme and the port",
            ),
            Self::Refused | Self::UnknownHost | Self::TimedOut | Self::Other => None,
        }
    }

    fn from_cause(cause: &(dyn StdError + 'static)) -> Option<Self> {
        match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => return Some(Self::Refused),
            Some(ErrorKind::TimedOut) => return Some(Self::TimedOut),
            _ => {}
        }
        let text = cause.to_string();
        if text.contains(INVALID_CERTIFICATE) {
            Some(Self::Certificate(text))
        } else if NOT_TLS.iter().any(|known| text.contains(known)) {
            Some(Self::NotTls)
        } else if TIMED_OUT.iter().any(|known| text.contains(known)) {
            Some(Self::TimedOut)
        } else if UNKNOWN_HOST.iter().any(|known| text.contains(known)) {
            Some(Self::UnknownHost)
        } else {
            None
        }
    }
}

/// The repair for an error of the TLS library about a certificate.
fn certificate_repair(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.contains("expired") || text.contains("not valid before") || text.contains("notvalidyet") {
        "renew the certificate of the authorization server, and check the clock of this machine"
    } else if text.contains("not valid for name") || text.contains("notvalidforname") {
        "use a host name that the certificate is for, or let the authorization server present a certificate for this name"
    } else {
        "if its CA is your own, pass `Issuer::http_client` a client that trusts it: \
         `ReqwestClient::configured(|builder| builder.tls_certs_merge([ca.clone()]))`"
    }
}

/// The start of each message of rustls about a certificate. The messages are compared, because the error types would need a
/// direct dependency on rustls. A test fails if a message changes.
const INVALID_CERTIFICATE: &str = "invalid peer certificate";
/// The messages of rustls about a response that is not TLS.
const NOT_TLS: &[&str] = &["InvalidContentType", "corrupt message"];
/// The messages of reqwest and tokio about the time limit of a connection.
const TIMED_OUT: &[&str] = &["operation timed out", "deadline has elapsed"];
/// The messages of hyper and of the operating system about a name without an address.
const UNKNOWN_HOST: &[&str] = &["dns error", "failed to lookup address"];
