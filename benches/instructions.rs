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

/// The names of the rows: a raw check, and what is compared with it.
fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    for algorithm in ALGORITHMS {
        for size in SIZES {
            rows.extend(["raw", "layer"].map(|what| format!("{what} {} {size}", algorithm.name())));
        }
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
    let sized = || {
        let algorithm = ALGORITHMS.into_iter().find(|algorithm| algorithm.name() == of).unwrap();
        (algorithm, Subject::sized(algorithm, size.parse().unwrap()))
    };
    let all = |header: &HeaderValue| (0..calls).map(|_| request(header)).collect();
    let accepted = |subject: &Subject| {
        let mut service = subject.service();
        // The first may cost more than the others.
        assert!(call(&mut service, request(&subject.header)).status().is_success());
        requests(&mut service, all(&subject.header));
    };
    match what {
        "raw" => {
            let (algorithm, subject) = sized();
            let (message, signature) = subject.signed_parts();
            let key = subject.raw_key(algorithm);
            let check = || key.verify_sig(black_box(&message), black_box(&signature)).unwrap();
            check();
            raw_checks(&check, calls);
        }
        "layer" => accepted(&sized().1),
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

// Valgrind counts inside these functions alone, by their names.

#[inline(never)]
fn requests(service: &mut BearerAuth<Handler>, requests: Vec<Request<()>>) {
    requests.into_iter().for_each(|request| drop(black_box(call(service, black_box(request)))));
}

#[inline(never)]
fn raw_checks(check: &dyn Fn(), calls: u64) {
    (0..calls).for_each(|_| check());
}

fn report() {
    println!("instructions for each call, of {CALLS}");
    for row in rows() {
        let Some(count) = count(&row) else {
            println!("SKIPPED: nothing is counted without valgrind; install it");
            return;
        };
        println!("{row:36} {:>9}", count / CALLS);
    }
}

/// `None` if there is no valgrind.
fn count(row: &str) -> Option<u64> {
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .args(["--toggle-collect=instructions::requests", "--toggle-collect=instructions::raw_checks"])
        .arg(std::env::current_exe().unwrap())
        .args([ROW, row, &CALLS.to_string()])
        .output()
        .ok()?;
    let log = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected :").map(|(_, count)| count.trim()));
    let count = collected.and_then(|count| count.parse().ok()).unwrap_or_default();
    // Were the functions called otherwise than by their names, nothing would be.
    assert!(count > 0, "{log}");
    Some(count)
}

const CALLS: u64 = 100;
const ROW: &str = "--row";
