//! API keys beside access tokens.
#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

mod file;
mod headers;
mod mistakes;
mod overdue;
mod requests;
mod sessions;
mod store;

use mcp_bearer::api_key::{ApiKey, ApiKeys};
use mcp_bearer::introspection::ClientCredentials;
use mcp_bearer::testing::{TestClock, TestIssuer};
use mcp_bearer::{ResourceServer, ResourceServerBuilder};

use crate::support::{App, ISSUER, RESOURCE};

/// A server that accepts JWTs, opaque tokens and these API keys.
struct Keyed {
    issuer: TestIssuer,
    clock: TestClock,
    server: ResourceServer,
}

impl Keyed {
    async fn new(keys: ApiKeys) -> Self {
        Self::with(keys, |builder| builder).await
    }

    async fn with(keys: ApiKeys, configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Self {
        let clock = TestClock::new();
        let issuer = TestIssuer::builder(ISSUER).clock(clock.clone()).introspection_client("rs", "secret").build();
        let configured = issuer.issuer().introspect_opaque(ClientCredentials::basic("rs", "secret"));
        let builder = ResourceServer::builder(RESOURCE).issuer(configured).clock(clock.clone());
        let builder = builder.scopes_supported(["notes:read", "notes:write", "mcp:tools"]);
        let server = configure(builder.api_keys(keys)).build().await.unwrap();
        Self { issuer, clock, server }
    }

    /// The application with `notes:read` as a required scope.
    fn app(&self) -> App {
        App::new(self.server.bearer_layer().required_scopes(["notes:read"]))
    }
}

/// The key with another secret, and with a checksum that matches it.
fn with_another_secret(key: &ApiKey) -> String {
    let id = key.id();
    loop {
        let other = ApiKey::generate().unwrap();
        // The checksum is over the whole text, so it is made by the same rule here.
        let text = format!("{id}{}", &other.expose()[id.len()..other.expose().len() - 6]);
        let text = format!("{text}{}", checksum(&text));
        if ApiKey::parse(&text).is_ok() {
            return text;
        }
    }
}

/// The CRC-32 in 6 digits of base 62, written down a second time.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        }
    }
    let mut value = !crc;
    let mut digits = [' '; 6];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(DIGITS[(value % 62) as usize]);
        value /= 62;
    }
    digits.into_iter().collect()
}
