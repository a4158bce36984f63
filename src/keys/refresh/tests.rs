mod pauses;

use super::*;

const POLICY: RefreshPolicy =
    RefreshPolicy { lifetime: Duration::from_secs(300), last_known_good: Duration::from_secs(3600) };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Model {
    state: Refresh,
    now: Instant,
}

impl Model {
    fn cold() -> Self {
        Self::with(POLICY)
    }

    fn with(policy: RefreshPolicy) -> Self {
        let now = Instant::now();
        Self { state: Refresh::new(policy), now }
    }

    /// A model whose set was fetched just now, with this cache header.
    fn warm(lifetime: Option<Duration>) -> Self {
        let mut model = Self::cold();
        let fetch = model.fetch_of(Model::known);
        model.state.succeeded(fetch, lifetime, 0.0, model.now);
        model
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.checked_add(by).unwrap();
    }

    fn known(&mut self) -> Action {
        let request = self.state.request(self.now);
        self.state.ask_known(request, self.now)
    }

    fn unknown(&mut self, kid: &str) -> Action {
        let request = self.state.request(self.now);
        self.state.ask_unknown(kid, request, self.now)
    }

    fn fetch_of(&mut self, ask: impl FnOnce(&mut Self) -> Action) -> Fetch {
        let (Action::Wait { start: Some(fetch), .. } | Action::Serve { start: Some(fetch) }) = ask(self) else {
            panic!("no fetch was started");
        };

        fetch
    }

    fn starts(action: Action) -> bool {
        matches!(action, Action::Wait { start: Some(_), .. } | Action::Serve { start: Some(_) })
    }
}

#[test]
fn without_a_set_all_requests_wait_for_one_fetch() {
    let mut model = Model::cold();
    let fetch = model.fetch_of(Model::known);
    assert!(!fetch.forced);
    for _ in 0..1000 {
        assert!(matches!(model.known(), Action::Wait { start: None, .. }));
        assert!(matches!(model.unknown("k"), Action::Wait { start: None, .. }));
    }
}

#[test]
fn a_set_without_a_cache_header_is_fresh_for_the_configured_time() {
    let mut model = Model::warm(None);
    model.advance(seconds(239));
    assert_eq!(model.known(), Action::Serve { start: None });
    model.advance(seconds(1));
    assert!(matches!(model.known(), Action::Serve { start: Some(Fetch { forced: false, .. }) }));
    assert_eq!(model.known(), Action::Serve { start: None });
}

#[test]
fn cache_headers_are_clamped() {
    for (header, ahead) in [(0, 48), (15, 48), (60, 48), (600, 480), (3600, 2880), (3_283_200, 2880), (u64::MAX, 2880)]
    {
        let mut model = Model::warm(Some(seconds(header)));
        model.advance(seconds(ahead) - Duration::from_millis(1));
        assert_eq!(model.known(), Action::Serve { start: None }, "{header}");
        model.advance(Duration::from_millis(1));
        assert!(Model::starts(model.known()), "{header}");
    }
}

#[test]
fn jitter_only_shortens_the_lifetime() {
    for (jitter, ahead) in [(0.0, 240.0), (0.5, 228.0), (1.0, 216.0), (7.0, 216.0), (-1.0, 240.0)] {
        let mut model = Model::cold();
        let fetch = model.fetch_of(Model::known);
        model.state.succeeded(fetch, None, jitter, model.now);
        model.advance(Duration::from_secs_f64(ahead - 0.01));
        assert_eq!(model.known(), Action::Serve { start: None }, "{jitter}");
        model.advance(Duration::from_millis(20));
        assert!(Model::starts(model.known()), "{jitter}");
    }
}

#[test]
fn an_expired_set_is_used_for_thirty_seconds_and_then_requests_wait_three_seconds_for_a_new_one() {
    let mut model = Model::warm(None);
    model.advance(seconds(329));
    assert!(matches!(model.known(), Action::Serve { start: Some(_) }));
    let mut model = Model::warm(None);
    model.advance(seconds(331));
    assert!(matches!(model.known(), Action::Wait { start: Some(_), limit } if limit == seconds(3)));
    let waited = KeyRequest { waited: true, ..model.state.request(model.now) };
    assert_eq!(model.state.ask_known(waited, model.now), Action::Serve { start: None });
}

#[test]
fn the_last_known_good_set_is_used_for_an_hour_without_a_wait_while_the_issuer_is_down() {
    let mut model = Model::warm(None);
    model.advance(seconds(240));
    let end = model.now + seconds(60 + 3600);
    while model.now < end {
        match model.known() {
            Action::Serve { start: Some(fetch) } => assert!(model.state.failed(fetch, None, 1.0, model.now)),
            Action::Serve { start: None } => {}
            other => panic!("{other:?} at {:?}", end - model.now),
        }
        model.advance(seconds(1));
    }
    assert!(matches!(model.known(), Action::Unavailable | Action::Wait { .. }));
    assert!(!model.state.is_usable(model.now));
}

#[test]
fn after_an_old_failure_a_request_waits_for_a_newer_set() {
    let mut model = Model::warm(None);
    model.advance(seconds(240));
    let fetch = model.fetch_of(Model::known);
    model.state.failed(fetch, None, 0.0, model.now);
    model.advance(seconds(3000 - 240));
    assert!(matches!(model.known(), Action::Wait { start: Some(_), limit } if limit == seconds(3)));
}

#[test]
fn without_last_known_good_an_expired_set_is_not_used() {
    let mut model = Model::with(RefreshPolicy { last_known_good: Duration::ZERO, ..POLICY });
    let fetch = model.fetch_of(Model::known);
    model.state.succeeded(fetch, None, 0.0, model.now);
    model.advance(seconds(301));
    assert!(matches!(model.known(), Action::Wait { start: Some(_), .. }));
}

#[test]
fn back_off_doubles_to_a_minute_and_never_ends() {
    let mut model = Model::cold();
    let mut pauses = Vec::new();
    for _ in 0..100 {
        let fetch = model.fetch_of(Model::known);
        model.state.failed(fetch, None, 1.0, model.now);
        assert_eq!(model.state.ask_any(model.now), Action::Unavailable);
        pauses.push(model.state.back_off(model.now));
        model.advance(model.state.back_off(model.now));
    }
    let expected: Vec<_> = [1, 2, 4, 8, 16, 32, 60, 60].map(seconds).to_vec();
    assert_eq!(pauses[..8], expected);
    assert!(pauses[8..].iter().all(|pause| *pause == seconds(60)));
}

#[test]
fn without_a_set_a_waiting_request_starts_one_attempt_per_second_whatever_the_back_off() {
    let mut model = Model::cold();
    let milliseconds = Duration::from_millis;
    for _ in 0..50 {
        let request = model.state.request(model.now);
        let Action::Wait { start: Some(fetch), .. } = model.state.ask_known(request, model.now) else { panic!() };
        model.state.failed(fetch, None, 1.0, model.now);
        // Its own attempt has failed, so it does not wait for another one.
        assert_eq!(model.state.ask_known(request, model.now), Action::Unavailable);
        // A later request waits, whether the set has its key or not.
        model.advance(milliseconds(1));
        assert_eq!(model.known(), Action::Pause { limit: milliseconds(999) });
        model.advance(milliseconds(400));
        assert_eq!(model.unknown("new"), Action::Pause { limit: milliseconds(599) });
        model.advance(milliseconds(598));
        assert_eq!(model.known(), Action::Pause { limit: milliseconds(1) });
        model.advance(milliseconds(1));
    }
    // A background task does not go ahead of the back-off.
    let fetch = model.fetch_of(Model::known);
    model.state.failed(fetch, None, 1.0, model.now);
    model.advance(seconds(59));
    assert_eq!(model.state.ask_any(model.now), Action::Unavailable);
    assert!(Model::starts(model.known()));
}

#[test]
fn a_set_that_is_too_old_counts_as_no_set() {
    let mut model = Model::warm(None);
    model.advance(seconds(300 + 3600));
    for _ in 0..10 {
        let fetch = model.fetch_of(Model::known);
        model.state.failed(fetch, None, 1.0, model.now);
        model.advance(Duration::from_millis(500));
        assert_eq!(model.known(), Action::Pause { limit: Duration::from_millis(500) });
        model.advance(Duration::from_millis(500));
    }
    assert!(Model::starts(model.known()));
}

#[test]
fn an_unknown_key_id_forces_a_fetch_in_the_same_request() {
    let mut model = Model::warm(None);
    let request = model.state.request(model.now);
    let fetch = model.fetch_of(|model| model.unknown("new"));
    assert!(fetch.forced);
    model.advance(Duration::from_millis(20));
    model.state.succeeded(fetch, None, 0.0, model.now);
    assert_eq!(model.state.ask_unknown("new", request, model.now), Action::Refuse);
}

#[test]
fn random_key_ids_cause_two_fetches_and_one_more_each_half_minute() {
    let mut model = Model::warm(Some(seconds(3600)));
    let mut fetches = 0;
    for n in 0..10_000 {
        match model.unknown(&n.to_string()) {
            Action::Wait { start: Some(fetch), .. } => {
                fetches += 1;
                model.state.succeeded(fetch, Some(seconds(3600)), 0.0, model.now);
            }
            Action::Refuse => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(model.known(), Action::Serve { start: None });
        model.advance(Duration::from_millis(30));
    }
    // 300 s.
    assert!((11..=12).contains(&fetches), "{fetches}");
    assert!(model.state.missing.0.len() <= 256);
}

#[test]
fn failed_attempts_count_against_the_limit_too() {
    let mut model = Model::warm(Some(seconds(3600)));
    let mut fetches = 0;
    for n in 0..10_000 {
        if let Action::Wait { start: Some(fetch), .. } = model.unknown(&n.to_string()) {
            fetches += 1;
            model.state.failed(fetch, None, 0.0, model.now);
        }
        model.advance(Duration::from_millis(30));
    }
    assert!((11..=12).contains(&fetches), "{fetches}");
}

#[test]
fn while_limited_a_token_is_rejected_only_if_the_last_attempt_succeeded() {
    let mut model = Model::warm(Some(seconds(3600)));
    for kid in ["a", "b"] {
        let fetch = model.fetch_of(|model| model.unknown(kid));
        model.state.succeeded(fetch, Some(seconds(3600)), 0.0, model.now);
        model.advance(seconds(1));
    }
    assert_eq!(model.unknown("c"), Action::Refuse);
    model.advance(seconds(30));
    let fetch = model.fetch_of(|model| model.unknown("d"));
    assert!(matches!(model.unknown("e"), Action::Wait { start: None, .. }));
    model.state.failed(fetch, None, 0.0, model.now);
    model.advance(seconds(1));
    assert_eq!(model.unknown("f"), Action::Unavailable);
}

#[test]
fn a_key_id_is_missing_only_after_a_fetch_that_started_after_the_request() {
    let mut model = Model::warm(Some(seconds(3600)));
    let fetch = model.fetch_of(|model| model.unknown("x"));
    model.advance(Duration::from_millis(10));
    let late = model.state.request(model.now);
    assert!(matches!(model.state.ask_unknown("late", late, model.now), Action::Wait { start: None, .. }));
    model.state.succeeded(fetch, Some(seconds(3600)), 0.0, model.now);
    assert!(Model::starts(model.state.ask_unknown("late", late, model.now)));
}

#[test]
fn a_key_id_is_missing_for_thirty_seconds_doubling_to_five_minutes() {
    let mut model = Model::warm(Some(seconds(3600)));
    for expected in [30, 60, 120, 240, 300, 300] {
        let request = model.state.request(model.now);
        let fetch = model.fetch_of(|model| model.unknown("x"));
        model.state.succeeded(fetch, Some(seconds(3600)), 0.0, model.now);
        assert_eq!(model.state.ask_unknown("x", request, model.now), Action::Refuse);
        model.advance(seconds(expected - 1));
        assert_eq!(model.unknown("x"), Action::Refuse);
        model.advance(seconds(31));
        assert!(model.state.missing.0.get("x").is_none_or(|missing| model.now >= missing.until));
    }
}

#[test]
fn scheduled_fetches_take_no_permit() {
    let mut model = Model::warm(None);
    for _ in 0..5 {
        model.advance(seconds(250));
        let fetch = model.fetch_of(Model::known);
        model.state.succeeded(fetch, None, 0.0, model.now);
    }
    for kid in ["a", "b"] {
        let fetch = model.fetch_of(|model| model.unknown(kid));
        model.state.succeeded(fetch, None, 0.0, model.now);
    }
}

#[test]
fn the_result_of_an_ended_fetch_is_ignored() {
    let mut model = Model::cold();
    let old = model.fetch_of(Model::known);
    model.state.failed(old, None, 0.0, model.now);
    model.advance(seconds(1));
    let new = model.fetch_of(Model::known);
    model.state.succeeded(old, None, 0.0, model.now);
    assert!(!model.state.is_usable(model.now));
    model.state.succeeded(new, None, 0.0, model.now);
    assert!(model.state.is_usable(model.now));
}

#[test]
fn a_known_key_is_used_without_asking_until_a_fetch_is_due() {
    let mut model = Model::warm(None);
    assert_eq!(model.state.quiet_until(model.now), model.now + seconds(240));
    model.advance(seconds(240));
    assert_eq!(model.state.quiet_until(model.now), model.now);
    let fetch = model.fetch_of(Model::known);
    assert_eq!(model.state.quiet_until(model.now), model.now + seconds(30));
    model.state.failed(fetch, None, 1.0, model.now);
    assert_eq!(model.state.quiet_until(model.now), model.now + seconds(1));
}

#[test]
fn a_seeded_set_serves_known_keys_and_nothing_else() {
    let mut model = Model::cold();
    model.state.seed(seconds(3600), model.now);
    assert!(model.state.is_seeded() && model.state.times().is_none());
    assert_eq!((model.state.due_in(model.now), model.state.quiet_until(model.now)), (Duration::ZERO, model.now));
    // The first caller starts a fetch and does not wait, however late it comes. A fetch that is lost is noticed.
    model.advance(seconds(3000));
    let Action::Serve { start: Some(fetch) } = model.known() else { panic!("a request waits") };
    assert_eq!(model.state.quiet_until(model.now), model.now + seconds(30));
    let unknown = |model: &mut Model| model.unknown("new");
    assert!(matches!(unknown(&mut model), Action::Wait { start: None, .. }));
    model.state.failed(fetch, None, 1.0, model.now);
    assert_eq!(model.known(), Action::Serve { start: None });
    // Whether the issuer has the key is not known, so it is not refused.
    model.advance(seconds(2));
    assert!(matches!(unknown(&mut model), Action::Wait { start: Some(fetch), .. } if !fetch.forced));
    model.advance(seconds(598));
    assert!(!model.state.is_usable(model.now));
    assert!(!matches!(model.known(), Action::Serve { .. }));
}

#[test]
fn a_fetched_set_replaces_the_seeded_one() {
    let mut model = Model::cold();
    model.state.seed(seconds(60), model.now);
    let fetch = model.fetch_of(Model::known);
    assert!(model.state.succeeded(fetch, None, 0.0, model.now));
    assert!(!model.state.is_seeded() && model.state.times().is_some());
    model.advance(seconds(61));
    assert_eq!(model.known(), Action::Serve { start: None });
}
