//! A random fault, or the regular response, for each request to a fake server.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Response};
use mcp_bearer::http_client::{HttpError, HttpErrorKind};

/// The fate of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The regular response at the time of the request, after this delay.
    Answer(Duration),
    /// A response with this status, after this delay.
    Status(u16, Duration),
    Garbage(Duration),
    NoConnection,
    /// The connection breaks after this delay.
    Broken(Duration),
    /// No response at all.
    Silence,
    /// The future of the client panics after this delay.
    Panic(Duration),
    /// The client panics before it returns a future.
    PanicAtOnce,
}

impl Fate {
    /// A random fate. `longest` is the longest regular delay, and `fault_rate` the percentage of faults.
    pub fn draw(rng: &mut Rng, longest: Duration, fault_rate: u32) -> Self {
        let delay = Duration::from_millis(rng.u64(0..longest.as_millis().try_into().unwrap()));
        if rng.u32(0..100) >= fault_rate {
            return Self::Answer(delay);
        }
        match rng.u32(0..10) {
            0 | 1 => Self::Status(500, delay),
            2 => Self::Status(503, delay),
            3 => Self::Garbage(delay),
            4 => Self::NoConnection,
            5 => Self::Broken(delay),
            6 => Self::Silence,
            7 => Self::Panic(delay),
            8 => Self::PanicAtOnce,
            // Later than the time limit of any request.
            _ => Self::Answer(longest + Duration::from_secs(7)),
        }
    }

    /// Waits and then returns the result. `regular` is the regular response.
    pub async fn happen(self, regular: Response<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self {
            Self::Answer(delay) | Self::Status(_, delay) | Self::Garbage(delay) => tokio::time::sleep(delay).await,
            Self::Broken(delay) | Self::Panic(delay) => tokio::time::sleep(delay).await,
            Self::Silence => std::future::pending().await,
            Self::NoConnection | Self::PanicAtOnce => {}
        }
        match self {
            Self::Answer(_) => Ok(regular),
            Self::Status(status, _) => Ok(page(status, "", HeaderMap::new())),
            Self::Garbage(_) => Ok(page(200, "\u{1b}{\"keys\":[}", HeaderMap::new())),
            Self::NoConnection => Err(HttpError::new(HttpErrorKind::Connect)),
            Self::Broken(_) | Self::Silence => Err(HttpError::new(HttpErrorKind::Other)),
            Self::Panic(_) | Self::PanicAtOnce => panic!("the planned panic"),
        }
    }

    /// Whether it is the regular response and arrives in time.
    pub fn is_prompt(self, longest: Duration) -> bool {
        matches!(self, Self::Answer(delay) if delay <= longest)
    }

    /// Whether the crate retries the request.
    pub fn is_retried(self) -> bool {
        matches!(self, Self::Status(503, _) | Self::NoConnection)
    }
}

pub fn page(status: u16, body: impl Into<Bytes>, headers: HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = headers;
    response
}
