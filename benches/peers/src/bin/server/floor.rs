use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::error::KeyRejected;
use axum::Router;
use axum::routing::any;
use mcp_bearer_peers::{PATH, RawCheck, Subject};

/// The application behind the bare signature check of the same bytes, whatever the request carries: what no layer can
/// stay below, in the surroundings in which layers work.
pub(crate) fn raw_check(subject: &Subject) -> Result<Router, KeyRejected> {
    let check = Arc::new(RawCheck::new(subject)?);
    let handler = move || {
        let is_good = check.run().is_ok();
        async move { if is_good { "ok" } else { "bad" } }
    };
    Ok(Router::new().route(PATH, any(handler)))
}

/// The application after [`BUSY`] of nothing, without memory and almost without code.
///
/// A server that answers slower than it is asked pays more for the same application: its client sleeps between answers,
/// and whoever writes one has to wake it, on another core. This much is known of every request here, so that the rest
/// is what the application costs at the rate of a server with a layer.
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

/// About as long as a check takes. `http` knows it too.
const BUSY: Duration = Duration::from_micros(30);
