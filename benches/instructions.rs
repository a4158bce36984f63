//! Instructions for each request, counted by valgrind: the same on every day, however busy the machine is.
//!
//! `cargo bench --bench instructions`. It needs valgrind, and runs itself under it once for each row.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot start says so")]

mod subject;

use std::hint::black_box;
use std::process::Command;

use http::{HeaderValue, Request};
use mcp_bearer::bearer::BearerAuth;
use mcp_bearer::jose::Algorithm;
use subject::{ALGORITHMS, Handler, SIZES, Subject, call, refusals, request};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [command, row, calls] if command == ROW => measure(row, calls.parse().unwrap()),
        // `cargo test --benches` only wants to know that it runs.
        arguments if arguments.iter().any(|argument| argument == "--bench") => report(),
        _ => rows().iter().for_each(|row| measure(row, 1)),
    }
}

/// What is measured, by name.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        rows.extend(SIZES.map(|size| format!("accepted {} {size}", algorithm.name())));
    }
    rows.extend(SIZES.map(|size| format!("remembered RS256 {size}")));
    rows.extend(["introspected opaque", "introspected JWT"].map(str::to_owned));
    let issuer = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
    rows.extend(refusals(&issuer).into_iter().map(|(cause, _)| format!("refused {cause}")));
    rows
}

/// Does what a row names, so often.
fn measure(row: &str, calls: u64) {
    let mut words = row.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (what, of, size) = (word(), word(), word());
    let all = |header: &HeaderValue| (0..calls).map(|_| request(header)).collect();
    let accepted = |subject: &Subject| {
        let mut service = subject.service();
        // The first may cost more than the others.
        assert!(call(&mut service, request(&subject.header)).status().is_success());
        requests(&mut service, all(&subject.header));
    };
    match what {
        "accepted" => {
            let algorithm = ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == of).unwrap();
            accepted(&Subject::sized(algorithm, size.parse().unwrap()));
        }
        "remembered" => {
            accepted(&Subject::with(Algorithm::RS256, size.parse().unwrap(), |server| {
                server.cache_verified_tokens(100)
            }));
        }
        "introspected" => accepted(&Subject::introspected(of == "opaque")),
        _ => {
            let subject = Subject::new(Algorithm::ES256);
            let cause = row.strip_prefix("refused ").unwrap();
            let (_, header) = refusals(&subject.issuer).into_iter().find(|(name, _)| *name == cause).unwrap();
            let mut service = subject.service();
            assert!(call(&mut service, request(&header)).status().is_client_error());
            requests(&mut service, all(&header));
        }
    }
}

/// Valgrind counts inside this function alone, by its name.
#[inline(never)]
fn requests(service: &mut BearerAuth<Handler>, requests: Vec<Request<()>>) {
    requests.into_iter().for_each(|request| drop(black_box(call(service, black_box(request)))));
}

fn report() {
    println!("instructions for each call, of {CALLS}: the signature check, the verifier with it, the layer with both");
    println!("{:36} {:>9} {:>9} {:>9} {:>11}", "", "check", "verifier", "layer", "layer/check");
    for row in rows() {
        let Some(Counts { check, verifier, layer }) = count(&row) else {
            println!("SKIPPED: nothing is counted without valgrind; install it");
            return;
        };
        let shown = |count: Option<u64>| count.map_or_else(String::new, |count| (count / CALLS).to_string());
        let ratio = check.map_or_else(String::new, |check| format!("{:.3}", float(layer) / float(check)));
        println!("{row:36} {:>9} {:>9} {:>9} {ratio:>11}", shown(check), shown(verifier), shown(Some(layer)));
    }
}

/// Of one run, so that all are of one key and one signature, whose cost differs from one to the next.
struct Counts {
    check: Option<u64>,
    verifier: Option<u64>,
    layer: u64,
}

/// `None` if there is no valgrind.
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
    // The largest: what a function with this name has called is in it.
    let of = |name: &str| functions.lines().filter(|line| line.contains(name)).filter_map(leading_number).max();
    // Were the function called otherwise than by its name, nothing would have been counted.
    Some(Counts {
        check: of("::parsed_verify_sig "),
        verifier: of("::ByIssuer::verify "),
        layer: of("PROGRAM TOTALS").unwrap(),
    })
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn leading_number(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.replace(',', "").parse().ok()
}

const CALLS: u64 = 100;
const ROW: &str = "--row";
