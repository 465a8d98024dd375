use std::io::{self, IsTerminal, Write};

use super::table::Column::{Left, Right};
use super::table::Table;
use super::{CommandError, Exit, print};
use crate::cli::ConfigFile;
use crate::config::Outline;
use crate::logging::ERASE_LINE;
use crate::store::{self, CheckedPart, VerifyEvent};

/// Checks the whole state for damage. The connector may be running.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let directory = Outline::read(&options.config)?.state_directory;
    let on_terminal = io::stderr().is_terminal();
    let progress = |text: &str| {
        if on_terminal {
            let _ = io::stderr().write_all(format!("{ERASE_LINE}{text}").as_bytes());
        }
    };
    let parts = store::verify(&directory, &mut |event| match event {
        VerifyEvent::Found(finding) => {
            progress("");
            print(&format!("{finding}\n"));
        }
        VerifyEvent::Read(part, rows) => progress(&format!("{part}: {rows} ")),
    })?;
    progress("");
    print(&in_words(&parts));
    let is_damaged = parts.iter().any(|part| part.found > 0);
    Ok(if is_damaged {
        Exit::Findings
    } else {
        Exit::Done
    })
}

fn in_words(parts: &[CheckedPart]) -> String {
    let columns = [Left("PART", 24), Right("ROWS", 12), Right("DAMAGED", 10)];
    let mut table = Table::new(&columns);
    for part in parts {
        table.row([&part.name, &part.rows, &part.found]);
    }
    table.text()
}
