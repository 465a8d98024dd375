use std::collections::BTreeMap;
use std::time::Duration;

use super::check_run::check_service;
use super::terminal::style;
use super::{CommandError, Exit, is_read_on};
use crate::check::catalogue::BUILD_ORDER;
use crate::check::report::{self, word};
use crate::check::{CheckRun, Choice, Level, Modes};
use crate::cli::CheckOptions;
use crate::config::Config;
use crate::stop::Stop;

/// The result of each check, by its id and its list.
type Words = BTreeMap<(&'static str, &'static str), &'static str>;

/// Checks the service step by step, up to the first one with a failed must, again and again until stopped.
pub(super) fn watch(
    options: &CheckOptions,
    config: &Config,
    every: Duration,
    stop: &Stop,
) -> Result<Exit, CommandError> {
    let mut before = Words::new();
    loop {
        let mut words = Words::new();
        let mut last = None;
        for (number, step) in (1..).zip(&BUILD_ORDER) {
            let choice = Choice {
                only: step.checks(),
                skip: options.part.skipped(),
            };
            let run = check_service(options, config, choice, Modes::default(), stop.clone());
            words.extend(results(&run));
            let is_stuck = run.untestable.is_some() || !run.failed(Level::Must).is_empty();
            last = Some((number, step.name, run));
            if is_stuck || stop.requested() {
                break;
            }
        }
        if stop.requested() {
            return Ok(Exit::Done);
        }
        if words != before
            && let Some((number, name, run)) = last
        {
            let report = report::in_words(&run, config.polling.period, style());
            let steps = BUILD_ORDER.len();
            let changes = changes(&before, &words);
            if !is_read_on(&format!(
                "{changes}\nstep {number} of {steps}, {name}: {report}"
            )) {
                return Ok(Exit::Done);
            }
            before = words;
        }
        if stop.wait(every) {
            return Ok(Exit::Done);
        }
    }
}

fn results(run: &CheckRun) -> Words {
    let results = run.results.iter();
    let words = results.map(|result| {
        let list = result.stream.map_or("the service", |stream| stream.name());
        ((result.entry.id, list), word(&result.finding))
    });
    words.collect()
}

/// One line for each result that changed. Empty at the first look.
fn changes(before: &Words, now: &Words) -> String {
    let mut text = String::new();
    for ((id, list), word) in now {
        if let Some(was) = before.get(&(*id, *list))
            && was != word
        {
            text += &format!("{id} of {list}: {was}, now {word}\n");
        }
    }
    text
}
