//! Alarms: what an operator has to look at. An alarm reads the same in the log, in `status` and in `GET /status`.

mod words;

use std::time::Duration;

use crate::api::{Second, Stream, escaped, shell_word};
use crate::metrics::Abort;
use crate::store::{AskedRow, DamagedInitiation, DamagedVersion, FailingStream, ListeningRow};

/// Periods without a poll that succeeds.
const SILENT_PERIODS: u32 = 3;

/// Polls that read newer records and yet leave the cursor where it is.
const STANDING_POLLS: i64 = 3;

/// Polls in a row that do not read a stream completely.
const FAILING_POLLS: i64 = 3;

/// Formance asks every 30 minutes unless it is configured otherwise. Seconds without a request.
const LONG_UNASKED: u64 = 65 * 60;

/// Free space on the disk of the state. Bytes.
const LITTLE_ROOM: u64 = 256 << 20;

/// How long before it expires a certificate is usually renewed. Seconds.
const CERTIFICATE_SOON: u64 = 14 * 86_400;

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
    /// The state cannot be read or written, so that nothing of a poll is kept.
    PollAborted(Abort),
    /// Polls succeed, but none of the last ones has read a stream completely.
    StreamFails {
        stream: Stream,
        failing: FailingStream,
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
    /// Connectivity has stopped asking.
    ConnectivitySilent {
        /// For which lists, and when it has last asked for each, if it ever has.
        lists: Vec<(Stream, Option<Second>)>,
    },
    /// Connectivity has never asked, and nothing is delivered otherwise.
    NeverAsked {
        /// Since when it can ask.
        since: Second,
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

    /// The alarm of a stream that polls do not read completely, if they have not for long. `period`: from one poll to the next.
    pub fn of_failing(
        stream: Stream,
        failing: &FailingStream,
        period: Duration,
        now: Second,
    ) -> Option<Alarm> {
        let since = failing.ended_at.unwrap_or(failing.since);
        let is_long = now.since(since) >= Alarm::longest_silence(period).as_secs();
        (failing.polls >= FAILING_POLLS && is_long).then(|| Alarm::StreamFails {
            stream,
            failing: failing.clone(),
        })
    }

    /// The alarm of lists that Connectivity no longer asks for. `asked`: when it has asked for each stream.
    pub fn of_connectivity<'a>(
        listening: Option<ListeningRow>,
        asked: impl Iterator<Item = (Stream, Option<&'a AskedRow>)>,
        now: Second,
    ) -> Option<Alarm> {
        let ListeningRow { since, is_only_way } = listening?;
        // Balances are asked for once accounts are there.
        let lists: Vec<_> = asked
            .filter(|(stream, _)| *stream != Stream::Balances)
            .collect();
        let periods = lists
            .iter()
            .filter_map(|(_, asked)| asked.as_ref()?.period());
        let patience = LONG_UNASKED.max(periods.max().map_or(0, |period| 2 * period));
        // It could not ask while the program was down.
        let is_silent = |asked: Second| now.since(asked.max(since)) > patience;
        if lists.iter().all(|(_, asked)| asked.is_none()) {
            return (is_only_way && is_silent(since)).then_some(Alarm::NeverAsked { since });
        }
        let lists = lists
            .into_iter()
            .map(|(stream, asked)| (stream, asked.map(|asked| asked.at)));
        let silent: Vec<_> = lists
            .filter(|(_, asked)| is_silent(asked.unwrap_or(since)))
            .collect();
        (!silent.is_empty()).then_some(Alarm::ConnectivitySilent { lists: silent })
    }

    /// Whether it says that Connectivity does not ask for that list.
    pub fn is_silence_of(&self, stream: Stream) -> bool {
        match self {
            Alarm::NeverAsked { .. } => true,
            Alarm::ConnectivitySilent { lists } => lists.iter().any(|(list, _)| *list == stream),
            _ => false,
        }
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
            Alarm::NeverPolled | Alarm::Silence { .. } | Alarm::StreamFails { .. } => {
                "check".to_owned()
            }
            Alarm::StandingCursor { .. } => "check --only R4,H5".to_owned(),
            Alarm::PollAborted(_)
            | Alarm::LittleRoom { .. }
            | Alarm::ConnectivitySilent { .. }
            | Alarm::NeverAsked { .. } => return None,
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
        at <= now.later(CERTIFICATE_SOON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Timestamp;

    fn at(seconds: u64) -> Second {
        Timestamp::EPOCH.second().later(seconds)
    }

    #[test]
    fn a_stream_that_fails_is_an_alarm_after_three_polls_and_three_periods() {
        let (minute, period) = (60, Duration::from_secs(120));
        let mut failing = FailingStream {
            since: at(0),
            ended_at: None,
            polls: 3,
            failed: 1,
            reason: "why".to_owned(),
        };
        let is_alarm = |failing: &FailingStream, now| {
            Alarm::of_failing(Stream::Accounts, failing, period, at(now)).is_some()
        };
        assert!(!is_alarm(&failing, 6 * minute - 1));
        assert!(is_alarm(&failing, 6 * minute));
        failing.ended_at = Some(at(minute));
        assert!(!is_alarm(&failing, 6 * minute));
        assert!(is_alarm(&failing, 7 * minute));
        failing.polls = 2;
        assert!(!is_alarm(&failing, 1_000 * minute));
    }

    #[test]
    fn connectivity_is_silent_where_it_could_ask_and_has_to() {
        let hour = 3_600;
        let of = |listening: (u64, bool), asked: [Option<&[u64]>; 4], now: u64| {
            let rows = asked.map(|seconds| {
                let mut row = AskedRow::first(at(*seconds?.first()?), None);
                seconds?[1..]
                    .iter()
                    .for_each(|second| row.again(at(*second), None));
                Some(row)
            });
            let (since, is_only_way) = listening;
            let listening = Some(ListeningRow {
                since: at(since),
                is_only_way,
            });
            let rows = rows.iter().map(Option::as_ref);
            let alarm =
                Alarm::of_connectivity(listening, Stream::ALL.into_iter().zip(rows), at(now));
            Stream::ALL.map(|stream| {
                alarm
                    .as_ref()
                    .is_some_and(|alarm| alarm.is_silence_of(stream))
            })
        };
        let (no, never) = ([false; 4], [None; 4]);
        // Never asked: an alarm only if nothing else delivers.
        assert_eq!(of((0, false), never, 100 * hour), no);
        assert_eq!(of((0, true), never, hour), no);
        assert_eq!(of((0, true), never, 2 * hour), [true; 4]);
        // One list of several; balances are never waited for.
        let asked: [Option<&[u64]>; 4] = [Some(&[0]), None, Some(&[9_000]), None];
        assert_eq!(of((0, false), asked, 3 * hour), [true, false, false, true]);
        // It could not ask while the connector was down.
        assert_eq!(of((9_000, false), asked, 3 * hour), no);
        // It asks each four hours.
        let asked: [Option<&[u64]>; 4] = [
            Some(&[0, 14_400]),
            None,
            Some(&[0, 14_400]),
            Some(&[0, 14_400]),
        ];
        assert_eq!(of((0, false), asked, 12 * hour), no);
        assert_eq!(
            of((0, false), asked, 12 * hour + 1),
            [true, false, true, true]
        );
        let none = Alarm::of_connectivity(None, std::iter::empty(), at(100 * hour));
        assert_eq!(none, None);
    }

    /// Prometheus wakes somebody when `status` warns, not before and not later.
    #[test]
    fn the_alarm_of_prometheus_has_the_same_figure() {
        let rules = include_str!("../../packaging/prometheus/rules.yml");
        let expected = format!("generic_connector_state_free_bytes < {LITTLE_ROOM}\n");
        assert!(rules.contains(&expected));
    }

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
