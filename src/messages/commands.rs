use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["nothing is known about"],
        means: "`explain` has nothing about the text that it was given.",
        fix: "Give it the line as it was logged, or the part after the time. `check --list` has the ids, \
            generic-connector.json(5) the keys.",
    },
    MessageEntry {
        phrases: &[
            "error: …",
            "write targets, or an id or a group",
            "write the id and the reason",
            "write an id that check --list shows",
            "write payouts or transfers",
            "write a name that sandbox --help lists",
            "write accounts, beneficiaries or transactions",
            "write a duration such as 500ms, 10s or 1h30m",
        ],
        means: "The command line is wrong: an option or a value that the command does not have. Exit code 64.",
        fix: "`generic-connector help COMMAND` lists the options of a command, with their values.",
    },
    MessageEntry {
        phrases: &[
            "cannot read …: …",
            "it is longer than … bytes",
            "cannot write …: …",
            "cannot make …: …",
            "name another directory with --to",
        ],
        means: "A file that was named on the command line or in the configuration cannot be read or made, for the reason \
            that the line ends with.",
        fix: "Compare its owner and mode, and those of its folders, with the user that runs the command.",
    },
    MessageEntry {
        phrases: &["exists already: edit it", "exists already: remove it"],
        means: "`init` never overwrites a configuration or a key.",
        fix: "Edit the file, or name another one with `--config`.",
    },
    MessageEntry {
        phrases: &[
            "an answer is missing: give --name",
            "interrupted; nothing was written",
        ],
        means: "`init` asks on a terminal, and there is none, or it was interrupted. Nothing was written.",
        fix: "Give `--name`, `--endpoint` and `--api-key-file`.",
    },
    MessageEntry {
        phrases: &[
            "no quarantined record …",
            "is not in quarantine; see",
            "write a number from the list, such as",
            "That is no number of the quarantine",
        ],
        means: "Nothing in quarantine has that number. It may have been released, or dropped, meanwhile.",
        fix: "`quarantine list` has the numbers; versions that a target refuses are called NAME/SEQ.",
    },
    MessageEntry {
        phrases: &[
            "no answer: …; is the connector running?",
            "its log says why",
            "no connector has the state in … open",
            "the last poll ended … ago; the log says why",
        ],
        means: "`healthcheck` says that the connector is not well: it does not run, does not answer, or does not poll.",
        fix: "`systemctl status generic-connector` and the log of that time have the reason.",
    },
    MessageEntry {
        phrases: &[
            "cannot pay that: …",
            "and the host of endpoint is",
            "was not typed, so nothing was sent",
        ],
        means: "`check --pay` was given something that it cannot pay, or was not confirmed. Nothing was sent.",
        fix: "Compare the options with `help check`. `--yes` takes the host of `endpoint`, so that no script pays at the \
            wrong service.",
    },
    MessageEntry {
        phrases: &[
            "cannot run journalctl",
            "journalctl --unit …: …",
            "journalctl has no line of … that you may read",
            "name the log's file with --log",
        ],
        means: "`support-bundle` could not read the log. The archive is made without it.",
        fix: "Run it as root or as a member of the group systemd-journal, or name a file with `--log`.",
    },
    MessageEntry {
        phrases: &[
            "the sandbox cannot",
            "the sandbox found",
            "the sandbox could not change its data",
        ],
        means: "The sample service cannot do what it was asked for. No connector is concerned.",
        fix: "Do what the message says: another port, or another file of data.",
    },
];
