//! The table in the guide, and what must agree with it: the metrics, the dashboard, the alerts and the queries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcp_bearer::mcp::OperationFailure;
use mcp_bearer::testing::{Endpoint, Fault};
use mcp_bearer::verify::CheckFailure;
use serde_json::Value;
use tokio::time::sleep;

use crate::exporter::Exporter;
use crate::labels::assert_closed;
use crate::server::{RESOURCE, Server};

const GUIDE: &str = include_str!("../../src/guide/metrics.md");
const DASHBOARD: &str = include_str!("../../examples/metrics/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../examples/metrics/alerts.yaml");
/// Selects all metrics of this crate.
const PREFIX: &str = "mcp_bearer_";
const EXAMPLE: &str = include_str!("../../examples/metrics/main.rs");

/// One row of the table of metrics.
pub struct Row {
    pub kind: String,
    /// The labels with the values that the row lists.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// The table of metrics in the guide, by name.
pub fn metrics() -> BTreeMap<String, Row> {
    let rows = table("| metric | type | labels | meaning |").into_iter().map(|cells| {
        let labels = cells[2].split(';').map(|label| {
            let mut quoted = quoted(label).into_iter();
            (quoted.next().unwrap(), quoted.collect())
        });
        (quoted(&cells[0]).remove(0), Row { kind: cells[1].clone(), labels: labels.collect() })
    });
    rows.collect()
}

/// All values of the label `cause`.
pub fn causes() -> BTreeSet<String> {
    let listed = table("| cause | status | meaning |").into_iter().map(|cells| quoted(&cells[0]).remove(0));
    let of_tokens = CheckFailure::ALL.iter().map(|failure| failure.label());
    let of_operations = [
        OperationFailure::TooLarge,
        OperationFailure::TooSlow,
        OperationFailure::Incomplete,
        OperationFailure::Unreadable,
        OperationFailure::HeaderMismatch,
        OperationFailure::Unlisted,
        OperationFailure::UnknownSession,
    ];
    let labels = of_tokens.chain(of_operations.iter().map(|failure| failure.label()));
    listed.chain(labels.map(str::to_owned)).collect()
}

/// The cells of the table with this head.
fn table(head: &str) -> Vec<Vec<String>> {
    let mut lines = GUIDE.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "the guide does not have the table {head}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn the_guide_lists_exactly_the_metrics_that_exist() {
    let exporter = Exporter::start();
    let server = Server::new().await;
    let opaque = server.opaque.token().audience(RESOURCE).scope("mcp:tools").opaque();
    let signed = server.token().sign();
    for token in [&signed, &signed, &opaque, &opaque, "unknown"] {
        server.rest(token).await;
    }
    server.call(&signed, "watch", &[]).await;
    server.jwts.fault(Endpoint::KeySet, Fault::Status(500));
    sleep(Duration::from_secs(60)).await;
    let page = exporter.page();
    let listed: BTreeMap<_, _> = metrics().into_iter().map(|(name, row)| (name, row.kind)).collect();
    assert_eq!(page.types, listed);
    assert_eq!(page.described.iter().collect::<Vec<_>>(), listed.keys().collect::<Vec<_>>());
    let labels = page.labels();
    assert_closed(&labels);
    for (name, row) in metrics() {
        let exported: BTreeSet<_> = labels[name.as_str()].keys().copied().collect();
        assert_eq!(exported, row.labels.keys().map(String::as_str).collect(), "{name}");
    }
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for (name, row) in metrics() {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), row.kind == "counter", "{name}");
        assert_eq!(name.ends_with("_duration_seconds"), row.kind == "histogram", "{name}");
        assert!(["counter", "gauge", "histogram"].contains(&row.kind.as_str()), "{name}");
        assert!(row.labels.contains_key("resource") != row.labels.contains_key("issuer"), "{name}");
    }
}

#[test]
fn dashboard_alerts_and_queries_use_only_metrics_that_exist() {
    let known: BTreeSet<_> = metrics()
        .into_iter()
        .flat_map(|(name, row)| match row.kind.as_str() {
            "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
            _ => vec![name],
        })
        .collect();
    let queries: String = table("| value | query |").into_iter().map(|cells| cells[1].clone()).collect();
    for (document, text, at_least) in [("dashboard", DASHBOARD, 12), ("alerts", ALERTS, 6), ("guide", &*queries, 5)] {
        let used = names_in(text);
        assert!(used.len() >= at_least, "{document} uses only {used:?}");
        for name in used {
            assert!(known.contains(&name) || name == PREFIX, "{document} uses {name}, which does not exist");
        }
    }
    for name in names_in(EXAMPLE).iter().filter(|name| *name != PREFIX) {
        assert!(metrics().contains_key(name), "the example uses {name}, which does not exist");
    }
}

#[test]
fn dashboard_and_alerts_compare_labels_with_values_that_exist() {
    let table = metrics();
    let listed: BTreeSet<_> = table.values().flat_map(|row| row.labels.values().flatten().cloned()).collect();
    let known: BTreeSet<_> = listed.into_iter().chain(causes()).collect();
    for text in [DASHBOARD.replace("\\\"", "\""), ALERTS.to_owned(), GUIDE.to_owned()] {
        for label in ["result", "cause", "reason"] {
            for operator in ["=\"", "!=\"", "=~\"", "!~\""] {
                for after in text.split(&format!("{label}{operator}")).skip(1) {
                    for value in after.split('"').next().unwrap().split('|') {
                        assert!(
                            known.contains(value) || value.starts_with('$'),
                            "the guide does not list {label}={value:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_has_a_query() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 38, "Grafana 10 or later");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert!(!names_in(target["expr"].as_str().unwrap()).is_empty(), "{panel}");
        }
    }
    assert!(ids.len() >= 12, "{} panels", ids.len());
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices(PREFIX).map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
    names.collect()
}
