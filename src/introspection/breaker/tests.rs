use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DOWN: Failure = Failure::Endpoint { retry_after: None };

/// A breaker that has just opened, and the time.
fn open() -> (Breaker, Instant) {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    for number in 1..=5 {
        let pass = breaker.admit(now).unwrap();
        let expected = if number == 5 { Transition::Opened(FIRST_PAUSE) } else { Transition::None };
        assert_eq!(breaker.failed(pass, DOWN, now), expected, "{number}");
    }
    (breaker, now)
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    for _ in 0..10 {
        for _ in 0..4 {
            let pass = breaker.admit(now).unwrap();
            assert_eq!(breaker.failed(pass, DOWN, now), Transition::None);
        }
        assert_eq!(breaker.succeeded(), Transition::None);
    }
    let (breaker, now) = open();
    assert_eq!(breaker.check(now), Err(5 * SECOND));
    assert_eq!(breaker.check(now + 4 * SECOND), Err(SECOND));
}

#[test]
fn one_probe_at_a_time_and_the_pause_doubles_to_a_minute() {
    let (mut breaker, mut now) = open();
    let mut pause = 5;
    for next in [10, 20, 40, 60, 60] {
        now += pause * SECOND;
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.admit(now), Err(SECOND));
        assert_eq!(breaker.failed(probe, DOWN, now), Transition::Opened(next * SECOND));
        pause = next;
    }
    let probe = breaker.admit(now + 60 * SECOND).unwrap();
    assert!(probe.is_probe);
    assert_eq!(breaker.succeeded(), Transition::Closed);
    assert_eq!(breaker.admit(now), Ok(Pass { is_probe: false }));
}

#[test]
fn the_servers_word_lengthens_the_pause_to_a_minute_at_most() {
    for (said, expected) in [(1, 5), (30, 30), (86_400, 60)] {
        let (mut breaker, now) = open();
        let now = now + 5 * SECOND;
        let probe = breaker.admit(now).unwrap();
        let paused = breaker.failed(probe, Failure::Endpoint { retry_after: Some(said * SECOND) }, now);
        assert_eq!(paused, Transition::Opened(expected.max(10) * SECOND), "{said}");
    }
}

#[test]
fn late_reports_do_not_count_and_a_lost_probe_is_replaced() {
    let (mut breaker, now) = open();
    assert_eq!(breaker.failed(Pass { is_probe: false }, DOWN, now), Transition::None);
    let now = now + 5 * SECOND;
    let probe = breaker.admit(now).unwrap();
    assert_eq!(breaker.failed(Pass { is_probe: false }, DOWN, now), Transition::None);
    assert!(breaker.admit(now + LOST_PROBE).is_ok());
    assert_eq!(breaker.failed(probe, Failure::Token, now), Transition::None);
    assert!(breaker.admit(now).is_ok());
}

#[test]
fn tokens_alone_cannot_open_it() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    let fail = |breaker: &mut Breaker, now| {
        let pass = breaker.admit(now).unwrap();
        breaker.failed(pass, Failure::EndpointOrToken, now)
    };
    for _ in 0..20 {
        assert_eq!(breaker.failed(Pass { is_probe: false }, Failure::Token, now), Transition::None);
    }
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, now), Transition::None);
    }
    let Transition::Check(pass) = fail(&mut breaker, now) else { panic!("nobody checks") };
    // One check at a time; it finds the endpoint well.
    assert_eq!(fail(&mut breaker, now), Transition::None);
    assert_eq!(breaker.succeeded(), Transition::None);
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, now), Transition::None);
    }
    assert!(matches!(fail(&mut breaker, now), Transition::Check(_)));
    assert_eq!(breaker.check_failed(pass, None, now), Transition::Opened(FIRST_PAUSE));
    // A probe is held up against a check too.
    let now = now + FIRST_PAUSE;
    let probe = breaker.admit(now).unwrap();
    let Transition::Check(probe) = breaker.failed(probe, Failure::EndpointOrToken, now) else { panic!() };
    assert_eq!(breaker.check_failed(probe, None, now), Transition::Opened(2 * FIRST_PAUSE));
}

#[test]
fn a_check_that_fails_after_an_answer_has_come_does_not_count() {
    let (mut breaker, now) = (Breaker::new(), Instant::now());
    let pass = breaker.admit(now).unwrap();
    for _ in 0..4 {
        assert_eq!(breaker.failed(pass, Failure::EndpointOrToken, now), Transition::None);
    }
    assert_eq!(breaker.failed(pass, Failure::EndpointOrToken, now), Transition::Check(pass));
    breaker.succeeded();
    assert_eq!(breaker.check_failed(pass, None, now), Transition::None);
    assert_eq!(breaker.check(now), Ok(()));
}
