//! What the metrics say.

use std::collections::BTreeMap;

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
