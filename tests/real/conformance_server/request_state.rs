//! The state that a client carries from one round of a call to the next.

use rmcp::ErrorData;

/// Makes states, and knows its own: nobody can guess them, so one that is not known byte for byte was tampered with.
#[derive(Clone, Copy)]
pub(crate) struct RequestStates {
    secret: u64,
}

impl RequestStates {
    pub(crate) fn new() -> Self {
        Self { secret: fastrand::u64(..) }
    }

    /// What the client is to send back after `round` of `call`.
    pub(crate) fn after(self, call: &str, round: u8) -> String {
        format!("{call} {round} {:016x}", self.secret)
    }

    /// The round that the client is back from; 0 without a state.
    pub(crate) fn round(self, call: &str, state: Option<&str>) -> Result<u8, ErrorData> {
        let Some(state) = state else { return Ok(0) };
        let found = (1..=ROUNDS).find(|round| self.after(call, *round) == state);
        found.ok_or_else(|| ErrorData::invalid_params("this request state is none of this server's", None))
    }
}

/// No call asks more often.
const ROUNDS: u8 = 2;
