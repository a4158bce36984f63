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
/// The three are measured in alternation, so that whatever else the machine does hits all: the check; the application
/// without protection, which answers the same request; and the application that the peer protects. What the peer
/// takes is the last less the one before. For a layer that includes what axum adds for any (a boxed service, its clone
/// and its future), of which an extractor is spared.
///
/// Time is that of this thread on a processor: all that is measured happens in it, none of it waits, and what other
/// programs take meanwhile does not count.
pub(crate) struct Cost {
    /// Of each round, ascending.
    ratios: Vec<f64>,
    /// Of the check alone, the median.
    raw: Duration,
    /// Of the application without protection, the median.
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
        assert!(raw.run().is_ok(), "the token is good");
    }
    processor_time().saturating_sub(start)
}

/// One entry into the runtime for all calls, so that entering it is no part of what is measured.
fn time(runtime: &Runtime, router: &mut Router, header: &HeaderValue) -> Duration {
    runtime.block_on(async {
        let start = processor_time();
        for _ in 0..CALLS {
            let response = router.call(request(header)).await.unwrap_or_else(|never| match never {});
            assert!(response.status().is_success(), "the token is good");
        }
        processor_time().saturating_sub(start)
    })
}

/// Of this thread so far.
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

/// Of each kind in a round: long enough for the clock, short enough to be hit by the same disturbances.
const CALLS: u32 = 20;
