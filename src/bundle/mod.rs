//! An archive for whoever helps: what the state, the log, the service and the machine say, without secrets and without
//! records.
//!
//! It is made when something is wrong, so a part that cannot be had is no error: its reason takes its place.
//!
//! | file | what it is |
//! |---|---|
//! | `archive` | the parts as one `.tar.gz` |
//! | `log_lines` | the last lines of the log |
//! | `machine` | the versions, the machine and the files |

mod archive;
mod log_lines;
mod machine;

use crate::secret::redaction;

pub use log_lines::{LogSource, last_lines};
pub use machine::{files, machine};

/// What the reader has to know before the archive leaves the company.
pub const NOTICE: &str = "Keys are replaced and the texts of records are left out. Ids, reasons, addresses and paths are in \
                          it: read it before you send it.";

/// The parts of an archive, in their order.
#[derive(Debug, Default)]
pub struct Bundle {
    parts: Vec<BundlePart>,
}

#[derive(Debug)]
struct BundlePart {
    /// The name of its file.
    name: &'static str,
    /// What it is.
    about: &'static str,
    /// Its text, or why there is none.
    text: Result<String, String>,
}

impl Bundle {
    /// Adds a text, without secrets. `about`: what it is.
    pub fn add_text(&mut self, name: &'static str, about: &'static str, text: String) {
        self.add(name, about, Ok::<_, String>(text));
    }

    /// Adds a text, without secrets, or the reason why it cannot be had.
    pub fn add<E: ToString>(
        &mut self,
        name: &'static str,
        about: &'static str,
        text: Result<String, E>,
    ) {
        let text = match text {
            Ok(text) => Ok(redaction::message(text)),
            Err(error) => Err(redaction::message(error.to_string())),
        };
        self.parts.push(BundlePart { name, about, text });
    }

    /// What is in it, a line each, and why the rest is not.
    pub fn contents(&self) -> String {
        let line = |part: &BundlePart| match &part.text {
            Ok(_) => format!("  {:<20} {}\n", part.name, part.about),
            Err(error) => format!("  {:<20} not there: {error}\n", part.name),
        };
        self.parts.iter().map(line).collect()
    }
}
