//! The report of `check` on a terminal: two widths, with and without colour.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use serde_json::json;

use super::Session;
use crate::support::{FakePsp, Manners, Place};

/// What a command prints to a terminal of that width. Escape characters are written as `^[`.
pub(super) fn on_a_terminal(mut ready: Command, width: u16, no_colour: bool) -> String {
    let size = Winsize {
        ws_row: 50,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).unwrap();
    ready.stdout(Stdio::from(pty.slave)).stderr(Stdio::null());
    ready.env_remove("NO_COLOR");
    if no_colour {
        ready.env("NO_COLOR", "1");
    }
    let mut child = ready.spawn().unwrap();
    // It holds the other end.
    drop(ready);
    let mut shown = Vec::new();
    // The end of a terminal is an error.
    let _ = File::from(pty.master).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown)
        .unwrap()
        .replace("\r\n", "\n")
        .replace('\u{1b}', "^[")
}

#[test]
fn the_report_keeps_to_the_width_and_has_colours_only_on_a_terminal() {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        cap: Some(50),
        knows_its_accounts: true,
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({}));
    let mut session = Session::new();
    session.hide(place.path().to_str().unwrap(), "[FOLDER]");
    for (width, no_colour) in [(80, true), (120, true), (80, false)] {
        session.line(&format!(
            "# {width} columns, {}",
            if no_colour { "NO_COLOR" } else { "colours" }
        ));
        let shown = on_a_terminal(
            place.command("check --only Key,HTTP,Paging"),
            width,
            no_colour,
        );
        assert_eq!(shown.contains("^["), !no_colour, "{shown}");
        for line in shown
            .lines()
            .filter(|line| no_colour && !line.contains("curl "))
        {
            // The folder is longer in the test than anywhere else.
            let is_path = line.contains(place.path().to_str().unwrap());
            assert!(
                is_path || line.chars().count() <= usize::from(width),
                "{line}"
            );
        }
        session.line(shown.trim_end());
    }
    session.is("check-terminal");
}

#[test]
fn status_keeps_to_the_width() {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    let nowhere = json!({ "type": "http", "url": "http://127.0.0.1:9/changes", "name": "a-warehouse-with-a-long-name" });
    let place = Place::new(&psp.url(), json!({ "publish": [nowhere] }));
    crate::support::run(place.command("poll --delivery-patience 10ms"));
    let mut session = Session::new();
    session.hide(place.path().to_str().unwrap(), "[FOLDER]");
    for (width, no_colour) in [(80, true), (120, true), (80, false)] {
        session.line(&format!("# {width} columns"));
        let shown = on_a_terminal(place.command("status"), width, no_colour);
        assert_eq!(shown.contains("^[[33mWARNING^[[0m"), !no_colour, "{shown}");
        let plain = shown.replace("^[[33m", "").replace("^[[0m", "");
        for line in plain.lines() {
            assert!(line.chars().count() <= usize::from(width), "{line}");
        }
        // The times of the polls are not always of one width.
        let steady = shown.lines().filter(|line| !line.starts_with("1  "));
        session.line(&steady.collect::<Vec<_>>().join("\n"));
    }
    session.is("status-terminal");
}
