//! The steps of a login that a client and a browser perform.

use reqwest::Response;
use serde_json::{Value, json};
use url::Url;

use crate::support::Server;

pub(crate) const CALLBACK: &str = "http://127.0.0.1:1/callback";
/// The verifier and challenge of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Parameters that replace the default ones. An empty value removes a parameter.
pub(crate) type Changes<'a> = &'a [(&'a str, &'a str)];

impl Server {
    pub(crate) async fn register(&self, registration: &Value) -> (u16, Value) {
        let answer = self.http.post(format!("{}/register", self.issuer)).json(registration).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Registers a public client and returns its id.
    pub(crate) async fn register_public(&self) -> String {
        let grants = ["authorization_code", "refresh_token"];
        let registration = json!({
            "client_name": "A <b>client</b>", "redirect_uris": [CALLBACK], "grant_types": grants,
            "token_endpoint_auth_method": "none",
        });
        let (status, client) = self.register(&registration).await;
        assert_eq!((status, client.get("client_secret")), (201, None));
        client["client_id"].as_str().unwrap().to_owned()
    }

    /// Returns a token from the client credentials grant.
    pub(crate) async fn service_token(&self, scope: &str) -> String {
        let grants = ["client_credentials"];
        let (_, client) = self.register(&json!({ "client_name": "service", "grant_types": grants })).await;
        let request = self.http.post(format!("{}/token", self.issuer));
        let (id, secret) = (client["client_id"].as_str().unwrap(), client["client_secret"].as_str());
        let form = [("grant_type", "client_credentials"), ("scope", scope), ("resource", &self.resource)];
        let answer: Value = request.basic_auth(id, secret).form(&form).send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Sends a valid request with these changes to the authorization endpoint.
    pub(crate) async fn authorize(&self, client_id: &str, changes: Changes<'_>) -> Response {
        let valid = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", CALLBACK),
            ("scope", "mcp:tools offline_access"),
            ("state", "s t&te"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", &self.resource),
        ];
        let mut url = Url::parse(&format!("{}/authorize", self.issuer)).unwrap();
        url.query_pairs_mut().extend_pairs(changed(&valid, changes));
        self.http.get(url).send().await.unwrap()
    }

    /// Submits a decision on the consent page and returns the query of the redirect.
    pub(crate) async fn decide(&self, page: &str, decision: &str) -> Vec<(String, String)> {
        let answer = self.submit(page, decision).await;
        assert_eq!(answer.status(), 303);
        outcome(&answer)
    }

    pub(crate) async fn submit(&self, page: &str, decision: &str) -> Response {
        let (_, after) = page.split_once("name=\"request\" value=\"").unwrap();
        let form = [("request", after.split('"').next().unwrap()), ("decision", decision)];
        self.http.post(format!("{}/authorize", self.issuer)).form(&form).send().await.unwrap()
    }

    /// Returns a new authorization code.
    pub(crate) async fn code(&self, client_id: &str, changes: Changes<'_>) -> String {
        let page = self.authorize(client_id, changes).await.text().await.unwrap();
        let outcome = self.decide(&page, "approve").await;
        outcome.into_iter().find(|(name, _)| name == "code").unwrap().1
    }

    /// Exchanges a code at the token endpoint with a valid request and these changes.
    pub(crate) async fn exchange(&self, client_id: &str, code: &str, changes: Changes<'_>) -> (u16, Value) {
        self.token(&changed(&self.code_form(client_id, code), changes), None).await
    }

    /// The form of a token request with a code.
    pub(crate) fn code_form<'a>(&'a self, client_id: &'a str, code: &'a str) -> [(&'a str, &'a str); 6] {
        [
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("resource", &self.resource),
        ]
    }

    pub(crate) async fn refresh(&self, client_id: &str, token: &Value, changes: Changes<'_>) -> (u16, Value) {
        let token = token.as_str().unwrap();
        let valid = [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", token)];
        self.token(&changed(&valid, changes), None).await
    }

    /// Sends a request to the revocation endpoint.
    pub(crate) async fn revoke(&self, client_id: &str, token: &Value) -> (u16, Value) {
        let form = [("client_id", client_id), ("token", token.as_str().unwrap())];
        let answer = self.http.post(format!("{}/revoke", self.issuer)).form(&form).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Sends a token request, which may have a DPoP proof.
    pub(crate) async fn token(&self, form: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
        let request = self.http.post(format!("{}/token", self.issuer)).form(form);
        let request = proof.into_iter().fold(request, |request, proof| request.header("dpop", proof));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// Returns the query of the redirect to the callback.
pub(crate) fn outcome(answer: &Response) -> Vec<(String, String)> {
    let target = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    assert!(target.as_str().starts_with(CALLBACK), "{target}");
    target.query_pairs().into_owned().collect()
}

fn changed<'a>(valid: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let unchanged = valid.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    unchanged.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}
