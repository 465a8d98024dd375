//! `demo`: what a newcomer sees first.

use std::collections::BTreeMap;

use regex::Regex;

use super::Session;
use super::terminal::on_a_terminal;
use crate::support::{binary, run};

/// What `demo` prints, with one change of each stream: the first one of the least id.
///
/// The order of the first poll's changes is that of the answers. The live changes that follow are random.
fn without_chance(printed: &str) -> String {
    let mut changes = BTreeMap::new();
    let mut rest = String::new();
    for line in printed.lines() {
        match line.trim_start().split_once("  ") {
            Some((seq, change)) if seq.parse::<u64>().is_ok() => {
                let mut words = change.split_whitespace();
                let (stream, id) = (words.next().unwrap(), words.next().unwrap());
                let least = changes.entry(stream).or_insert((id, change));
                if id < least.0 {
                    *least = (id, change);
                }
            }
            _ => rest += &format!("{line}\n"),
        }
    }
    let counts = "[0-9]+ (accounts|balances|beneficiaries|transactions|polls|requests)";
    let rest = Regex::new(counts).unwrap().replace_all(&rest, "[N] $1");
    let changes: String = changes
        .values()
        .map(|(_, change)| format!("  [N]  {change}\n"))
        .collect();
    rest.replace("\n\nArrived:", &format!("\n{changes}\nArrived:"))
}

#[test]
fn the_first_lines_and_the_last() {
    let mut command = binary();
    command.args(["demo", "--for", "3s"]);
    let mut ran = run(command);
    ran.stdout = without_chance(&ran.stdout);
    Session::new().ran("demo --for 3s", &ran).is("demo");
}

#[test]
fn it_keeps_to_the_width_of_the_terminal() {
    let mut session = Session::new();
    for width in [80, 120] {
        let mut command = binary();
        command.args(["demo", "--for", "3s"]);
        let shown = on_a_terminal(command, width, true);
        for line in shown.lines() {
            assert!(line.chars().count() <= usize::from(width), "{line}");
        }
        session.line(&format!("# {width} columns"));
        session.line(without_chance(&shown).trim_end());
    }
    session.is("demo-terminal");
}
