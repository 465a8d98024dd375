use std::path::{Path, PathBuf};

use super::check_run::check_all_without_bodies;
use super::{CommandError, Exit, print, status};
use crate::api::{Timestamp, escaped};
use crate::bundle::{Bundle, LogSource, NOTICE, files, last_lines, machine};
use crate::check::report::{self, Style};
use crate::cli::SupportBundleOptions;
use crate::config::{self, Config, Outline, redacted};
use crate::signals;
use crate::status::Status;
use crate::store::{self, QuarantineNumber, Snapshot};

/// Polls that are shown.
const POLLS: usize = 100;

/// Records in quarantine that are shown.
const QUARANTINED: usize = 1_000;

/// How texts are laid out that are read in an editor.
const STYLE: Style = Style {
    width: 120,
    has_colour: false,
};

/// Writes what somebody who helps needs into one archive. The connector may be running, or be unable to.
pub(super) fn run(options: &SupportBundleOptions) -> Result<Exit, CommandError> {
    let path = &options.config.config;
    // Its keys are known as long as it is held, and replaced in every part.
    let config = Config::read(path);
    let mut bundle = Bundle::default();
    bundle.add_text("machine.txt", "versions and the machine", machine());
    of_the_configuration(&mut bundle, path, &config);
    match Outline::read(path) {
        Ok(outline) => of_the_state(&mut bundle, path, &outline),
        Err(error) => bundle.add("status.txt", "what status shows", Err(error)),
    }
    let source = match &options.log {
        Some(file) => LogSource::File(file.clone()),
        None => LogSource::Journal(options.unit.clone()),
    };
    bundle.add("log.txt", "the last lines of the log", last_lines(&source));
    match &config {
        _ if options.offline => {}
        Ok(config) => of_the_service(&mut bundle, config)?,
        Err(_) => {
            let why = "it needs a configuration that can be used; beside a unit, set \
                CREDENTIALS_DIRECTORY=/etc/generic-connector/keys";
            bundle.add("check.txt", "what check says of the service", Err(why));
        }
    }
    let file = file_in(&options.to);
    let written = bundle.write(&file);
    let bytes = written.map_err(|error| {
        CommandError::failed(format!(
            "cannot write {}: {error}; name another directory with --to",
            file.display()
        ))
    })?;
    let (contents, kilobytes) = (bundle.contents(), bytes.div_ceil(1_000));
    print(&format!(
        "{}, {kilobytes} KB:\n{contents}{NOTICE}\n",
        file.display()
    ));
    Ok(Exit::Done)
}

fn of_the_configuration(bundle: &mut Bundle, path: &Path, config: &Result<Config, config::Error>) {
    bundle.add(
        "configuration.json",
        "the configuration without keys",
        redacted(path),
    );
    let found = config
        .as_ref()
        .map(|config| match config.warnings.join("\n") {
            warnings if warnings.is_empty() => "it can be used\n".to_owned(),
            warnings => format!("it can be used, with warnings:\n{warnings}\n"),
        });
    bundle.add(
        "validity.txt",
        "whether the configuration can be used",
        found,
    );
}

fn file_in(directory: &Path) -> PathBuf {
    let date = Timestamp::now()
        .second()
        .to_string()
        .replace(['-', ':'], "");
    directory.join(format!("generic-connector-support-{date}.tar.gz"))
}

fn of_the_state(bundle: &mut Bundle, path: &Path, outline: &Outline) {
    let directory = &outline.state_directory;
    bundle.add_text(
        "files.txt",
        "the files of the state",
        files(path, directory),
    );
    let read = Status::read(
        directory,
        outline.polling_period,
        outline.sweep_times,
        POLLS,
    );
    bundle.add(
        "status.txt",
        "what status shows",
        read.as_ref().map(status::in_words),
    );
    if let Ok(status) = &read {
        bundle.add_text(
            "status.json",
            "the same, for programs",
            format!("{:#}\n", status.in_json()),
        );
    }
    bundle.add(
        "quarantine.txt",
        "ids and reasons in quarantine",
        quarantine(directory),
    );
    bundle.add(
        "state.txt",
        "layout, counts and schema",
        store::describe(directory),
    );
}

fn quarantine(directory: &Path) -> Result<String, store::Error> {
    let snapshot = Snapshot::open(directory)?;
    let page = snapshot.quarantine_page(&QuarantineNumber::FIRST, QUARANTINED)?;
    let mut text = format!(
        "{} records, {} versions refused by targets\n",
        page.records, page.refused
    );
    for line in page.lines {
        text += &format!(
            "{} {} {} since {}: {}\n",
            line.number,
            line.stream,
            escaped(&line.id),
            line.first_seen.unwrap_or(line.last_seen),
            escaped(&line.reason)
        );
    }
    Ok(text)
}

/// Runs the checks that read only, which may take as long as the service does.
fn of_the_service(bundle: &mut Bundle, config: &Config) -> Result<(), CommandError> {
    log::info!("checking the service, which may take a minute; Ctrl-C ends only that");
    let (_trigger, stop) = signals::handle().map_err(CommandError::failed)?;
    let run = check_all_without_bodies(config, stop);
    let in_words = report::in_words(&run, config.polling.period, STYLE);
    bundle.add_text("check.txt", "what check says of the service", in_words);
    bundle.add_text(
        "check.json",
        "the same, for programs",
        format!("{:#}\n", report::in_json(&run)),
    );
    Ok(())
}
