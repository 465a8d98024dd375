//! The package: its change log, its version and the completions of shells.

use std::fs;

use clap_complete::{Shell, generate};
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

use crate::support::{binary, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

/// The version and the date of the change log's top entry.
fn top_entry() -> (String, String) {
    let log = read("packaging/CHANGELOG.md");
    let entry = log
        .lines()
        .find_map(|line| line.strip_prefix("## ["))
        .unwrap();
    let (version, date) = entry.split_once("] - ").unwrap();
    (version.to_owned(), date.to_owned())
}

/// The version of a dependency in Cargo.lock.
fn locked(name: &str) -> String {
    let lock = read("Cargo.lock");
    let (_, package) = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .unwrap();
    package.split('"').next().unwrap().to_owned()
}

fn printed(argument: &str) -> String {
    let mut ready = binary();
    ready.arg(argument);
    run(ready).stdout
}

#[test]
fn the_change_log_begins_with_this_version() {
    assert_eq!(top_entry().0, env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_version_says_what_the_program_is_built_from() {
    let (version, date) = top_entry();
    let long = printed("--version");
    let expected = format!(
        "generic-connector {version} ({date})\nSQLite {}\nTLS    rustls {}, ring {}\ntarget {}-linux-",
        rusqlite::version(),
        locked("rustls"),
        locked("ring"),
        std::env::consts::ARCH,
    );
    assert!(long.starts_with(&expected), "{long}");
    assert_eq!(printed("-V"), format!("generic-connector {version}\n"));
}

/// `SNAPSHOTS=overwrite cargo test --test promises packaging::` writes the files.
#[test]
fn shells_complete_every_command_and_option() {
    for (shell, name) in [
        (Shell::Bash, "bash"),
        (Shell::Zsh, "zsh"),
        (Shell::Fish, "fish"),
    ] {
        let mut script = Vec::new();
        let mut command = generic_connector::command_line();
        generate(shell, &mut command, "generic-connector", &mut script);
        let path = format!("{ROOT}/packaging/completions/{name}");
        let expected = Data::read_from(path.as_ref(), Some(DataFormat::Text));
        let assert = Assert::new().action_env("SNAPSHOTS");
        assert.eq(String::from_utf8(script).unwrap(), expected.raw());
    }
}
