//! Alarms: what an operator has to look at. An alarm reads the same in the log, in `status` and in `GET /status`.

use std::fmt;
use std::time::Duration;

use crate::api::{Second, escaped, shell_word};
use crate::store::{DamagedInitiation, DamagedVersion};

/// Periods without a poll that succeeds.
const SILENT_PERIODS: u32 = 3;

/// Polls that read newer records and yet leave the cursor where it is.
const STANDING_POLLS: i64 = 3;

/// Free space on the disk of the state. Bytes.
const LITTLE_ROOM: u64 = 256 << 20;

/// How long before it expires a certificate is usually renewed. Seconds.
const CERTIFICATE_DAYS: u64 = 14 * 86_400;

/// Something that an operator has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// There were polls, and none of them has succeeded.
    NeverPolled,
    /// No poll has succeeded for several periods.
    Silence {
        /// When the last one did, or since when it has been tried.
        since: Second,
        /// How long ago that was. Seconds.
        seconds: u64,
    },
    /// Polls read newer records, but the cursor does not move.
    StandingCursor {
        stream: String,
        position: Option<Second>,
        /// For how many polls.
        polls: i64,
    },
    /// The disk of the state will soon be full.
    LittleRoom {
        /// Bytes that are left.
        free: u64,
    },
    /// The certificate of the service expires soon.
    CertificateExpires {
        /// When it does.
        at: Second,
    },
    /// A publisher cannot deliver.
    DeliveryFails {
        publisher: String,
        /// What happened last.
        reason: String,
    },
    /// Connectivity asks a list for what is newer than everything that it was shown there.
    ListAhead {
        /// The list.
        stream: String,
        /// The second from which it asks.
        bound: Second,
    },
    /// Transactions relate to some that the service does not list.
    RelativesAlone {
        /// How many of those there are.
        missing: i64,
        /// The id of one.
        id: String,
    },
    /// Transactions wait for others that they relate to, and no sweep can decide about them.
    RelativesWaiting {
        /// How many versions wait.
        waiting: i64,
        /// The id of a transaction that they wait for.
        id: String,
        /// Since when the first of them has waited.
        since: Second,
    },
    /// The text of a version is not the one that was stored.
    Damaged(DamagedVersion),
    /// What the journal has of a payout or transfer is not what was written down.
    DamagedInitiation(DamagedInitiation),
    /// A payout or transfer may have been made or not.
    OutcomeUnknown {
        /// `payouts` or `transfers`.
        kind: String,
        /// Its `idempotencyKey`.
        key: String,
        /// What happened last.
        reason: Option<String>,
    },
    /// A payout or transfer was made, but differs from what was asked for.
    MadeDifferently {
        /// `payouts` or `transfers`.
        kind: String,
        /// Its `idempotencyKey`.
        key: String,
        /// What the service calls it.
        id: String,
        /// How it differs.
        remark: String,
    },
}

impl Alarm {
    /// How long polls may fail until that is an alarm.
    pub fn longest_silence(period: Duration) -> Duration {
        period * SILENT_PERIODS
    }

    /// The alarm of a cursor that so many polls have left at that position.
    pub fn of_cursor(stream: &str, position: Option<Second>, polls: i64) -> Option<Alarm> {
        (polls >= STANDING_POLLS).then(|| Alarm::StandingCursor {
            stream: stream.to_owned(),
            position,
            polls,
        })
    }

    /// The alarm of so many transactions that the service does not list, although others relate to them. `id`: one of them.
    pub fn of_missing(missing: i64, id: Option<&str>) -> Option<Alarm> {
        id.filter(|_| missing > 0).map(|id| Alarm::RelativesAlone {
            missing,
            id: id.to_owned(),
        })
    }

    /// The command that helps, for a shell; none if none does.
    pub fn command(&self) -> Option<String> {
        let arguments = match self {
            Alarm::NeverPolled | Alarm::Silence { .. } => "check".to_owned(),
            Alarm::StandingCursor { .. } => "check --only R4,H5".to_owned(),
            Alarm::LittleRoom { .. } => return None,
            Alarm::CertificateExpires { .. } => "check --only A5".to_owned(),
            Alarm::DeliveryFails { .. } => "check --only targets".to_owned(),
            Alarm::ListAhead { stream, .. } => format!("listing adopt {stream}"),
            Alarm::RelativesAlone { .. } => "check --only R10 --all".to_owned(),
            Alarm::RelativesWaiting { .. } => "sweep".to_owned(),
            Alarm::Damaged(_) => "verify".to_owned(),
            Alarm::DamagedInitiation(DamagedInitiation(key))
            | Alarm::OutcomeUnknown { key, .. } => {
                // It takes keys in this form, too.
                format!("initiation settle {} made ID", shell_word(&escaped(key)))
            }
            Alarm::MadeDifferently { key, id, .. } => {
                // The id is recorded as it is written here.
                let id = if id.chars().any(char::is_control) {
                    "ID".to_owned()
                } else {
                    shell_word(id)
                };
                format!("initiation settle {} made {id}", shell_word(&escaped(key)))
            }
        };
        Some(format!("generic-connector {arguments}"))
    }

    /// The alarm of a disk with that many free bytes.
    pub fn of_room(free: u64) -> Option<Alarm> {
        (free < LITTLE_ROOM).then_some(Alarm::LittleRoom { free })
    }

    /// Whether a certificate expires soon, or has expired.
    pub fn expires_soon(at: Second, now: Second) -> bool {
        at <= now.later(CERTIFICATE_DAYS)
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::NeverPolled => write!(f, "no poll has ever succeeded"),
            Alarm::Silence { since, seconds } => write!(
                f,
                "no poll has succeeded since {since}, {seconds} s ago: nothing new is being delivered"
            ),
            Alarm::StandingCursor {
                stream,
                position,
                polls,
            } => f.write_str(&standing_cursor(stream, *position, *polls)),
            Alarm::LittleRoom { free } => write!(
                f,
                "the disk of the state has {} MB left: once it is full, nothing new is stored or delivered",
                free / 1_000_000
            ),
            Alarm::CertificateExpires { at } => f.write_str(&certificate_expires(*at)),
            Alarm::DeliveryFails { publisher, reason } => {
                write!(f, "delivery to \"{publisher}\" failed, retrying: {reason}")
            }
            Alarm::ListAhead { stream, bound } => f.write_str(&list_ahead(stream, *bound)),
            Alarm::RelativesAlone { missing, id } => f.write_str(&relatives_alone(*missing, id)),
            Alarm::RelativesWaiting { waiting, id, since } => {
                f.write_str(&relatives_waiting(*waiting, id, *since))
            }
            Alarm::Damaged(version) => version.fmt(f),
            Alarm::DamagedInitiation(initiation) => initiation.fmt(f),
            Alarm::OutcomeUnknown { kind, key, reason } => {
                let key = escaped(key);
                write!(f, "{kind}: whether \"{key}\" was made is unknown")?;
                if let Some(reason) = reason {
                    write!(f, ": {reason}")?;
                }
                let command = self.command().unwrap_or_default();
                write!(
                    f,
                    "; look it up at the PSP and run: {command} (or refused). Until then, the service is asked again \
                     whenever Connectivity repeats the request"
                )
            }
            Alarm::MadeDifferently {
                kind,
                key,
                id,
                remark,
            } => {
                let (key, id) = (escaped(key), escaped(id));
                let command = self.command().unwrap_or_default();
                write!(
                    f,
                    "{kind}: \"{key}\" was made as \"{id}\", but {remark}; look it up at the PSP and confirm it: {command}"
                )
            }
        }
    }
}

fn standing_cursor(stream: &str, position: Option<Second>, polls: i64) -> String {
    let position = position.map_or("the beginning".to_owned(), String::from);
    format!(
        "{stream}: the cursor has been at {position} for {polls} polls, although there are newer records: are they dated in \
         the future, or is a clock behind, the service's (its \"Date\") or this machine's?"
    )
}

fn certificate_expires(at: Second) -> String {
    format!(
        "the certificate of the service expires at {at}: polls and payouts fail from then on, unless the service gets a new \
         one"
    )
}

fn list_ahead(stream: &str, bound: Second) -> String {
    format!(
        "{stream}: Connectivity gets 503, because it asks with the bound {bound}, above everything that it was shown: has it \
         read the service itself before, or was this state put back? If the bound is right, run: generic-connector listing \
         adopt {stream}"
    )
}

fn relatives_alone(missing: i64, id: &str) -> String {
    format!(
        "transactions: the service lists others that relate to {missing} which it does not list, such as \"{}\", so Formance \
         shows only what relates to them, with amounts that may be wrong: have the service list them",
        escaped(id)
    )
}

fn relatives_waiting(waiting: i64, id: &str, since: Second) -> String {
    format!(
        "transactions: {waiting} versions are not in the list, the first of them since {since}: they relate to transactions \
         such as \"{}\" that the service does not list, and no sweep has read the transactions to their end; the log says \
         why a sweep skips them",
        escaped(id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_command_runs_nothing_that_a_key_says() {
        let unknown = |key: &str| Alarm::OutcomeUnknown {
            kind: "payouts".to_owned(),
            key: key.to_owned(),
            reason: None,
        };
        for (key, word) in [
            ("PAYOUT:7-a_b", "PAYOUT:7-a_b"),
            ("$(reboot)", "'$(reboot)'"),
            ("a'; reboot", r"'a\'\''; reboot'"),
            ("a\nb", r"'a\nb'"),
            ("", "''"),
        ] {
            let expected = format!("generic-connector initiation settle {word} made ID");
            assert_eq!(unknown(key).command(), Some(expected.clone()));
            assert!(
                unknown(key)
                    .to_string()
                    .contains(&format!("run: {expected} ("))
            );
        }
        let different = |id: &str| Alarm::MadeDifferently {
            kind: "payouts".to_owned(),
            key: "key".to_owned(),
            id: id.to_owned(),
            remark: "the amount is another".to_owned(),
        };
        for (id, word) in [
            ("a\"b", "'a\"b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("a\nb", "ID"),
        ] {
            let expected = format!("generic-connector initiation settle key made {word}");
            assert!(different(id).to_string().ends_with(&expected));
        }
    }
}
