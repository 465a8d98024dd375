use crate::check::layout::wrapped;

/// A message of the log or of `status`, explained.
pub struct MessageEntry {
    /// What it is about, in a few words.
    name: &'static str,
    /// What the message has, in this order.
    parts: &'static [&'static str],
    /// What it means.
    means: &'static str,
    /// What to do.
    fix: &'static str,
}

const MESSAGES: [MessageEntry; 25] = [
    MessageEntry {
        name: "no poll has ever succeeded",
        parts: &["no poll has ever succeeded"],
        means: "The connector has not read a list to its end yet. Nothing is delivered.",
        fix: "Run `check`: it says whether the address, the key or the service is wrong.",
    },
    MessageEntry {
        name: "polls fail",
        parts: &["no poll has succeeded since"],
        means: "Polls have failed for three periods or more. What was read before is kept, and is still delivered.",
        fix: "Look at the reason of the last poll in `status`, then run `check`.",
    },
    MessageEntry {
        name: "a poll is aborted",
        parts: &["poll aborted: ", "no poll was stored since"],
        means: "The state cannot be read or written. Nothing of that poll is kept, and nothing is lost: the next one reads it again.",
        fix: "The line says what failed. Make room on the disk, or correct the owner and the mode of the state directory. A damaged \
            state is put back from a backup.",
    },
    MessageEntry {
        name: "polls do not read a stream completely",
        parts: &["polls in a row have not read"],
        means: "Polls succeed, because other streams are read. This one has failed for three polls and three periods or more. What \
            was read of it before is kept, and is still delivered.",
        fix: "The reason is that of the last poll. `check` says what is wrong with the service. Balances of an account that the \
            service no longer has stop failing once a sweep does not find the account either.",
    },
    MessageEntry {
        name: "the cursor does not move",
        parts: &["the cursor has been at"],
        means: "Polls read records that are newer than the cursor, and it stays where it is, because they are dated in the future. \
            Nothing is lost: they are read again in each poll.",
        fix: "Run `check --only R4,H5`. Correct the dates, or synchronise the clocks of the service and of this machine.",
    },
    MessageEntry {
        name: "the disk is nearly full",
        parts: &["the disk of the state has"],
        means: "Less than 256 MiB are left on the disk of the state. When it is full, polls and deliveries stop. Nothing is lost.",
        fix: "Make room, or move `stateDir` to a larger disk while the connector is stopped.",
    },
    MessageEntry {
        name: "the certificate of the service expires soon",
        parts: &["the certificate of the service expires at"],
        means: "The certificate that the service shows is accepted for two weeks more at most. After that, every request fails.",
        fix: "Have the service renew it. If `caFile` holds the certificate itself, put the new one beside the old one there first.",
    },
    MessageEntry {
        name: "a target takes nothing",
        parts: &["delivery to \"", "failed, retrying"],
        means: "The target is down, or refuses this caller. Delivery is tried again, without an end; polling goes on.",
        fix: "Run `check --only targets`. If one version is the cause, `publisher skip NAME SEQ` leaves it out.",
    },
    MessageEntry {
        name: "Connectivity no longer asks",
        parts: &["Connectivity no longer asks for"],
        means: "It asked before, and now has not for 65 minutes, or for two of its periods if they are longer. What is new stays here.",
        fix: "In Formance, look at the connector and at its tasks: one that fails is tried again forever. Look at the proxy in \
            between, and at the log here for requests with a wrong key.",
    },
    MessageEntry {
        name: "Connectivity has never asked",
        parts: &["Connectivity has never asked, although"],
        means: "The listener has waited for 65 minutes or more, and nothing else delivers: `publish` is not set.",
        fix: "In Formance, install the generic connector with the address and the key of this listener. `listen`, `listenKey` and the \
            proxy in between must let it in.",
    },
    MessageEntry {
        name: "Connectivity is ahead of a list",
        parts: &["Connectivity gets 503, because it asks with the bound"],
        means: "Connectivity says that it has read records later than any that this list has shown. It has read the service itself \
            before, or this state was put back from a copy.",
        fix: "If the bound is right, run `listing adopt LIST`. If the state was put back, run `restored` first.",
    },
    MessageEntry {
        name: "related transactions are missing",
        parts: &["the service lists others that relate to"],
        means: "Transactions name a relatedTransactionID that the service does not list. Formance folds them into a payment that it \
            does not have.",
        fix: "Have the service list them. `check --only R10 --all` names one.",
    },
    MessageEntry {
        name: "related transactions wait for a sweep",
        parts: &["versions are not in the list, the first of them since"],
        means: "Transactions name a relatedTransactionID that the service has not listed. A sweep that reads the transactions \
            to their end decides about them, and none has done so.",
        fix: "Look for \"skipped in this sweep\" in the log: the line says why the list cannot be read to its end.",
    },
    MessageEntry {
        name: "a version is damaged",
        parts: &["is damaged in the state"],
        means: "What the disk has is not what was written. It is neither shown nor delivered.",
        fix: "Check the disk, and run `verify`. What the service still has is repaired by the next sweep; the rest is in a backup.",
    },
    MessageEntry {
        name: "the outcome of a payout is unknown",
        parts: &["whether \"", "was made is unknown"],
        means: "A payout or transfer was sent, and no answer says whether it was made. It is not sent again unless Connectivity asks \
            again, under the same idempotencyKey.",
        fix: "Look it up at the PSP, then run `initiation settle KEY made ID` or `initiation settle KEY refused`. `check --pay` shows \
            whether the service keeps its keys (I2, I5).",
    },
    MessageEntry {
        name: "a payout was made differently",
        parts: &["was made as \"", ", but "],
        means: "The service made the payout or transfer, with another amount, asset or account than Connectivity asked for.",
        fix: "Compare it with the PSP. If it is right, confirm it with `initiation settle KEY made ID`.",
    },
    MessageEntry {
        name: "the answer is not that of the API",
        parts: &["answered with status", "is \"endpoint\" right?"],
        means: "The body is not what the API says, such as a login page or an object around a list.",
        fix: "Compare `endpoint` with the address of the service. `check --only L1` shows the beginning of the body.",
    },
    MessageEntry {
        name: "the key is refused",
        parts: &["the service refuses the key"],
        means: "The service answered 401 or 403.",
        fix: "Write the right key into `apiKey` or its file. It is read again without a restart, unless systemd passes it.",
    },
    MessageEntry {
        name: "the service has no such path",
        parts: &["answered 404", "the service does not know it"],
        means: "The path or the account does not exist at the service.",
        fix: "If it is a list, compare `endpoint`: a prefix such as /v1 may be missing. If it is an account's balances, the account \
            is gone (B1).",
    },
    MessageEntry {
        name: "a redirect is not followed",
        parts: &["a redirect to \"", "which is not followed"],
        means: "The key would leave the origin of `endpoint`, or a payout would be made twice.",
        fix: "Set `endpoint` to the service's real address (A6).",
    },
    MessageEntry {
        name: "an answer is too large",
        parts: &["answered with more than", "bytes"],
        means: "The body has more bytes than `maxBodyBytes` allows. It was not read to its end.",
        fix: "Lower `pageSize`, or raise `maxBodyBytes`. Formance, polling the service directly, takes at most 2 MiB (H8).",
    },
    MessageEntry {
        name: "the service is not available",
        parts: &["answered 5"],
        means: "The service failed, or is down. The request is tried again, and what is left waits for the next poll.",
        fix: "Look at the service's log at that time.",
    },
    MessageEntry {
        name: "the service asks to wait",
        parts: &["answered 429"],
        means: "The service takes fewer requests than it is sent.",
        fix: "Set `maxRequestsPerSecond` or lower `workers`. The service should send Retry-After (E3).",
    },
    MessageEntry {
        name: "the configuration has no target",
        parts: &["works for poll, which writes changes.ndjson, but not for run"],
        means: "The configuration has neither `listen` nor `publish`.",
        fix: "Set `listen` if Connectivity polls the connector, or `publish` if the connector pushes.",
    },
    MessageEntry {
        name: "the key crosses the network in clear text",
        parts: &["the key and the data cross the network unencrypted"],
        means: "`endpoint` is an http URL of another machine.",
        fix: "Serve https and set `endpoint` to it (A5).",
    },
];

/// The explanations of a message.
pub fn messages(text: &str) -> impl Iterator<Item = &'static MessageEntry> {
    MESSAGES.iter().filter(move |message| message.is_of(text))
}

impl MessageEntry {
    fn is_of(&self, text: &str) -> bool {
        let mut rest = text;
        self.parts.iter().all(|part| match rest.find(part) {
            Some(place) => {
                rest = &rest[place + part.len()..];
                true
            }
            None => false,
        })
    }

    /// What to do. Commands and keys of the configuration are between backticks.
    pub fn fix(&self) -> &'static str {
        self.fix
    }

    /// Its page, in lines of that many characters.
    pub fn explained(&self, width: usize) -> String {
        let mut text = format!("{}\n", self.name);
        for (title, paragraph) in [("means", self.means), ("fix", self.fix)] {
            let lines = wrapped(paragraph, width.saturating_sub(9)).join("\n         ");
            text += &format!("\n{title:<9}{lines}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Stream, Timestamp};
    use crate::health::Alarm;
    use crate::metrics::Abort;
    use crate::psp::Error;
    use crate::store::{DamagedInitiation, FailingStream};

    /// The place of an alarm in the list below. It does not build without one of them.
    fn number(alarm: &Alarm) -> usize {
        match alarm {
            Alarm::NeverPolled => 0,
            Alarm::Silence { .. } => 1,
            Alarm::PollAborted(_) => 2,
            Alarm::StreamFails { .. } => 3,
            Alarm::ConnectivitySilent { .. } => 4,
            Alarm::NeverAsked { .. } => 5,
            Alarm::StandingCursor { .. } => 6,
            Alarm::LittleRoom { .. } => 7,
            Alarm::CertificateExpires { .. } => 8,
            Alarm::DeliveryFails { .. } => 9,
            Alarm::ListAhead { .. } => 10,
            Alarm::RelativesAlone { .. } => 11,
            Alarm::RelativesWaiting { .. } => 12,
            Alarm::DamagedInitiation(_) => 13,
            Alarm::OutcomeUnknown { .. } => 14,
            Alarm::MadeDifferently { .. } => 15,
            // Only the state can make one; its text is below.
            Alarm::Damaged(_) => 16,
        }
    }

    fn failing() -> FailingStream {
        FailingStream {
            since: Timestamp::EPOCH.second(),
            ended_at: None,
            polls: 3,
            failed: 1,
            reason: "text".to_owned(),
        }
    }

    /// Every alarm.
    fn alarms() -> Vec<Alarm> {
        let text = || "text".to_owned();
        let since = Timestamp::EPOCH.second();
        let alarms = vec![
            Alarm::NeverPolled,
            Alarm::Silence { since, seconds: 1 },
            Alarm::PollAborted(Abort {
                since,
                reason: text(),
            }),
            Alarm::StreamFails {
                stream: Stream::Accounts,
                failing: failing(),
            },
            Alarm::ConnectivitySilent {
                lists: vec![
                    (Stream::Accounts, Some(since)),
                    (Stream::Transactions, None),
                ],
            },
            Alarm::NeverAsked { since },
            Alarm::StandingCursor {
                stream: text(),
                position: None,
                polls: 3,
            },
            Alarm::LittleRoom { free: 1 },
            Alarm::CertificateExpires { at: since },
            Alarm::DeliveryFails {
                publisher: text(),
                reason: text(),
            },
            Alarm::ListAhead {
                stream: text(),
                bound: since,
            },
            Alarm::RelativesAlone {
                missing: 1,
                id: text(),
            },
            Alarm::RelativesWaiting {
                waiting: 1,
                id: text(),
                since,
            },
            Alarm::DamagedInitiation(DamagedInitiation(text())),
            Alarm::OutcomeUnknown {
                kind: text(),
                key: text(),
                reason: None,
            },
            Alarm::MadeDifferently {
                kind: text(),
                key: text(),
                id: text(),
                remark: text(),
            },
        ];
        assert!(alarms.iter().map(number).eq(0..alarms.len()));
        alarms
    }

    fn errors() -> Vec<Error> {
        let request = || "GET https://a/accounts".to_owned();
        vec![
            Error::Unreadable {
                request: request(),
                status: 200,
                cause: "why".to_owned(),
                attempts: 1,
            },
            Error::Unavailable {
                request: request(),
                status: 503,
                body: None,
                wait: None,
                attempts: 5,
            },
            Error::Unavailable {
                request: request(),
                status: 429,
                body: None,
                wait: None,
                attempts: 5,
            },
            Error::KeyRefused {
                request: request(),
                status: 401,
                body: None,
            },
            Error::NotFound {
                request: request(),
                body: None,
            },
            Error::Redirected {
                request: request(),
                status: 307,
                location: request(),
                redirects: 0,
            },
            Error::TooLarge {
                request: request(),
                limit: 1,
            },
        ]
    }

    #[test]
    fn each_alarm_and_error_has_one_explanation() {
        let alarms = alarms().into_iter().map(|alarm| alarm.to_string());
        let errors = errors().into_iter().map(|error| error.to_string());
        let damaged = "transactions: the version of seq 1, of record \"a\", is damaged in the state, so it is neither shown";
        for text in alarms.chain(errors).chain([damaged.to_owned()]) {
            assert_eq!(messages(&text).count(), 1, "{text}");
        }
    }
}
