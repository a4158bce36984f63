//! The example with client certificates, called over TLS as its output says.

use std::fs;
use std::path::Path;

use crate::support::Program;

#[tokio::test]
async fn a_bound_token_needs_a_connection_with_its_certificate() {
    let mut program = Program::start("mutual_tls", &[], &[("MCP_BIND", "127.0.0.1:0")]);
    let printed = program.read_until("ready").await;
    let directory = printed.iter().find_map(|line| line.strip_prefix("cd '")).unwrap();
    let file = |name: &str| fs::read(Path::new(directory.trim_end_matches('\'')).join(name)).unwrap();
    let authority = reqwest::Certificate::from_pem(&file("authority.pem")).unwrap();
    let mut answers = Vec::new();
    for lines in printed.windows(2).filter(|lines| lines[0].starts_with("# ")) {
        let (options, authorization) = lines[1].split_once(" -H 'Authorization: ").unwrap();
        let words: Vec<_> = options.split_whitespace().collect();
        let certificate = words.iter().skip_while(|word| **word != "--cert").nth(1);
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority.clone()]);
        let client = match certificate {
            Some(name) => client.identity(reqwest::Identity::from_pem(&file(name)).unwrap()),
            None => client,
        };
        let url = words.iter().find(|word| word.starts_with("https://")).unwrap();
        let request = client.build().unwrap().get(*url).header("authorization", authorization.trim_end_matches('\''));
        let answer = request.send().await.unwrap();
        assert!(lines[0].starts_with(&format!("# {},", answer.status().as_str())), "{}: {lines:?}", answer.status());
        answers.push((certificate.map(|name| (*name).to_owned()), answer.text().await.unwrap()));
    }
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[0], (Some("client.pem".to_owned()), "the notes of alice\n".to_owned()));
}
