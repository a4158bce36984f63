//! The DPoP proof of a token request (RFC 9449, section 5).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, get_current_timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::error::OAuthError;
use super::server::Shared;

#[derive(Deserialize)]
struct ProofHeader {
    typ: String,
    alg: Algorithm,
    jwk: Value,
}

#[derive(Deserialize)]
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    iat: u64,
}

impl Shared {
    /// Returns the thumbprint of the key that the client proves to have. `None` if the request does not have a proof, or if this
    /// server does not support DPoP.
    pub(crate) fn proven_key(&self, headers: &HeaderMap) -> Result<Option<String>, OAuthError> {
        let mut proofs = headers.get_all("dpop").iter();
        let invalid = |what: &str| OAuthError::new("invalid_dpop_proof", what);
        match (proofs.next(), proofs.next()) {
            _ if !self.supports_dpop => Ok(None),
            (None, _) => Ok(None),
            (Some(proof), None) => self.check_proof(proof).map(Some).map_err(invalid),
            (Some(_), Some(_)) => Err(invalid("the request has more than one proof")),
        }
    }

    /// Checks a proof (RFC 9449, section 4.3), and returns the thumbprint of its key.
    fn check_proof(&self, proof: &HeaderValue) -> Result<String, &'static str> {
        let proof = proof.to_str().map_err(|_| "the proof is not a JWT")?;
        let header = header(proof).ok_or("the header of the proof needs typ, alg and jwk")?;
        if header.typ != "dpop+jwt" || !ALGORITHMS.contains(&header.alg) {
            return Err("typ must be dpop+jwt, and alg one of dpop_signing_alg_values_supported");
        }
        if PRIVATE_MEMBERS.iter().any(|member| header.jwk.get(member).is_some()) {
            return Err("jwk must be a public key");
        }
        let jwk: Jwk = serde_json::from_value(header.jwk).map_err(|_| "jwk is not a key")?;
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "jwk is not a key for signatures")?;
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let proven = decode::<ProofClaims>(proof, &key, &validation);
        let claims = proven.map_err(|_| "the signature or a claim of the proof is invalid")?.claims;
        if claims.htm != "POST" || claims.htu != format!("{}/token", self.issuer.url()) {
            return Err("htm and htu must be POST and the URL of the token endpoint");
        }
        if claims.iat.abs_diff(get_current_timestamp()) > PROOF_LIFETIME.as_secs() {
            return Err("the proof is too old, or the clock of the client is wrong");
        }
        let thumbprint =
            jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| "the thumbprint of jwk cannot be computed")?;
        let id = format!("{thumbprint} {}", claims.jti);
        if self.proofs.peek(&id).is_some() {
            return Err("the proof was used before");
        }
        self.proofs.keep_under(&id, ());
        Ok(thumbprint)
    }
}

/// The names of the accepted algorithms, for the metadata.
pub(crate) fn algorithm_names() -> Vec<String> {
    ALGORITHMS.iter().map(|algorithm| format!("{algorithm:?}")).collect()
}

fn header(proof: &str) -> Option<ProofHeader> {
    let (header, _) = proof.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// The algorithms that clients usually have. A server never accepts a symmetric algorithm here, because the key is public.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256];
/// The members of private and symmetric keys (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];
/// How far `iat` may be from the time of this server.
pub(crate) const PROOF_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use mcp_bearer::jose::Algorithm as Signature;
    use mcp_bearer::testing::{TestDpopKey, TestProof};
    use serde_json::json;

    use super::super::server::{AuthorizationServer, Configuration};
    use super::*;

    /// A client of a new server. It requests tokens without a user.
    struct ServiceClient {
        http: reqwest::Client,
        server: AuthorizationServer,
        id: String,
        secret: String,
    }

    impl ServiceClient {
        async fn of_a_server(supports_dpop: bool) -> Self {
            let (bind, resource) = (SocketAddr::from(([127, 0, 0, 1], 0)), "http://127.0.0.1:9000/mcp".to_owned());
            let (default_scopes, scopes) = (vec!["a".to_owned()], vec!["a".to_owned()]);
            let configuration = Configuration { bind, resource, default_scopes, scopes, supports_dpop };
            let server = AuthorizationServer::start(configuration).await.unwrap();
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let registration = json!({ "grant_types": ["client_credentials"] });
            let request = http.post(format!("{}/register", server.url())).json(&registration);
            let client: Value = request.send().await.unwrap().json().await.unwrap();
            let member = |name: &str| client[name].as_str().unwrap().to_owned();
            Self { http, server, id: member("client_id"), secret: member("client_secret") }
        }

        fn endpoint(&self) -> String {
            format!("{}/token", self.server.url())
        }

        async fn request(&self, proofs: &[String]) -> (u16, Value) {
            let request = self.http.post(self.endpoint()).basic_auth(&self.id, Some(&self.secret));
            let request = proofs.iter().fold(request, |request, proof| request.header("dpop", proof));
            let answer = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        }
    }

    #[tokio::test]
    async fn a_token_is_bound_to_the_key_of_the_proof() {
        let client = ServiceClient::of_a_server(true).await;
        for algorithm in [Signature::ES256, Signature::ES384, Signature::EdDSA, Signature::PS256] {
            let key = TestDpopKey::with_algorithm(algorithm);
            let (status, tokens) = client.request(&[key.proof("POST", &client.endpoint()).sign()]).await;
            assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");
            let payload = tokens["access_token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
            let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
            assert_eq!(claims["cnf"], json!({ "jkt": key.thumbprint().to_string() }));
        }
        let (status, tokens) = client.request(&[]).await;
        assert_eq!((status, &tokens["token_type"]), (200, &json!("Bearer")), "{tokens}");
    }

    #[tokio::test]
    async fn an_invalid_proof_is_rejected() {
        let client = ServiceClient::of_a_server(true).await;
        let (key, endpoint) = (TestDpopKey::new(), client.endpoint());
        let proof = || key.proof("POST", &endpoint);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let private = || {
            let mut jwk = key.public_jwk();
            jwk["d"] = json!("AAAA");
            jwk
        };
        let invalid: Vec<TestProof> = vec![
            key.proof("GET", &endpoint),
            key.proof("POST", &endpoint.replace("/token", "/authorize")),
            proof().header("typ", "JWT"),
            proof().without_header("typ"),
            proof().header("alg", "HS256"),
            proof().header("alg", "none"),
            proof().header("alg", "ES384"),
            proof().header("jwk", private()),
            proof().header("jwk", json!({ "kty": "oct", "k": "AAAA" })),
            proof().without_header("jwk"),
            proof().signed_by(&TestDpopKey::new()),
            proof().issued_ago(minutes(2)),
            proof().issued_in(minutes(2)),
            proof().claim("iat", "now"),
            proof().without("iat"),
            proof().without("jti"),
            proof().without("htm"),
            proof().without("htu"),
        ];
        for proof in invalid {
            let description = format!("{proof:?}");
            let (status, answer) = client.request(&[proof.sign()]).await;
            assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")), "{description}");
        }
        let valid = proof().sign();
        assert_eq!(client.request(std::slice::from_ref(&valid)).await.0, 200);
        for proofs in [vec![valid], vec![proof().sign(), proof().sign()], vec!["a.b".to_owned()], vec![String::new()]] {
            let (status, answer) = client.request(&proofs).await;
            assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")), "{proofs:?}");
        }
    }

    #[tokio::test]
    async fn a_server_without_dpop_ignores_proofs() {
        let client = ServiceClient::of_a_server(false).await;
        let (status, tokens) = client.request(&["not a proof".to_owned()]).await;
        assert_eq!((status, &tokens["token_type"]), (200, &json!("Bearer")), "{tokens}");
    }
}
