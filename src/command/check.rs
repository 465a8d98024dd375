use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::check_run::{check_service, exit};
use super::report_files::ReportFiles;
use super::table::Column::Left;
use super::table::Table;
use super::targets::findings;
use super::terminal::{ask, style};
use super::{CommandError, Exit, check_pay, check_watch, print};
use crate::api::escaped;
use crate::check::catalogue::{CatalogueEntry, GROUPS};
use crate::check::report;
use crate::check::{AskPerson, CheckRun, Choice, Modes};
use crate::cli::{CheckOptions, CheckSelection};
use crate::config::Config;
use crate::publish::TargetFinding;
use crate::signals;
use crate::stop::Stop;
use crate::store;

/// Characters before what is said about the configuration or a target.
const BEFORE_LINE: usize = 9;

/// Checks the service, the configuration and each target. Nothing is written but the files that are asked for.
pub(super) fn run(options: &CheckOptions) -> Result<Exit, CommandError> {
    if options.list {
        print(&list());
        return Ok(Exit::Done);
    }
    if let Some(entry) = options.explain {
        print(&entry.explained(style().width));
        return Ok(Exit::Done);
    }
    let mut config = Config::read(&options.config.config)?;
    config.warnings.extend(taken_ports(&config));
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    if let Some(every) = options.watch {
        return check_watch::watch(options, &config, every, &stop);
    }
    let mut lines = TargetLines::default();
    lines.configuration(&options.config.config.display().to_string(), &config);
    let asks_service = !options.offline && asks_service(&options.part.only);
    if !options.json {
        print(&std::mem::take(&mut lines.text));
    }
    let (service, files) = asks_service
        .then(|| report_on_service(options, &config, stop))
        .transpose()?
        .unzip();
    let is_about_targets = options.offline || is_about_targets(&options.part.only);
    for target in config.publish.iter().flatten().filter(|_| is_about_targets) {
        let name = escaped(&target.name);
        for TargetFinding { what, result } in findings(&target.kind, options.offline) {
            lines.say(&format!("{name}: {what}"), &result);
        }
    }
    if options.json {
        let mut document = service
            .as_ref()
            .map_or_else(|| json!({ "format": 1 }), report::in_json);
        document["warnings"] = json!(config.warnings);
        document["targets"] = json!(lines.findings);
        print(&format!("{document:#}\n"));
    } else if !lines.text.is_empty() {
        let gap = if service.is_some() { "\n" } else { "" };
        print(&format!("{gap}{}", lines.text));
    }
    if let (Some(files), Some(run)) = (files, &service) {
        files.write(run)?;
    }
    Ok(exit(service.as_ref(), options.strict, lines.has_failures))
}

/// What is wrong with the addresses at which the connector answers. Its own, while it runs, is not looked at.
fn taken_ports(config: &Config) -> Vec<String> {
    if store::is_locked(&config.state_directory).unwrap_or(true) {
        return Vec::new();
    }
    let listen = config
        .serve
        .listen
        .as_ref()
        .map(|listen| ("listen", listen.address));
    let observe = config
        .serve
        .observe
        .as_ref()
        .and_then(|observe| Some(("observe", observe.address?)));
    let taken = |(key, address): (&str, SocketAddr)| {
        let error = TcpListener::bind(address).err()?;
        Some(format!(
            "\"{key}\": {address} cannot be used: {error}; set another one, unless generic-connector.socket holds it for this \
             connector"
        ))
    };
    listen
        .into_iter()
        .chain(observe)
        .filter_map(taken)
        .collect()
}

/// Checks the service and prints what was found, unless that is part of a document.
fn report_on_service(
    options: &CheckOptions,
    config: &Config,
    stop: Stop,
) -> Result<(CheckRun, ReportFiles), CommandError> {
    let files = ReportFiles::open(options)?;
    let choice = Choice {
        only: options.part.selected(),
        skip: options.part.skipped(),
    };
    let change = options.modes.change;
    let modes = Modes {
        pay: check_pay::confirmed(&options.modes.pay, &config.service.endpoint, &stop)?,
        observe: options.modes.observe,
        change: change.map(|patience| AskPerson { ask, patience }),
    };
    let run = check_service(options, config, choice, modes, stop);
    if !options.json {
        let report = report::in_words(&run, config.polling.period, style());
        print(&format!("\n{report}"));
    }
    Ok((run, files))
}

/// Whether a selection has the targets.
fn is_about_targets(only: &[CheckSelection]) -> bool {
    let is_targets = |selection: &CheckSelection| matches!(selection, CheckSelection::Targets);
    only.is_empty() || only.iter().any(is_targets)
}

/// Whether a selection has more than the targets.
fn asks_service(only: &[CheckSelection]) -> bool {
    let is_check = |selection: &CheckSelection| !matches!(selection, CheckSelection::Targets);
    only.is_empty() || only.iter().any(is_check)
}

fn list() -> String {
    let columns = [
        Left("ID", 5),
        Left("LEVEL", 8),
        Left("LOOKS AT", 14),
        Left("RIGHT IF", 0),
    ];
    let mut table = Table::new(&columns);
    for entry in GROUPS.iter().flat_map(|group| group.entries) {
        let CatalogueEntry {
            id,
            level,
            scope,
            name,
            ..
        } = entry;
        table.row([id, level, scope, name]);
    }
    table.text()
}

/// What is said about the configuration and the targets, line by line.
#[derive(Default)]
struct TargetLines {
    text: String,
    findings: Vec<serde_json::Value>,
    has_failures: bool,
}

impl TargetLines {
    fn configuration(&mut self, file: &str, config: &Config) {
        self.line("ok", "configuration", file);
        for warning in &config.warnings {
            self.line("WARNING", "configuration", warning);
        }
        if config.publish.is_none() && config.serve.listen.is_none() {
            let warning = format!(
                "works for poll, which writes changes.ndjson, but not for run: {}",
                super::run::NOTHING_TO_DELIVER_TO
            );
            self.line("WARNING", "configuration", &warning);
        }
    }

    fn say(&mut self, what: &str, result: &Result<String, String>) {
        self.has_failures |= result.is_err();
        let (verdict, text) = match result {
            Ok(found) => ("ok", found),
            Err(wrong) => ("FAILED", wrong),
        };
        self.line(verdict, what, text);
        self.findings
            .push(json!({ "what": what, "ok": result.is_ok(), "text": text }));
    }

    fn line(&mut self, verdict: &str, what: &str, text: &str) {
        let line = format!("{what}: {text}");
        // What is not read on a terminal is not broken: programs look for it.
        let lines = if std::io::stdout().is_terminal() {
            report::wrapped(&line, style().width.saturating_sub(BEFORE_LINE))
        } else {
            vec![line]
        };
        self.text += &format!("{verdict:<BEFORE_LINE$}{}\n", lines.join("\n         "));
    }
}
