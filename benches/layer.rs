//! Compares the whole layer as a tower service with the bare signature check of the same bytes, in the same run.
//!
//! `cargo bench --bench layer`. Only the ratios are meaningful. The lower limit is the check itself, with a key that
//! was parsed once. The measurements of both alternate, so that other load on the machine affects both, and the result
//! is the median of the rounds. The criterion benchmarks after that show the time by cause and size.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark panics when it cannot start")]

mod subject;

use std::hint::black_box;
use std::time::Instant;

use criterion::{BatchSize, Bencher, Criterion, criterion_group, criterion_main};
use http::HeaderValue;
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::jose::Algorithm;
use subject::{ALGORITHMS, Handler, SIZES, Subject, call, rejections, request};

fn ratios(_: &mut Criterion) {
    println!("\nlayer / raw check, median of {} alternating rounds of {CALLS} calls", rounds());
    let row = |name: &str, ratio: f64| println!("{name:28} {ratio:.3}");
    for algorithm in ALGORITHMS {
        for size in SIZES {
            row(&format!("{} {size} B", algorithm.name()), ratio(&Subject::sized(algorithm, size), algorithm));
        }
    }
    for keys in [1, 10, 100] {
        row(
            &format!("RS256, one of {keys} keys"),
            ratio(&Subject::among_keys(Algorithm::RS256, keys), Algorithm::RS256),
        );
    }
    row("RS256, with an ES256 proof", proof_ratio());
    println!("\nlayer, microseconds, median of {} rounds of {CALLS} calls", rounds());
    for size in SIZES {
        let with_cache = Subject::with(Algorithm::RS256, size, |builder| builder.cache_verified_tokens(1_000));
        println!(
            "{:28} {:.3}",
            format!("cached, {size} B"),
            microseconds(&mut accepting(&with_cache), &with_cache.header)
        );
    }
    for (name, is_opaque) in [("introspected opaque token", true), ("introspected JWT", false)] {
        let subject = Subject::introspected(is_opaque);
        println!("{name:28} {:.3}", microseconds(&mut accepting(&subject), &subject.header));
    }
    let subject = Subject::new(Algorithm::ES256);
    for (cause, header) in rejections(&subject.issuer) {
        println!("{:28} {:.3}", format!("rejected: {cause}"), microseconds(&mut rejecting(&subject, &header), &header));
    }
}

fn ratio(subject: &Subject, algorithm: Algorithm) -> f64 {
    let (message, signature) = subject.signed_parts();
    let (key, mut service) = (subject.raw_key(algorithm), accepting(subject));
    let rounds = (0..rounds()).map(|_| {
        let raw = time((), |()| key.verify_sig(black_box(&message), black_box(&signature)).unwrap());
        answer(&mut service, &subject.header) / raw
    });
    median(rounds.collect())
}

/// The layer with a DPoP proof, compared with the bare signature checks of the token and of the proof. The key of the proof is
/// imported each time, because each proof has its own.
fn proof_ratio() -> f64 {
    let (subject, client) = Subject::sender_constrained();
    let (message, signature) = subject.signed_parts();
    let key = subject.raw_key(Algorithm::RS256);
    let request = || subject.request_with_proof(&client);
    let first = request();
    let proof = first.headers().get("dpop").unwrap().to_str().unwrap();
    let (of_proof, signature_of_proof) = subject::signed_parts_of(proof);
    let point = subject::p256_point(&client.key().public_jwk());
    let mut service = subject.service();
    assert!(call(&mut service, first.clone()).status().is_success());
    let rounds = (0..rounds()).map(|_| {
        let raw = time((), |()| {
            key.verify_sig(black_box(&message), black_box(&signature)).unwrap();
            let key_of_proof = subject::raw_p256_key(black_box(&point));
            key_of_proof.verify_sig(black_box(&of_proof), black_box(&signature_of_proof)).unwrap();
        });
        // Each proof is accepted once.
        let requests: Vec<_> = (0..CALLS).map(|_| request()).collect();
        let start = Instant::now();
        requests.into_iter().for_each(|request| drop(black_box(call(&mut service, black_box(request)))));
        start.elapsed().as_secs_f64() / raw
    });
    median(rounds.collect())
}

fn microseconds(service: &mut BearerAuth<Handler>, header: &HeaderValue) -> f64 {
    median((0..rounds()).map(|_| answer(service, header) * 1e6 / f64::from(CALLS)).collect())
}

/// Returns the seconds for [`CALLS`] requests with this header, without the time to create the requests.
fn answer(service: &mut BearerAuth<Handler>, header: &HeaderValue) -> f64 {
    time(request(header), |request| drop(black_box(call(service, black_box(request)))))
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    *rounds.get(rounds.len() / 2).unwrap()
}

/// `cargo test --benches` only checks that the benchmark runs.
fn rounds() -> usize {
    if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 }
}

fn time<T: Clone>(input: T, mut call: impl FnMut(T)) -> f64 {
    let inputs: Vec<T> = (0..CALLS).map(|_| input.clone()).collect();
    let start = Instant::now();
    inputs.into_iter().for_each(&mut call);
    start.elapsed().as_secs_f64()
}

fn accepted(criterion: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let subject = Subject::new(algorithm);
        let mut group = criterion.benchmark_group(algorithm.name());
        let (message, signature) = subject.signed_parts();
        let key = subject.raw_key(algorithm);
        group.bench_function("raw check", |bencher| {
            bencher.iter(|| key.verify_sig(black_box(&message), black_box(&signature)).unwrap());
        });
        let mut service = accepting(&subject);
        group.bench_function("layer", |bencher| answer_each(bencher, &mut service, &subject.header));
        group.finish();
    }
}

fn cached(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cached");
    let subject = Subject::with(Algorithm::RS256, 600, |builder| builder.cache_verified_tokens(1_000));
    let mut service = accepting(&subject);
    group.bench_function("verified", |bencher| answer_each(bencher, &mut service, &subject.header));
    for (name, is_opaque) in [("introspected, opaque", true), ("introspected, JWT", false)] {
        let subject = Subject::introspected(is_opaque);
        let mut service = accepting(&subject);
        group.bench_function(name, |bencher| answer_each(bencher, &mut service, &subject.header));
    }
    group.finish();
}

fn rejected(criterion: &mut Criterion) {
    let subject = Subject::new(Algorithm::ES256);
    let mut group = criterion.benchmark_group("rejected");
    for (cause, header) in rejections(&subject.issuer) {
        let mut service = rejecting(&subject, &header);
        group.bench_function(cause, |bencher| answer_each(bencher, &mut service, &header));
    }
    group.finish();
}

fn answer_each(bencher: &mut Bencher<'_>, service: &mut BearerAuth<Handler>, header: &HeaderValue) {
    let answer = |request| drop(black_box(call(service, black_box(request))));
    bencher.iter_batched(|| request(header), answer, BatchSize::SmallInput);
}

/// Returns the service after a first request, which also initializes caches.
fn accepting(subject: &Subject) -> BearerAuth<Handler> {
    let mut service = subject.service();
    assert!(call(&mut service, request(&subject.header)).status().is_success());
    service
}

fn rejecting(subject: &Subject, header: &HeaderValue) -> BearerAuth<Handler> {
    let mut service = subject.service();
    assert!(call(&mut service, request(header)).status().is_client_error());
    service
}

const ROUNDS: usize = 301;
const CALLS: u32 = 20;

criterion_group!(benches, ratios, accepted, cached, rejected);
criterion_main!(benches);
