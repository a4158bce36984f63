//! One request and what came back.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::check::Status;
use crate::printable::{excerpt, public_part, quoted};

/// A request, and its response or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) url: String,
    pub(crate) result: Result<Response<Bytes>, NoReply>,
}

/// Why a request did not get a response. The text is that of the operating system or of a library.
#[derive(Debug, Clone)]
pub(crate) enum NoReply {
    /// The name was not found, the connection was refused, or the time ran out.
    Unreachable(String),
    /// The connection was closed before the head of the response.
    Closed(String),
    /// The TLS certificate is not valid for this machine.
    Certificate(String),
    /// The response is longer than is read.
    TooLarge,
    /// The URL is from a document of a public server, and leads to a private address.
    PrivateAddress,
    /// The request could not be built, or the response has a content coding.
    Unsendable(String),
}

/// Why a response is not the expected document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    Unreachable(String),
    Certificate(String),
    PrivateAddress,
    TooLarge,
    Unsendable(String),
    /// The URL that the redirect leads to, as the response has it.
    Redirect(String),
    Status(StatusCode),
    NotJson(String),
}

impl Reply {
    /// The URL for the report.
    pub(crate) fn shown_url(&self) -> String {
        public_part(&self.url)
    }

    pub(crate) fn status(&self) -> Option<StatusCode> {
        self.result.as_ref().ok().map(Response::status)
    }

    pub(crate) fn headers(&self) -> Option<&HeaderMap> {
        self.result.as_ref().ok().map(Response::headers)
    }

    /// The response with any status but a redirect.
    pub(crate) fn response(&self) -> Result<&Response<Bytes>, Problem> {
        let response = self.result.as_ref().map_err(|no_reply| match no_reply {
            NoReply::Unreachable(cause) | NoReply::Closed(cause) => Problem::Unreachable(cause.clone()),
            NoReply::Certificate(cause) => Problem::Certificate(cause.clone()),
            NoReply::PrivateAddress => Problem::PrivateAddress,
            NoReply::TooLarge => Problem::TooLarge,
            NoReply::Unsendable(cause) => Problem::Unsendable(cause.clone()),
        })?;
        match response.headers().get(header::LOCATION) {
            Some(deployment) if response.status().is_redirection() => {
                Err(Problem::Redirect(String::from_utf8_lossy(deployment.as_bytes()).into_owned()))
            }
            _ => Ok(response),
        }
    }

    /// The body of a response with the status 200.
    pub(crate) fn body(&self) -> Result<&Bytes, Problem> {
        let response = self.response()?;
        match response.status() {
            StatusCode::OK => Ok(response.body()),
            status => Err(Problem::Status(status)),
        }
    }

    /// The JSON object of a response with the status 200.
    pub(crate) fn document(&self) -> Result<Map<String, Value>, Problem> {
        let body = self.body()?;
        serde_json::from_slice(body).map_err(|error| Problem::NotJson(not_json(body, &error)))
    }
}

impl Problem {
    /// Whether the problem is a fault, or only says that nothing is known.
    pub(crate) fn check_status(&self) -> Status {
        match self {
            Self::Unreachable(_) => Status::Unknown,
            Self::Status(status) if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                Status::Unknown
            }
            _ => Status::Fault,
        }
    }

    /// The problem in words, for a sentence such as `https://h/jwks: status 404`.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unreachable(cause) => format!("no response ({})", excerpt(cause)),
            Self::Certificate(cause) => format!("the TLS certificate is not accepted ({})", excerpt(cause)),
            Self::PrivateAddress => "the URL is in a public document and leads to a private address".to_owned(),
            Self::TooLarge => "the response is longer than 256 KiB".to_owned(),
            Self::Unsendable(cause) => excerpt(cause),
            Self::Redirect(deployment) => {
                format!("a redirect to {}, which is not followed", quoted(&public_part(deployment)))
            }
            Self::Status(status) => format!("status {}", status.as_u16()),
            Self::NotJson(what) => what.clone(),
        }
    }

    /// A repair that does not depend on the purpose of the URL.
    pub(crate) fn repair(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable(_) => "check that the server runs, and that this machine can reach it",
            Self::Certificate(_) => {
                "use a certificate of a CA that clients trust; for a private CA, name its file in `SSL_CERT_FILE` here, \
                 and call `ReqwestClient::configured(|builder| builder.add_root_certificate(..))` in the server"
            }
            Self::PrivateAddress => "publish a URL that the resource server may reach, or configure it by hand",
            Self::Redirect(_) => "use the URL that the redirect leads to",
            Self::Status(status) if status.is_server_error() => "read the log of that server",
            Self::Status(StatusCode::TOO_MANY_REQUESTS) => "try again later",
            _ => return None,
        })
    }

    /// How much the problem explains, if several URLs of one document have different ones.
    pub(crate) fn severity(&self) -> u8 {
        match self {
            Self::Certificate(_) => 6,
            Self::Unreachable(_) => 5,
            Self::Status(status) if status.is_server_error() => 5,
            Self::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => 4,
            Self::NotJson(_) | Self::TooLarge | Self::PrivateAddress | Self::Unsendable(_) => 3,
            Self::Redirect(_) => 2,
            Self::Status(_) => 1,
        }
    }
}

fn not_json(body: &[u8], error: &serde_json::Error) -> String {
    match body.trim_ascii_start() {
        [] => "the response is empty".to_owned(),
        [b'<', ..] => "the response is HTML or XML, not JSON".to_owned(),
        // The message of `serde_json` can contain a part of the document.
        _ => format!("the response is not a JSON object (line {}, column {})", error.line(), error.column()),
    }
}
