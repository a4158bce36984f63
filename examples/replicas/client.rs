//! A client of the replicas, with an authorization server for tests.

use std::error::Error;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use mcp_bearer::testing::{TestClient, TestIssuer};
use tokio::net::TcpListener;
use url::Url;

/// Sends requests through the balancer, and prints what the replicas respond.
pub(crate) async fn run(resource: &str, issuer: &str) -> Result<(), Box<dyn Error>> {
    let auth = TestIssuer::new(issuer);
    let listener = TcpListener::bind(&*Url::parse(issuer)?.socket_addrs(|| None)?).await?;
    tokio::spawn(axum::serve(listener, auth.router()).into_future());

    let replicas =
        Replicas { url: resource, http: reqwest::Client::builder().no_proxy().build()?, client: TestClient::dpop() };
    let token = auth.token().audience(resource).subject("alice").bound_to(replicas.client.key()).sign();
    replicas.wait(&token).await?;

    replicas.expect(200, "a proof", &replicas.headers(&token)).await?;
    replicas.expect(200, "another proof", &replicas.headers(&token)).await?;
    let used = replicas.headers(&token);
    replicas.expect(200, "a third proof", &used).await?;
    replicas.expect(401, "the third proof again, at the other replica", &used).await?;
    replicas.expect(401, "and again, at the first one", &used).await?;

    let revoke = std::env::var("REVOKE_URL").unwrap_or_else(|_| "http://127.0.0.1:9311/revoke".to_owned());
    let revoked = replicas.http.post(revoke).body(token.clone()).send().await?;
    println!("{} the token is revoked at replica a", revoked.status().as_u16());
    replicas.expect(401, "a new proof", &replicas.headers(&token)).await?;
    replicas.expect(401, "a new proof, at the other replica", &replicas.headers(&token)).await
}

struct Replicas<'r> {
    url: &'r str,
    http: reqwest::Client,
    client: TestClient,
}

impl Replicas<'_> {
    fn headers(&self, token: &str) -> HeaderMap {
        self.client.headers("GET", self.url, token)
    }

    /// Waits until both replicas accept the token, and for the nonce that they require.
    async fn wait(&self, token: &str) -> Result<(), Box<dyn Error>> {
        let mut accepted = 0;
        println!("waiting for the replicas, which do not trust Redis in the first 11 seconds after its start");
        for _ in 0..300 {
            let sent = self.http.get(self.url).headers(self.headers(token)).send().await;
            if let Ok(response) = sent {
                self.client.accept_nonce(response.headers());
                accepted = if response.status().is_success() { accepted + 1 } else { 0 };
            }
            if accepted == 2 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the replicas do not accept the token".into())
    }

    async fn expect(&self, expected: u16, what: &str, headers: &HeaderMap) -> Result<(), Box<dyn Error>> {
        let response = self.http.get(self.url).headers(headers.clone()).send().await?;
        let (status, error) = (response.status(), error_code(response.headers()));
        let text = response.text().await?;
        let answer = if status == StatusCode::OK { text.trim() } else { error.as_deref().unwrap_or_default() };
        println!("{} {what}: {answer}", status.as_u16());
        if status.as_u16() == expected { Ok(()) } else { Err(format!("expected {expected}").into()) }
    }
}

/// The error code of the challenge `DPoP`, or else of the challenge `Bearer`.
fn error_code(headers: &HeaderMap) -> Option<String> {
    let challenge = headers.get("www-authenticate")?.to_str().ok()?;
    Some(challenge.rsplit_once("error=\"")?.1.split('"').next()?.to_owned())
}
