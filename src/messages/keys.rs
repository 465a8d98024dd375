use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["the service refuses the key"],
        means: "The service answered 401 or 403: the key was rotated, or lacks rights. Nothing is lost; the first poll \
            with a good key catches up.",
        fix: "Write the right key into `apiKey` or its file. It is read again without a restart, unless systemd passes \
            it: then restart the unit.",
    },
    MessageEntry {
        phrases: &[
            "no key: set …, or …",
            "to a file that holds it, or put it in keys/",
        ],
        means: "A key is required and is nowhere: not in the configuration, not in a file beside it, and not among the \
            credentials of the unit.",
        fix: "Put it into keys/ beside the configuration, or set the `…File` key. Beside a running unit, set \
            `CREDENTIALS_DIRECTORY=/etc/generic-connector/keys`, as root.",
    },
    MessageEntry {
        phrases: &["are set: keep one"],
        means: "The key is in the configuration and in a file, and they may differ.",
        fix: "Keep the file, and remove the other one.",
    },
    MessageEntry {
        phrases: &[
            "is empty: put the key into it",
            "begins with a byte order mark",
            "is longer than 16000 bytes, more than a request can carry",
            "has more than one line",
            "has characters that an HTTP header cannot carry",
        ],
        means: "The file holds something that cannot be sent as a key: nothing, a mark that an editor has put at its \
            beginning, several lines, or characters other than printable ASCII. Only keys that callers send here may have \
            a second line, for a rotation.",
        fix: "Write the file again, for example with `printf %s KEY > FILE`.",
    },
    MessageEntry {
        phrases: &["lines: keep the new key and, until everybody sends it, the old one"],
        means: "The file of a key that callers send has more than two lines. Two are for a rotation without a gap.",
        fix: "Keep the new key, and the old one until every caller has the new one.",
    },
    MessageEntry {
        phrases: &["every user of this machine can read"],
        means: "The file with the secret can be read by every user of this machine.",
        fix: "Run the `chmod` that the message has. If others had access to the machine, replace the key.",
    },
    MessageEntry {
        phrases: &[
            "is no longer in the configuration",
            "has changed and cannot be used, so the keys before it stay valid",
            "the key opens something else already",
        ],
        means: "The file of a key was changed while the connector runs, and the new content is no key. The keys from \
            before stay valid.",
        fix: "Correct the file. It is read again within seconds, and the log then says `valid keys now`.",
    },
    MessageEntry {
        phrases: &["whoever has the one has the other"],
        means: "A key that callers send here, or that is sent to a target, is also the key of the service. Each of them \
            that leaks opens both.",
        fix: "Make a new one with `openssl rand -hex 32`, and give it to the side that is easier to change.",
    },
    MessageEntry {
        phrases: &["give it a key of its own"],
        means: "One key opens two things that different people use, such as the status and the payouts.",
        fix: "Make a new key for one of them with `openssl rand -hex 32`.",
    },
    MessageEntry {
        phrases: &["has fewer than … characters and can be guessed"],
        means: "The key is short enough to be found by trying.",
        fix: "Make a new one with `openssl rand -hex 32`.",
    },
    MessageEntry {
        phrases: &["requests with a wrong key since the last such line"],
        means: "Somebody asks the listener with a key that is not valid: an old one after a rotation, one with a line \
            break in it, or one that was guessed. The line comes once a minute at most, and has the last address.",
        fix: "Compare the key in Formance, or in Prometheus, with the file that the message names. Behind a proxy, the \
            proxy's log has the caller's address.",
    },
    MessageEntry {
        phrases: &["it contains a key of this program"],
        means: "The service or a target repeats a secret in its data. The text is kept with `[redacted]` in its place, \
            and the record waits in quarantine.",
        fix: "Have the service corrected, then replace the key, which others may have seen.",
    },
    MessageEntry {
        phrases: &["in CREDENTIALS_DIRECTORY cannot be read"],
        means: "The folder of the keys is not there, or this user may not look into it: it belongs to root.",
        fix: "Run the command as root: `CREDENTIALS_DIRECTORY=/etc/generic-connector/keys generic-connector check`.",
    },
    MessageEntry {
        phrases: &["the key that was read before is still used"],
        means: "The service or a target refuses the key, and its file was read again. What is in it now cannot be used, for \
            the reason that begins the line.",
        fix: "Put one key into the file, on one line, with mode 0600, readable for the program's user. The next request \
            takes it, without a restart.",
    },
];
