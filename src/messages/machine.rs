use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &[
            "cannot start the worker threads",
            "the sandbox cannot start a thread",
        ],
        means: "The system gives no more threads.",
        fix: "Raise `TasksMax=` of the unit or the limit on processes, or lower `workers`.",
    },
    MessageEntry {
        phrases: &["cannot send to the service manager"],
        means: "systemd's socket for readiness and signs of life cannot be written to. systemd may take the program for \
            one that hangs, and restart it.",
        fix: "Let the unit have `Type=notify` and `NotifyAccess=main`, and nothing that hides /run/systemd/notify from it.",
    },
    MessageEntry {
        phrases: &["cannot handle signals", "cannot block …: …"],
        means: "The system does not let the program handle signals, so it could not stop in order.",
        fix: "Look at `SystemCallFilter=` of the unit: the one that is shipped allows what is needed.",
    },
    MessageEntry {
        phrases: &["a second signal: ending at once"],
        means: "A second SIGTERM or SIGINT came while the first one was obeyed. Work that is not committed is read again.",
        fix: "Nothing. A stop takes a few seconds, in which requests that are under way may end; it needs no second \
            signal.",
    },
    MessageEntry {
        phrases: &[
            "the system provides no random bytes",
            "cannot create a temporary directory",
        ],
        means: "The system lacks something that every program can expect: /dev/urandom, or a directory for temporary \
            files.",
        fix: "Look at the sandbox of the unit or the container; set `TMPDIR` to a directory that can be written.",
    },
    MessageEntry {
        phrases: &["a poll is coming, but … requests wait for it already"],
        means: "Many callers of `POST /poll?wait=true` wait for the same poll, so this one does not wait as well. The \
            poll comes.",
        fix: "Ask without `wait`, and look at `status`.",
    },
    MessageEntry {
        phrases: &["generic-connector is shutting down"],
        means: "The connector is being stopped, and takes nothing new.",
        fix: "Ask again when it runs.",
    },
];
