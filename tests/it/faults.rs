//! Randomized fault tests: schedules of failures between a server and its issuer, in paused time and through the whole
//! layer. An oracle checks every response against the documented limits only.
//!
//! A failing test names its seed. The same seed fails again, since every random choice is derived from it.

mod caller;
mod key_oracle;
mod key_runs;
mod key_world;
mod lost;
mod network;
mod token_oracle;
mod token_runs;
mod token_world;
mod trouble;

/// Runs one schedule on a new runtime with paused time.
fn run<T>(seed: u64, schedule: impl Future<Output = T>) -> T {
    // The crate itself uses this generator, for example for the length of a back-off.
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(schedule)
}

/// The number of live tasks on the runtime.
fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The seeds of the schedules. In a debug build, the pure Rust backend verifies signatures over a hundred times more
/// slowly.
fn seeds() -> std::ops::Range<u64> {
    if cfg!(feature = "aws-lc-rs") { 0..50 } else { 0..5 }
}
