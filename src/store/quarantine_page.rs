use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, Row};

use super::database::{all, limit};
use super::quarantine::{self, READ};
use super::{Error, Quarantined, Snapshot, TargetRefusal, counts, refusal};
use crate::api::{Second, Stream};

/// What an operator calls something in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineNumber {
    /// A record of the service: `7`.
    Record(i64),
    /// A version that a publisher's target refuses, by its seq: `formance/7`.
    Refused(String, i64),
}

/// Something in quarantine, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineLine {
    /// What an operator calls it.
    pub number: QuarantineNumber,
    /// The stream that listed it.
    pub stream: Stream,
    /// Its key; empty if it has none that can be used.
    pub id: String,
    /// Why it is not accepted, or what the target answered.
    pub reason: String,
    /// When it was first seen; none if a target refuses it.
    pub first_seen: Option<Second>,
    /// When it was last seen, or refused.
    pub last_seen: Second,
    /// Whether it is to be tried again.
    pub retry: bool,
}

/// A part of what is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinePage {
    /// Records by number, then what targets refuse, by publisher and seq.
    pub lines: Vec<QuarantineLine>,
    /// Whether there are more behind them.
    pub has_more: bool,
    /// How many records are in quarantine.
    pub records: i64,
    /// How many versions targets refuse.
    pub refused: i64,
}

impl QuarantineNumber {
    /// What is before everything.
    pub const FIRST: QuarantineNumber = QuarantineNumber::Record(0);
}

impl FromStr for QuarantineNumber {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<QuarantineNumber, &'static str> {
        const FIX: &str = "write a number from the list, such as 7 or formance/7";
        match text.rsplit_once('/') {
            None => text.parse().map(QuarantineNumber::Record).map_err(|_| FIX),
            Some((publisher, seq)) => seq
                .parse()
                .map(|seq| QuarantineNumber::Refused(publisher.to_owned(), seq))
                .map_err(|_| FIX),
        }
    }
}

impl fmt::Display for QuarantineNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuarantineNumber::Record(number) => number.fmt(f),
            QuarantineNumber::Refused(publisher, seq) => write!(f, "{publisher}/{seq}"),
        }
    }
}

impl Snapshot {
    /// What is in quarantine behind that number, at most `most` of it.
    pub fn quarantine_page(
        &self,
        after: &QuarantineNumber,
        most: usize,
    ) -> Result<QuarantinePage, Error> {
        self.database().run(READ, |connection| {
            // One more tells whether that is all.
            let wanted = most + 1;
            let (mut lines, behind) = match after {
                QuarantineNumber::Record(number) => {
                    (records(connection, *number, wanted)?, ("", 0))
                }
                QuarantineNumber::Refused(publisher, seq) => {
                    (Vec::new(), (publisher.as_str(), *seq))
                }
            };
            if lines.len() < wanted {
                let room = wanted - lines.len();
                lines.extend(refusals(connection, behind, room)?);
            }
            let has_more = lines.len() > most;
            lines.truncate(most);
            let refused = counts::parts(connection, &counts::REFUSALS)?;
            Ok(QuarantinePage {
                lines,
                has_more,
                records: quarantine::count(connection)?,
                refused: refused.iter().map(|(_, versions)| versions).sum(),
            })
        })
    }

    /// A record in quarantine.
    pub fn quarantined(&self, number: i64) -> Result<Quarantined, Error> {
        quarantine::get(self.database(), number)
    }

    /// A version that a target refuses.
    pub fn refused(&self, publisher: &str, seq: i64) -> Result<TargetRefusal, Error> {
        refusal::get(self.database(), publisher, seq)
    }
}

fn records(
    connection: &Connection,
    after: i64,
    most: usize,
) -> rusqlite::Result<Vec<QuarantineLine>> {
    const RECORDS: &str = "
        SELECT number, stream, id, reason, first_seen, last_seen, retry FROM quarantine
        WHERE number > ?1 ORDER BY number LIMIT ?2";
    let read = |row: &Row| {
        Ok(QuarantineLine {
            number: QuarantineNumber::Record(row.get(0)?),
            stream: row.get(1)?,
            id: row.get(2)?,
            reason: row.get(3)?,
            first_seen: row.get(4)?,
            last_seen: row.get(5)?,
            retry: row.get(6)?,
        })
    };
    all(connection, RECORDS, (after, limit(most)), read)
}

fn refusals(
    connection: &Connection,
    (publisher, seq): (&str, i64),
    most: usize,
) -> rusqlite::Result<Vec<QuarantineLine>> {
    const REFUSALS: &str = "
        SELECT publisher, refusal.seq, stream, id, reason, refused_at, retry
        FROM refusal JOIN version ON version.seq = refusal.seq
        WHERE (publisher, refusal.seq) > (?1, ?2) ORDER BY publisher, refusal.seq LIMIT ?3";
    let read = |row: &Row| {
        Ok(QuarantineLine {
            number: QuarantineNumber::Refused(row.get(0)?, row.get(1)?),
            stream: row.get(2)?,
            id: row.get(3)?,
            reason: row.get(4)?,
            first_seen: None,
            last_seen: row.get(5)?,
            retry: row.get(6)?,
        })
    };
    all(connection, REFUSALS, (publisher, seq, limit(most)), read)
}
