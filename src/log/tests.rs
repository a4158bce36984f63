use super::*;

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Layer {
    text: String,
    source: Option<Box<Layer>>,
}

fn layer(text: &str, source: Option<Layer>) -> Layer {
    Layer { text: text.to_owned(), source: source.map(Box::new) }
}

#[test]
fn a_cause_names_every_level_on_one_line() {
    let error = layer("no response", Some(layer("TLS\nhandshake", Some(layer("UnknownIssuer", None)))));
    assert_eq!(Cause(&error).to_string(), "no response: TLS\\nhandshake: UnknownIssuer");
}

#[test]
fn a_long_cause_is_cut() {
    for error in [layer(&"x".repeat(200_000), None), layer("no response", Some(layer(&"\n".repeat(9_000), None)))] {
        assert_eq!(Cause(&error).to_string().len(), MAX_CAUSE);
    }
}

#[test]
fn log_lines_have_no_value_of_a_document() {
    let source = DocumentError::new("the member \"jwks_uri\" is not an https URL").found("http://SECRET");
    let error = crate::http_client::FetchError::new(crate::http_client::FetchErrorKind::Document, "https://as");
    let error = Arc::new(error.with_source(source));
    let shown = Cause(&error).to_string();
    assert!(shown.contains("https://as") && shown.contains("jwks_uri") && !shown.contains("SECRET"), "{shown}");
}

/// The start of a test. [`Time::at`] counts the seconds after it.
struct Time(Instant);

impl Time {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn at(&self, seconds: u64) -> Instant {
        self.0.checked_add(Duration::from_secs(seconds)).unwrap()
    }
}

#[test]
fn three_events_of_a_cause_are_shown_per_minute() {
    let (limit, time) = (EventLimit::default(), Time::start());
    for start in [0, 60, 3600] {
        let shown: Vec<_> =
            (0..50).map(|second| limit.count("expired", None, time.at(start + second)).is_shown).collect();
        assert_eq!(shown.iter().filter(|shown| **shown).count(), 3);
        assert_eq!(shown[..3], [true; 3]);
    }
    // Causes are counted separately.
    assert!(limit.count("audience", None, time.at(3601)).is_shown);
}

#[test]
fn the_event_after_a_busy_minute_brings_its_summary() {
    let (limit, time) = (EventLimit::default(), Time::start());
    for second in 0..60 {
        assert_eq!(limit.count("expired", None, time.at(second)).previous_summary, None);
    }
    let summary = EventSummary { cause: "expired", events: 60, hidden: 57, last: None };
    assert_eq!(limit.count("expired", None, time.at(60)).previous_summary, Some(summary));
    // The window at 60 s had one event, which was shown, so it needs no summary.
    assert_eq!(limit.count("expired", None, time.at(180)).previous_summary, None);
}

#[test]
fn the_first_hidden_event_says_when_the_summary_is_due() {
    let (limit, time) = (EventLimit::default(), Time::start());
    let due: Vec<_> = (0..10).filter_map(|second| limit.count("expired", None, time.at(second)).summary_due).collect();
    let [due] = due[..] else { panic!("{due:?}") };
    // 57 s after the event.
    assert_eq!(due, time.at(60));
    assert_eq!(
        limit.finish("expired", due),
        Some(EventSummary { cause: "expired", events: 10, hidden: 7, last: None })
    );
    // A summary is returned once, and the next event begins a new window.
    assert_eq!(limit.finish("expired", due), None);
    let next = limit.count("expired", None, time.at(10));
    assert_eq!((next.is_shown, next.previous_summary), (true, None));
}

#[test]
fn a_summary_that_an_event_has_brought_is_not_due_again() {
    let (limit, time) = (EventLimit::default(), Time::start());
    let due = (0..4).find_map(|_| limit.count("expired", None, time.at(0)).summary_due).unwrap();
    assert!(limit.count("expired", None, time.at(61)).previous_summary.is_some());
    assert_eq!(limit.finish("expired", due), None);
}

#[test]
fn a_summary_has_the_last_values() {
    let (limit, time) = (EventLimit::default(), Time::start());
    for second in 0..5 {
        let detail = Detail::mismatch(["https://a"], [format!("https://{second}").as_str()]);
        limit.count("audience", Some(&detail), time.at(second));
    }
    let last = Some((Box::from("https://a"), Box::from("https://4")));
    let summary = EventSummary { cause: "audience", events: 5, hidden: 2, last };
    assert_eq!(limit.finish("audience", time.at(60)), Some(summary));
}
