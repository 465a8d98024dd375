use super::{CommandError, Exit, print};
use crate::api::escaped;
use crate::cli::ConfigFile;
use crate::config::{Config, TargetKind};
use crate::publish::{FormancePublisher, HttpPublisher, TargetFinding, check_is_file};

/// Checks the configuration and each target. Nothing is written anywhere.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let config = Config::read(&options.config)?;
    let mut report = Report::default();
    report.say("ok", "configuration", &options.config.display().to_string());
    for warning in &config.warnings {
        report.say("WARNING", "configuration", warning);
    }
    if config.publish.is_none() && config.listen.is_none() {
        report.say(
            "WARNING",
            "configuration",
            &format!(
                "works for poll, which writes changes.ndjson, but not for run: {}",
                super::run::NOTHING_TO_DELIVER_TO
            ),
        );
    }
    for target in config.publish.iter().flatten() {
        for TargetFinding { what, result } in findings(&target.kind) {
            let what = format!("{}: {what}", escaped(&target.name));
            match result {
                Ok(found) => report.say("ok", &what, &found),
                Err(wrong) => report.say("FAILED", &what, &wrong),
            }
        }
    }
    Ok(if report.has_failures {
        Exit::Findings
    } else {
        Exit::Done
    })
}

fn findings(kind: &TargetKind) -> Vec<TargetFinding> {
    match kind {
        TargetKind::NdjsonStdout => Vec::new(),
        TargetKind::NdjsonFile(path) => {
            // The first delivery creates the file.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let result = match folder {
                Some(folder) if !folder.is_dir() => Err(format!(
                    "there is no directory {}: create it, or set another \"path\"",
                    folder.display()
                )),
                _ => check_is_file(path).map(|()| path.display().to_string()),
            };
            vec![TargetFinding::new("path", result)]
        }
        TargetKind::Http(settings) => HttpPublisher::new(settings.clone()).check(),
        TargetKind::Formance(settings) => FormancePublisher::new(settings.clone()).check(),
    }
}

#[derive(Default)]
struct Report {
    has_failures: bool,
}

impl Report {
    fn say(&mut self, verdict: &str, what: &str, text: &str) {
        self.has_failures |= verdict == "FAILED";
        print(&format!("{verdict:<8} {what}: {text}\n"));
    }
}
