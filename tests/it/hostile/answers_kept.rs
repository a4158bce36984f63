//! L: cached introspection responses, and how long they are used (RFC 7662, section 4).

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

/// A server that caches active responses for this time.
fn caching(time: Duration) -> Trial {
    Trial::introspecting(Introspection::new(credentials()).positive_cache(time))
}

/// Sets the introspection response for a token: active and valid, with these changes.
fn set_response(trial: &Trial, token: &str, changes: Value) {
    let answer = with(with(trial.claims(), json!({"active": true, "token_type": "Bearer"})), changes);
    trial.fixture.issuer.introspection_answer(token, answer);
}

/// Sends a token. The response must be `verdict`, and the server must have sent this many introspection requests.
async fn expect(trial: &Trial, id: &str, what: &str, token: &str, verdict: &str, requests: usize) {
    let before = trial.introspections();
    trial.token(id, what, token, verdict).await;
    assert_eq!(trial.introspections() - before, requests, "{id} {what}: requests");
}

#[tokio::test(start_paused = true)]
async fn no_cached_result_outlives_its_token() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let five_minutes = Introspection::new(credentials()).positive_cache(300 * SECOND);
    let accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_all(five_minutes);
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).clock_skew(Duration::ZERO));
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(100 * SECOND).opaque();
    expect(&trial, "L01", "new", &token, "OK", 1).await;
    advance(99 * SECOND).await;
    expect(&trial, "L01", "a second before", &token, "OK", 0).await;
    advance(SECOND).await;
    // The cached result has expired, so the token is introspected again.
    expect(&trial, "L01", "at its end", &token, "R401", 1).await;
    // The authorization server may still report an expired token as active. The `exp` in its response counts.
    set_response(&trial, "slow", json!({"exp": 1_800_000_110}));
    expect(&trial, "L01", "slow", "slow", "OK", 1).await;
    advance(11 * SECOND).await;
    expect(&trial, "L01", "slow, a second after", "slow", "R401", 1).await;
    // Only the wall clock advances, so the cached result has not expired. The times of the token are checked again.
    set_response(&trial, "clock", json!({"exp": 1_800_000_400}));
    expect(&trial, "L01", "clock", "clock", "OK", 1).await;
    trial.fixture.clock.advance(1_000 * SECOND);
    expect(&trial, "L01", "a second after, by the clock", "clock", "R401", 0).await;
    // The `exp` of a JWT counts, even if the response has none.
    let signed = |lifetime| trial.fixture.issuer.token().audience(RESOURCE).expires_in(lifetime).sign();
    let signed = signed(100 * SECOND);
    set_response(&trial, &signed, json!({"exp": null}));
    expect(&trial, "L01", "JWT", &signed, "OK", 1).await;
    advance(99 * SECOND).await;
    expect(&trial, "L01", "JWT, a second before", &signed, "OK", 0).await;
    advance(SECOND).await;
    expect(&trial, "L01", "JWT, at its end", &signed, "R401", 0).await;
    // If `exp` lies in the far future, the lifetime of the cached result is the configured one.
    set_response(&trial, "endless", json!({"exp": 253_402_300_799_u64}));
    expect(&trial, "L01", "endless", "endless", "OK", 1).await;
    advance(299 * SECOND).await;
    expect(&trial, "L01", "endless, cached", "endless", "OK", 0).await;
    advance(SECOND).await;
    expect(&trial, "L01", "endless, introspected again", "endless", "OK", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_without_exp_is_cached_for_the_configured_time() {
    for (id, time) in [("L02", 0), ("L02", 30), ("L02", 300)] {
        let trial = caching(time * SECOND);
        set_response(&trial, "endless", json!({"exp": null}));
        expect(&trial, id, "new", "endless", "OK", 1).await;
        if time > 0 {
            advance((time - 1) * SECOND).await;
            expect(&trial, id, "cached", "endless", "OK", 0).await;
        }
        advance(SECOND).await;
        expect(&trial, id, "introspected again", "endless", "OK", 1).await;
        trial.fixture.issuer.revoke("endless");
        advance(time * SECOND).await;
        expect(&trial, id, "revoked", "endless", "R401", 1).await;
    }
    // The default is 30 seconds.
    let trial = Trial::introspecting(credentials());
    set_response(&trial, "endless", json!({"exp": null}));
    for (seconds, requests) in [(0, 1), (29, 0), (1, 1)] {
        advance(seconds * SECOND).await;
        expect(&trial, "L02", &seconds.to_string(), "endless", "OK", requests).await;
    }
}

#[tokio::test(start_paused = true)]
async fn similar_tokens_do_not_share_a_cached_result() {
    let long = "A".repeat(200);
    let signed = {
        let trial = Trial::cold();
        trial.with_payload(trial.claims().to_string())
    };
    let (rest, signature) = signed.rsplit_once('.').unwrap();
    let other_signature = format!("{rest}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    for (id, what, valid, invalid) in [
        ("L04", "the first 64 characters", format!("{long}x"), format!("{long}y")),
        ("L04", "the last 64 characters", format!("x{long}"), format!("y{long}")),
        ("L04", "all but one", format!("{long}x{long}"), format!("{long}y{long}")),
        ("L04", "length", long.clone(), format!("{long}A")),
        ("L04", "case", "abc".to_owned(), "aBc".to_owned()),
        ("L04", "padding", "abc=".to_owned(), "abc".to_owned()),
        ("L04", "jti, iss, sub, aud", signed.clone(), other_signature),
    ] {
        for valid_first in [true, false] {
            let trial = Trial::introspecting(credentials());
            // Both responses contain the same `jti`, `iss`, `sub` and `aud`.
            set_response(&trial, &valid, json!({"jti": "1"}));
            trial
                .fixture
                .issuer
                .introspection_answer(&invalid, with(trial.claims(), json!({"active": false, "jti": "1"})));
            let mut pair = [(valid.as_str(), "OK"), (invalid.as_str(), "R401")];
            if !valid_first {
                pair.reverse();
            }
            for (token, verdict) in pair {
                expect(&trial, id, what, token, verdict, 1).await;
            }
            for (token, verdict) in pair {
                expect(&trial, id, &format!("{what}, again"), token, verdict, 0).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_share_a_response_check_it_separately() {
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
        // The result does not depend on the server that introspects the token first.
        for first in 0..apps.len() {
            let token = format!("token-{first}-{}", changes.to_string().len());
            issuer.introspection_answer(&token, with(claims.clone(), changes.clone()));
            let before = issuer.requests(Endpoint::Introspection);
            for turn in 0..apps.len() {
                let at = (first + turn) % apps.len();
                let answer = apps[at].with_token(&token).await;
                assert_eq!(answer.verdict(), verdicts[at], "{id} {changes}: {at}, {first} was first");
            }
            assert_eq!(
                issuer.requests(Endpoint::Introspection),
                before + 1,
                "{id} {changes}: one request for all servers"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_constrained_token_is_rejected_every_time() {
    let trial = Trial::introspecting(credentials());
    for (id, cnf) in [("L06", json!({"jkt": "x"})), ("L06", json!({"x5t#S256": "y"}))] {
        let token = format!("bound-{}", cnf.to_string().len());
        set_response(&trial, &token, json!({"cnf": cnf}));
        expect(&trial, id, "first", &token, "R401", 1).await;
        for _ in 0..3 {
            expect(&trial, id, "again", &token, "R401", 0).await;
        }
        // The reverse order: the first response has no `cnf`, the next one does.
        set_response(&trial, "free", json!({}));
        trial.fixture.server.forget("free");
        expect(&trial, id, "free", "free", "OK", 1).await;
        set_response(&trial, "free", json!({"cnf": cnf}));
        advance(30 * SECOND).await;
        expect(&trial, id, "bound", "free", "R401", 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_takes_effect_within_the_configured_time() {
    for (id, time) in [("L08", 0), ("L08", 1), ("L08", 30), ("L08", 300)] {
        let trial = caching(time * SECOND);
        let token = || trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3600 * SECOND);
        for token in [token().opaque(), token().sign()] {
            expect(&trial, id, "new", &token, "OK", 1).await;
            trial.fixture.issuer.revoke(&token);
            if time > 0 {
                advance(time * SECOND - Duration::from_millis(1)).await;
                expect(&trial, id, "within the window", &token, "OK", 0).await;
            }
            advance(Duration::from_millis(1)).await;
            expect(&trial, id, "after it", &token, "R401", 1).await;
        }
        // `forget` makes the revocation effective at once.
        let token = token().opaque();
        expect(&trial, id, "new", &token, "OK", 1).await;
        trial.fixture.issuer.revoke(&token);
        trial.fixture.server.forget(&token);
        expect(&trial, id, "evicted", &token, "R401", 1).await;
    }
    // A JWT that is verified locally and introspected from time to time.
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer().introspection_endpoint(INTROSPECT).introspect_opaque(credentials());
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted.revocation_check(60 * SECOND)));
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").sign();
    expect(&trial, "L08", "checked", &token, "OK", 1).await;
    trial.fixture.issuer.revoke(&token);
    advance(59 * SECOND).await;
    expect(&trial, "L08", "within the interval", &token, "OK", 0).await;
    advance(SECOND).await;
    expect(&trial, "L08", "after it", &token, "R401", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_in_flight_during_forget_is_not_cached() {
    let trial = caching(300 * SECOND);
    let token = trial.fixture.issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3600 * SECOND).opaque();
    trial.fixture.issuer.fault_times(Endpoint::Introspection, Fault::Delay(2 * SECOND), 1);
    let logout = async {
        tokio::time::sleep(SECOND).await;
        // The active response is in flight, and it is no longer true.
        trial.fixture.issuer.revoke(&token);
        trial.fixture.server.forget(&token);
        trial.token("L08", "after the logout", &token, "R401").await;
    };
    let (before, ()) = tokio::join!(trial.app.send(bearer(&token)), logout);
    assert_eq!(before.verdict(), "OK", "L08: the introspection request came before the logout");
    expect(&trial, "L08", "after the answer", &token, "R401", 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_even_for_large_responses() {
    // An entry counts once for each 4 KiB or part of it, and the limit is 10,000. The tests of the cache itself cover
    // small entries.
    let (id, bytes, tokens, most) = ("L10", 60_000, 700, 10_000 / 15);
    let trial = caching(300 * SECOND);
    let names: Vec<String> = (0..tokens).map(|number| format!("token-{number}")).collect();
    for name in &names {
        set_response(&trial, name, json!({"padding": "x".repeat(bytes)}));
        assert_eq!(trial.app.with_token(name).await.verdict(), "OK", "{id} {name}");
    }
    let before = trial.introspections();
    for name in names.iter().rev() {
        assert_eq!(trial.app.with_token(name).await.verdict(), "OK", "{id} {name}, again");
    }
    let evicted = trial.introspections() - before;
    assert!((tokens - most..tokens).contains(&evicted), "{id}: {evicted} of {tokens} were evicted");
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_rejected_after_its_key_is_removed() {
    let (issuer, clock) = trial::issuer(Algorithm::ES256);
    let accepted = issuer.issuer();
    let trial = Trial::of(issuer, clock, |server| server.issuer(accepted).cache_verified_tokens(10));
    let (issuer, old) = (&trial.fixture.issuer, trial.fixture.issuer.key_id());
    let token = || issuer.token().audience(RESOURCE).scope("mcp:tools").expires_in(3_600 * SECOND);
    let by_the_old = token().key(&old).sign();
    trial.token("L09", "verified", &by_the_old, "OK").await;
    trial.token("L09", "cached", &by_the_old, "OK").await;
    issuer.add_key(Algorithm::ES256);
    issuer.remove_key(&old);
    trial.token("L09", "the new key, from a key set without the old key", &token().sign(), "OK").await;
    trial.token("L09", "its key was removed", &by_the_old, "R401").await;
    trial.accept_a_valid_token().await;
}

/// An HTTP client of the application that panics on demand.
struct Panicking {
    client: TestHttpClient,
    panics: Arc<AtomicBool>,
}

impl HttpClient for Panicking {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        assert!(!self.panics.load(Ordering::SeqCst), "the planned panic");
        self.client.send(request, limits)
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_application_code_leaves_the_cache_intact() {
    let panics = Arc::new(AtomicBool::new(false));
    let callback_panics = Arc::clone(&panics);
    let bearer_token = ClientCredentials::bearer(move || {
        assert!(!callback_panics.load(Ordering::SeqCst), "the planned panic");
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
            set_response(&trial, token, json!({}));
        }
        expect(&trial, id, what, "known", "OK", 1).await;
        panics.store(true, Ordering::SeqCst);
        let together = join_all((0..10).map(|_| trial.app.send(bearer("new")))).await;
        assert!(together.iter().all(|answer| answer.verdict() == "R503"), "{id} {what}");
        expect(&trial, id, what, "known", "OK", 0).await;
        panics.store(false, Ordering::SeqCst);
        expect(&trial, id, what, "new", "OK", 1).await;
        expect(&trial, id, what, "new", "OK", 0).await;
        expect(&trial, id, what, "known", "OK", 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_last_response_counts() {
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
        set_response(&trial, "token", changes.clone());
        advance(30 * SECOND).await;
        expect(&trial, id, &changes.to_string(), "token", verdict, 1).await;
        expect(&trial, id, &format!("{changes}, cached"), "token", verdict, 0).await;
    }
    // An outage does not restore an earlier response.
    trial.fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
    advance(30 * SECOND).await;
    expect(&trial, "L13", "outage", "token", "R503", 1).await;
    // With `stale_on_error`, only the last response is used again.
    for (id, last, verdict) in [("L13", json!({}), "OK"), ("L13", json!({"active": false}), "R503")] {
        let trial = Trial::introspecting(Introspection::new(credentials()).stale_on_error(60 * SECOND));
        set_response(&trial, "token", json!({}));
        expect(&trial, id, "first", "token", "OK", 1).await;
        advance(30 * SECOND).await;
        set_response(&trial, "token", last.clone());
        expect(&trial, id, "last", "token", if verdict == "OK" { "OK" } else { "R401" }, 1).await;
        trial.fixture.issuer.fault(Endpoint::Introspection, Fault::Status(500));
        advance(30 * SECOND).await;
        expect(&trial, id, &format!("outage after {last}"), "token", verdict, 1).await;
    }
}
