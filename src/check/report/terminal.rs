use std::collections::BTreeSet;
use std::time::Duration;

use super::{percentile, reason, verdict, word};
use crate::api::{Stream, escaped};
use crate::check::Level;
use crate::check::catalogue::{CatalogueEntry, CheckGroup, GROUPS};
use crate::check::layout::{counted, grouped, wrapped};
use crate::check::{CheckFinding, CheckResult, CheckRun};

/// How a report looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Characters of a line.
    pub width: usize,
    /// Whether results have colours, which say nothing that the words do not say.
    pub has_colour: bool,
}

/// Characters before the name of a check.
const BEFORE_NAME: usize = 14;
/// Characters of the name of a check, with what separates it.
const NAME: usize = 46;
/// Characters before the text of a detail.
const BEFORE_TEXT: usize = 16;
/// Transactions of a long list, to say how long an import takes.
const MANY: usize = 10_000;
/// Requests that a failure shows.
const MOST_REQUESTS: usize = 3;

/// The report for a person. `polling_period` is how often the service is polled.
pub fn in_words(run: &CheckRun, polling_period: Duration, style: Style) -> String {
    let mut text = format!(
        "generic-connector {} checking {}, {}\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&run.endpoint),
        if run.pays {
            "making payouts"
        } else {
            "read-only"
        }
    );
    for group in &GROUPS {
        let rows = rows(group, run);
        if rows.is_empty() {
            continue;
        }
        text += &format!("\n{}\n", group.name);
        for row in rows {
            text += &row.text(run, style);
        }
    }
    text.push('\n');
    for line in summary(run, polling_period) {
        for line in wrapped(&line, style.width) {
            text += &line;
            text.push('\n');
        }
    }
    text
}

/// The same result of one check on one or several lists.
struct Row<'a> {
    entry: &'static CatalogueEntry,
    results: Vec<&'a CheckResult>,
    /// The lists have different results.
    is_partial: bool,
}

fn rows<'a>(group: &CheckGroup, run: &'a CheckRun) -> Vec<Row<'a>> {
    let mut rows: Vec<Row> = Vec::new();
    for entry in group.entries {
        let results = run.results.iter();
        let of_entry: Vec<_> = results
            .filter(|result| result.entry.id == entry.id)
            .collect();
        let first = rows.len();
        for result in &of_entry {
            let same = rows[first..]
                .iter_mut()
                .find(|row| is_alike(&row.results[0].finding, &result.finding));
            match same {
                Some(row) => row.results.push(result),
                None => rows.push(Row {
                    entry,
                    results: vec![result],
                    is_partial: false,
                }),
            }
        }
        let is_partial = rows.len() - first > 1;
        rows[first..]
            .iter_mut()
            .for_each(|row| row.is_partial = is_partial);
    }
    rows
}

fn is_alike(one: &CheckFinding, other: &CheckFinding) -> bool {
    match (one, other) {
        (CheckFinding::Skipped(one), CheckFinding::Skipped(other)) => reason(one) == reason(other),
        _ => word(one) == word(other),
    }
}

impl Row<'_> {
    fn text(&self, run: &CheckRun, style: Style) -> String {
        let finding = &self.results[0].finding;
        let word = coloured(word(finding), style);
        let mut right = Vec::new();
        if self.is_partial {
            right.push(self.lists());
        }
        match finding {
            CheckFinding::Skipped(skipped) => right.push(escaped(&reason(skipped))),
            CheckFinding::Wrong { level, .. } => right.push(level.to_string()),
            CheckFinding::Passed => {}
        }
        let CatalogueEntry { id, name, .. } = self.entry;
        let right = right.join("; ");
        let is_short = BEFORE_NAME + NAME + right.chars().count() <= style.width;
        let mut text = if is_short {
            let line = format!("  {word}  {id:<4}  {name:<NAME$}{right}");
            format!("{}\n", line.trim_end())
        } else {
            let width = style.width.saturating_sub(BEFORE_NAME).max(BEFORE_NAME);
            let below = wrapped(&right, width).into_iter();
            let below = below.map(|line| format!("{:<BEFORE_NAME$}{line}\n", ""));
            format!("  {word}  {id:<4}  {name}\n{}", below.collect::<String>())
        };
        if let CheckFinding::Wrong { .. } = finding {
            text += &self.details(run, style);
        }
        text
    }

    fn lists(&self) -> String {
        let streams = self.results.iter().filter_map(|result| result.stream);
        let names: Vec<&str> = streams.map(Stream::name).collect();
        names.join(", ")
    }

    fn details(&self, run: &CheckRun, style: Style) -> String {
        let wrongs = self
            .results
            .iter()
            .filter_map(|result| match &result.finding {
                CheckFinding::Wrong { got, exchanges, .. } => Some((result.stream, got, exchanges)),
                _ => None,
            });
        let wrongs: Vec<_> = wrongs.collect();
        let mut text = String::new();
        for &number in wrongs
            .iter()
            .flat_map(|(_, _, numbers)| *numbers)
            .take(MOST_REQUESTS)
        {
            // A line to be copied is not broken.
            if let Some(exchange) = run.exchanges.get(number) {
                text += &format!("{:<8}asked   {}\n", "", exchange.curl());
            }
        }
        let distinct: BTreeSet<&String> = wrongs.iter().map(|(_, got, _)| *got).collect();
        let got = match (distinct.len(), &wrongs[..]) {
            (1, [(_, got, _), ..]) => (*got).clone(),
            _ => {
                let each = wrongs.iter().map(|(stream, got, _)| match stream {
                    Some(stream) => format!("{stream}: {got}"),
                    None => (*got).clone(),
                });
                each.collect::<Vec<_>>().join("\n")
            }
        };
        for (title, detail) in [
            ("got", got.as_str()),
            ("right", self.entry.right),
            ("cost", self.entry.cost),
            ("fix", self.entry.fix),
        ] {
            let width = style.width.saturating_sub(BEFORE_TEXT).max(BEFORE_NAME);
            for (number, line) in wrapped(detail, width).into_iter().enumerate() {
                let title = if number == 0 { title } else { "" };
                text += &format!("{:<8}{title:<8}{line}\n", "");
            }
        }
        text
    }
}

fn coloured(word: &'static str, style: Style) -> String {
    let colour = match word {
        "pass" => 32,
        "FAIL" => 31,
        "warn" => 33,
        _ => 36,
    };
    if style.has_colour {
        format!("\x1b[{colour}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

fn summary(run: &CheckRun, polling_period: Duration) -> Vec<String> {
    let ids: BTreeSet<&str> = run.results.iter().map(|result| result.entry.id).collect();
    let (failed, warned) = (run.failed(Level::Must), run.failed(Level::Should));
    let open = run.not_verified();
    let listed = |ids: &[&str]| {
        if ids.is_empty() {
            String::new()
        } else {
            format!(" ({})", ids.join(", "))
        }
    };
    let mut lines = vec![format!(
        "{} in {:.1} s, {}: {} must failed{}, {}{}, {} not verified{}.",
        counted(ids.len(), "check"),
        run.elapsed.as_secs_f64(),
        counted(run.exchanges.len(), "request"),
        failed.len(),
        listed(&failed),
        counted(warned.len(), "warning"),
        listed(&warned),
        open.len(),
        listed(&open)
    )];
    lines.extend(latency(run, polling_period));
    lines.push(match (&run.untestable, verdict(run), failed.first()) {
        (Some(reason), ..) => format!("Nothing could be tested: {reason}"),
        (_, "conformant", _) => "Conformant.".to_owned(),
        (_, _, Some(next)) => format!("Not conformant. Next: {next} (check --explain {next})."),
        _ => "Not verified: the data do not allow every check.".to_owned(),
    });
    lines
}

/// What the latency means for polls with this configuration.
fn latency(run: &CheckRun, polling_period: Duration) -> Vec<String> {
    let mut all: Vec<Duration> = Stream::ALL
        .iter()
        .flat_map(|call| run.times(*call))
        .collect();
    all.sort_unstable();
    let (Some(p50), Some(p95)) = (percentile(&all, 50), percentile(&all, 95)) else {
        return Vec::new();
    };
    let mut lines = vec![format!(
        "Latency: half of the answers within {} ms, 95 % within {} ms.",
        p50.as_millis(),
        p95.as_millis()
    )];
    let (accounts, more) = run.accounts;
    if let Some(each) = percentile(&run.times(Stream::Balances), 50)
        && accounts > 0
    {
        let seconds = each.as_secs_f64() * accounts as f64 / run.workers as f64;
        let more = if more { " or more" } else { "" };
        lines.push(format!(
            "{}{more} accounts × {} ms / {} workers: balances take about {seconds:.1} s of each {} s poll.",
            grouped(accounts),
            each.as_millis(),
            run.workers,
            polling_period.as_secs()
        ));
    }
    let (transactions, more) = run.transactions;
    if let Some(each) = percentile(&run.times(Stream::Transactions), 50)
        && transactions > 100
    {
        let count = if more { MANY } else { transactions };
        let seconds = each.as_secs_f64() * count.div_ceil(100) as f64;
        let what = if more { "each " } else { "" };
        lines.push(format!(
            "A first import takes about {seconds:.1} s for {what}{} transactions.",
            grouped(count)
        ));
    }
    lines
}
