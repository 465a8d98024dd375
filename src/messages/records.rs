use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &[
            "put into quarantine: …",
            "more records put into quarantine",
            "of records that break the API were put into quarantine at once",
            "stays in quarantine: …",
        ],
        means: "The record breaks the API in the way that the reason says, so it is not delivered. The rest of its page \
            goes on. Its text is kept.",
        fix: "Correct the record in the service: its next version is then accepted by itself. `quarantine show NUMBER` \
            has the text, `quarantine retry NUMBER` takes it again.",
    },
    MessageEntry {
        phrases: &[
            "is not an amount: a whole number of minor units",
            "is not an asset in UMN notation",
            "is not an RFC 3339 date",
            "is not an object",
            "not a string",
            "balances is missing",
            "not a list of objects",
            "not an object whose values are all strings",
            "characters, more than",
            "with half a surrogate pair",
            "contains bytes that are not UTF-8",
        ],
        means: "A field of a record, or of a request for a payout, is not as the API defines it. The message names the \
            field and shows the value.",
        fix: "Correct the field at its source. `check --only Records` tests every record that it reads, and shows a right \
            one.",
    },
    MessageEntry {
        phrases: &["the service lists another content under this id"],
        means: "Two records have one id, or a change was taken back. One content is delivered, this one waits in \
            quarantine until a sweep finds only this one listed.",
        fix: "Make ids unique in the service, or take this one with `quarantine retry NUMBER`.",
    },
    MessageEntry {
        phrases: &[
            "its text in the state is damaged",
            "a version with a newer date is stored",
        ],
        means: "The record in quarantine cannot be taken again: the disk has lost its text, or the service has sent \
            something newer.",
        fix: "Remove it with `quarantine drop NUMBER`. If the service still lists it, it comes again.",
    },
    MessageEntry {
        phrases: &["is not defined by the API: such records are delivered unchanged"],
        means: "A `type` or `status` that the API does not define. The record is delivered as it is, and counts as OTHER \
            in Formance. It is logged once for each value.",
        fix: "Have the service use a value of the API if one fits.",
    },
    MessageEntry {
        phrases: &["released from quarantine"],
        means: "The service no longer lists the other content, so this one is delivered.",
        fix: "Nothing.",
    },
    MessageEntry {
        phrases: &["the service lists others that relate to"],
        means: "Transactions name a relatedTransactionID that the service does not list. Formance folds them into a \
            payment that it does not have.",
        fix: "Have the service list them. `check --only R10 --all` names one.",
    },
    MessageEntry {
        phrases: &["versions are not in the list, the first of them since"],
        means: "Transactions name a relatedTransactionID that the service has not listed. A sweep that reads the \
            transactions to their end decides about them, and none has done so.",
        fix: "Look for `skipped in this sweep` in the log: the line says why the list cannot be read to its end.",
    },
    MessageEntry {
        phrases: &[
            "the service does not list what they relate to",
            "the transactions that wait for others are listed at the next start",
        ],
        means: "Transactions waited for one that they relate to, and a sweep did not find it. They are listed as the \
            service has sent them, so Formance may show wrong amounts for them.",
        fix: "Have the service list the transaction that is missing. `status` names one.",
    },
    MessageEntry {
        phrases: &[
            "the lists for Formance leave out …",
            "correct them in the service",
            "which are listed without them, with",
            "Formance does not escape ids when it asks for balances",
        ],
        means: "Formance cannot store these records, and would ask for their page forever. So its lists do not have them; \
            other targets do. It is logged once for each kind.",
        fix: "The line says what to change in the service, usually the ids. `status` counts them under `left out`.",
    },
    MessageEntry {
        phrases: &["versions of an older state break the API"],
        means: "The migration found versions that an older version of the program had accepted. They are kept, and not \
            listed to Connectivity.",
        fix: "`status` counts them. Correct the records in the service; the next version of each is listed.",
    },
];
