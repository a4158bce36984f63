//! The troubleshooting chapter has the real response and the real log line of every cause.

mod causes;
mod samples;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use mcp_bearer::mcp::OperationFailure;
use mcp_bearer::sender::ProofFailure;
use mcp_bearer::verify::CheckFailure;
use tracing::Level;

use crate::capture::Capture;
use crate::support::Answer;

const GUIDE: &str = include_str!("../../src/guide/troubleshooting.md");
/// The fields of a log line that the table lists. All lines of rejections have the others.
const FIELDS: [&str; 6] = ["expected", "found", "required", "granted", "detail", "source"];
/// The log lines about these causes have one limit for the process, so another test can hide them.
const LIMITED_PER_PROCESS: [&str; 3] = ["no_layer", "no_http", "on_rejection_panicked"];
/// The label of a kind whose log lines all have a more precise cause.
const WITHOUT_A_LINE: &str = "internal";

/// The response and the log line of a rejected request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Symptom {
    cause: String,
    /// The status and the sentence that the client gets.
    answer: String,
    message: String,
}

/// The symptoms of real requests.
struct Observed {
    capture: Capture,
    /// The level and the fields of each symptom.
    lines: BTreeMap<Symptom, (Level, BTreeSet<&'static str>)>,
    /// All log lines, with all of their fields.
    texts: Vec<String>,
}

impl Observed {
    fn new() -> Self {
        Self { capture: Capture::of_this_thread(), lines: BTreeMap::new(), texts: Vec::new() }
    }

    /// Forgets the log lines that are not about the next response.
    fn skip(&self) {
        self.capture.take();
    }

    fn answer(&mut self, answer: &Answer) {
        self.shown(Self::sentence(answer));
    }

    fn sentence(answer: &Answer) -> String {
        let status = answer.status.as_u16();
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let sentence = json["error_description"].as_str().or_else(|| json["error"]["message"].as_str());
        match sentence {
            Some(sentence) => format!("{status} \"{sentence}\""),
            None if status == 200 => status.to_string(),
            None => format!("{status} without a body"),
        }
    }

    /// Records the log line since the last call, of which there must be one.
    fn shown(&mut self, answer: String) {
        self.shown_besides(answer, "");
    }

    /// The same for the other line, if a second line has this message.
    fn shown_besides(&mut self, answer: String, second: &str) {
        let lines = self.capture.take();
        let prefix = "mcp_bearer::rejection message=";
        let lines = lines.iter().filter_map(|(level, line)| Some((*level, line.strip_prefix(prefix)?)));
        let lines = lines.filter(|(_, line)| second.is_empty() || !line.starts_with(second));
        // Mistakes outside of a layer have one limit for the process, which other tests may have reached a minute ago.
        let lines: Vec<_> = lines.filter(|(_, line)| !line.starts_with("many requests were rejected")).collect();
        let [(level, line)] = lines[..] else { panic!("{answer}: {lines:?}") };
        let (message, fields) = line.split_once(" kind=\"").unwrap();
        let (_, cause) = fields.split_once("cause=\"").unwrap();
        let cause = cause.split('"').next().unwrap().to_owned();
        let found = FIELDS.into_iter().filter(|name| fields.contains(&format!(" {name}=")));
        let symptom = Symptom { cause, answer, message: message.to_owned() };
        self.texts.push(line.to_owned());
        self.lines.entry(symptom).or_insert_with(|| (level, BTreeSet::new())).1.extend(found);
    }
}

/// A row of the tables: the cause, the response, the log line with its fields, and the level in the heading above it.
fn rows() -> Vec<(Symptom, Level, BTreeSet<String>)> {
    let mut level = Level::INFO;
    let mut rows = Vec::new();
    let section = GUIDE.split("\n# Rejected requests\n").nth(1).unwrap().split("\n# ").next().unwrap();
    for line in section.lines() {
        if line.starts_with('#') {
            level = if line.contains("level `error`") { Level::ERROR } else { Level::INFO };
        }
        let Some((cause, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else { continue };
        let cells: Vec<_> = rest.split(" | ").collect();
        let [answer, log, repair] = cells[..] else { continue };
        assert!(repair.len() > 20, "{cause} does not have a repair");
        let mut code = code_in(log);
        let message = code.remove(0).to_owned();
        let fields = code.into_iter().map(str::to_owned).collect();
        rows.push((Symptom { cause: cause.to_owned(), answer: answer.to_owned(), message }, level, fields));
    }
    rows
}

/// The texts in back quotes. In tables, double back quotes enclose a text with back quotes.
fn code_in(markdown: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = markdown;
    while let Some(start) = rest.find('`') {
        let quotes = if rest[start..].starts_with("``") { "``" } else { "`" };
        let (code, after) = rest[start + quotes.len()..].split_once(quotes).unwrap();
        found.push(if quotes.len() == 2 { code.trim() } else { code });
        rest = after;
    }
    found
}

#[tokio::test(start_paused = true)]
async fn the_tables_have_the_real_response_and_log_line_of_every_cause() {
    let observed = causes::observe().await;
    let mut errors = Vec::new();
    let mut documented = BTreeSet::new();
    for (symptom, level, fields) in rows() {
        match observed.lines.get(&symptom) {
            None => errors.push(format!("no request causes this row: {symptom:?}")),
            Some((found, names)) => {
                let is_limited = LIMITED_PER_PROCESS.contains(&symptom.cause.as_str());
                if *found != level && !(is_limited && *found == Level::DEBUG) {
                    errors.push(format!("{symptom:?} is at {found}"));
                }
                let names: BTreeSet<_> = names.iter().map(|name| (*name).to_owned()).collect();
                if names != fields {
                    errors.push(format!("{symptom:?} has the fields {names:?}"));
                }
            }
        }
        assert!(documented.insert(symptom.clone()), "{symptom:?} has two rows");
    }
    for (Symptom { cause, answer, message }, (level, fields)) in
        observed.lines.iter().filter(|(symptom, _)| !documented.contains(symptom))
    {
        let fields: Vec<_> = fields.iter().map(|name| format!(" `{name}`")).collect();
        errors.push(format!("no row at {level}: | `{cause}` | {answer} | `{message}`{} |", fields.concat()));
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    let found: BTreeSet<_> = documented.iter().map(|symptom| symptom.cause.clone()).collect();
    assert_eq!(found, vocabulary());
}

/// The label of each cause.
fn vocabulary() -> BTreeSet<String> {
    let mut labels = sources::causes();
    labels.extend(CheckFailure::ALL.iter().map(|cause| cause.label().to_owned()));
    labels.extend(ProofFailure::ALL.iter().map(|cause| cause.label().to_owned()));
    labels.extend(OperationFailure::ALL.iter().map(|cause| cause.label().to_owned()));
    assert!(labels.remove(WITHOUT_A_LINE));
    labels
}

#[tokio::test(start_paused = true)]
async fn every_method_that_an_advice_names_exists() {
    let observed = causes::observe().await;
    let advice = CheckFailure::ALL.iter().map(|cause| cause.advice());
    let of_proofs = ProofFailure::ALL.iter().map(|cause| cause.advice());
    let texts: Vec<_> = advice.chain(of_proofs).chain(observed.texts.iter().map(String::as_str)).collect();
    let code: BTreeSet<_> = texts.iter().flat_map(|text| code_in(text)).collect();
    assert!(code.contains("Issuer::also_issued_as") && code.contains("max_token_length"), "{code:?}");
    for name in code.into_iter().flat_map(sources::names).filter(|name| !NOT_METHODS.contains(name)) {
        assert!(sources::has_method(name), "`{name}` does not exist");
    }
}

/// Claims, parameters, types, variants and methods of other crates.
const NOT_METHODS: &[&str] = &[
    "Authorization",
    "BearerAuthLayer",
    "Bearer",
    "Mcp-Method",
    "Mcp-Name",
    "DPoP",
    "McpLayer",
    "McpScopes",
    "PeerAddr",
    "SenderConstraint::Optional",
    "SocketAddr",
    "AuthInfo",
    "algs",
    "at_hash",
    "audience",
    "ath",
    "b64",
    "c_hash",
    "cnf",
    "crit",
    "enc",
    "events",
    "exp",
    "iat",
    "into_make_service_with_connect_info",
    "htm",
    "iss",
    "jti",
    "jwk",
    "jwt",
    "kid",
    "nbf",
    "nonce",
    "permissions",
    "realm_access",
    "resource",
    "roles",
    "route_layer",
    "server",
    "token",
    "token_type",
    "token_use",
    "typ",
    "type",
    "x-token",
    "zip",
];
