//! The terminal of whoever runs a command.

use std::io::{IsTerminal, Write};
use std::thread;

use crossbeam_channel::{bounded, select};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::check::report::Style;
use crate::stop::Stop;

/// Characters of a line where there is no terminal.
const USUAL_WIDTH: usize = 100;

/// Asks on the terminal, beside the report. None if nobody answers, or stopping is requested.
pub(super) fn ask(request: &str, stop: &Stop) -> Option<String> {
    // A closed terminal ends the answers, too.
    let _ = std::io::stderr().write_all(request.as_bytes());
    let (answer, answered) = bounded(1);
    // Nothing else ends a wait for standard input. After a stop, the thread ends with the process.
    let reader = thread::Builder::new().spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        let _ = answer.send(read.is_ok_and(|bytes| bytes > 0).then_some(line));
    });
    reader.ok()?;
    select! {
        recv(answered) -> line => line.ok().flatten(),
        recv(stop.receiver()) -> _ => None,
    }
}

/// Does something while the terminal does not show what is typed.
pub(super) fn unseen<T>(act: impl FnOnce() -> T) -> T {
    let stdin = std::io::stdin();
    let Ok(shown) = tcgetattr(&stdin) else {
        return act();
    };
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // Where this fails, the key is shown, as everything else is.
    let _ = tcsetattr(&stdin, OptionalActions::Flush, &hidden);
    let done = act();
    let _ = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    // The line break was not shown either.
    let _ = std::io::stderr().write_all(b"\n");
    done
}

/// How a report is laid out.
pub(super) fn style() -> Style {
    let stdout = std::io::stdout();
    let width = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    let asked = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style {
        width: if width == 0 { USUAL_WIDTH } else { width },
        has_colour: stdout.is_terminal() && !asked,
    }
}
