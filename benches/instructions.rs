//! Counts the instructions of each request with valgrind. The counts do not depend on the load of the machine.
//!
//! `cargo bench --bench instructions`, and with `--features metrics` the cost of metrics in a Prometheus recorder. Needs valgrind, and runs itself under valgrind once for each row.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark panics when it cannot start")]

mod subject;

use std::hint::black_box;
use std::process::Command;

use http::{HeaderValue, Request};
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::jose::Algorithm;
use subject::{ALGORITHMS, Handler, SIZES, Subject, call, rejections, request};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [command, row, calls] if command == ROW => measure(row, calls.parse().unwrap()),
        // `cargo test --benches` only checks that the benchmark runs.
        arguments if arguments.iter().any(|argument| argument == "--bench") => report(),
        _ => rows().iter().for_each(|row| measure(row, 1)),
    }
}

/// Returns the names of all measurements.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        rows.extend(SIZES.map(|size| format!("accepted {} {size}", algorithm.name())));
    }
    rows.extend(SIZES.map(|size| format!("cached RS256 {size}")));
    rows.push("with-proof RS256 and ES256".to_owned());
    rows.extend(["introspected opaque", "introspected JWT"].map(str::to_owned));
    let issuer = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
    rows.extend(rejections(&issuer).into_iter().map(|(cause, _)| format!("rejected {cause}")));
    rows
}

/// Performs the measurement of a row with this number of calls.
fn measure(row: &str, calls: u64) {
    // Without a recorder, metrics cost next to nothing.
    #[cfg(feature = "metrics")]
    metrics::set_global_recorder(recorder()).ok();
    let mut words = row.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (what, of, size) = (word(), word(), word());
    let all = |header: &HeaderValue| (0..calls).map(|_| request(header)).collect();
    let accepted = |subject: &Subject| {
        let mut service = subject.service();
        // The first request also initializes caches, so it is not measured.
        assert!(call(&mut service, request(&subject.header)).status().is_success());
        requests(&mut service, all(&subject.header));
    };
    match what {
        "accepted" => {
            let algorithm = ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == of).unwrap();
            accepted(&Subject::sized(algorithm, size.parse().unwrap()));
        }
        "cached" => {
            accepted(&Subject::with(Algorithm::RS256, size.parse().unwrap(), |server| {
                server.cache_verified_tokens(100)
            }));
        }
        "with-proof" => {
            let (subject, client) = Subject::sender_constrained();
            let mut service = subject.service();
            let request = || subject.request_with_proof(&client);
            assert!(call(&mut service, request()).status().is_success());
            requests(&mut service, (0..calls).map(|_| request()).collect());
        }
        "introspected" => accepted(&Subject::introspected(of == "opaque")),
        _ => {
            let subject = Subject::new(Algorithm::ES256);
            let cause = row.strip_prefix("rejected ").unwrap();
            let (_, header) = rejections(&subject.issuer).into_iter().find(|(name, _)| *name == cause).unwrap();
            let mut service = subject.service();
            assert!(call(&mut service, request(&header)).status().is_client_error());
            requests(&mut service, all(&header));
        }
    }
}

#[cfg(feature = "metrics")]
fn recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    let builder = metrics_exporter_prometheus::PrometheusBuilder::new();
    builder.set_buckets(&[0.000_1, 0.001, 0.01, 0.1, 1.0]).unwrap().build_recorder()
}

/// Valgrind counts only inside this function, which it finds by its name.
#[inline(never)]
fn requests(service: &mut BearerAuth<Handler>, requests: Vec<Request<()>>) {
    requests.into_iter().for_each(|request| drop(black_box(call(service, black_box(request)))));
}

fn report() {
    println!("instructions per call, of {CALLS} calls: signature check, verifier with it, layer with both");
    println!("{:36} {:>9} {:>9} {:>9} {:>11}", "", "check", "verifier", "layer", "layer/check");
    for row in rows() {
        let Some(Counts { check, verifier, layer }) = count(&row) else {
            println!("SKIPPED: valgrind is not installed");
            return;
        };
        let cell = |count: Option<u64>| count.map_or_else(String::new, |count| (count / CALLS).to_string());
        let ratio = check.map_or_else(String::new, |check| format!("{:.3}", float(layer) / float(check)));
        println!("{row:36} {:>9} {:>9} {:>9} {ratio:>11}", cell(check), cell(verifier), cell(Some(layer)));
    }
}

/// The counts of one run. They have the same key and signature, because the cost differs between keys and between
/// signatures.
struct Counts {
    check: Option<u64>,
    verifier: Option<u64>,
    layer: u64,
}

/// Returns `None` if valgrind is not installed.
fn count(row: &str) -> Option<Counts> {
    let file = std::env::temp_dir().join(format!("instructions-{}", std::process::id()));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=instructions::requests"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe().unwrap())
        .args([ROW, row, &CALLS.to_string()])
        .output()
        .ok()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let annotate = Command::new("callgrind_annotate").args(["--inclusive=yes", "--threshold=100"]).arg(&file).output();
    std::fs::remove_file(&file).unwrap();
    let functions = String::from_utf8_lossy(&annotate.unwrap().stdout).into_owned();
    // Takes the largest count, because an inclusive count contains the calls of the function.
    let of = |name: &str| functions.lines().filter(|line| line.contains(name)).filter_map(leading_number).max();
    let (check, verifier) = (of("::parsed_verify_sig "), of("::Verifier::verify_with "));
    // The token and the proof have different algorithms, whose checks are different functions. The key of a proof is in the
    // proof, so its check cannot do without the import of the key.
    let sum = |name: &str| functions.lines().filter(|line| line.contains(name)).filter_map(leading_number).sum::<u64>();
    let both = || sum("::parsed_verify_sig ").saturating_add(sum("::parse_public_key "));
    let check = if row.starts_with("with-proof") { check.map(|_| both()) } else { check };
    assert!(check.is_none() || verifier.is_some(), "the function of the verifier has another name: name it here");
    Some(Counts { check, verifier, layer: of("PROGRAM TOTALS").unwrap() })
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn leading_number(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.replace(',', "").parse().ok()
}

const CALLS: u64 = 100;
const ROW: &str = "--row";
