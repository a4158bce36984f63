//! The cache of verified JWTs never makes an invalid token valid. `tests/allocations.rs` shows that results are cached.

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::server::ResourceServerBuilder;
use mcp_bearer::testing::{Endpoint, Fault, TestClock, TestIssuer};
use mcp_bearer::{Issuer, ResourceServer};
use tokio::time::advance;

use crate::support::{App, ISSUER, RESOURCE, requiring};

const SECOND: Duration = Duration::from_secs(1);

fn issuer() -> (TestIssuer, TestClock) {
    let clock = TestClock::new();
    (TestIssuer::builder(ISSUER).clock(clock.clone()).build(), clock)
}

fn server(issuer: Issuer, clock: &TestClock) -> ResourceServerBuilder {
    ResourceServer::builder(RESOURCE).issuer(issuer).clock(clock.clone())
}

async fn caching(issuer: Issuer, clock: &TestClock) -> ResourceServer {
    server(issuer, clock).cache_verified_tokens(100).build().await.unwrap()
}

async fn assert_verdicts(app: &App, token: &str, verdicts: &[&str]) {
    for verdict in verdicts {
        assert_eq!(app.with_token(token).await.verdict(), *verdict);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_expires() {
    let (issuer, clock) = issuer();
    let server = caching(issuer.issuer(), &clock).await;
    let app = App::new(server.bearer_layer());
    let token = issuer.token().audience(RESOURCE).expires_in(30 * SECOND).sign();
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    // The clock skew is 60 seconds.
    advance(89 * SECOND).await;
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    advance(SECOND).await;
    assert_verdicts(&app, &token, &["R401", "R401"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_is_checked_against_a_changed_clock() {
    let (issuer, clock) = issuer();
    let app = App::new(caching(issuer.issuer(), &clock).await.bearer_layer());
    clock.set(1_800_000_000);
    let token = issuer.token().audience(RESOURCE).claim("nbf", 1_800_000_000).expires_in(3600 * SECOND).sign();
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    clock.set(1_799_999_939);
    assert_verdicts(&app, &token, &["R401", "R401"]).await;
    clock.set(1_800_000_000);
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    clock.set(1_800_003_660);
    assert_verdicts(&app, &token, &["R401"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_invalidates_its_cached_tokens() {
    let (issuer, clock) = issuer();
    let app = App::new(caching(issuer.issuer(), &clock).await.bearer_layer());
    let old = issuer.token().audience(RESOURCE).expires_in(3600 * SECOND).sign();
    assert_verdicts(&app, &old, &["OK", "OK"]).await;
    issuer.rotate();
    // The cached result is used until the key set is refreshed.
    assert_verdicts(&app, &old, &["OK"]).await;
    let new = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&app, &new, &["OK", "OK"]).await;
    assert_verdicts(&app, &old, &["R401", "R401"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_is_rejected_after_the_next_refresh() {
    let (issuer, clock) = issuer();
    let app = App::new(caching(issuer.issuer(), &clock).await.bearer_layer());
    let kid = issuer.key_id();
    let token = issuer.token().audience(RESOURCE).expires_in(3600 * SECOND).sign();
    issuer.add_key(Algorithm::ES256);
    issuer.remove_key(&kid);
    let mut rejected_after = None;
    for second in 0..400 {
        let verdict = app.with_token(&token).await.verdict();
        match rejected_after {
            None if verdict == "R401" => rejected_after = Some(second),
            None => assert_eq!(verdict, "OK", "after {second} s"),
            // A rejected token must not be accepted again from the cache.
            Some(_) => assert_eq!(verdict, "R401", "after {second} s"),
        }
        advance(SECOND).await;
    }
    let rejected_after = rejected_after.expect("the removed key was never rejected");
    // The lifetime is five minutes, minus up to a tenth.
    assert!(rejected_after <= 301, "{rejected_after}");
}

#[tokio::test(start_paused = true)]
async fn expired_keys_invalidate_their_cached_tokens() {
    let (issuer, clock) = issuer();
    let accepted = issuer.issuer().last_known_good(90 * SECOND);
    let app = App::new(caching(accepted, &clock).await.bearer_layer());
    let token = issuer.token().audience(RESOURCE).expires_in(36_000 * SECOND).sign();
    issuer.fault(Endpoint::KeySet, Fault::Status(503));
    let mut verdicts = Vec::new();
    for _ in 0..430 {
        verdicts.push(app.with_token(&token).await.verdict());
        advance(SECOND).await;
    }
    let accepted = verdicts.iter().take_while(|verdict| **verdict == "OK").count();
    assert!((330..=391).contains(&accepted), "{accepted}");
    assert!(verdicts[accepted..].iter().all(|verdict| verdict == "R503"));
    issuer.heal();
    advance(60 * SECOND).await;
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_token_does_not_hit_the_cache() {
    let (issuer, clock) = issuer();
    let app = App::new(caching(issuer.issuer(), &clock).await.bearer_layer());
    let token = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    let other = issuer.token().audience(RESOURCE).subject("mallory").sign();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (other_signed, other_signature) = other.rsplit_once('.').unwrap();
    let mut changed: Vec<String> = vec![
        format!("{signed}.{other_signature}"),
        format!("{other_signed}.{signature}"),
        format!("{token}A"),
        format!("{token}="),
        format!("{token}.{signature}"),
        format!(".{token}"),
        signed.to_owned(),
        token.to_lowercase(),
    ];
    for place in (0..token.len()).step_by(7).chain([token.len() - 1]) {
        let (before, rest) = token.split_at(place);
        let replaced = if rest.starts_with('A') { 'B' } else { 'A' };
        changed.push(format!("{before}{replaced}{}", &rest[1..]));
        changed.push(format!("{before}{}", &rest[1..]));
    }
    for changed in &changed {
        let verdict = app.with_token(changed).await.verdict();
        assert!(["R400", "R401"].contains(&verdict.as_str()), "{verdict} for {changed}");
    }
    assert_verdicts(&app, &token, &["OK"]).await;
}

#[tokio::test(start_paused = true)]
async fn resources_do_not_share_cached_tokens() {
    let (issuer, clock) = issuer();
    let shared = issuer.issuer();
    let one = App::new(caching(shared.clone(), &clock).await.bearer_layer());
    let other = ResourceServer::builder("https://other.example.com").issuer(shared).clock(clock.clone());
    let other = App::new(other.cache_verified_tokens(100).build().await.unwrap().bearer_layer());
    let token = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&one, &token, &["OK", "OK"]).await;
    assert_verdicts(&other, &token, &["R401", "R401"]).await;
    let both = issuer.token().audience(RESOURCE).audience("https://other.example.com").sign();
    assert_verdicts(&one, &both, &["OK", "OK"]).await;
    assert_verdicts(&other, &both, &["OK", "OK"]).await;
}

#[tokio::test(start_paused = true)]
async fn two_issuers_with_the_same_key_are_distinguished() {
    let (mine, clock) = issuer();
    let theirs = TestIssuer::builder("https://other.example.com").clock(clock.clone()).build();
    theirs.publish_key_set(mine.jwk_set());
    let server = server(mine.issuer(), &clock).issuer(theirs.issuer().require_at_jwt()).cache_verified_tokens(100);
    let app = App::new(server.build().await.unwrap().bearer_layer());
    let token = |typ: &str, issuer: &str| {
        mine.token().audience(RESOURCE).header("typ", typ).claim("iss", issuer).claim("jti", "1").sign()
    };
    assert_verdicts(&app, &token("JWT", ISSUER), &["OK", "OK"]).await;
    assert_verdicts(&app, &token("JWT", "https://other.example.com"), &["R401", "R401"]).await;
    assert_verdicts(&app, &token("at+jwt", "https://other.example.com"), &["OK", "OK"]).await;
}

#[tokio::test(start_paused = true)]
async fn each_layer_checks_its_own_scopes() {
    let (issuer, clock) = issuer();
    let server = caching(issuer.issuer().scope_claim("/roles"), &clock).await;
    let token = issuer.token().audience(RESOURCE).scope("read").claim("roles", vec!["write"]).sign();
    for (scopes, verdict) in [(&["read"][..], "OK"), (&["read", "write"], "OK"), (&["admin"], "R403"), (&[], "OK")] {
        let app = App::new(requiring(&server, scopes));
        assert_verdicts(&app, &token, &[verdict, verdict]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_revocation_check_applies_to_cached_tokens() {
    let (issuer, clock) = issuer();
    let accepted = issuer.issuer().introspect_opaque(ClientCredentials::basic("mcp-server", "secret"));
    let server = caching(accepted.revocation_check(5 * SECOND), &clock).await;
    let app = App::new(server.bearer_layer());
    let token = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&app, &token, &["OK", "OK"]).await;
    issuer.revoke(&token);
    assert_verdicts(&app, &token, &["OK"]).await;
    advance(5 * SECOND).await;
    assert_verdicts(&app, &token, &["R401", "R401"]).await;
    let other = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&app, &other, &["OK"]).await;
    issuer.revoke(&other);
    server.forget(&other);
    assert_verdicts(&app, &other, &["R401"]).await;
    // Opaque tokens are still introspected.
    assert_verdicts(&app, &issuer.token().audience(RESOURCE).opaque(), &["OK", "OK"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_waited_for_its_key_is_cached_with_the_right_key_set() {
    let (issuer, clock) = issuer();
    let app = App::new(caching(issuer.issuer(), &clock).await.bearer_layer());
    issuer.fault(Endpoint::KeySet, Fault::Delay(Duration::from_millis(300)));
    issuer.rotate();
    let token = issuer.token().audience(RESOURCE).expires_in(3600 * SECOND).sign();
    let answers = join_all((0..50).map(|_| app.with_token(&token))).await;
    assert!(answers.iter().all(|answer| answer.verdict() == "OK"));
    assert_eq!(issuer.requests(Endpoint::KeySet), 2);
    issuer.rotate();
    let next = issuer.token().audience(RESOURCE).sign();
    assert_verdicts(&app, &next, &["OK"]).await;
    assert_verdicts(&app, &token, &["R401"]).await;
}

/// Compares a server with the cache and one without it. Both must always give the same responses.
#[test]
fn a_server_with_the_cache_gives_the_same_responses_as_one_without() {
    for seed in 0..if cfg!(feature = "aws-lc-rs") { 40 } else { 2 } {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(compare(seed));
    }
}

async fn compare(seed: u64) {
    let mut dice = Rng::with_seed(seed);
    let (issuer, clock) = issuer();
    let shared = issuer.issuer().scope_claim("/roles");
    let apps =
        [server(shared.clone(), &clock).cache_verified_tokens(4), server(shared, &clock).cache_verified_tokens(0)].map(
            |builder| {
                let layer = builder.scope_implies("admin", ["read"]).build_lazy().unwrap().bearer_layer();
                App::new(layer.required_scopes(["read"]))
            },
        );
    let mut tokens = Vec::new();
    for step in 0..150 {
        match dice.u8(..20) {
            0..=2 => tokens.push(any_token(&issuer, &mut dice)),
            3 => drop(issuer.rotate()),
            4 => clock.advance(SECOND * dice.u32(..40)),
            5 => advance(SECOND * dice.u32(..400)).await,
            6..=8 => advance(Duration::from_millis(dice.u64(..20_000))).await,
            _ => {}
        }
        let Some(token) = dice.choice(&tokens) else { continue };
        let (one, other) = (apps[0].with_token(token).await, apps[1].with_token(token).await);
        let seen = |answer: &crate::support::Answer| (answer.verdict(), answer.body.clone(), answer.challenge());
        assert_eq!(seen(&one), seen(&other), "seed {seed}, step {step}");
    }
}

fn any_token(issuer: &TestIssuer, dice: &mut Rng) -> String {
    let token = issuer.token().audience(RESOURCE).subject(dice.choice(["alice", "bob"]).unwrap());
    let token = token.expires_in(SECOND * dice.u32(1..600)).scope(dice.choice(["read", "admin", "write", ""]).unwrap());
    let token = if dice.bool() { token.claim("roles", vec!["read"]) } else { token };
    match dice.u8(..8) {
        0 => token.claim("nbf", 1_800_000_000 + dice.u64(..300)).sign(),
        1 => token.without("aud").audience("https://other.example.com").sign(),
        2 => token.header("typ", "JWT").claim("nonce", "1").sign(),
        3 => {
            let mut token = token.sign();
            let last = token.pop();
            token + if last == Some('A') { "B" } else { "A" }
        }
        _ => token.sign(),
    }
}
