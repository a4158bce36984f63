//! L: answers that are remembered, and for how long they hold (RFC 7662, section 4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use mcp_bearer::http_client::{HttpClient, HttpFuture, RequestLimits};
use mcp_bearer::introspection::{ClientCredentials, Introspection};
use mcp_bearer::jose::Algorithm;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestHttpClient, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::{Value, json};
use tokio::time::advance;

use super::canned::INTROSPECT;
use super::trial::{self, Trial, bearer, credentials, with};
use crate::support::{App, ISSUER, RESOURCE};

const SECOND: Duration = Duration::from_secs(1);

/// A server that remembers "active" for so long.
fn remembering(time: Duration) -> Trial {
    Trial::introspecting(Introspection::new(credentials()).positive_cache(time))
}

/// What the issuer says of a token from now on: good, but for these changes.
fn say(trial: &Trial, token: &str, changes: Value) {
    let answer = with(with(trial.claims(), json!({"active": true, "token_type": "Bearer"})), changes);
    trial.fixture.issuer.introspection_answer(token, answer);
}

/// A token whose answer must be `verdict`, after so many requests more than before.
async fn judge(trial: &Trial, id: &str, what: &str, token: &str, verdict: &str, requests: usize) {
    let before = trial.asked();
    trial.token(id, what, token, verdict).await;
    assert_eq!(trial.asked() - before, requests, "{id} {what}: requests");
}

#[tokio::test(start_paused = true)]
async fn no_answer_holds_beyond_the_tokens_own_time() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let five_minutes = Introspection::new(credentials()).positive_cache(300 * SECOND);
    let accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_all(five_minutes);
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).clock_skew(Duration::ZERO));
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(100 * SECOND).opaque();
    judge(&trial, "L01", "new", &token, "OK", 1).await;
    advance(99 * SECOND).await;
    judge(&trial, "L01", "a second before", &token, "OK", 0).await;
    advance(SECOND).await;
    // Nothing is remembered now: the authorization server itself says so, and nobody else.
    judge(&trial, "L01", "at its end", &token, "R401", 1).await;
    // It may be slow to notice; its own word for when the token ends still counts.
    say(&trial, "slow", json!({"exp": 1_800_000_110}));
    judge(&trial, "L01", "slow", "slow", "OK", 1).await;
    advance(11 * SECOND).await;
    judge(&trial, "L01", "slow, a second after", "slow", "R401", 1).await;
    // The wall clock is put forward, and what is remembered has not aged: its times are looked at again.
    say(&trial, "clock", json!({"exp": 1_800_000_400}));
    judge(&trial, "L01", "clock", "clock", "OK", 1).await;
    trial.fixture.clock.advance(1_000 * SECOND);
    judge(&trial, "L01", "a second after, by the clock", "clock", "R401", 0).await;
    // A JWT says itself when it ends, whatever the answer leaves out.
    let signed = |lifetime| trial.fixture.issuer.token().audience(RESOURCE).expires_in(lifetime).sign();
    let signed = signed(100 * SECOND);
    say(&trial, &signed, json!({"exp": null}));
    judge(&trial, "L01", "JWT", &signed, "OK", 1).await;
    advance(99 * SECOND).await;
    judge(&trial, "L01", "JWT, a second before", &signed, "OK", 0).await;
    advance(SECOND).await;
    judge(&trial, "L01", "JWT, at its end", &signed, "R401", 0).await;
    // A lifetime that no clock can hold is that of the memory.
    say(&trial, "endless", json!({"exp": 253_402_300_799_u64}));
    judge(&trial, "L01", "endless", "endless", "OK", 1).await;
    advance(299 * SECOND).await;
    judge(&trial, "L01", "endless, remembered", "endless", "OK", 0).await;
    advance(SECOND).await;
    judge(&trial, "L01", "endless, asked again", "endless", "OK", 1).await;
}

#[tokio::test(start_paused = true)]
async fn without_an_end_an_answer_holds_for_as_long_as_any() {
    for (id, time) in [("L02", 0), ("L02", 30), ("L02", 300)] {
        let trial = remembering(time * SECOND);
        say(&trial, "endless", json!({"exp": null}));
        judge(&trial, id, "new", "endless", "OK", 1).await;
        if time > 0 {
            advance((time - 1) * SECOND).await;
            judge(&trial, id, "remembered", "endless", "OK", 0).await;
        }
        advance(SECOND).await;
        judge(&trial, id, "asked again", "endless", "OK", 1).await;
        trial.fixture.issuer.revoke("endless");
        advance(time * SECOND).await;
        judge(&trial, id, "revoked", "endless", "R401", 1).await;
    }
    // By default for half a minute.
    let trial = Trial::introspecting(credentials());
    say(&trial, "endless", json!({"exp": null}));
    for (seconds, requests) in [(0, 1), (29, 0), (1, 1)] {
        advance(seconds * SECOND).await;
        judge(&trial, "L02", &seconds.to_string(), "endless", "OK", requests).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_nearly_the_same_are_different_tokens() {
    let long = "A".repeat(200);
    let signed = {
        let trial = Trial::cold();
        trial.with_payload(trial.claims().to_string())
    };
    let (rest, signature) = signed.rsplit_once('.').unwrap();
    let other_signature = format!("{rest}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    for (id, what, good, bad) in [
        ("L04", "the first 64 characters", format!("{long}x"), format!("{long}y")),
        ("L04", "the last 64 characters", format!("x{long}"), format!("y{long}")),
        ("L04", "all but one", format!("{long}x{long}"), format!("{long}y{long}")),
        ("L04", "length", long.clone(), format!("{long}A")),
        ("L04", "case", "abc".to_owned(), "aBc".to_owned()),
        ("L04", "padding", "abc=".to_owned(), "abc".to_owned()),
        ("L04", "jti, iss, sub, aud", signed.clone(), other_signature),
    ] {
        for good_first in [true, false] {
            let trial = Trial::introspecting(credentials());
            // Of both it says the same who, for whom and which.
            say(&trial, &good, json!({"jti": "1"}));
            trial.fixture.issuer.introspection_answer(&bad, with(trial.claims(), json!({"active": false, "jti": "1"})));
            let mut pair = [(good.as_str(), "OK"), (bad.as_str(), "R401")];
            if !good_first {
                pair.reverse();
            }
            for (token, verdict) in pair {
                judge(&trial, id, what, token, verdict, 1).await;
            }
            for (token, verdict) in pair {
                judge(&trial, id, &format!("{what}, again"), token, verdict, 0).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_an_answer_judges_it_for_itself() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let shared = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_all(credentials());
    let server = |resource: &str, shared: Issuer| {
        trial::server(ResourceServer::builder(resource.to_owned()).issuer(shared).clock(clock.clone())).unwrap()
    };
    let here = server(RESOURCE, shared.clone());
    let there = server("https://other.example.com/mcp", shared.clone());
    let both = server(RESOURCE, shared.clone().accept_audience("https://other.example.com/mcp"));
    let strict = server(RESOURCE, shared.clone().dangerously_accept_missing_audience());
    let app = |server: &ResourceServer, scope: &str| App::new(server.bearer_layer().required_scopes([scope]));
    let apps = [app(&here, "mcp:tools"), app(&here, "mcp:admin"), app(&there, "mcp:tools"), app(&both, "mcp:tools")];
    let apps = [&apps[..], &[app(&strict, "mcp:tools")]].concat();
    let claims = json!({"active": true, "sub": "alice", "scope": "mcp:tools"});
    for (id, changes, verdicts) in [
        ("L05", json!({"aud": RESOURCE}), ["OK", "R403", "R401", "OK", "OK"]),
        ("L05", json!({"aud": "https://other.example.com/mcp"}), ["R401", "R401", "OK", "OK", "R401"]),
        ("L05", json!({"aud": RESOURCE, "scope": "mcp:admin"}), ["R403", "OK", "R401", "R403", "R403"]),
        ("L05", json!({"token_type": "Bearer"}), ["R401", "R401", "R401", "R401", "OK"]),
        // Without an audience, only `token_type` tells an access token from a refresh token.
        ("L05", json!({}), ["R401"; 5]),
    ] {
        // Whoever asks first.
        for first in 0..apps.len() {
            let token = format!("token-{first}-{}", changes.to_string().len());
            issuer.introspection_answer(&token, with(claims.clone(), changes.clone()));
            let before = issuer.requests(Endpoint::Introspection);
            for turn in 0..apps.len() {
                let at = (first + turn) % apps.len();
                let answer = apps[at].with_token(&token).await;
                assert_eq!(answer.verdict(), verdicts[at], "{id} {changes}: {at}, {first} asked first");
            }
            assert_eq!(issuer.requests(Endpoint::Introspection), before + 1, "{id} {changes}: one answer for all");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_is_refused_as_often_as_it_is_shown() {
    let trial = Trial::introspecting(credentials());
    for (id, cnf) in [("L06", json!({"jkt": "x"})), ("L06", json!({"x5t#S256": "y"}))] {
        let token = format!("bound-{}", cnf.to_string().len());
        say(&trial, &token, json!({"cnf": cnf}));
        judge(&trial, id, "first", &token, "R401", 1).await;
        for _ in 0..3 {
            judge(&trial, id, "again", &token, "R401", 0).await;
        }
        // The other way round: free at first, and bound by the next answer.
        say(&trial, "free", json!({}));
        trial.fixture.server.forget("free");
        judge(&trial, id, "free", "free", "OK", 1).await;
        say(&trial, "free", json!({"cnf": cnf}));
        advance(30 * SECOND).await;
        judge(&trial, id, "bound", "free", "R401", 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_noticed_within_the_configured_time() {
    for (id, time) in [("L08", 0), ("L08", 1), ("L08", 30), ("L08", 300)] {
        let trial = remembering(time * SECOND);
        let token = || trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3600 * SECOND);
        for token in [token().opaque(), token().sign()] {
            judge(&trial, id, "new", &token, "OK", 1).await;
            trial.fixture.issuer.revoke(&token);
            if time > 0 {
                advance(time * SECOND - Duration::from_millis(1)).await;
                judge(&trial, id, "within the window", &token, "OK", 0).await;
            }
            advance(Duration::from_millis(1)).await;
            judge(&trial, id, "after it", &token, "R401", 1).await;
        }
        // Or at once, where the application hears of it.
        let token = token().opaque();
        judge(&trial, id, "new", &token, "OK", 1).await;
        trial.fixture.issuer.revoke(&token);
        trial.fixture.server.forget(&token);
        judge(&trial, id, "forgotten", &token, "R401", 1).await;
    }
    // A JWT that is checked here, and asked about now and then.
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_opaque(credentials());
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted.revocation_check(60 * SECOND)));
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").sign();
    judge(&trial, "L08", "checked", &token, "OK", 1).await;
    trial.fixture.issuer.revoke(&token);
    advance(59 * SECOND).await;
    judge(&trial, "L08", "within the interval", &token, "OK", 0).await;
    advance(SECOND).await;
    judge(&trial, "L08", "after it", &token, "R401", 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_under_way_when_it_is_to_be_forgotten_is_not_remembered() {
    let trial = remembering(300 * SECOND);
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3600 * SECOND).opaque();
    trial.fixture.issuer.fault_times(Endpoint::Introspection, Fault::Delay(2 * SECOND), 1);
    let logout = async {
        tokio::time::sleep(SECOND).await;
        // "Active" is on its way, and no longer true.
        trial.fixture.issuer.revoke(&token);
        trial.fixture.server.forget(&token);
        trial.token("L08", "after the logout", &token, "R401").await;
    };
    let (before, ()) = tokio::join!(trial.app.send(bearer(&token)), logout);
    assert_eq!(before.verdict(), "OK", "L08: it was asked about before");
    judge(&trial, "L08", "after the answer", &token, "R401", 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_whatever_its_size() {
    // An answer counts once for each 4 KiB that it begins, of 10,000; how many small ones there can be is tested beside
    // the memory itself.
    let (id, bytes, tokens, most) = ("L10", 60_000, 700, 10_000 / 15);
    let trial = remembering(300 * SECOND);
    let names: Vec<String> = (0..tokens).map(|number| format!("token-{number}")).collect();
    for name in &names {
        say(&trial, name, json!({"padding": "x".repeat(bytes)}));
        assert_eq!(trial.app.with_token(name).await.verdict(), "OK", "{id} {name}");
    }
    let before = trial.asked();
    for name in names.iter().rev() {
        assert_eq!(trial.app.with_token(name).await.verdict(), "OK", "{id} {name}, again");
    }
    let forgotten = trial.asked() - before;
    assert!((tokens - most..tokens).contains(&forgotten), "{id}: {forgotten} of {tokens} were forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_verified_token_is_forgotten_with_its_key() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).cache_verified_tokens(10));
    let (issuer, old) = (&trial.fixture.issuer, trial.fixture.issuer.key_id());
    let token = || issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3_600 * SECOND);
    let by_the_old = token().key(&old).sign();
    trial.token("L09", "verified", &by_the_old, "OK").await;
    trial.token("L09", "remembered", &by_the_old, "OK").await;
    issuer.add_key(Algorithm::ES256);
    issuer.remove_key(&old);
    trial.token("L09", "the new key, and with it the set without the old one", &token().sign(), "OK").await;
    trial.token("L09", "its key is gone", &by_the_old, "R401").await;
    trial.accept_a_good_token().await;
}

/// A client of the application's own making that panics when it is told to.
struct Panicking {
    client: TestHttpClient,
    panics: Arc<AtomicBool>,
}

impl HttpClient for Panicking {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        assert!(!self.panics.load(Ordering::SeqCst), "as planned");
        self.client.send(request, limits)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_applications_code_spoils_nothing_that_is_remembered() {
    let panics = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&panics);
    let bearer_token = ClientCredentials::bearer(move || {
        assert!(!told.load(Ordering::SeqCst), "as planned");
        "own".to_owned()
    });
    for (id, what, own_client, credentials) in
        [("L12", "the HTTP client", true, credentials()), ("L12", "the credentials", false, bearer_token)]
    {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).build();
        let mut accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_all(credentials);
        if own_client {
            accepted = accepted.http_client(Panicking { client: issuer.http_client(), panics: Arc::clone(&panics) });
        }
        let trial = Trial::of(issuer, clock, |server| server.issuer(accepted));
        for token in ["known", "new"] {
            say(&trial, token, json!({}));
        }
        judge(&trial, id, what, "known", "OK", 1).await;
        panics.store(true, Ordering::SeqCst);
        let together = join_all((0..10).map(|_| trial.app.send(bearer("new")))).await;
        assert!(together.iter().all(|answer| answer.verdict() == "R503"), "{id} {what}");
        judge(&trial, id, what, "known", "OK", 0).await;
        panics.store(false, Ordering::SeqCst);
        judge(&trial, id, what, "new", "OK", 1).await;
        judge(&trial, id, what, "new", "OK", 0).await;
        judge(&trial, id, what, "known", "OK", 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_counts_and_no_older_one() {
    let trial = Trial::introspecting(credentials());
    for (id, changes, verdict) in [
        ("L13", json!({"scope": "mcp:tools mcp:admin"}), "OK"),
        ("L13", json!({"scope": "openid"}), "R403"),
        ("L13", json!({"scope": null}), "R403"),
        ("L13", json!({"scope": "mcp:tools"}), "OK"),
        ("L13", json!({"aud": "https://other.example.com/mcp"}), "R401"),
        ("L13", json!({}), "OK"),
        ("L13", json!({"active": false}), "R401"),
        ("L13", json!({}), "OK"),
    ] {
        say(&trial, "token", changes.clone());
        advance(30 * SECOND).await;
        judge(&trial, id, &changes.to_string(), "token", verdict, 1).await;
        judge(&trial, id, &format!("{changes}, remembered"), "token", verdict, 0).await;
    }
    // An outage is no answer: it does not bring back what was said before.
    trial.fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
    advance(30 * SECOND).await;
    judge(&trial, "L13", "outage", "token", "R503", 1).await;
    // Where it may, it brings back the last answer and no older one.
    for (id, last, verdict) in [("L13", json!({}), "OK"), ("L13", json!({"active": false}), "R503")] {
        let trial = Trial::introspecting(Introspection::new(credentials()).stale_on_error(60 * SECOND));
        say(&trial, "token", json!({}));
        judge(&trial, id, "first", "token", "OK", 1).await;
        advance(30 * SECOND).await;
        say(&trial, "token", last.clone());
        judge(&trial, id, "last", "token", if verdict == "OK" { "OK" } else { "R401" }, 1).await;
        trial.fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
        advance(30 * SECOND).await;
        judge(&trial, id, &format!("outage after {last}"), "token", verdict, 1).await;
    }
}
