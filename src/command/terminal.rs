//! The terminal of whoever runs a command.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::thread;

use crossbeam_channel::{bounded, select};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};

use crate::check::report::{Style, wrapped};
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

/// Characters of a line there, or what is usual if that is no terminal.
pub(super) fn width_of(output: &impl AsFd) -> usize {
    match tcgetwinsize(output).map_or(0, |size| usize::from(size.ws_col)) {
        0 => USUAL_WIDTH,
        width => width,
    }
}

/// Characters of a line of standard output, if that is a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    stdout.is_terminal().then(|| width_of(&stdout))
}

/// A text for people. On a terminal, no line is longer than that is wide: a long one goes on below its second column, and a
/// warning has a colour. Programs get the text as it is.
pub(super) fn fitted(text: &str) -> String {
    let Some(width) = terminal_width() else {
        return text.to_owned();
    };
    let has_colour = style().has_colour;
    let lines = text.lines().map(|line| {
        let line = folded(line, width);
        if has_colour && line.starts_with(WARNING) {
            return format!("\x1b[33m{WARNING}\x1b[0m{}\n", &line[WARNING.len()..]);
        }
        line + "\n"
    });
    lines.collect()
}

/// What a line begins with that an operator has to look at.
const WARNING: &str = "WARNING";

/// Where the second column of lines begins that have a label.
const AFTER_LABEL: usize = 11;

fn folded(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let has_label = |line: &str| line.ends_with(' ') && !line.starts_with(' ');
    let (head, indent) = match line.get(..AFTER_LABEL) {
        Some(label) if has_label(label) => (label, AFTER_LABEL),
        // A note below a row.
        _ if line.starts_with("  ") => ("  ", 4),
        _ => ("", 2),
    };
    let gap = format!("\n{}", " ".repeat(indent));
    let lines = wrapped(&line[head.len()..], width.saturating_sub(indent));
    format!("{head}{}", lines.join(&gap))
}

/// How a report is laid out.
pub(super) fn style() -> Style {
    let stdout = std::io::stdout();
    let width = width_of(&stdout);
    let asked = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style {
        width,
        has_colour: stdout.is_terminal() && !asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_its_second_column() {
        for (line, folded_line) in [
            ("short", "short"),
            (
                "WARNING    one two three",
                "WARNING    one two\n           three",
            ),
            ("  a note that is long", "  a note that is\n    long"),
            ("state is one, two, three", "state is one, two,\n  three"),
        ] {
            assert_eq!(folded(line, 20), folded_line);
        }
    }
}
