//! The errors of the builder for a Redis server that it cannot use, and TLS.

use std::fs;

use mcp_bearer::BuildErrorKind;
use mcp_bearer::shared::RedisState;
use mcp_bearer::testing::TestCertificate;

use crate::program::{RedisServer, free_port};
use crate::replica::{DOUBT, Replica, World};

async fn build_error(world: &World, state: RedisState) -> (BuildErrorKind, String) {
    let error = world.builder(state).build().await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_wrong_password_is_reported_without_the_password() {
    let Some(redis) = RedisServer::with(&["--requirepass", "correct"]) else { return };
    let world = World::new();
    for user in [":wrong@", "nobody:wrong@", ""] {
        let state = RedisState::new(format!("redis://{user}127.0.0.1:{}", redis.port()));
        let (kind, message) = build_error(&world, state).await;
        assert_eq!(kind, BuildErrorKind::Credentials, "{message}");
        assert!(message.contains("correct the user name and the password in the URL"), "{message}");
        assert!(!message.contains("wrong@"), "{message}");
    }
    let state = RedisState::new(format!("redis://:correct@127.0.0.1:{}", redis.port()));
    world.builder(state).build().await.unwrap();
}

/// Redis quotes the arguments of a command that it does not have.
#[tokio::test]
async fn a_server_without_hello_is_reported_without_the_password() {
    let Some(redis) = RedisServer::with(&["--requirepass", "s3cret", "--rename-command", "HELLO", ""]) else { return };
    let state = RedisState::new(format!("redis://:s3cret@127.0.0.1:{}", redis.port()));
    let error = World::new().builder(state).build().await.unwrap_err();
    let message = format!("{error} {error:?}");
    assert!(message.contains("ERR at the start of the connection"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}

#[tokio::test]
async fn a_server_that_evicts_is_reported() {
    let Some(redis) = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]) else {
        return;
    };
    let (kind, message) = build_error(&World::new(), RedisState::new(redis.url())).await;
    assert_eq!(kind, BuildErrorKind::Unreachable, "{message}");
    assert!(message.contains("\"volatile-lru\"") && message.contains("set `maxmemory-policy noeviction`"), "{message}");
}

#[tokio::test]
async fn a_server_that_does_not_run_is_reported_and_a_lazy_server_starts() {
    let world = World::new();
    let state = || RedisState::new(format!("redis://127.0.0.1:{}", free_port()));
    let (kind, message) = build_error(&world, state()).await;
    assert_eq!(kind, BuildErrorKind::Unreachable, "{message}");
    assert!(message.contains("start it, or correct its address"), "{message}");
    let replica = Replica::new(world.builder(state()).build_lazy().unwrap());
    assert_eq!(replica.bearer(&world.token().sign()).await, 200);
    let client = world.client();
    assert_eq!(replica.with_proof(&client, &world.bound_to(&client)).await, 503);
}

#[tokio::test]
async fn tls_needs_a_certificate_of_a_trusted_authority() {
    let authority = TestCertificate::authority("redis authority");
    let certificate = authority.issue("127.0.0.1");
    let folder = std::env::temp_dir().join(format!("mcp-bearer-redis-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: String| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (file("cert.pem", certificate.pem()), file("key.pem", certificate.key_pem()));
    let ca = file("ca.pem", authority.pem());
    let arguments = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let arguments = [&arguments[..], &["--tls-auth-clients", "no", "--tls-port", "PORT"]].concat();
    let Some(redis) = RedisServer::with(&arguments) else { return };
    let world = World::new();
    let state = || RedisState::new(format!("rediss://127.0.0.1:{}", redis.port()));
    let (kind, message) = build_error(&world, state()).await;
    assert_eq!(kind, BuildErrorKind::Unreachable, "{message}");
    let other = TestCertificate::authority("another authority");
    let (_, message) = build_error(&world, state().root_certificates(other.pem())).await;
    assert!(message.contains("certificate"), "{message}");
    let server = world.builder(state().root_certificates(authority.pem())).build().await.unwrap();
    let replica = Replica::new(server);
    world.clock.advance(DOUBT);
    let client = world.client();
    assert_eq!(replica.with_proof(&client, &world.bound_to(&client)).await, 200);
    // Without TLS, nothing is understood.
    let (kind, _) = build_error(&world, RedisState::new(format!("redis://127.0.0.1:{}", redis.port()))).await;
    assert_eq!(kind, BuildErrorKind::Unreachable);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_user_without_permissions_gets_an_error_that_says_so() {
    let Some(redis) = RedisServer::start() else { return };
    let world = World::new();
    redis.call::<()>("ACL SETUSER limited on >secret ~mcp-bearer:* &mcp-bearer:* +@all -info");
    let url = |user: &str| RedisState::new(format!("redis://{user}:secret@127.0.0.1:{}", redis.port()));
    let (_, message) = build_error(&world, url("limited")).await;
    assert!(message.contains("'info' command; allow the commands"), "{message}");
    // The permissions of the documentation are enough.
    redis.call::<()>(
        "ACL SETUSER documented on >secret ~mcp-bearer:* &mcp-bearer:* -@all +hello +auth +select +client +info +ping +time \
         +set +get +zadd +expireat +zscan +zremrangebyscore +publish +subscribe",
    );
    let replica = Replica::new(world.builder(url("documented")).build().await.unwrap());
    world.clock.advance(DOUBT);
    let client = world.client();
    assert_eq!(replica.with_proof(&client, &world.bound_to(&client)).await, 200);
    crate::replica::until("the list", async || replica.server.health().revocations().is_current()).await;
}
