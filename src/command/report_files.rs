use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::CommandError;
use crate::check::{CheckRun, report};
use crate::cli::CheckOptions;

/// The files that a report is written to. They are opened before the first request: a payout must not be made for a report that
/// cannot be written.
pub(super) struct ReportFiles {
    junit: Option<ReportFile>,
    har: Option<ReportFile>,
}

struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFiles {
    /// Opens them, and empties them.
    pub fn open(options: &CheckOptions) -> Result<ReportFiles, CommandError> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(ReportFile::open).transpose();
        Ok(ReportFiles {
            junit: open(&options.junit)?,
            har: open(&options.har)?,
        })
    }

    /// Writes what was found.
    pub fn write(self, run: &CheckRun) -> Result<(), CommandError> {
        if let Some(file) = self.junit {
            file.write(&report::in_junit(run))?;
        }
        if let Some(file) = self.har {
            file.write(&format!("{:#}\n", report::in_har(run)))?;
        }
        Ok(())
    }
}

impl ReportFile {
    fn open(path: &Path) -> Result<ReportFile, CommandError> {
        // It has records of customers.
        let opened = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let path = path.to_owned();
        match opened {
            Ok(file) => Ok(ReportFile { path, file }),
            Err(error) => Err(cannot_write(&path, &error)),
        }
    }

    fn write(mut self, text: &str) -> Result<(), CommandError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| cannot_write(&self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()))
}
