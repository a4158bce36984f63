//! The contents of log events, and what they never contain.

use mcp_bearer::testing::{Endpoint, Fault};
use tracing::Level;

use crate::capture::Capture;
use crate::support::{Fixture, RESOURCE};

#[tokio::test(start_paused = true)]
async fn rejections_are_logged_with_their_cause_and_without_the_token() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    capture.take();
    let token = |kid: &str| fixture.issuer.token().audience(RESOURCE).subject("alice").header("kid", kid).sign();
    let known = fixture.issuer.key_id();
    let signed = fixture.token();
    let (rest, _) = signed.rsplit_once('.').unwrap();
    for (sent, level, expected) in [
        (String::new(), Level::INFO, &["kind=\"invalid_request\""][..]),
        ("garbage".to_owned(), Level::INFO, &["kind=\"invalid_token\"", "cause=\"not_jwt\""]),
        (
            format!("{rest}.AAAA"),
            Level::INFO,
            &["cause=\"signature\"", "issuer=\"https://auth.example.com\"", &format!("kid={known}")],
        ),
        (token("evil\r\n\u{1b}[31m"), Level::INFO, &["cause=\"unknown_key\"", "kid=evil\\r\\n\\u{1b}[31m"]),
        (token(&known), Level::INFO, &["kind=\"insufficient_scope\""]),
    ] {
        capture.take();
        app.with_token(&sent).await;
        let events: Vec<_> = capture.take().into_iter().filter(|(_, line)| line.contains("rejection")).collect();
        let [(logged, line)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(*logged, level, "{line}");
        assert!(line.starts_with("mcp_bearer::rejection"), "{line}");
        for part in expected {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("alice") && !line.contains('\n'), "{line}");
        for part in sent.split('.').filter(|part| part.len() >= 12) {
            assert!(!line.contains(part), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_warning_with_its_cause() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::cold();
    fixture.issuer.fault(Endpoint::KeySet, Fault::Status(500));
    assert_eq!(fixture.app().with_token(&fixture.token()).await.verdict(), "R503");
    let events = capture.take();
    let of = |target: &str| events.iter().find(|(_, line)| line.starts_with(target)).cloned().unwrap();
    let (level, line) = of("mcp_bearer::keys message=key set not available");
    assert_eq!(level, Level::WARN);
    assert!(line.contains("status 500 from https://auth.example.com"), "{line}");
    let (level, line) = of("mcp_bearer::rejection");
    assert_eq!(level, Level::INFO);
    assert!(line.contains("status 500") && line.contains("kind=\"unavailable\""), "{line}");
}

#[tokio::test(start_paused = true)]
async fn no_part_of_a_token_is_ever_logged() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::cold();
    let app = fixture.app();
    let mut tokens = vec![fixture.token(), fixture.issuer.token().audience(RESOURCE).expired().sign()];
    tokens.push(fixture.issuer.token().audience("https://other").claim("secret", "0123456789abcdef").sign());
    fixture.issuer.rotate();
    tokens.push(fixture.token());
    for token in &tokens {
        app.with_token(token).await;
    }
    let log: String = capture.take().into_iter().map(|(_, line)| line + "\n").collect();
    assert!(!log.is_empty() && !log.contains("0123456789abcdef") && !log.contains("Bearer e"));
    for part in tokens.iter().flat_map(|token| token.split('.')) {
        for window in part.as_bytes().chunks(12).filter(|window| window.len() == 12) {
            assert!(!log.contains(std::str::from_utf8(window).unwrap()), "{log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_from_the_future_is_logged_with_the_clock_difference() {
    let capture = Capture::default();
    let _guard = tracing::subscriber::set_default(capture.clone());
    let fixture = Fixture::new().await;
    let app = fixture.app();
    let now = fixture.clock.since_epoch().as_secs();
    for (claim, ahead, seconds) in [("iat", 90.0, 90), ("nbf", 90.25, 91), ("nbf", 86_400.0, 86_400)] {
        let start = now as f64 + ahead;
        let token = fixture.issuer.token().audience(RESOURCE).claim(claim, start).claim("exp", now + 90_000).sign();
        capture.take();
        assert_eq!(app.with_token(&token).await.verdict(), "R401");
        let lines: Vec<_> = capture.take().into_iter().map(|(_, line)| line).collect();
        let expected = format!("{seconds} s ahead of the clock of this machine, which may be behind");
        let matching = lines.iter().filter(|line| line.contains("cause=\"not_yet_valid\"") && line.contains(&expected));
        assert_eq!(matching.count(), 1, "{lines:?}");
    }
}
