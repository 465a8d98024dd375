use super::MessageEntry;

pub(super) const ENTRIES: &[MessageEntry] = &[
    MessageEntry {
        phrases: &["Formance issues no token"],
        means: "The client's id or secret is wrong, or the client may not have the scopes.",
        fix: "Compare `clientId` and the secret with the client in the stack. A secret in a file is read again; a systemd \
            credential needs a restart.",
    },
    MessageEntry {
        phrases: &[
            "the API refuses a token that it has just issued",
            "the API refuses this client",
            "the API requires a token",
        ],
        means: "The client gets a token, and may not use the Payments API with it, or no client is configured and the \
            stack wants one.",
        fix: "Allow the client the scopes `payments:read` and `payments:write`, and set `clientId` and `clientSecret`.",
    },
    MessageEntry {
        phrases: &[
            "has no connector whose",
            "accepts no pushed objects",
            "set connector to one of provider generic",
            "has an id that is not one of the Payments API",
            "the connector has not been looked up yet",
            "without a list of connectors",
        ],
        means: "The stack has no connector of provider `generic` with that name or id, so nothing can be pushed.",
        fix: "Install one as PUSH TO FORMANCE says, or correct `connector`. The name is better than the id: it stays \
            after a reset.",
    },
    MessageEntry {
        phrases: &["has a new id, so it was reset or is another one"],
        means: "The connector was reset in Formance, and has lost its data. Everything is delivered to it again, without \
            a command.",
        fix: "Nothing.",
    },
    MessageEntry {
        phrases: &[
            "is being reset or uninstalled",
            "the connector no longer exists; looking it up again",
            "the payment no longer exists there",
        ],
        means: "The connector or a payment in it is gone, or is just being removed. It is looked up again until it is \
            there.",
        fix: "If somebody resets the connector, wait. If it was uninstalled, install it again, or remove the entry from \
            `publish`. A payment that stays away comes again with `publisher replay NAME`.",
    },
    MessageEntry {
        phrases: &["has payments already: each is read from Formance before"],
        means: "The state is new or was put back, and the connector in Formance has payments. Each is read once before \
            anything is pushed to it, so no amount counts twice.",
        fix: "Nothing. The first delivery takes longer.",
    },
    MessageEntry {
        phrases: &["ahead of the target's clock"],
        means: "A date is later than the clock of Formance, which would refuse it. It is sent again when that date has \
            passed.",
        fix: "Set the clock of this machine: `timedatectl`.",
    },
    MessageEntry {
        phrases: &["if this continues, the cause is its content"],
        means: "Formance fails with 5xx on one version again and again. It is usually its content.",
        fix: "`publisher skip NAME SEQ` puts it into quarantine, and delivery goes on. Report it to Formance with the \
            answer in the line.",
    },
    MessageEntry {
        phrases: &[
            "wait for a related transaction",
            "wait for the transaction that theirs relates to",
        ],
        means: "Versions name a relatedTransactionID that was not delivered yet, so Formance could not attach them.",
        fix: "`status` names one. Have the service list it, or correct the id; the versions follow by themselves.",
    },
    MessageEntry {
        phrases: &[
            "the Payments API does not accept them",
            "the Payments API accepts only ISO 4217 codes",
            "too long for an index of Formance's database",
            "Formance cannot schedule the reading of their balances",
            "Formance's database cannot store them",
        ],
        means: "Formance has no place for these records, so they are skipped there and counted. Other targets get them.",
        fix: "If you need them in Formance, change what the reason names in the service, or let Connectivity poll the \
            listener, which takes more of them.",
    },
];
