use std::fmt::{Display, Write};

use super::histogram::{BOUNDS, Histogram};

/// The content type of the text: Prometheus's text format 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, until a restart.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are counted in buckets.
    Histogram,
}

/// The text that Prometheus reads: one metric after the other, each with what it is and its samples.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: String,
}

impl Exposition {
    /// Begins the next metric, whose name gets the prefix of this program.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) -> &mut Exposition {
        self.standard(&format!("generic_connector_{name}"), kind, help)
    }

    /// Begins the next metric, which has a name that other programs use, too.
    pub fn standard(&mut self, name: &str, kind: Kind, help: &str) -> &mut Exposition {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        name.clone_into(&mut self.name);
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// A sample without labels. NaN is what is not known.
    pub fn value(&mut self, value: impl Number) {
        self.sample(&[], value);
    }

    /// A sample of the metric that was begun last.
    pub fn sample(&mut self, labels: &[(&str, &dyn Display)], value: impl Number) {
        self.line("", labels, value.number());
    }

    /// The samples of a histogram.
    pub fn histogram(&mut self, label: (&str, &dyn Display), histogram: &Histogram) {
        let figures = histogram.read();
        for (bound, within) in BOUNDS.iter().zip(figures.within) {
            self.line("_bucket", &[label, ("le", bound)], within.number());
        }
        self.line("_bucket", &[label, ("le", &"+Inf")], figures.count.number());
        self.line("_sum", &[label], figures.sum);
        self.line("_count", &[label], figures.count.number());
    }

    /// The whole text.
    pub fn text(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &dyn Display)], value: f64) {
        self.text += &self.name;
        self.text += suffix;
        let mut before = '{';
        for (label, text) in labels {
            let text = text.to_string();
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            let text = text.replace('\n', "\\n");
            self.text += &format!("{before}{label}=\"{text}\"");
            before = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.text, " {value}");
    }
}

/// What a sample can be.
pub trait Number {
    /// As the text format has numbers. Those of more than 2⁵³ are rounded.
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for i64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_metric_has_its_meaning_and_its_samples() {
        let mut text = Exposition::default();
        let metric = text.metric("a_total", Kind::Counter, "One\nline, a \\ and a \".");
        metric.sample(&[("b", &"c\\\"\nd"), ("e", &5)], 7_u64);
        metric.sample(&[("b", &""), ("e", &"")], 0.5);
        text.standard("up", Kind::Gauge, "It is up.").value(true);
        assert_eq!(
            text.text(),
            "# HELP generic_connector_a_total One\\nline, a \\\\ and a \".\n\
             # TYPE generic_connector_a_total counter\n\
             generic_connector_a_total{b=\"c\\\\\\\"\\nd\",e=\"5\"} 7\n\
             generic_connector_a_total{b=\"\",e=\"\"} 0.5\n\
             # HELP up It is up.\n# TYPE up gauge\nup 1\n"
        );
    }

    #[test]
    fn a_histogram_has_each_bucket() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(300));
        let mut text = Exposition::default();
        text.metric("a", Kind::Histogram, "A.")
            .histogram(("call", &"x"), &histogram);
        let text = text.text();
        assert_eq!(text.matches("_bucket{").count(), BOUNDS.len() + 1);
        for line in [
            "generic_connector_a_bucket{call=\"x\",le=\"0.25\"} 0",
            "generic_connector_a_bucket{call=\"x\",le=\"0.5\"} 1",
            "generic_connector_a_bucket{call=\"x\",le=\"+Inf\"} 1",
            "generic_connector_a_sum{call=\"x\"} 0.3",
            "generic_connector_a_count{call=\"x\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
