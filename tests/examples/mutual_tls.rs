//! The example with client certificates, called over TLS as its output says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mcp_bearer::testing::TestCertificate;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use tokio::net::TcpStream;

use crate::support::Program;

/// The running example, and the requests that it prints.
struct Example {
    _program: Program,
    directory: PathBuf,
    requests: Vec<PrintedRequest>,
}

struct PrintedRequest {
    status: String,
    certificate: Option<String>,
    url: String,
    authorization: String,
}

impl Example {
    async fn start() -> Self {
        let mut program = Program::start("mutual_tls", &[], &[("MCP_BIND", "127.0.0.1:0")]);
        let printed = program.read_until("ready").await;
        let directory =
            printed.iter().find_map(|line| line.strip_prefix("cd '")).unwrap().trim_end_matches('\'').into();
        let requests = printed.windows(2).filter_map(|lines| PrintedRequest::parse(&lines[0], &lines[1])).collect();
        Self { _program: program, directory, requests }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.join(name)).unwrap()
    }

    /// A client that trusts the server, and presents this certificate.
    fn client(&self, certificate: Option<&str>) -> ClientBuilder {
        let authority = Certificate::from_pem(&self.file("authority.pem")).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([authority]);
        match certificate {
            Some(name) => client.identity(Identity::from_pem(&self.file(name)).unwrap()),
            None => client,
        }
    }

    /// The first printed request, which is accepted.
    fn accepted(&self) -> &PrintedRequest {
        &self.requests[0]
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

impl PrintedRequest {
    fn parse(comment: &str, call: &str) -> Option<Self> {
        let (status, _) = comment.strip_prefix("# ")?.split_once(',')?;
        let (options, authorization) = call.strip_prefix("curl ")?.split_once(" -H 'Authorization: ")?;
        let mut words = options.split_whitespace();
        let url = words.clone().find(|word| word.starts_with("https://"))?.to_owned();
        let certificate = words.find(|word| *word == "--cert").and_then(|_| words.next()).map(str::to_owned);
        let authorization = authorization.trim_end_matches('\'').to_owned();
        Some(Self { status: status.to_owned(), certificate, url, authorization })
    }

    async fn send(&self, client: &Client) -> reqwest::Result<reqwest::Response> {
        client.get(&self.url).header("authorization", &self.authorization).send().await
    }
}

#[tokio::test]
async fn a_bound_token_needs_a_connection_with_its_certificate() {
    let example = Example::start().await;
    let mut bodies = Vec::new();
    for request in &example.requests {
        let client = example.client(request.certificate.as_deref()).build().unwrap();
        let answer = request.send(&client).await.unwrap();
        assert_eq!(answer.status().as_str(), request.status, "{:?}", request.certificate);
        bodies.push(answer.text().await.unwrap());
    }
    assert_eq!(bodies.len(), 4);
    assert_eq!(bodies[0], "the notes of alice\n");
    assert!(bodies[1].contains("bound to another client certificate"), "{bodies:?}");
}

#[tokio::test]
async fn each_connection_of_a_client_has_its_certificate() {
    let example = Example::start().await;
    // Each request opens a connection. A later one can resume the TLS session of the first.
    for http1 in [false, true] {
        let client = example.client(Some("client.pem")).pool_max_idle_per_host(0);
        let client = if http1 { client.http1_only() } else { client };
        let client = client.build().unwrap();
        for _ in 0..3 {
            assert_eq!(example.accepted().send(&client).await.unwrap().status(), 200, "http1: {http1}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_ends_the_handshake() {
    let example = Example::start().await;
    let unknown = TestCertificate::authority("authority.example").issue("client.example");
    let identity = Identity::from_pem((unknown.pem() + &unknown.key_pem()).as_bytes()).unwrap();
    let client = example.client(None).identity(identity).build().unwrap();
    assert!(example.accepted().send(&client).await.is_err());
    // The other clients are not affected.
    let client = example.client(Some("client.pem")).build().unwrap();
    assert_eq!(example.accepted().send(&client).await.unwrap().status(), 200);
}

#[tokio::test]
async fn clients_that_do_not_finish_the_handshake_delay_nobody() {
    let example = Example::start().await;
    let address = example.accepted().url.trim_start_matches("https://").split('/').next().unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let client = example.client(Some("client.pem")).timeout(Duration::from_secs(5)).build().unwrap();
    assert_eq!(example.accepted().send(&client).await.unwrap().status(), 200);
}
