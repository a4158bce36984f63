//! Servers that cannot be reached are unknown, not faults; a certificate that is not accepted is a fault.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::deployment::Deployment;
use crate::program::run;

/// A URL at which nothing listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unknown() {
    let deployment = Deployment::new().await;
    let resource = format!("{}/mcp", closed());
    let run = run(&["doctor", "--issuer", deployment.issuer.url(), "--resource", &resource, "--json"]).await;
    let report = run.json();
    assert_eq!((run.exit_status, &report["verdict"]), (2, &"unknown".into()));
    assert_eq!(report["causes"], serde_json::json!(["mcp.address"]));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["status"] != "fault"), "{report:#}");
    let metadata = checks.iter().find(|check| check["id"] == "resource.metadata").unwrap();
    assert_eq!(metadata["not_reached_because_of"], "mcp.address");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_is_the_first_cause() {
    let mut deployment = Deployment::new().await;
    deployment.given_issuer = closed();
    deployment.configured_issuer = mcp_bearer::Issuer::discover(deployment.given_issuer.as_str());
    let run = deployment.examine(&["--json"]).await;
    let report = run.json();
    assert_eq!((run.exit_status, &report["causes"][0]), (2, &"issuer.metadata".into()), "{report:#}");
    assert!(run.stdout.contains("Connection refused"), "{report:#}");
    // The resource server does not have the keys of its issuer either.
    assert_eq!(report["causes"].as_array().unwrap().len(), 1, "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let made_up = checks.iter().find(|check| check["id"] == "mcp.invalid_token").unwrap();
    assert_eq!(made_up["not_reached_because_of"], "issuer.metadata");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_accepted_is_the_first_cause() {
    let (issuer, mut deployment) = (serve_self_signed(), Deployment::new().await);
    deployment.given_issuer.clone_from(&issuer);
    deployment.configured_issuer = mcp_bearer::Issuer::discover(issuer.as_str());
    let run = deployment.examine(&[]).await;
    assert_eq!(run.exit_status, 1, "{}", run.stdout);
    let first = run.stdout.lines().find(|line| line.starts_with("1. ")).unwrap();
    assert!(first.starts_with("1. fault issuer.metadata:") && first.contains("certificate"), "{first}");
    assert!(run.stdout.contains("SSL_CERT_FILE"), "{}", run.stdout);
}

/// Starts a TLS server with a self-signed certificate. Returns its URL.
fn serve_self_signed() -> String {
    let certificate = include_bytes!("../it/hostile/tls/self_signed.pem");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../it/hostile/tls/server.key")).unwrap();
    let certificates = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    // The thread ends with the process.
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            if stream.read(&mut [0; 4096]).is_ok() {
                drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            }
        }
    }));
    url
}
