//! How many cases the properties try, wherever they stand.

use proptest::test_runner::Config;

/// So many cases, or as many as `PROPTEST_CASES` says. Failures are kept in `proptest-regressions` and tried first.
pub(crate) fn cases(usual: u32) -> Config {
    let config = Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config { cases: usual, ..config },
    }
}
