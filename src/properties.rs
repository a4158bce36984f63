//! The number of cases for all property tests in `src`.

use proptest::test_runner::Config;

/// This number of cases, unless `PROPTEST_CASES` sets another one. Failing inputs are kept in `proptest-regressions` and run
/// first.
pub(crate) fn cases(usual: u32) -> Config {
    let config = Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config { cases: usual, ..config },
    }
}
