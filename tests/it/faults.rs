//! Everything that can go wrong between a server and its issuer, at once and in every order: schedules out of a seed, in
//! paused time, through the whole layer. An oracle that knows nothing of the code but its documented bounds says of every
//! single answer whether it was allowed.
//!
//! A seed that fails is named; the same seed fails again, since all chance is drawn from it.

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

/// Runs one schedule in a time of its own.
fn run<T>(seed: u64, schedule: impl Future<Output = T>) -> T {
    // What the crate leaves to chance, such as the length of a pause.
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(schedule)
}

/// How many tasks live on the runtime.
fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The seeds of the schedules. Pure Rust checks signatures some hundred times more slowly in a debug build.
fn seeds() -> std::ops::Range<u64> {
    if cfg!(feature = "aws-lc-rs") { 0..50 } else { 0..5 }
}
