//! What a server of somebody else's makes of a request, by the dice.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Response};
use mcp_bearer::http_client::{HttpError, HttpErrorKind};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The right answer of the moment in which the request came, so much later.
    Answer(Duration),
    /// This status, so much later.
    Status(u16, Duration),
    Garbage(Duration),
    NoConnection,
    /// The connection breaks.
    Broken(Duration),
    /// No answer, ever.
    Silence,
    /// The client's future panics.
    Panic(Duration),
    /// The client panics before it has made a future.
    PanicAtOnce,
}

impl Fate {
    /// With these chances: the longest delay of an answer, and how often in a hundred something goes wrong.
    pub fn draw(rng: &mut Rng, longest: Duration, trouble: u32) -> Self {
        let delay = Duration::from_millis(rng.u64(0..longest.as_millis().try_into().unwrap()));
        if rng.u32(0..100) >= trouble {
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
            // Later than anybody waits.
            _ => Self::Answer(longest + Duration::from_secs(7)),
        }
    }

    /// Lets it happen; `right` is what a server in good health says.
    pub async fn happen(self, right: Response<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self {
            Self::Answer(delay) | Self::Status(_, delay) | Self::Garbage(delay) => tokio::time::sleep(delay).await,
            Self::Broken(delay) | Self::Panic(delay) => tokio::time::sleep(delay).await,
            Self::Silence => std::future::pending().await,
            Self::NoConnection | Self::PanicAtOnce => {}
        }
        match self {
            Self::Answer(_) => Ok(right),
            Self::Status(status, _) => Ok(page(status, "", HeaderMap::new())),
            Self::Garbage(_) => Ok(page(200, "\u{1b}{\"keys\":[}", HeaderMap::new())),
            Self::NoConnection => Err(HttpError::new(HttpErrorKind::Connect)),
            Self::Broken(_) | Self::Silence => Err(HttpError::new(HttpErrorKind::Other)),
            Self::Panic(_) | Self::PanicAtOnce => panic!("as planned"),
        }
    }

    /// Whether it is the right answer, and comes in time.
    pub fn is_prompt(self, longest: Duration) -> bool {
        matches!(self, Self::Answer(delay) if delay <= longest)
    }

    /// Whether the request is made once more for it.
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
