//! The state that a client returns in the next round of a call.

use rmcp::ErrorData;

/// Creates states and recognizes them. A state contains a secret that a client cannot guess, so every other state is a
/// modified one.
#[derive(Clone, Copy)]
pub(crate) struct RequestStates {
    secret: u64,
}

impl RequestStates {
    pub(crate) fn new() -> Self {
        Self { secret: fastrand::u64(..) }
    }

    /// Returns the state that the client sends after `round` of `call`.
    pub(crate) fn after(self, call: &str, round: u8) -> String {
        format!("{call} {round} {:016x}", self.secret)
    }

    /// Returns the round that the client has completed, or 0 without a state.
    pub(crate) fn round(self, call: &str, state: Option<&str>) -> Result<u8, ErrorData> {
        let Some(state) = state else { return Ok(0) };
        let found = (1..=ROUNDS).find(|round| self.after(call, *round) == state);
        found.ok_or_else(|| ErrorData::invalid_params("this request state was not issued by this server", None))
    }
}

/// The maximum number of rounds of a call.
const ROUNDS: u8 = 2;
