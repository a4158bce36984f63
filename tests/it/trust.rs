//! The addresses that a fetched document may lead to. They depend on the configuration, or on the address of its
//! server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use mcp_bearer::http_client::{AddressPolicy, HttpClient, HttpFuture, RemoteAddress, RequestLimits};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::TestIssuer;
use mcp_bearer::{Issuer, ResourceServer};
use serde_json::json;

use crate::support::{App, ISSUER, RESOURCE};

/// Answers with metadata, a key set or an introspection response, and records the allowed addresses of each request.
#[derive(Clone)]
struct Network {
    jwks_uri: &'static str,
    from: Option<SocketAddr>,
    keys: Bytes,
    seen: Arc<Mutex<Vec<(String, AddressPolicy)>>>,
}

impl HttpClient for Network {
    fn send(&self, request: Request<Bytes>, limits: RequestLimits) -> HttpFuture<'_> {
        let url = request.uri().to_string();
        self.seen.lock().unwrap().push((url.clone(), limits.addresses));
        let body = if url.contains("well-known") {
            let introspect = self.jwks_uri.replace("jwks", "introspect");
            let document = json!({"issuer": ISSUER, "jwks_uri": self.jwks_uri, "introspection_endpoint": introspect});
            document.to_string().into()
        } else if url.ends_with("/introspect") {
            json!({"active": true, "aud": RESOURCE, "sub": "alice", "token_type": "Bearer"}).to_string().into()
        } else {
            self.keys.clone()
        };
        let mut response = Response::new(body);
        if let Some(from) = self.from {
            response.extensions_mut().insert(RemoteAddress::new(from));
        }
        Box::pin(async move { Ok(response) })
    }
}

/// The allowed addresses of the requests for keys and for introspection.
async fn policies(issuer: Issuer, network: &Network) -> Vec<AddressPolicy> {
    let issuer = issuer.http_client(network.clone()).introspect_opaque(ClientCredentials::basic("client", "secret"));
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap();
    assert_eq!(App::new(server.bearer_layer()).with_token("opaque").await.verdict(), "OK");
    let seen = network.seen.lock().unwrap();
    let named = seen.iter().filter(|(url, _)| !url.contains("well-known"));
    let [keys, check, token] = named.map(|(_, addresses)| addresses.clone()).collect::<Vec<_>>().try_into().unwrap();
    // The first introspection checks the credentials, the second is that of the token.
    assert_eq!(check, token);
    vec![keys, token]
}

#[tokio::test(start_paused = true)]
async fn trust_in_a_document_depends_on_the_configuration_or_the_remote_address() {
    let keys = Bytes::from(TestIssuer::new(ISSUER).jwk_set().to_string());
    let bound = |to: &str| AddressPolicy::NoMorePrivateThan(to.into());
    let address = |text: &str| Some(text.parse().unwrap());
    let (public, private) = (address("8.8.8.8:443"), address("10.1.2.3:443"));
    let elsewhere = "https://keys.internal/jwks";
    let well_known = "https://keycloak.internal:8443/.well-known/x";
    let discover = || Issuer::discover(ISSUER);
    for (what, issuer, from, jwks_uri, expected) in [
        ("a public server", discover(), public, elsewhere, bound("auth.example.com")),
        ("a client without the remote address", discover(), None, elsewhere, bound("auth.example.com")),
        ("a private server", discover(), private, elsewhere, AddressPolicy::Any),
        ("a private server, IPv6", discover(), address("[fd00::1]:443"), elsewhere, AddressPolicy::Any),
        ("a loopback server", discover(), address("127.0.0.1:8080"), elsewhere, AddressPolicy::Any),
        ("IPv4 in IPv6", discover(), address("[::ffff:10.1.2.3]:443"), elsewhere, AddressPolicy::Any),
        // Public addresses that contain a private IPv4 address.
        ("ISATAP", discover(), address("[2a01:4f8:1:2:0:5efe:a00:1]:443"), elsewhere, bound("auth.example.com")),
        ("6to4", discover(), address("[2002:a00:1::1]:443"), elsewhere, bound("auth.example.com")),
        ("NAT64", discover(), address("[64:ff9b::a00:1]:443"), elsewhere, bound("auth.example.com")),
        // The metadata comes from a configured URL.
        ("an internal URL", discover().well_known_url(well_known), None, elsewhere, bound("keycloak.internal:8443")),
        ("an internal server", discover().well_known_url(well_known), private, elsewhere, AddressPolicy::Any),
        // The operator wrote both members.
        (
            "a map",
            discover().map_metadata(|document| {
                document["jwks_uri"] = json!("https://10.0.0.7/jwks");
                document["introspection_endpoint"] = json!("https://10.0.0.7/introspect");
            }),
            public,
            elsewhere,
            AddressPolicy::Any,
        ),
        (
            "a map of another member",
            discover().map_metadata(|document| document["x"] = json!(1)),
            public,
            elsewhere,
            bound("auth.example.com"),
        ),
    ] {
        let network = Network { jwks_uri, from, keys: keys.clone(), seen: Arc::default() };
        assert_eq!(policies(issuer, &network).await, [expected.clone(), expected], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn trust_in_a_mapped_member_does_not_extend_to_the_other() {
    let keys = Bytes::from(TestIssuer::new(ISSUER).jwk_set().to_string());
    let network = Network { jwks_uri: "https://keys.internal/jwks", from: None, keys, seen: Arc::default() };
    let issuer =
        Issuer::discover(ISSUER).map_metadata(|document| document["jwks_uri"] = json!("https://10.0.0.7/jwks"));
    let bound = AddressPolicy::NoMorePrivateThan("auth.example.com".into());
    assert_eq!(policies(issuer, &network).await, [AddressPolicy::Any, bound]);
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_public_issuer_with_metadata_at_an_internal_url_works() {
    // A typical Keycloak behind a proxy: the document contains the public issuer and internal endpoints.
    let internal = TestIssuer::serve().unwrap();
    let public = "https://auth.example.com/realms/demo";
    internal.set_metadata_member("issuer", public);
    let well_known = format!("{}/.well-known/openid-configuration", internal.url());
    let issuer = Issuer::discover(public).well_known_url(well_known);
    let server = ResourceServer::builder(RESOURCE).issuer(issuer).build().await.unwrap();
    assert!(server.health().is_ready());
}
