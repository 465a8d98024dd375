//! What is packaged for Prometheus and Grafana asks for metrics that are there. `tests/promtool.sh` checks what it says.

use std::collections::BTreeSet;
use std::fs;

use crate::metrics::NAMES;

/// The names of metrics that a text has.
fn used(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c));
    let of_process = [
        "process_cpu_",
        "process_open_",
        "process_max_",
        "process_resident_",
        "process_start_",
    ];
    let is_ours = |word: &&str| {
        word.starts_with("generic_connector_")
            || of_process.iter().any(|begin| word.starts_with(begin))
    };
    words.filter(is_ours).collect()
}

fn packaged(path: &str) -> String {
    fs::read_to_string(format!("{}/packaging/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn is_promised(name: &str) -> bool {
    let names = fs::read_to_string(NAMES).unwrap();
    let name = name.strip_suffix("_bucket").unwrap_or(name);
    names
        .lines()
        .any(|line| line.split(' ').next() == Some(name))
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let text = packaged("grafana/generic-connector.json");
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(
        rows,
        ["Is it right", "Is it fresh", "Service", "Volume", "Machine"]
    );
    let used = used(&text);
    for name in &used {
        assert!(is_promised(name), "there is no {name}");
    }
    for line in fs::read_to_string(NAMES).unwrap().lines() {
        let name = line.split(' ').next().unwrap();
        let is_used = |used: &&&str| used.strip_suffix("_bucket").unwrap_or(used) == name;
        assert!(
            used.iter().any(|used| is_used(&used)),
            "{name} is not shown"
        );
    }
}

#[test]
fn each_alarm_asks_for_a_metric_that_is_there_and_names_the_manual() {
    let rules = packaged("prometheus/rules.yml");
    for name in used(&rules) {
        assert!(is_promised(name), "there is no {name}");
    }
    let manual = packaged("man/generic-connector.8").replace("\\-", "-");
    let (_, entries) = manual.split_once(".SH DIAGNOSTICS\n").unwrap();
    let alarms: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(alarms.len(), 17);
    for alarm in alarms {
        let says = |key: &str| {
            let (_, text) = alarm.split_once(&format!("{key}: \"")).unwrap();
            text.lines().next().unwrap().strip_suffix('"').unwrap()
        };
        assert!(says("summary").contains("$labels.instance"), "{alarm}");
        assert!(says("description").len() > 50, "{alarm}");
        let entry = says("manual");
        let heads = entries.lines().filter(|line| line.starts_with("\\fB"));
        assert!(
            heads.clone().any(|head| head.contains(entry)),
            "no entry {entry:?}"
        );
    }
}
