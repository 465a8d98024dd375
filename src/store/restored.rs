//! A state that was put back from an older copy: how that is noticed, and what is done then.
//!
//! What the lost branch of the state has done is not known any more. Formance and the targets may have read versions that
//! are not here, under seqs and stamps that would be used again, and the service may have seen payouts that are not in the
//! journal. So, once, in one transaction:
//!
//! * The state gets a new id, and its seqs continue far above every one that was ever used.
//! * Each list continues above the greatest stamp that the lost branch gave, if the witness knows it. If it does not, a
//!   bound above what was shown tells that ([`adoption`](super::adoption)).
//! * Balances are read again before they are shown.
//! * A payout that the service had not taken may have been made meanwhile. The journal beside the state says what is known.

use std::path::Path;

use rusqlite::Connection;

use super::database::{Database, execute, optional, value};
use super::identity::state_value;
use super::journal_row::doubt_all;
use super::seq::{last_seq, last_used_seq};
use super::witness::Witness;
use super::{Error, Stamp, journal_copy};
use crate::api::{Second, Stream, Timestamp};
use crate::crash;

/// What is done, as the log says it.
const DONE: &str = "Its seqs go on far above the old ones. Formance reads everything from the lists that it may have missed; \
    balances are answered once they are read again. Publishers deliver again what the copy did not know as delivered. \
    Payouts and transfers that the service may have seen count as unknown until they are settled";

/// Marks a copy, so that it is known for one when it is opened.
pub(super) const COPY_MARK: &str = "copy";

/// Marks a state that a process has open. A process that is killed leaves the mark, and the write-ahead log.
pub(super) const OPEN_MARK: &str = "open";

/// When the file was made that the state is in, as the file system says it. A copy has another date.
pub(super) const BORN: &str = "born";

/// Why a state is known to have been put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It is older than the witness, or another one.
    Witness,
    /// It is marked as a copy.
    Copy,
    /// It was in use when it was copied, without its write-ahead log.
    NoLog,
    /// It is not the file that was written last.
    OtherFile,
    /// An operator says so.
    Operator,
}

/// What a state says of the last time that it was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How often it was put back until then.
    pub number: i64,
    /// The seq of the newest version then: what is above it was read later.
    pub last_seq: i64,
    /// When that was noticed.
    pub noticed_at: Second,
}

impl Evidence {
    /// Looks whether a state was put back. `had_log`: whether its write-ahead log was there before it was opened. `born`:
    /// when its file was made, if the file system says so.
    pub fn find(
        connection: &Connection,
        witness: Option<&Witness>,
        had_log: bool,
        born: Option<&str>,
    ) -> rusqlite::Result<Option<Evidence>> {
        if state_value(connection, COPY_MARK)?.is_some() {
            return Ok(Some(Evidence::Copy));
        }
        if let Some(witness) = witness
            && witness.contradicts(&Witness::of(connection, None)?)
        {
            return Ok(Some(Evidence::Witness));
        }
        let was_born = state_value(connection, BORN)?;
        if born.is_some_and(|born| was_born.is_some_and(|was_born| was_born != born)) {
            return Ok(Some(Evidence::OtherFile));
        }
        if witness.is_some() {
            return Ok(None);
        }
        let was_open = state_value(connection, OPEN_MARK)?.is_some();
        Ok((was_open && !had_log).then_some(Evidence::NoLog))
    }

    fn reason(self) -> &'static str {
        match self {
            Evidence::Witness => {
                "is older than the witness file beside it, or another one: it was put back"
            }
            Evidence::Copy => "is a copy that was put back",
            Evidence::NoLog => {
                "was in use when it was copied, and its -wal file is missing: it was put back without its newest part"
            }
            Evidence::OtherFile => {
                "is not the file that was written last, but a copy: it was put back, or moved"
            }
            Evidence::Operator => "is treated as put back",
        }
    }
}

/// Does what follows from a state that was put back.
pub(super) fn settle(
    database: &Database,
    evidence: Evidence,
    witness: Option<&Witness>,
) -> Result<(), Error> {
    use super::InitiationState::{NotMade, Open};
    const MAY_BE_MADE: &str = "the state was put back, and the service may have made it since";
    let directory = database.file().parent().unwrap_or(Path::new("."));
    let compare_from = database.run("begin after a restore", |connection| {
        compare_from(connection, evidence)
    })?;
    let (from, to, journalled) = database.write("begin after a restore", |connection| {
        let (from, to) = leave_seqs_out(connection, witness)?;
        crash::point();
        for stream in Stream::ALL {
            let last = witness.and_then(|witness| witness.stamp(stream));
            if let Some(last) = last {
                continue_above(connection, stream, last)?;
            }
        }
        let journalled = journal_copy::take(connection, directory)?;
        // What the service had not taken, it may have taken in the lost branch.
        doubt_all(connection, &[NotMade, Open], MAY_BE_MADE)?;
        execute(connection, "DELETE FROM state WHERE key = ?1", [COPY_MARK])?;
        Ok((from, to, journalled))
    })?;
    log::warn!(
        "{} {}. {DONE}. The newest version had seq {from}, the next one has {}; {journalled} payouts and transfers were \
         found in the journal beside the state{}",
        database.file().display(),
        evidence.reason(),
        to + 1,
        compare_from.unwrap_or_default()
    );
    Ok(())
}

/// How often the state was put back.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    value(connection, "SELECT count(*) FROM restored", [])
}

/// When the state was last put back; none if it never was.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<Option<Restored>> {
    const LAST: &str =
        "SELECT number, last_seq, noticed_at FROM restored ORDER BY number DESC LIMIT 1";
    optional(connection, LAST, [], |row| {
        Ok(Restored {
            number: row.get(0)?,
            last_seq: row.get(1)?,
            noticed_at: row.get(2)?,
        })
    })
}

/// Gives the state a new id, and leaves out the seqs that the lost branch may have used: those after the first number, up
/// to the second.
fn leave_seqs_out(
    connection: &Connection,
    witness: Option<&Witness>,
) -> rusqlite::Result<(i64, i64)> {
    const NOTE: &str = "INSERT INTO restored (noticed_at, last_seq, left_out) VALUES (?1, ?2, ?3)";
    const CONTINUE: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES ('version', ?1)";
    const NEW_ID: &str =
        "UPDATE state SET value = lower(hex(randomblob(16))) WHERE key = 'state_id'";
    let now = Timestamp::now();
    // Microseconds: no state gets a million versions a second, so one that is put back twice does not repeat any. They
    // stay below 2^53, the greatest whole number of some readers of JSON.
    let by_clock = now.nanoseconds() / 1_000;
    let known = witness.map_or(0, |witness| witness.last_seq);
    let from = last_seq(connection)?;
    let to = last_used_seq(connection)?.max(known).max(by_clock);
    execute(connection, NOTE, (now.second(), from, to))?;
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'version'", [])?;
    execute(connection, CONTINUE, [to])?;
    execute(connection, NEW_ID, [])?;
    Ok((from, to))
}

/// Lets a list continue above a stamp that the lost branch gave. What lies at or below it here was given before the branches
/// parted, so Formance has read it as it is here.
fn continue_above(connection: &Connection, stream: Stream, stamp: Stamp) -> rusqlite::Result<()> {
    const CONTINUE: &str = "
        INSERT INTO listing (stream, above, shown) VALUES (?1, ?2, ?2)
        ON CONFLICT (stream) DO UPDATE SET above = max(coalesce(above, ?2), ?2), shown = max(coalesce(shown, ?2), ?2)";
    execute(connection, CONTINUE, (stream, stamp))
}

/// Which payouts nobody here may know, if the journal beside the state may be as old as the state is.
fn compare_from(connection: &Connection, evidence: Evidence) -> rusqlite::Result<Option<String>> {
    const LAST: &str = "SELECT max(started_at) FROM poll";
    if !matches!(evidence, Evidence::OtherFile | Evidence::Operator) {
        return Ok(None);
    }
    let last: Option<Second> = value(connection, LAST, [])?;
    Ok(last.map(|last| {
        format!(
            ". If {} was copied with it, payouts and transfers that were asked for after {last} are not known: compare the \
            service's",
            journal_copy::FILE
        )
    }))
}

/// How many seqs between an offset and the newest version were left out.
pub(super) fn left_out(connection: &Connection, offset: i64, newest: i64) -> rusqlite::Result<i64> {
    const LEFT_OUT: &str = "
        SELECT coalesce(sum(left_out - max(last_seq, ?1)), 0) FROM restored WHERE left_out > ?1 AND left_out < ?2";
    value(connection, LEFT_OUT, (offset, newest))
}

/// If a seq was left out, the seq of the version before it: a line of that seq was written by the lost branch.
pub(super) fn before_lost(connection: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    const BEFORE: &str = "
        SELECT min(last_seq) FROM restored WHERE last_seq < ?1 AND left_out >= ?1";
    value(connection, BEFORE, [seq])
}
