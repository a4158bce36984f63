//! How long no attempt may start after a failure.

use super::*;

#[test]
fn a_waiting_request_respects_retry_after() {
    let mut model = Model::cold();
    let fetch = model.fetch_of(Model::known);
    model.state.failed(fetch, Some(seconds(20)), 0.0, model.now);
    for _ in 0..19 {
        assert_eq!(model.known(), Action::Unavailable);
        model.advance(seconds(1));
    }
    assert_eq!(model.known(), Action::Pause { limit: seconds(1) });
    model.advance(seconds(1));
    assert!(Model::starts(model.known()));
}

#[test]
fn back_off_has_a_floor_and_respects_retry_after_up_to_a_minute() {
    for (jitter, retry_after, expected) in [
        (0.0, None, Duration::from_millis(250)),
        (0.5, None, Duration::from_millis(500)),
        (0.0, Some(seconds(20)), seconds(20)),
        (0.0, Some(seconds(86_400)), seconds(60)),
    ] {
        let mut model = Model::cold();
        let fetch = model.fetch_of(Model::known);
        model.state.failed(fetch, retry_after, jitter, model.now);
        assert_eq!(model.state.back_off(model.now), expected);
    }
}

#[test]
fn the_time_until_the_next_attempt_follows_the_back_off_and_the_token_bucket() {
    let mut model = Model::warm(None);
    for kid in ["a", "b"] {
        let fetch = model.fetch_of(|model| model.unknown(kid));
        assert_eq!(model.state.retry_in(model.now), None, "the end of a running fetch is not known");
        model.state.failed(fetch, None, 1.0, model.now);
        if kid == "a" {
            assert_eq!(model.state.retry_in(model.now), Some(seconds(1)), "the back-off");
            model.advance(seconds(1));
        }
    }
    // The bucket is full 60 s after its first use, and has a permit 30 s earlier.
    assert_eq!(model.state.retry_in(model.now), Some(seconds(29)));
    model.advance(seconds(29));
    assert!(Model::starts(model.unknown("c")));

    // Without a set, a request need not wait for the whole back-off.
    let mut model = Model::cold();
    for _ in 0..5 {
        let fetch = model.fetch_of(Model::known);
        model.state.failed(fetch, None, 1.0, model.now);
        assert_eq!(model.state.retry_in(model.now), Some(seconds(1)));
        model.advance(seconds(1));
    }
}
