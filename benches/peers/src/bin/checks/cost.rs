use std::fmt;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use mcp_bearer_peers::{RawCheck, Subject, request};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tower::Service as _;

/// The time of a peer in units of the bare signature check of the same bytes in the same run.
///
/// The measurements of three subjects alternate, so that other load on the machine affects all: the check, the
/// application without protection, and the application with the peer. The cost of the peer is the difference of the
/// last two. For a layer, it includes the cost of every layer in axum (a boxed service, its clone and its future),
/// which an extractor does not have.
///
/// The time is the processor time of this thread. All measured work happens in this thread without waiting, and the
/// time of other programs does not count.
pub(crate) struct Cost {
    /// The ratios of all rounds, in ascending order.
    ratios: Vec<f64>,
    /// The median time of the check.
    raw: Duration,
    /// The median time of the application without protection.
    bare: Duration,
}

impl Cost {
    pub(crate) fn measure(
        runtime: &Runtime,
        subject: &Subject,
        raw: &RawCheck,
        bare: &Router,
        peer: &Router,
        rounds: usize,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let header = HeaderValue::try_from(format!("Bearer {}", subject.token))?;
        let (mut bare, mut peer) = (bare.clone(), peer.clone());
        let mut rounds: Vec<[Duration; 3]> = (0..rounds.max(1))
            .map(|_| [time_raw(raw), time(runtime, &mut bare, &header), time(runtime, &mut peer, &header)])
            .collect();
        let mut ratios: Vec<f64> = rounds
            .iter()
            .map(|[raw, bare, peer]| (peer.as_secs_f64() - bare.as_secs_f64()) / raw.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let mut median = |which: usize| {
            rounds.sort_by_key(|round| round[which]);
            rounds[rounds.len() / 2][which] / CALLS
        };
        Ok(Self { ratios, raw: median(0), bare: median(1) })
    }
}

fn time_raw(raw: &RawCheck) -> Duration {
    let start = processor_time();
    for _ in 0..CALLS {
        assert!(raw.run().is_ok(), "the token is valid");
    }
    processor_time().saturating_sub(start)
}

/// Enters the runtime once for all calls, so that entering is not measured.
fn time(runtime: &Runtime, router: &mut Router, header: &HeaderValue) -> Duration {
    runtime.block_on(async {
        let start = processor_time();
        for _ in 0..CALLS {
            let response = router.call(request(header)).await.unwrap_or_else(|never| match never {});
            assert!(response.status().is_success(), "the token is valid");
        }
        processor_time().saturating_sub(start)
    })
}

/// Returns the processor time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantile = |quarters: usize| self.ratios[(self.ratios.len() - 1) * quarters / 4];
        let [low, median, high] = [1, 2, 3].map(quantile);
        let [raw, bare] = [self.raw, self.bare].map(|time| time.as_secs_f64() * 1e6);
        write!(f, "ratio={median:.3}\tquartiles={low:.3}-{high:.3}\traw_us={raw:.2}\tapplication_us={bare:.2}")
    }
}

/// The calls of each subject in a round: enough for the clock, and few enough that all subjects see the same load.
const CALLS: u32 = 20;
