use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["delivery to … failed, retrying"],
        means: "The target is down, or refuses this caller. Delivery is tried again, without an end; polling goes on, and \
            nothing is lost.",
        fix: "Run `check --only targets`. If one version is the cause, `publisher skip NAME SEQ` leaves it out.",
    },
    MessageEntry {
        phrases: &[
            "this happens now and then, and is no longer said each time",
            "the target fails now and then",
        ],
        means: "Requests failed, and succeeded when they were sent again. Nothing is lost.",
        fix: "If it continues, look at the target's own log, or at a proxy in front of it.",
    },
    MessageEntry {
        phrases: &["the target refuses the key"],
        means: "The target answered 401 or 403.",
        fix: "Write the right key into `apiKey` of the entry or its file, which is then read again. A systemd credential \
            needs a restart.",
    },
    MessageEntry {
        phrases: &[
            "changes were refused by the target and quarantined",
            "is refused again: …",
        ],
        means: "The target has refused versions for their content (400, 413 or 422). They wait in quarantine with its \
            answer, and delivery has gone on.",
        fix: "`quarantine list` has the answers. Use `quarantine retry NAME/SEQ` once the target accepts them.",
    },
    MessageEntry {
        phrases: &["not delivered in time"],
        means: "`poll` has ended before a publisher had delivered everything. Exit code 1. The next run continues there.",
        fix: "The line has the last failure of the target, if there was one. If it is just slow, run `poll` more often, \
            or use `run`.",
    },
    MessageEntry {
        phrases: &[
            "has a new type: everything is delivered from the beginning",
            "is new: everything is delivered from the beginning",
        ],
        means: "A publisher with this name and type was not there before, so it begins with the first version that the \
            state has.",
        fix: "Nothing. If an old publisher was renamed, give it its old name back before the target gets everything twice.",
    },
    MessageEntry {
        phrases: &["delivers everything after seq … again: …"],
        means: "The target has less than the connector thought, or was reset. Everything that it may lack is delivered \
            again.",
        fix: "Nothing. If balances that were dropped are missing there, the line says how many.",
    },
    MessageEntry {
        phrases: &["cut off … bytes of a torn last line"],
        means: "The file ended in the middle of a line, after a crash or a full disk. The line was cut off, and is \
            written again as a whole.",
        fix: "Nothing, if what loads the file has not read the torn line.",
    },
    MessageEntry {
        phrases: &[
            "ends with seq …, which does not belong to this state",
            "ends with a line that is not a change",
            "ends with text that is not a change",
        ],
        means: "The file is another one, somebody has added a line, or the state was put back or removed and that was not \
            noticed. Nothing is written to it, so that no line is there twice. Polls and the other targets go on.",
        fix: "Remove the line that is not ours. Run `restored` if the state was put back, with the connector stopped. \
            Otherwise move the file away, and every change is written to a new one.",
    },
    MessageEntry {
        phrases: &[
            "there is no directory …: create it",
            "under systemd, only StateDirectory= and ReadWritePaths=",
            "is not a file: set path to one",
            "it cannot get the group",
        ],
        means: "The file of an ndjson target cannot be made or written where `path` says.",
        fix: "OTHER TARGETS has the commands for a directory that the unit may write to, and whose group the loader is in.",
    },
    MessageEntry {
        phrases: &[
            "cannot write to standard output",
            "the program that reads it has ended",
        ],
        means: "The program that reads standard output has ended, or its disk is full.",
        fix: "Start the whole pipe again: delivery goes on behind the last version that was written.",
    },
    MessageEntry {
        phrases: &["cannot compress a batch"],
        means: "There is no memory to compress what is to be sent. It is tried again.",
        fix: "Raise `MemoryMax=` of the unit.",
    },
    MessageEntry {
        phrases: &[
            "is url right?",
            "is url right, or does something else answer there?",
            "which is not the API's answer",
            "is url that of a stack?",
        ],
        means: "Something else than the target answers at that address, such as a login page or a proxy.",
        fix: "Compare `url` with the address of the target. For Formance it is that of the stack, without a path.",
    },
    MessageEntry {
        phrases: &[
            "there is no publisher …",
            "the publisher … is in the configuration: remove its entry",
            "still delivers to …: restart it",
            "has delivered only up to seq",
            "it does not have to deliver",
            "can only begin at the beginning",
        ],
        means: "`publisher` cannot do that with the publisher: the name is another one, it is in use, or the seq is not \
            one that it still has to deliver.",
        fix: "`status` shows the names, the offsets and the last seq.",
    },
];
