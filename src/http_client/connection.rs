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

/// The start of each message of rustls about a certificate. The messages are compared, because the error types would need a
/// direct dependency on rustls. A test fails if a message changes.
const INVALID_CERTIFICATE: &str = "invalid peer certificate";
/// The messages of rustls about a response that is not TLS.
const NOT_TLS: &[&str] = &["InvalidContentType", "corrupt message"];
/// The messages of reqwest and tokio about the time limit of a connection.
const TIMED_OUT: &[&str] = &["operation timed out", "deadline has elapsed"];
/// The messages of hyper and of the operating system about a name without an address.
const UNKNOWN_HOST: &[&str] = &["dns error", "failed to lookup address"];
