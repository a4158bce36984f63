//! Revocations by the application: which tokens they reject, whatever the caches contain, and for how long.

use std::error::Error as _;
use std::future::Future as _;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{join_all, poll_fn};
use http::{Request, StatusCode};
use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::revocation::RevokeErrorKind;
use mcp_bearer::sender::{Dpop, ReplayOutcome, ReplayStore, ReplayStoreError, SenderConstraint, UsedProof};
use mcp_bearer::testing::{Endpoint, Fault, TestClient, TestClock, TestIssuer, TestToken};
use mcp_bearer::verify::{CheckFailure, CheckOutcome, TokenCheck, TokenVerifier, Verified, VerifyError};
use mcp_bearer::{Clock as _, Issuer, RejectionKind, ResourceServer, ResourceServerBuilder, Revocation};
use tokio::time::{advance, sleep};

use crate::support::{App, ISSUER, RESOURCE};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn issuer() -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("rs", "secret");
    (issuer.build(), clock)
}

fn credentials() -> ClientCredentials {
    ClientCredentials::basic("rs", "secret")
}

fn builder(issuer: Issuer, clock: &TestClock) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock.clone())
}

/// A token with all claims that a revocation can name.
fn token<'i>(issuer: &'i TestIssuer, jti: &str, sub: &str, sid: &str) -> TestToken<'i> {
    issuer.token().audience(RESOURCE).subject(sub).claim("jti", jti).claim("sid", sid).expires_in(2 * HOUR)
}

async fn is_accepted(app: &App, token: &str) -> bool {
    let answer = app.with_token(token).await;
    match answer.verdict().as_str() {
        "OK" => true,
        "R401" => {
            let kind = answer.rejection.unwrap().kind();
            assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::Revoked));
            false
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_rejects_its_tokens_and_no_others() {
    let (issuer, clock) = issuer();
    let until = clock.now() + HOUR;
    let cases = [
        ("jti-1", "alice", "s-1"),
        ("jti-2", "alice", "s-1"),
        ("jti-3", "alice", "s-2"),
        ("jti-4", "bob", "s-3"),
        // The values of other claims are not confused.
        ("alice", "s-1", "jti-1"),
        ("s-1", "jti-1", "alice"),
    ];
    for (configured, is_opaque) in [
        (issuer.issuer(), false),
        (issuer.issuer().introspect_all(credentials()), false),
        (issuer.issuer().introspect_opaque(credentials()), true),
        (issuer.issuer().introspect_opaque(credentials()).revocation_check(60 * SECOND), false),
    ] {
        for cached in [0, 100] {
            let tokens = cases.map(|(jti, sub, sid)| {
                let token = token(&issuer, jti, sub, sid);
                if is_opaque { token.opaque() } else { token.sign() }
            });
            for (revocation, rejected) in [
                (Revocation::token(&*tokens[1]), &[1][..]),
                (Revocation::token_id(ISSUER, "jti-1"), &[0]),
                (Revocation::session(ISSUER, "s-1"), &[0, 1]),
                (Revocation::subject(ISSUER, "alice"), &[0, 1, 2]),
            ] {
                let builder = builder(configured.clone(), &clock);
                // Nothing can be cached if all tokens are introspected.
                let builder = if cached == 0 { builder.cache_verified_tokens(0) } else { builder };
                let server = builder.build().await.unwrap();
                let app = App::new(server.bearer_layer());
                for token in &tokens {
                    assert!(is_accepted(&app, token).await);
                }
                server.revoke(revocation.clone(), until).await.unwrap();
                for (number, token) in tokens.iter().enumerate() {
                    let expected = !rejected.contains(&number);
                    assert_eq!(is_accepted(&app, token).await, expected, "{revocation:?} {number}");
                    assert_eq!(server.explain(token).await.is_accepted(), expected);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_without_the_claim_is_not_affected() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let until = clock.now() + HOUR;
    for revocation in
        [Revocation::token_id(ISSUER, "x"), Revocation::subject(ISSUER, "x"), Revocation::session(ISSUER, "x")]
    {
        server.revoke(revocation, until).await.unwrap();
    }
    let plain = || issuer.token().audience(RESOURCE);
    for (token, accepted) in [
        (plain().without("sub").without("jti"), true),
        (plain().claim("sid", 7), true),
        (plain().claim("sid", "x"), false),
        (plain().claim("sid", "X"), true),
        (plain().claim("sid", " x"), true),
        (plain().claim("sid", "y").subject("x"), false),
        (plain().claim("jti", "x"), false),
    ] {
        assert_eq!(is_accepted(&app, &token.sign()).await, accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subject_of_another_issuer_is_not_affected() {
    let (issuer, clock) = issuer();
    let other = TestIssuer::builder("https://other.example.com").clock(clock.clone()).build();
    let alias = "https://old.example.com";
    let server = builder(issuer.issuer().also_issued_as(alias), &clock).issuer(other.issuer());
    let server = server.build().await.unwrap();
    let app = App::new(server.bearer_layer());
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + HOUR).await.unwrap();
    let of = |issuer: &TestIssuer| issuer.token().audience(RESOURCE).subject("alice").sign();
    let renamed = issuer.token().audience(RESOURCE).subject("alice").claim("iss", alias).sign();
    assert!(!is_accepted(&app, &of(&issuer)).await && is_accepted(&app, &of(&other)).await);
    // As `AuthInfo::identity` says, this is another user.
    assert!(is_accepted(&app, &renamed).await);
    server.revoke(Revocation::subject(alias, "alice"), clock.now() + HOUR).await.unwrap();
    assert!(!is_accepted(&app, &renamed).await);
}

struct Sessions;

impl TokenVerifier for Sessions {
    async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        Ok(Verified::for_this_resource(token.split('-').next().unwrap()).claim("sid", token))
    }
}

#[tokio::test(start_paused = true)]
async fn api_keys_and_tokens_of_own_verifiers_can_be_revoked() {
    let name = "urn:example:sessions";
    let clock = TestClock::new();
    let (key, other_key) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = [&key, &other_key]
        .into_iter()
        .enumerate()
        .fold(ApiKeys::new(), |keys, (number, key)| keys.key(key.stored_as(format!("key-{number}")).identity("alice")));
    let server = builder(Issuer::with_verifier(name, Sessions), &clock).api_keys(keys).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let until = clock.now() + HOUR;
    let all = [key.expose(), other_key.expose(), "alice-1", "alice-2", "alice-3", "bob-1"];
    for (revocation, accepted) in [
        (Revocation::token(key.expose()), [false, true, true, true, true, true]),
        (Revocation::token("alice-1"), [false, true, false, true, true, true]),
        (Revocation::session(name, "alice-2"), [false, true, false, false, true, true]),
        // An API key does not have an issuer.
        (Revocation::subject(name, "alice"), [false, true, false, false, false, true]),
    ] {
        server.revoke(revocation, until).await.unwrap();
        for (token, accepted) in all.into_iter().zip(accepted) {
            assert_eq!(is_accepted(&app, token).await, accepted, "{token}");
        }
    }
    let explanation = server.explain(key.expose()).await;
    assert_eq!(explanation.failed().unwrap().check(), TokenCheck::RevocationList, "{explanation}");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_issued_after_the_given_time_are_accepted() {
    let (issuer, clock) = issuer();
    let now = clock.since_epoch().as_secs();
    for revocation in [Revocation::subject(ISSUER, "alice"), Revocation::session(ISSUER, "s")] {
        let server = builder(issuer.issuer(), &clock).build().await.unwrap();
        let app = App::new(server.bearer_layer());
        server.revoke(revocation.issued_before(clock.now()), clock.now() + HOUR).await.unwrap();
        let token = || token(&issuer, "j", "alice", "s");
        for (iat, accepted) in [(now - 1, false), (now, true), (now + 1, true)] {
            assert_eq!(is_accepted(&app, &token().claim("iat", iat).sign()).await, accepted, "{iat}");
        }
        assert!(!is_accepted(&app, &token().without("iat").sign()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_at_its_time_and_leaves_the_list() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).clock_skew(Duration::ZERO).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = token(&issuer, "j", "alice", "s").sign();
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + 60 * SECOND).await.unwrap();
    server.revoke(Revocation::token_id(ISSUER, "other"), clock.now() + HOUR).await.unwrap();
    advance(59 * SECOND).await;
    assert!(!is_accepted(&app, &token).await);
    assert_eq!(server.health().revocations().entry_count(), 2);
    advance(SECOND).await;
    assert!(is_accepted(&app, &token).await);
    assert_eq!(server.health().revocations().entry_count(), 1);
    // A later revocation prolongs it, and an earlier one does not shorten it.
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + 60 * SECOND).await.unwrap();
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + 10 * SECOND).await.unwrap();
    advance(59 * SECOND).await;
    assert!(!is_accepted(&app, &token).await);
    advance(SECOND).await;
    assert!(is_accepted(&app, &token).await);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_until_the_expiry_covers_the_clock_skew() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = issuer.token().audience(RESOURCE).expires_in(30 * SECOND).sign();
    server.revoke(Revocation::token(&*token), clock.now() + 30 * SECOND).await.unwrap();
    // A token that is not revoked is accepted for 60 s after its expiry.
    advance(89 * SECOND).await;
    assert!(!is_accepted(&app, &token).await);
    advance(SECOND).await;
    let kind = app.with_token(&token).await.rejection.unwrap().kind();
    assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_and_back_loses_no_revocation() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let (token, start) = (token(&issuer, "j", "alice", "s").sign(), clock.since_epoch().as_secs());
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + HOUR).await.unwrap();
    clock.set(start + 100_000);
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
    clock.set(start + 1);
    assert!(!is_accepted(&app, &token).await);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_cannot_work_is_an_error() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let keys_only =
        ResourceServer::builder(RESOURCE).api_keys(ApiKeys::new()).clock(clock.clone()).build().await.unwrap();
    let (now, alice) = (clock.now(), || Revocation::subject(ISSUER, "alice"));
    for (server, revocation, until, kind, message) in [
        (&server, Revocation::token(""), now + HOUR, RevokeErrorKind::NoMatch, "the revoked token is empty"),
        (&server, Revocation::token("Bearer abc"), now + HOUR, RevokeErrorKind::NoMatch, "such as a space"),
        (&server, Revocation::token("abc\n"), now + HOUR, RevokeErrorKind::NoMatch, "such as a space"),
        (&server, Revocation::token_id(ISSUER, ""), now + HOUR, RevokeErrorKind::NoMatch, "`jti`"),
        (&server, Revocation::subject(ISSUER, ""), now + HOUR, RevokeErrorKind::NoMatch, "`sub`"),
        (&server, Revocation::session(ISSUER, ""), now + HOUR, RevokeErrorKind::NoMatch, "`sid`"),
        (
            &server,
            Revocation::subject("https://auth.example.com/", "alice"),
            now + HOUR,
            RevokeErrorKind::NoMatch,
            "the revocation has the issuer \"https://auth.example.com/\", whose tokens this server does not accept; use the \
             claim `iss` of the tokens, which is one of: https://auth.example.com",
        ),
        (&keys_only, alice(), now + HOUR, RevokeErrorKind::NoMatch, "use `Revocation::token`"),
        (&server, alice(), now, RevokeErrorKind::Until, "`until` is now or in the past, by 0 s"),
        (&server, alice(), now - 90 * SECOND, RevokeErrorKind::Until, "`until` is now or in the past, by 90 s"),
        (&server, alice(), SystemTime::UNIX_EPOCH - HOUR, RevokeErrorKind::Until, "in the past"),
        (
            &server,
            alice(),
            now + 24 * 3661 * HOUR,
            RevokeErrorKind::Until,
            "`until` is 3661 days ahead; use at most 3660 days",
        ),
    ] {
        let error = server.revoke(revocation, until).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message) && error.source().is_none(), "{error}");
        assert_eq!(server.health().revocations().entry_count(), 0);
    }
    server.revoke(alice(), now + 24 * 3660 * HOUR).await.unwrap();
}

#[test]
fn a_revocation_does_not_print_what_it_revokes() {
    for revocation in [
        Revocation::token("secret-token"),
        Revocation::token_id("secret-token", "secret-token"),
        Revocation::subject("secret-token", "secret-token"),
        Revocation::session("secret-token", "secret-token"),
    ] {
        let printed = format!("{revocation:?}");
        assert!(printed.starts_with("Revocation { kind: ") && !printed.contains("secret"), "{printed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_revoked_while_its_verification_waits_is_rejected() {
    let delay = 2 * SECOND;
    for (endpoint, is_opaque) in [(Endpoint::Introspection, true), (Endpoint::KeySet, false)] {
        for revocation in [None, Some(Revocation::subject(ISSUER, "alice")), Some(Revocation::session(ISSUER, "s"))] {
            let (issuer, clock) = issuer();
            let configured = issuer.issuer().introspect_opaque(credentials());
            let server = builder(configured, &clock).build().await.unwrap();
            let app = App::new(server.bearer_layer());
            issuer.fault(endpoint, Fault::Delay(delay));
            // A new key has to be fetched.
            issuer.rotate();
            advance(60 * SECOND).await;
            let token = token(&issuer, "j", "alice", "s");
            let token = if is_opaque { token.opaque() } else { token.sign() };
            let request = is_accepted(&app, &token);
            tokio::pin!(request);
            // It waits for the authorization server.
            poll_fn(|cx| {
                assert!(request.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            advance(SECOND).await;
            let revocation = revocation.clone().unwrap_or_else(|| Revocation::token(&*token));
            server.revoke(revocation, clock.now() + HOUR).await.unwrap();
            assert!(!request.await);
            assert!(!is_accepted(&app, &token).await);
        }
    }
}

/// A replay store that takes its time.
struct SlowStore;

impl ReplayStore for SlowStore {
    async fn record(&self, _: &UsedProof) -> Result<ReplayOutcome, ReplayStoreError> {
        sleep(SECOND).await;
        Ok(ReplayOutcome::New)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_revoked_while_its_proof_is_recorded_is_rejected() {
    let (issuer, clock) = issuer();
    let builder = builder(issuer.issuer(), &clock).sender_constraint(SenderConstraint::Dpop);
    let server = builder.dpop(Dpop::new().replay_store(SlowStore)).build().await.unwrap();
    let client = TestClient::with_key(issuer.dpop_key());
    let app = App::new(server.bearer_layer());
    let send = |token: &str| {
        let (app, mut request) = (app.clone(), Request::get("/mcp").body(Body::empty()).unwrap());
        request.headers_mut().extend(client.headers("GET", RESOURCE, token));
        tokio::spawn(async move { app.send(request).await })
    };
    let bound = |name| token(&issuer, name, name, name).bound_to(client.key()).sign();
    let (alice, bob) = (bound("alice"), bound("bob"));
    let requests = [send(&alice), send(&bob)];
    sleep(SECOND / 2).await;
    assert!(requests.iter().all(|request| !request.is_finished()));
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + HOUR).await.unwrap();
    let [alice, bob] = join_all(requests).await.try_into().unwrap();
    let kind = alice.unwrap().rejection.unwrap().kind();
    assert_eq!(kind, RejectionKind::InvalidToken(CheckFailure::Revoked));
    assert_eq!(bob.unwrap().status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_verified_again_afterwards() {
    let (issuer, clock) = issuer();
    let builder = builder(issuer.issuer().introspect_opaque(credentials()), &clock).clock_skew(Duration::ZERO);
    let server = builder.build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = token(&issuer, "j", "alice", "s").opaque();
    assert!(is_accepted(&app, &token).await && is_accepted(&app, &token).await);
    let before = issuer.requests(Endpoint::Introspection);
    server.revoke(Revocation::token(&*token), clock.now() + SECOND).await.unwrap();
    issuer.revoke(&token);
    advance(SECOND).await;
    // The result that was cached before the revocation is not used again.
    assert_eq!(app.with_token(&token).await.verdict(), "R401");
    assert_eq!(issuer.requests(Endpoint::Introspection), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_names_the_list_only_if_it_has_entries() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let outcome = async |token: &str| {
        let explanation = server.explain(token).await;
        let check = explanation.checks().iter().find(|check| check.check() == TokenCheck::RevocationList).unwrap();
        (check.outcome(), check.cause())
    };
    let (alice, bob) = (token(&issuer, "1", "alice", "a").sign(), token(&issuer, "2", "bob", "b").sign());
    assert_eq!(outcome(&alice).await, (CheckOutcome::NotNeeded, None));
    assert_eq!(outcome("opaque").await, (CheckOutcome::NotReached, None));
    server.revoke(Revocation::subject(ISSUER, "alice"), clock.now() + HOUR).await.unwrap();
    assert_eq!(outcome(&alice).await, (CheckOutcome::Failed, Some("revoked")));
    assert_eq!(outcome(&bob).await, (CheckOutcome::Passed, None));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_of_one_server_is_not_one_of_another() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer(), &clock).build().await.unwrap();
    let other = builder(issuer.issuer(), &clock).build().await.unwrap();
    let token = token(&issuer, "j", "alice", "s").sign();
    // Clones are one server.
    server.clone().revoke(Revocation::token(&*token), clock.now() + HOUR).await.unwrap();
    assert!(!is_accepted(&App::new(server.bearer_layer()), &token).await);
    assert!(is_accepted(&App::new(other.bearer_layer()), &token).await);
}

/// Requests and revocations in a random order, on several threads: a token that was revoked before a request begins is
/// rejected, and a token that is never revoked is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_begins_after_a_revocation_is_accepted() {
    let (issuer, clock) = issuer();
    let configured = issuer.issuer().introspect_opaque(credentials());
    let server = builder(configured, &clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let until = clock.now() + HOUR;
    let callers = (0..60_u32).map(|number| {
        let name = format!("user-{number}");
        let token = token(&issuer, &name, &name, &name);
        let token = if number % 2 == 0 { token.sign() } else { token.opaque() };
        let (server, app) = (server.clone(), app.clone());
        tokio::spawn(async move {
            let revocation = match number % 5 {
                0 => None,
                1 => Some(Revocation::token(&*token)),
                2 => Some(Revocation::token_id(ISSUER, &*name)),
                3 => Some(Revocation::subject(ISSUER, &*name)),
                _ => Some(Revocation::session(ISSUER, &*name)),
            };
            let requests = |count| (0..count).map(|_| is_accepted(&app, &token));
            if let Some(revocation) = revocation {
                // At the same time, both results are possible.
                let (revoked, _) = tokio::join!(server.revoke(revocation, until), join_all(requests(3)));
                revoked.unwrap();
                assert!(join_all(requests(3)).await.iter().all(|accepted| !accepted), "{name}");
            } else {
                assert!(join_all(requests(6)).await.iter().all(|accepted| *accepted), "{name}");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}

/// The other signature that is valid for the same message and key: s is replaced by n - s.
fn with_the_other_signature(token: &str) -> String {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (digit, n) in signature[32..].iter_mut().zip(N).rev() {
        let difference = i16::from(n) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_rejected_with_another_valid_signature_too() {
    let (issuer, clock) = issuer();
    let server = builder(issuer.issuer().algorithms([Algorithm::ES256]), &clock).build().await.unwrap();
    let app = App::new(server.bearer_layer());
    let token = token(&issuer, "jti-1", "alice", "s-1").algorithm(Algorithm::ES256).sign();
    let other = with_the_other_signature(&token);
    assert_ne!(token, other);
    assert!(is_accepted(&app, &token).await && is_accepted(&app, &other).await);
    server.revoke(Revocation::token(&*token), clock.now() + HOUR).await.unwrap();
    assert!(!is_accepted(&app, &token).await && !is_accepted(&app, &other).await);
}
