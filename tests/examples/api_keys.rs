//! The example with API keys, called as its output says.

use crate::support::Program;

#[tokio::test]
async fn each_printed_request_has_its_printed_status() {
    let mut program = Program::start("api_keys", &[], &[("MCP_BIND", "127.0.0.1:0")]);
    let printed = program.read_until("ready").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut bodies = Vec::new();
    for lines in printed.windows(2).filter(|lines| lines[0].starts_with("# ")) {
        let words: Vec<_> = lines[1].split_whitespace().collect();
        let url = words.iter().find(|word| word.starts_with("http")).unwrap();
        let (name, value) = lines[1].split('\'').nth(1).unwrap().split_once(": ").unwrap();
        let method = if words.contains(&"POST") { reqwest::Method::POST } else { reqwest::Method::GET };
        let answer = http.request(method, *url).header(name, value).send().await.unwrap();
        assert!(lines[0].starts_with(&format!("# {}", answer.status().as_str())), "{}: {lines:?}", answer.status());
        bodies.push(answer.text().await.unwrap());
    }
    assert_eq!(bodies.len(), 5);
    assert_eq!(bodies[0], "the program ci with the key ci-2027\n");
    assert_eq!(bodies[2], "the user alice\n");
    let path = printed.iter().find_map(|line| line.split_once("the keys are in ")).unwrap().1;
    std::fs::remove_file(path).unwrap();
}
