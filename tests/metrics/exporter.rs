//! A recorder for one test, and a parser of the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use metrics::{LocalRecorderGuard, set_default_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Records the metrics of this thread, until it is dropped.
pub struct Exporter {
    handle: PrometheusHandle,
    _guard: LocalRecorderGuard<'static>,
}

/// The text that Prometheus reads.
pub struct Page {
    pub samples: Vec<Sample>,
    /// The type of each metric.
    pub types: BTreeMap<String, String>,
    /// The metrics with a description.
    pub described: BTreeSet<String>,
}

/// One value of the page. The samples of a histogram have the suffixes `_bucket`, `_sum` and `_count`.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Exporter {
    pub fn start() -> Self {
        Self::with(PrometheusBuilder::new())
    }

    pub fn with(builder: PrometheusBuilder) -> Self {
        let builder = builder.set_buckets(&[0.001, 0.01, 0.1, 1.0]).unwrap();
        // The guard borrows it for the rest of the test.
        let recorder = Box::leak(Box::new(builder.build_recorder()));
        Self { handle: recorder.handle(), _guard: set_default_local_recorder(recorder) }
    }

    pub fn page(&self) -> Page {
        Page::parse(&self.handle.render())
    }

    /// The value with these labels, besides those that the test does not vary. `None` if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.page().value(name, labels)
    }
}

impl Page {
    pub fn parse(text: &str) -> Self {
        let mut page = Self { samples: Vec::new(), types: BTreeMap::new(), described: BTreeSet::new() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["#", "TYPE", name, kind] => _ = page.types.insert(name.to_owned(), kind.to_owned()),
                ["#", "HELP", name, ..] => _ = page.described.insert(name.to_owned()),
                _ => page.samples.push(Sample::parse(line)),
            }
        }
        page
    }

    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        let mut found = self.samples.iter().filter(has);
        let value = found.next()?.value;
        assert!(found.next().is_none(), "{name} has several series with {labels:?}");
        Some(value)
    }

    /// All samples as text, in a fixed order.
    pub fn sorted(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.samples.iter().map(|sample| format!("{sample:?}")).collect();
        lines.sort_unstable();
        lines
    }

    /// The labels and their values of each metric, without the bounds of buckets.
    pub fn labels(&self) -> BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> {
        let mut all: BTreeMap<_, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for sample in &self.samples {
            let metric = all.entry(self.metric_of(&sample.name)).or_default();
            for (label, value) in sample.labels.iter().filter(|(label, _)| *label != "le") {
                metric.entry(label.as_str()).or_default().insert(value.as_str());
            }
        }
        all
    }

    /// The metric that a sample belongs to.
    fn metric_of<'s>(&self, sample: &'s str) -> &'s str {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| sample.strip_suffix(suffix));
        of_histogram.filter(|metric| self.types.contains_key(*metric)).unwrap_or(sample)
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let name_end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, value) = rest.trim_start_matches(',').split_once("=\"").unwrap();
                let mut end = 0;
                while !value[end..].starts_with('"') {
                    end = end.checked_add(if value[end..].starts_with('\\') { 2 } else { 1 }).unwrap();
                }
                assert!(labels.insert(label.to_owned(), value[..end].to_owned()).is_none(), "{label} twice: {line}");
                rest = value[end..].trim_start_matches('"');
            }
            rest = rest.trim_start_matches('}');
        }
        Self { name: name.to_owned(), labels, value: rest.trim().parse().unwrap() }
    }
}
