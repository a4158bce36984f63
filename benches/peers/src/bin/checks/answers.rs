use std::fmt;

use axum::Router;
use axum::http::header;
use mcp_bearer_peers::Subject;

/// The responses of a peer to invalid requests, which show whether it performs the same checks.
pub(crate) struct Answers(Vec<(&'static str, String)>);

impl Answers {
    pub(crate) async fn ask(subject: &Subject, peer: &Router) -> Self {
        let token = || subject.unsigned();
        let cases = [
            ("no_token", None),
            ("garbage", Some("garbage".to_owned())),
            ("expired", Some(token().expired().sign())),
            ("wrong_audience", Some(token().without("aud").audience("https://other.example.com").sign())),
            ("wrong_issuer", Some(token().claim("iss", "https://other.example.com").sign())),
            ("wrong_signature", Some(signed_for_another(&subject.token, &token().sign()))),
            ("without_audience", Some(token().without("aud").sign())),
            ("without_issuer", Some(token().without("iss").sign())),
            ("without_expiry", Some(token().without("exp").sign())),
        ];
        let mut answers = Vec::with_capacity(cases.len());
        for (name, token) in cases {
            let response = Subject::call(peer, token.as_deref()).await;
            let challenge = if response.headers().contains_key(header::WWW_AUTHENTICATE) { "+" } else { "" };
            answers.push((name, format!("{}{challenge}", response.status().as_u16())));
        }
        Self(answers)
    }
}

/// Returns the claims of one token with the signature of another.
fn signed_for_another(token: &str, other: &str) -> String {
    let (claims, _) = token.rsplit_once('.').unwrap_or_default();
    let (_, signature) = other.rsplit_once('.').unwrap_or_default();
    format!("{claims}.{signature}")
}

/// The sign `+` after a status marks a challenge.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(|(name, answer)| format!("{name}={answer}")).collect();
        f.write_str(&texts.join("\t"))
    }
}
