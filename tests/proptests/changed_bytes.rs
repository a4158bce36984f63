//! A valid token with any change is an invalid token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode};
use mcp_bearer::ResourceServer;
use mcp_bearer::bearer::BearerAuthLayer;
use mcp_bearer::jose::{Algorithm, AllowedAlgorithms};
use mcp_bearer::testing::{Endpoint, TestIssuer};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use tokio::runtime::Runtime;

use crate::support::{REACHED, RESOURCE, cases, issuer, paused, send};

/// A valid token, and a server that accepts it.
struct Subject {
    runtime: Runtime,
    issuer: TestIssuer,
    layer: BearerAuthLayer,
    token: Vec<u8>,
    /// The number of requests to the issuer before the first change.
    requests_before: usize,
}

impl Subject {
    fn new(algorithm: Algorithm) -> Self {
        let runtime = paused();
        let (issuer, layer, token) = runtime.block_on(async {
            let (issuer, clock) = issuer();
            let token = issuer.token().algorithm(algorithm).audience(RESOURCE).scope("a").without("jti").sign();
            let server = ResourceServer::builder(RESOURCE).issuer(issuer.issuer()).clock(clock).build().await.unwrap();
            (issuer, server.bearer_layer(), token)
        });
        let requests_before = issuer.total_requests();
        let subject = Self { runtime, issuer, layer, token: token.into(), requests_before };
        assert_eq!(subject.status(&subject.token), REACHED);
        subject
    }

    fn status(&self, token: &[u8]) -> StatusCode {
        self.runtime.block_on(send(&self.layer, &[b"Bearer ", token].concat())).0
    }

    /// Checks that the token is rejected with a client error. Only a token with a new key id may cause a request to the
    /// issuer.
    fn check(&self, token: &[u8]) -> TestCaseResult {
        if token == self.token || HeaderValue::from_bytes(token).is_err() {
            return Ok(());
        }
        let before = self.issuer.total_requests();
        let status = self.status(token);
        let shown = || String::from_utf8_lossy(token).into_owned();
        prop_assert!(matches!(status.as_u16(), 400 | 401), "{} for {}", status, shown());
        let requests = self.issuer.total_requests() - before;
        prop_assert!(
            requests == 0 || kid(token).is_some_and(|new| kid(&self.token) != Some(new)),
            "a request to the issuer for {}",
            shown()
        );
        // The time is paused, and the rate limit allows two fetches for unknown key ids at once.
        prop_assert!(self.issuer.total_requests() - self.requests_before <= 2, "more than two requests");
        prop_assert_eq!(self.issuer.requests(Endpoint::Introspection), 0);
        Ok(())
    }
}

/// Returns the key id of a token if its header can be parsed.
fn kid(token: &[u8]) -> Option<String> {
    let header = token.split(|byte| *byte == b'.').next()?;
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some(header.get("kid")?.as_str()?.to_owned())
}

#[test]
fn a_token_with_any_changed_byte_is_rejected() {
    // The backend `rust-crypto` verifies signatures slowly in a debug build. There, each algorithm tests every sixth
    // position only, starting at a different one.
    let step = if cfg!(feature = "aws-lc-rs") { 1 } else { 6 };
    for (first, algorithm) in AllowedAlgorithms::supported().iter().enumerate() {
        let subject = Subject::new(algorithm);
        let valid = subject.token.clone();
        let new_byte = prop_oneof![4 => "[A-Za-z0-9_-]", 1 => "[ -~]"].prop_map(|text| text.as_bytes()[0]);
        let changes = prop::collection::vec((new_byte, 0_u8..4), valid.len() + 1);
        let mut runner = TestRunner::new(proptest::test_runner::Config { source_file: Some(file!()), ..cases(1) });
        let outcome = runner.run(&changes, |changes| {
            for (at, (byte, kind)) in changes.into_iter().enumerate().skip(first % step).step_by(step) {
                let (before, after) = valid.split_at(at);
                let rest = after.get(1..).unwrap_or_default();
                // Every position gets another byte, in addition to the random change.
                subject.check(&[before, &[byte], rest].concat())?;
                let changed = match (kind, after) {
                    (0, _) => [before, &[byte], after].concat(),
                    (1, _) => [before, rest].concat(),
                    (2, [one, other, rest @ ..]) => [before, &[*other, *one], rest].concat(),
                    // The token is cut off at this position.
                    _ => before.to_vec(),
                };
                subject.check(&changed)?;
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
    }
}

#[test]
fn a_token_with_reordered_repeated_or_foreign_parts_is_rejected() {
    for algorithm in AllowedAlgorithms::supported().iter() {
        let subject = Subject::new(algorithm);
        let other = subject.issuer.token().algorithm(algorithm).audience(RESOURCE).scope("a b").sign();
        let parts: Vec<&[u8]> = subject.token.split(|byte| *byte == b'.').collect();
        let others: Vec<&[u8]> = other.as_bytes().split(|byte| *byte == b'.').collect();
        let [header, payload, signature] = parts[..] else { panic!("the token does not have three parts") };
        let mut changed: Vec<Vec<&[u8]>> = vec![
            vec![header, payload],
            vec![header, signature],
            vec![payload, signature],
            vec![header, payload, b""],
            vec![header, payload, signature, b""],
            vec![b"", header, payload, signature],
            vec![header, b"", payload, signature],
            vec![header, payload, others[2]],
            vec![header, others[1], signature],
            vec![header, payload, signature, signature],
            vec![header, payload, payload, signature],
            vec![header, header, payload, signature],
            vec![header, payload, signature, header, payload],
        ];
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            changed.push(order.map(|part: usize| parts[part]).to_vec());
        }
        let doubled = signature.repeat(2);
        changed.push(vec![header, payload, &doubled]);
        for parts in changed {
            subject.check(&parts.join(&b'.')).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        }
    }
}
