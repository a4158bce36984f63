//! The samples and the messages in the guide are real.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, header};
use mcp_bearer::ResourceServer;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{Dpop, SenderConstraint};
use mcp_bearer::testing::{TestClient, TestIssuer};

use super::{GUIDE, code_in, sources};
use crate::capture::Capture;
use crate::support::{App, ISSUER, RESOURCE};

const SENDER_CONSTRAINED: &str = include_str!("../../../src/guide/sender_constrained.md");
const LOGGING: &str = include_str!("../../../src/guide/logging.md");

/// The blocks of text in a chapter.
fn blocks(chapter: &str) -> Vec<&str> {
    chapter.split("```text\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The output of `tracing-subscriber` in its default format, without time and colours.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// The lines since the last call.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap().trim().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn the_samples_are_what_a_server_writes() {
    // Prevents that other tests disable the events.
    drop(Capture::default());
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let issuer = TestIssuer::new(ISSUER);
    let configured = issuer.issuer().algorithms([mcp_bearer::jose::Algorithm::ES256]);
    let server = ResourceServer::builder(RESOURCE).issuer(configured).build().await.unwrap();
    let [started, rejected] = blocks(LOGGING)[..] else { panic!("another number of samples") };
    assert_eq!(written.take(), started);

    let [audience, explained, no_certificates] = blocks(GUIDE)[..] else { panic!("another number of samples") };
    let token = issuer.token().audience("https://mcp.example.com/mcp/").sign();
    let _: axum::Router = server.metadata_router();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    app.with_token(&token).await;
    assert_eq!(written.take().replace(&format!("kid={}", issuer.key_id()), "kid=k1"), audience);
    assert_eq!(server.explain(&token).await.to_string(), explained);
    assert!(sources::contain(no_certificates));

    let token = issuer.token().audience(RESOURCE).scope("notes:read").sign();
    let request = Request::post("/mcp").header("x-request-id", "7f3a");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(written.take(), rejected);
}

#[tokio::test]
async fn the_challenges_in_the_guide_are_those_of_a_server() {
    let issuer = TestIssuer::new(ISSUER);
    let server = ResourceServer::builder(RESOURCE)
        .issuer(issuer.issuer())
        .sender_constraint(SenderConstraint::Optional)
        .dpop(Dpop::new().algorithms([Algorithm::ES256, Algorithm::EdDSA]))
        .build()
        .await
        .unwrap();
    let app = App::new(server.bearer_layer().required_scopes(["mcp:tools"]));
    let client = TestClient::dpop();
    let token = issuer.token().audience(RESOURCE).scope("mcp:tools").bound_to(client.key()).sign();
    let without_token = Request::get("/mcp").body(Body::empty()).unwrap();
    let mut for_another_url = Request::get("/mcp").body(Body::empty()).unwrap();
    *for_another_url.headers_mut() = client.headers("GET", "https://mcp.example.com/mcp/", &token);
    for (request, sample) in [without_token, for_another_url].into_iter().zip(blocks(SENDER_CONSTRAINED)) {
        let answer = app.send(request).await;
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(format!("HTTP/1.1 {}\nWWW-Authenticate: {challenge}", answer.status), sample);
    }
    assert_eq!(blocks(SENDER_CONSTRAINED).len(), 2);
}

#[test]
fn every_message_in_the_guide_exists() {
    // The rows about causes are compared with real lines.
    let lines = GUIDE.split("```").step_by(2).flat_map(str::lines);
    let is_of_a_cause =
        |line: &&str| ["request", "token", "proof"].iter().any(|what| line.contains(&format!("{what} rejected: ")));
    let lines = lines.filter(|line| !is_of_a_cause(line));
    let messages: BTreeSet<_> = lines.flat_map(code_in).filter(|code| code.matches(' ').count() >= 3).collect();
    assert!(messages.len() > 10, "{messages:?}");
    for message in messages {
        assert!(sources::contain(message), "no source has {message:?}");
    }
}

#[test]
fn every_warning_and_error_of_the_source_is_in_the_guide() {
    let messages = sources::warnings();
    assert!(messages.len() > 20, "{messages:?}");
    for message in messages {
        assert!(GUIDE.contains(&message), "no chapter has {message:?}");
    }
}

#[test]
fn the_guide_lists_the_targets_of_the_source() {
    let targets = sources::files().iter().flat_map(|text| sources::targets(text)).collect::<BTreeSet<_>>();
    let section = LOGGING.split("# Targets").nth(1).unwrap().split("\n# ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeSet<_> = rows.map(|row| code_in(row)[0].to_owned()).collect();
    assert_eq!(listed, targets);
}
