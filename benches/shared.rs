//! Compares a request with a DPoP proof whose use is recorded in Redis with the bare work: both signature checks, and one round
//! trip with the same two commands. In the same run, with a Redis server on loopback.
//!
//! `cargo bench --bench shared --features redis`. Needs `redis-server`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark panics when it cannot start")]
#![allow(clippy::expect_used, clippy::print_stderr, unreachable_pub, reason = "the program of the tests")]

#[path = "../tests/redis/program.rs"]
#[allow(dead_code, reason = "the benchmark uses only a part of it")]
mod program;
mod subject;

use std::hint::black_box;
use std::time::{Duration, Instant};

use http::Request;
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::jose::Algorithm;
use mcp_bearer::sender::{Dpop, SenderConstraint};
use mcp_bearer::shared::RedisState;
use mcp_bearer::testing::{TestClient, TestClock, TestIssuer};
use mcp_bearer::{ResourceServer, ResourceServerBuilder};
use program::RedisServer;
use redis::aio::MultiplexedConnection;
use subject::{Handler, Subject, bearer, builder, p256_point, raw_p256_key, signed_parts_of, typical};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, Service as _};

fn main() {
    // `cargo test --benches` only checks that the benchmark runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let Some(redis) = RedisServer::start() else { return };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let clock = TestClock::new();
    let issuer =
        TestIssuer::builder("https://auth.example.com").algorithm(Algorithm::RS256).clock(clock.clone()).build();
    let client = TestClient::with_key(issuer.dpop_key());
    let header = bearer(&typical(issuer.token()).bound_to(client.key()).expires_in(Duration::from_secs(3_600)).sign());
    let server = |configure: &dyn Fn(ResourceServerBuilder) -> ResourceServerBuilder| {
        // The memory has places for all requests.
        let dpop = Dpop::new().max_proofs_per_key(1_000_000).max_proofs(1_000_000);
        let builder = builder().issuer(issuer.issuer()).clock(clock.clone());
        let builder = builder.sender_constraint(SenderConstraint::Dpop).dpop(dpop).cache_verified_tokens(0);
        runtime.block_on(configure(builder).build()).unwrap()
    };
    let in_memory = server(&|builder| builder);
    let in_redis = server(&|builder| builder.shared_state(RedisState::new(redis.url())));
    // Proofs from before the start of Redis have expired then.
    clock.advance(Duration::from_secs(315));
    let subject = Subject { issuer, server: in_redis, header };
    let request = || subject.request_with_proof(&client);
    let layer = |server: &ResourceServer| server.bearer_layer().required_scopes(["mcp:tools"]).layer(Handler);
    let (mut memory_service, mut redis_service) = (layer(&in_memory), layer(&subject.server));
    let mut connection = runtime.block_on(async {
        let client = redis::Client::open(redis.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    });

    let first = request();
    let (message, signature) = subject.signed_parts();
    let (of_proof, signature_of_proof) = signed_parts_of(first.headers().get("dpop").unwrap().to_str().unwrap());
    let (key, point) = (subject.raw_key(Algorithm::RS256), p256_point(&client.key().public_jwk()));
    let checks = || {
        key.verify_sig(black_box(&message), black_box(&signature)).unwrap();
        raw_p256_key(black_box(&point)).verify_sig(black_box(&of_proof), black_box(&signature_of_proof)).unwrap();
    };

    let mut number = 0_u64;
    let mut rows = Vec::new();
    for _ in 0..rounds {
        let bare_checks = time(&runtime, async || checks());
        // A round trip takes longer if the server has gone to sleep during the checks, as it does between two requests.
        let bare = time(&runtime, async || {
            checks();
            number = number.wrapping_add(1);
            record(&mut connection, number).await;
        });
        let memory = requests(&runtime, &mut memory_service, request);
        let shared = requests(&runtime, &mut redis_service, request);
        let round_trip = bare - bare_checks;
        rows.push([shared / bare, (shared - memory) / round_trip, round_trip / bare_checks]);
    }
    println!("a request with a DPoP proof, median of {rounds} alternating rounds of {CALLS} calls");
    let names = [
        "in Redis / (both checks and one round trip)",
        "(in Redis - in memory) / one round trip",
        "one round trip / both checks",
    ];
    for (column, name) in names.into_iter().enumerate() {
        let mut values: Vec<f64> = rows.iter().filter_map(|row| row.get(column).copied()).collect();
        values.sort_by(f64::total_cmp);
        println!("{name:44} {:.3}", values.get(values.len() / 2).unwrap());
    }
}

/// The commands with which a proof is recorded.
async fn record(connection: &mut MultiplexedConnection, number: u64) {
    let name = format!("bench:{number:043}");
    let mut commands = redis::pipe();
    commands.cmd("SET").arg(&name).arg([7_u8; 16].as_slice()).arg("NX").arg("PX").arg(310_000);
    commands.cmd("GET").arg(&name);
    let _: (String, Vec<u8>) = commands.query_async(connection).await.unwrap();
}

/// Returns the seconds for [`CALLS`] requests, without the time to create them.
fn requests(runtime: &Runtime, service: &mut BearerAuth<Handler>, request: impl Fn() -> Request<()>) -> f64 {
    let mut requests: Vec<_> = (0..CALLS).map(|_| request()).collect();
    time(runtime, async || {
        let response = service.call(black_box(requests.pop().unwrap())).await.unwrap();
        assert!(black_box(response).status().is_success());
    })
}

fn time(runtime: &Runtime, mut call: impl AsyncFnMut()) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..CALLS {
            call().await;
        }
        start.elapsed().as_secs_f64()
    })
}

const ROUNDS: usize = 301;
const CALLS: usize = 20;
