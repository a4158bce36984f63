use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::error::KeyRejected;
use axum::Router;
use axum::routing::any;
use mcp_bearer_peers::{PATH, RawCheck, Subject};

/// The application behind the bare signature check of the same bytes, whatever the request contains. It is the lower
/// limit for every layer, in the same environment.
pub(crate) fn raw_check(subject: &Subject) -> Result<Router, KeyRejected> {
    let check = Arc::new(RawCheck::new(subject)?);
    let handler = move || {
        let is_valid = check.run().is_ok();
        async move { if is_valid { "ok" } else { "invalid" } }
    };
    Ok(Router::new().route(PATH, any(handler)))
}

/// The application after [`BUSY`] of work without memory access and with almost no code.
///
/// A slow server needs more processor time for the same application: its client sleeps between responses, and the
/// server must wake it on another core. Here the additional time per request is known, so the rest is the cost of the
/// application at the rate of a server with a layer.
pub(crate) fn busy() -> Router {
    let handler = async || {
        let start = Instant::now();
        while start.elapsed() < BUSY {
            std::hint::spin_loop();
        }
        "ok"
    };
    Router::new().route(PATH, any(handler))
}

/// About the time of a check. `http` has the same number.
const BUSY: Duration = Duration::from_micros(30);
