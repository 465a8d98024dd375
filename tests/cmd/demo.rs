//! `demo`: what a newcomer sees first.

use std::collections::BTreeMap;

use regex::Regex;

use super::Session;
use crate::support::{binary, run};

#[test]
fn the_first_lines_and_the_last() {
    let mut command = binary();
    command.args(["demo", "--for", "3s"]);
    let mut ran = run(command);
    // One change of each stream: their order is that of the answers, and the live ones are random.
    let mut changes = BTreeMap::new();
    let mut rest = String::new();
    for line in ran.stdout.lines() {
        match line.trim_start().split_once("  ") {
            Some((seq, change)) if seq.parse::<u64>().is_ok() => {
                let stream = change.split_whitespace().next().unwrap();
                let least = changes.entry(stream).or_insert(change);
                *least = change.min(least);
            }
            _ => rest += &format!("{line}\n"),
        }
    }
    let counts = "[0-9]+ (accounts|balances|beneficiaries|transactions|polls|requests)";
    let rest = Regex::new(counts).unwrap().replace_all(&rest, "[N] $1");
    let changes: String = changes
        .values()
        .map(|change| format!("  [N]  {change}\n"))
        .collect();
    ran.stdout = rest.replace("\n\nArrived:", &format!("\n{changes}\nArrived:"));
    Session::new().ran("demo --for 3s", &ran).is("demo");
}
