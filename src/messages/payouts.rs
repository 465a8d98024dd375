use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &[
            "whether … was made is unknown",
            "Title: Outcome Unknown",
            "it belongs to the idempotencyKey",
            "and it has no idempotencyKey",
        ],
        means: "A payout or transfer was sent, and no answer says whether it was made. It is not sent again unless \
            Connectivity asks again, under the same idempotencyKey.",
        fix: "Look it up at the PSP, then run `initiation settle KEY made ID` or `initiation settle KEY refused`. `check \
            --pay` shows whether the service keeps its keys (I2, I5).",
    },
    MessageEntry {
        phrases: &["was made as …, but"],
        means: "The service made the payout or transfer, with another amount, asset or account than Connectivity asked \
            for, or under an id that another one has.",
        fix: "Compare it with the PSP. If it is right, confirm it with `initiation settle KEY made ID`.",
    },
    MessageEntry {
        phrases: &["was refused by the service"],
        means: "The service has refused the payout or transfer, and nothing was made. Formance gets the refusal.",
        fix: "The line has the service's words. If they are about the request, correct it in Formance and ask for a new \
            one.",
    },
    MessageEntry {
        phrases: &["was not made: …", "Title: Not Made"],
        means: "The request was turned away before the service looked at it, for example with 401 or 404. Nothing was \
            made, and Formance asks again.",
        fix: "Do what the reason says, usually about `apiKey` or `endpoint`.",
    },
    MessageEntry {
        phrases: &["could not be recorded: …"],
        means: "The service has answered, but the state could not be written. Formance gets 503, asks again under the \
            same key, and the service has to recognise it.",
        fix: "Make room on the disk of the state, then look with `initiation list` whether it is settled.",
    },
    MessageEntry {
        phrases: &["is not forwarded: …", "Title: Journal Unavailable"],
        means: "A payout or transfer was not sent to the service, because it could not be written to the journal first, \
            or because its entry there is damaged. Formance asks again.",
        fix: "The rest of the line says what is wrong with the state.",
    },
    MessageEntry {
        phrases: &["cannot start a thread for a payout or transfer"],
        means: "The system gives no more threads, so the request was not sent. Formance asks again.",
        fix: "Raise `TasksMax=` of the unit, or the limit on processes.",
    },
    MessageEntry {
        phrases: &["Title: Too Many Initiations"],
        means: "503: the connector takes 32 payouts and transfers at a time, and the service has answered none of them \
            yet. Formance asks again.",
        fix: "Nothing, if it passes. If it lasts, the service does not answer them: look at its log, and at `initiation \
            list`.",
    },
    MessageEntry {
        phrases: &["Title: Shutting Down"],
        means: "503: the connector is being stopped, and takes no payout any more. Formance asks again.",
        fix: "Nothing.",
    },
    MessageEntry {
        phrases: &[
            "Title: Conflict",
            "Another request was made with the idempotencyKey",
        ],
        means: "409: a payout or transfer with this idempotencyKey is known with another body. Nothing was sent.",
        fix: "Have the caller use one key for one request. Formance itself always does.",
    },
    MessageEntry {
        phrases: &[
            "appears twice in the body",
            "differs from a field of the API only in case",
            "idempotencyKey has more than",
            "it must be greater than 0",
        ],
        means: "400: the request for a payout or transfer can be understood in two ways, or breaks the API. Nothing was \
            sent.",
        fix: "Correct the caller.",
    },
    MessageEntry {
        phrases: &["payouts or transfers were open when generic-connector stopped"],
        means: "The program ended between a request and its answer. Their outcome is unknown.",
        fix: "`initiation list` shows them. Look each one up at the PSP, then settle it with `initiation settle`.",
    },
    MessageEntry {
        phrases: &["what the journal has of the payout or transfer … is damaged"],
        means: "The disk has changed the entry of a payout or transfer. It is neither sent nor answered; Connectivity \
            gets 503.",
        fix: "Look it up at the PSP and settle it with the command of the line, or restore a backup that still has it. \
            Check the disk.",
    },
    MessageEntry {
        phrases: &["entry of the payout or transfer … was damaged in the state; it is repaired"],
        means: "The disk had changed an entry of the journal. It was repaired from the copy beside the state.",
        fix: "Compare it with the PSP if it was recent. Check the disk.",
    },
    MessageEntry {
        phrases: &["lines of the journal beside the state cannot be read"],
        means: "`initiations.ndjson` has lines that are torn or damaged. The state itself has what it had.",
        fix: "If the state was put back, compare payouts since the copy with the PSP: one that only these lines knew \
            would be forwarded again.",
    },
    MessageEntry {
        phrases: &["cannot copy the journal of payouts and transfers to"],
        means: "The copy of the journal beside the state, or the one outside of it, could not be written. The payout goes \
            on.",
        fix: "Correct the directory that the line names: a state that is put back would not know of payouts made \
            meanwhile.",
    },
    MessageEntry {
        phrases: &[
            "there is no payout or transfer with the idempotencyKey",
            "is already settled: it was",
            "the service is being asked for … at the moment",
            "belongs to … already; look up at the PSP which",
            "what was refused has no id",
        ],
        means: "`initiation settle` cannot settle that: the key is unknown here, settled already or in progress, or the \
            id is that of another payout.",
        fix: "`initiation list` shows what is open and unknown, with the keys as they have to be written.",
    },
];
