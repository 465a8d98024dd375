//! What the metrics say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Listening, OBSERVE_KEY, text_at};

/// What they say at one moment: the value of each series.
pub type Scrape = BTreeMap<String, f64>;

/// The series without the prefix of the program.
pub fn scrape(text: &str) -> Scrape {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (without_prefix(series).to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// A name without that prefix.
pub fn without_prefix(name: &str) -> &str {
    name.strip_prefix("generic_connector_").unwrap_or(name)
}

/// The series of a metric, or one series.
pub fn series<'a>(scrape: &'a Scrape, wanted: &str) -> BTreeMap<&'a str, f64> {
    let is_wanted = |name: &str| name == wanted || name.split('{').next() == Some(wanted);
    let found = scrape.iter().filter(|(name, _)| is_wanted(name));
    found.map(|(name, value)| (name.as_str(), *value)).collect()
}

/// The time as metrics have it: seconds since 1970.
pub fn unix_now() -> f64 {
    jiff::Timestamp::now().as_second() as f64
}

/// What they say, as text.
pub fn text_of(listening: &Listening) -> String {
    let bearer = format!("Bearer {OBSERVE_KEY}");
    let (status, kind, text) = text_at(&listening.observe_url, "/metrics", &bearer);
    assert_eq!(
        (status, &*kind),
        (200, "text/plain; version=0.0.4; charset=utf-8"),
        "{text}"
    );
    text
}

/// The name, the type and the labels of each metric.
pub fn names(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            let entry = (kind.to_owned(), BTreeSet::new());
            assert!(
                names.insert(name.to_owned(), entry).is_none(),
                "{name} twice"
            );
        }
    }
    for series in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = series.split_once(['{', ' ']).unwrap();
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts.iter().find_map(|part| name.strip_suffix(part));
        let whole = whole
            .filter(|whole| names.contains_key(*whole))
            .unwrap_or(name);
        let (_, known) = names.get_mut(whole).unwrap();
        let labels = labels.split("=\"").filter(|_| series.contains('{'));
        let labels: Vec<&str> = labels.collect();
        for label in &labels[..labels.len().saturating_sub(1)] {
            known.insert(label.rsplit(',').next().unwrap().to_owned());
        }
    }
    names
}
