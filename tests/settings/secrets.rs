//! Secrets and keys from files, and what is never shown.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_bearer::api_key::ApiKey;
use mcp_bearer::settings::Settings;
use mcp_bearer::testing::TestIssuer;
use serde_json::{Value, json};

use crate::{ISSUER, RESOURCE, mistakes, with};

/// A folder for one test, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mcp-bearer-settings-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn introspected(members: Value) -> Value {
    let mut introspection = json!({ "client_id": "rs" });
    introspection.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    json!({ "issuers": [{ "url": ISSUER, "introspection": introspection }] })
}

pub(crate) const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[test]
fn files_with_secrets_and_keys_are_read() {
    let folder = Folder::new("read");
    let keys = folder.file("jwks.json", TestIssuer::new(ISSUER).jwk_set().to_string());
    let metadata = folder.file("metadata.json", format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"{ISSUER}/jwks"}}"#));
    let secret = folder.file("secret", "hush-hush\n");
    let key = folder.file("key.pem", pem());
    let line = ApiKey::generate().unwrap().stored_as("ci").to_line();
    let keys_file = folder.file("api_keys.jsonl", line);
    let session = folder.file("session", format!("{KEY}\n"));
    for members in [
        introspected(json!({ "client_secret_file": secret })),
        introspected(json!({ "client_secret_file": secret, "client_authentication": "post" })),
        introspected(json!({ "private_key_file": key, "private_key_algorithm": "ES256", "private_key_id": "1" })),
        json!({ "issuers": [{ "url": ISSUER, "introspection": { "bearer_token_file": secret } }] }),
        json!({ "issuers": [{ "url": ISSUER, "fixed_jwks_file": keys }] }),
        json!({ "issuers": [{ "url": ISSUER, "jwks_file": keys, "max_seed_age_seconds": 86400 }] }),
        json!({ "issuers": [{ "metadata_file": metadata }] }),
        json!({ "mcp": { "session_key_file": session } }),
        json!({ "mcp": { "session_key": KEY } }),
        json!({ "api_keys": { "file": keys_file } }),
        json!({ "api_keys": { "file": keys_file, "header": "x-api-key", "prefix": "mcpk" }, "issuers": [] }),
    ] {
        let settings = with(members.clone());
        assert_eq!(mistakes(&settings), [""; 0], "{members}");
        let server = settings.builder().unwrap().build_lazy().unwrap();
        _ = settings.mcp_layer(&server).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_used_is_a_mistake_with_its_path() {
    let folder = Folder::new("mistakes");
    let missing = folder.0.join("missing").to_str().unwrap().to_owned();
    let empty = folder.file("empty", "\n");
    let long = folder.file("long", "x".repeat(9 * 1024));
    let bytes = folder.file("bytes", [0xff, 0xfe]);
    let secret = folder.file("secret", "hush-hush");
    let keys = folder.file("api_keys.jsonl", ApiKey::generate().unwrap().stored_as("ci").to_line());
    let pem = folder.file("pem", pem());
    let key = |file: &str| introspected(json!({ "private_key_file": file, "private_key_algorithm": "ES256" }));
    for (members, expected) in [
        (
            introspected(json!({ "client_secret_file": missing })),
            "issuers[0].introspection.client_secret_file: the file cannot be read: ".to_owned(),
        ),
        (
            introspected(json!({ "client_secret_file": bytes })),
            format!("issuers[0].introspection.client_secret_file: the file {bytes:?} is not valid UTF-8; "),
        ),
        (
            introspected(json!({ "client_secret_file": empty })),
            format!(
                "issuers[0].introspection.client_secret_file: the file {empty:?} is empty; write the value into it"
            ),
        ),
        (
            introspected(json!({ "client_secret_file": long })),
            format!("issuers[0].introspection.client_secret_file: the file {long:?} has more than 8192 bytes; "),
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "introspection": { "bearer_token_file": long } }] }),
            format!("issuers[0].introspection.bearer_token_file: the file {long:?} has more than 8192 bytes; "),
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "fixed_jwks_file": missing }] }),
            format!("issuers[0].fixed_jwks_file: the file {missing:?} cannot be read: "),
        ),
        (
            introspected(json!({ "client_secret_file": secret, "client_secret": "hush-hush" })),
            "issuers[0].introspection.client_secret_file: `client_secret` is set as well; remove one".to_owned(),
        ),
        (
            introspected(json!({ "client_secret": "" })),
            "issuers[0].introspection.client_secret: the text is empty; write the secret, or remove the field"
                .to_owned(),
        ),
        (
            introspected(json!({ "client_secret": "hush-hush", "private_key_id": "1" })),
            "issuers[0].introspection.private_key_id: it has no effect without `private_key_file`".to_owned(),
        ),
        (
            introspected(json!({ "private_key_file": pem })),
            "issuers[0].introspection.private_key_algorithm: the algorithm of the private key is missing".to_owned(),
        ),
        (
            key(&secret),
            "issuers[0].introspection.private_key_file: the text is not an unencrypted PKCS #8 key".to_owned(),
        ),
        (key(&missing), "issuers[0].introspection.private_key_file: the file ".to_owned()),
        (
            introspected(json!({ "private_key_file": pem, "private_key_algorithm": "RS256" })),
            "issuers[0].introspection.private_key_file: the key is not for RS256".to_owned(),
        ),
        (
            introspected(
                json!({ "private_key_file": pem, "private_key_algorithm": "ES256", "client_secret": "hush-hush" }),
            ),
            "issuers[0].introspection.private_key_file: a private key takes the place of the client secret".to_owned(),
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "fixed_jwks_file": secret }] }),
            "issuers[0].fixed_jwks_file: the document is not a JSON Web Key Set".to_owned(),
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "jwks_file": secret }] }),
            format!("issuers[0].jwks_file: the key set file {secret:?} is not usable: "),
        ),
        (
            introspected(json!({ "bearer_token_file": secret })),
            "issuers[0].introspection.bearer_token_file: an access token takes the place of `client_id`".to_owned(),
        ),
        (
            json!({ "issuers": [{ "metadata_file": secret }] }),
            "issuers[0].metadata_file: the document is not a JSON object".to_owned(),
        ),
        (
            json!({ "api_keys": { "file": missing } }),
            format!("api_keys.file: the file of API keys {missing:?} cannot be read"),
        ),
        (
            json!({ "api_keys": { "file": secret } }),
            format!("api_keys.file: the API keys of the file {secret:?} have mistakes: line 1: "),
        ),
        (json!({ "api_keys": {} }), "api_keys.file: the file with the keys is missing; write its name".to_owned()),
        (
            json!({ "api_keys": { "file": keys, "prefix": "My" } }),
            "api_keys.prefix: the prefix \"My\" of API keys cannot be used".to_owned(),
        ),
        (
            json!({ "api_keys": { "file": keys, "header": "cookie" } }),
            "api_keys.header: `header` names the header \"cookie\"".to_owned(),
        ),
        (
            json!({ "api_keys": { "file": keys, "header": "x-key" }, "token_from": "x-key" }),
            "api_keys.header: `token_from` and `header` both name \"x-key\"; remove `header`".to_owned(),
        ),
        (
            json!({ "mcp": { "session_key_file": secret } }),
            "mcp.session_key_file: it is not a key of 32 bytes in Base64; make one with `openssl rand -base64 32`"
                .to_owned(),
        ),
        (
            json!({ "mcp": { "session_key": "hush-hush" } }),
            "mcp.session_key: it is not a key of 32 bytes in Base64; make one with `openssl rand -base64 32`"
                .to_owned(),
        ),
    ] {
        let found = mistakes(&with(members.clone()));
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{members}\n{found:#?}");
        assert!(!found[0].contains("hush"), "{found:?}");
    }
}

/// In tests of messages, the start of a secret that was written into the wrong field.
const MISPLACED: &str = "hush-hush-eyJhbGciOiJSUzI1NiJ9";

#[test]
fn a_secret_in_the_wrong_field_is_not_shown() {
    for (members, expected) in [
        (
            introspected(json!({ "client_secret": "hush", "client_authentication": MISPLACED })),
            "issuers[0].introspection.client_authentication: the text is unknown; write \"basic\" or \"post\" or \"none\"",
        ),
        (
            introspected(json!({ "client_secret": "hush", "tokens": MISPLACED })),
            "issuers[0].introspection.tokens: the text is unknown; write \"opaque\" or \"all\"",
        ),
        (
            introspected(json!({ "client_secret": "hush", "max_wait_seconds": MISPLACED })),
            "issuers[0].introspection.max_wait_seconds: the value is a text; write a number, without quotes",
        ),
        (
            introspected(json!({ "client_secret": "hush", "max_in_flight": MISPLACED })),
            "issuers[0].introspection.max_in_flight: the value is a text; write a whole number, without quotes",
        ),
        (
            introspected(json!({ "client_secret": "hush", "client_secret_file": 47110815 })),
            "issuers[0].introspection.client_secret_file: the value is a number; write a text in quotes",
        ),
        (
            introspected(json!({ "client_secret": "hush", "private_key_algorithm": MISPLACED })),
            "issuers[0].introspection.private_key_algorithm: the text is not a signature algorithm; write one such as \"ES256\"",
        ),
        (
            json!({ "issuers": [{ "url": ISSUER, "introspection": MISPLACED }] }),
            "issuers[0].introspection: the value is a text; write a table",
        ),
        (
            json!({ "mcp": { "bind_sessions": MISPLACED } }),
            "mcp.bind_sessions: the value is a text; write true or false, without quotes",
        ),
    ] {
        let found = mistakes(&with(members.clone()));
        assert_eq!(found, [expected], "{members}");
    }
}

#[test]
fn a_secret_in_place_of_the_name_of_its_file_is_not_shown() {
    let introspection = |members: Value| json!({ "issuers": [{ "url": ISSUER, "introspection": members }] });
    for (members, field) in [
        (introspected(json!({ "client_secret_file": MISPLACED })), "issuers[0].introspection.client_secret_file"),
        (introspection(json!({ "bearer_token_file": MISPLACED })), "issuers[0].introspection.bearer_token_file"),
        // Longer than the name of a file may be.
        (
            introspection(json!({ "bearer_token_file": MISPLACED.repeat(200) })),
            "issuers[0].introspection.bearer_token_file",
        ),
        (introspection(json!({ "bearer_token_file": "hush\0" })), "issuers[0].introspection.bearer_token_file"),
        (
            introspected(json!({ "private_key_file": MISPLACED, "private_key_algorithm": "ES256" })),
            "issuers[0].introspection.private_key_file",
        ),
        (json!({ "mcp": { "session_key_file": MISPLACED } }), "mcp.session_key_file"),
    ] {
        let settings = with(members.clone());
        let found = mistakes(&settings);
        let end = "correct the path, which is not shown because it may be a secret";
        let starts = found[0].starts_with(&format!("{field}: the file cannot be read: "));
        assert!(found.len() == 1 && starts && found[0].ends_with(end), "{members}\n{found:#?}");
        assert!(!found[0].contains("hush") && !format!("{:?}", settings.builder()).contains("hush"), "{found:?}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn the_key_of_introspection_results_is_read_from_its_file() {
    let folder = Folder::new("result-key");
    let files = [("valid", KEY), ("wrong", "hush-hush")].map(|(name, text)| folder.file(name, text));
    let of = |file: &str| mistakes(&with(json!({ "redis": { "url": "redis://localhost", "result_key_file": file } })));
    assert_eq!(of(&files[0]), [""; 0]);
    for (file, expected) in [
        (&*files[1], "the text is not a key for introspection results: it has 9 characters"),
        (MISPLACED, "the file cannot be read: "),
    ] {
        let found = of(file);
        assert!(found.len() == 1 && found[0].starts_with(&format!("redis.result_key_file: {expected}")), "{found:?}");
        assert!(!found[0].contains("hush"), "{found:?}");
    }
}

#[test]
fn a_secret_in_the_wrong_variable_is_not_shown() {
    for (name, expected) in [
        ("INTROSPECTION_CLIENT_AUTHENTICATION", "the text is unknown; write \"basic\" or \"post\" or \"none\""),
        ("INTROSPECT_ALL", "the value is neither 1 nor 0; write one of them"),
        ("INTROSPECTION_CACHE_SECONDS", "the value is not a number; write one such as 30"),
        ("BIND_SESSIONS", "the value is neither 1 nor 0; write one of them"),
    ] {
        let name = format!("MCP_{name}");
        let variables = [
            ("MCP_RESOURCE", RESOURCE),
            ("MCP_ISSUER", ISSUER),
            ("MCP_INTROSPECTION_CLIENT_ID", "rs"),
            ("MCP_INTROSPECTION_CLIENT_SECRET", "s3cret"),
            (&name, MISPLACED),
        ];
        let found = mistakes(&Settings::from_vars("MCP_", variables, [""; 0]));
        assert_eq!(found, [format!("{name}: {expected}")]);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_does_not_stop_the_program() {
    let folder = Folder::new("pipe");
    let pipe = folder.0.join("pipe").to_str().unwrap().to_owned();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for members in [
        introspected(json!({ "client_secret_file": pipe })),
        introspected(json!({ "private_key_file": pipe, "private_key_algorithm": "ES256" })),
        json!({ "issuers": [{ "url": ISSUER, "fixed_jwks_file": pipe }] }),
        json!({ "issuers": [{ "url": ISSUER, "jwks_file": pipe }] }),
        json!({ "issuers": [{ "metadata_file": pipe }] }),
        json!({ "mcp": { "session_key_file": pipe } }),
        json!({ "api_keys": { "file": pipe } }),
    ] {
        let error = mistakes(&with(members.clone())).join("\n");
        assert!(error.contains("is not a regular file"), "{members}\n{error}");
    }
}

#[test]
fn secrets_do_not_print() {
    let settings = with(json!({
        "issuers": [{ "url": ISSUER, "introspection": { "client_id": "rs", "client_secret": "hush-hush" } }],
        "mcp": { "session_key": KEY },
    }));
    let builder = settings.builder().unwrap();
    for printed in [format!("{settings:?}"), format!("{builder:?}")] {
        assert!(!printed.contains("hush") && !printed.contains(KEY), "{printed}");
    }
}

/// A private key for ES256, in PEM.
fn pem() -> String {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()))
}
