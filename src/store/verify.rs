//! Looks through the whole state for damage, beside the process that writes, and changes nothing.
//!
//! SQLite checks its own structures; whether what is in them belongs together is checked here. Rows are read in slices, each
//! a read transaction of its own, because a long one keeps the write-ahead log from shrinking. Only SQLite's own check is a
//! long one: about two seconds for a million versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::columns::AsJson;
use super::counts::CountedRows;
use super::database::{Database, all, value};
use super::journal_row::{DamagedInitiation, is_intact};
use super::seq::{last_seq, last_used_seq};
use super::verify_lists::{LISTED, ListWalk, RESTORE, listed, missing};
use super::verify_records::{OTHER_RECORDS, TRANSACTIONS, VERSIONS, record, version};
use super::{Error, QuarantineKind, Snapshot, SweepTimes, counts, cursor, damage, keep};
use crate::api::{Second, Stream, escaped};
use crate::formance::shown::ShownTransaction;

/// What a check says while it runs.
#[derive(Debug)]
pub enum VerifyEvent {
    /// Something is damaged: what it is, and what to do.
    Found(String),
    /// How many rows of this part have been read.
    Read(&'static str, u64),
}

/// A part of the state that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPart {
    /// Its name.
    pub name: &'static str,
    /// Rows that were read.
    pub rows: u64,
    /// How much in them is damaged.
    pub found: u64,
}

/// Checks the state in that directory. `tell` gets each finding at once. The parts, in the order of the check.
///
/// It is an error if the state cannot be read at all.
pub fn verify(
    directory: &Path,
    tell: &mut dyn FnMut(VerifyEvent),
) -> Result<Vec<CheckedPart>, Error> {
    let database = Database::beside_read_only(directory)?;
    let mut checks = Checks {
        database: &database,
        tell,
        parts: Vec::new(),
    };
    checks.structure()?;
    checks.versions()?;
    checks.records()?;
    let mut walk = ListWalk::default();
    checks.rows(
        "lists",
        LISTED,
        vec![no_text(), Value::Integer(i64::MIN)],
        |connection, row| listed(connection, row, &mut walk),
    )?;
    checks.ends_of_lists(&walk)?;
    let from = vec![no_text()];
    checks.rows("amounts", SHOWN, from, shown)?;
    let from = vec![Value::Integer(i64::MIN)];
    checks.rows("quarantine", QUARANTINE, from, quarantined)?;
    let from = vec![no_text()];
    checks.rows(
        "payouts and transfers",
        INITIATIONS,
        from.clone(),
        initiation,
    )?;
    checks.rows("publishers", PUBLISHERS, from, publisher)?;
    checks.counts()?;
    checks.progress(directory)?;
    Ok(checks.parts)
}

/// Rows in a slice.
const SLICE: u64 = 1_000;

const SHOWN: &str = "SELECT id, value FROM shown WHERE id > ?1 ORDER BY id LIMIT 1000";

const QUARANTINE: &str = "
    SELECT number, hash, json, stream, kind, first_seen, last_seen FROM quarantine
    WHERE number > ?1 ORDER BY number LIMIT 1000";

const INITIATIONS: &str = "SELECT * FROM initiation WHERE key > ?1 ORDER BY key LIMIT 1000";

const PUBLISHERS: &str =
    "SELECT name, offset FROM publisher WHERE name > ?1 ORDER BY name LIMIT 1000";

/// What comes before every text.
fn no_text() -> Value {
    Value::Text(String::new())
}

/// The checks that are being made.
struct Checks<'a> {
    database: &'a Database,
    tell: &'a mut dyn FnMut(VerifyEvent),
    parts: Vec<CheckedPart>,
}

impl Checks<'_> {
    /// Lets SQLite check its own structures: trees, indices and which page belongs to what.
    fn structure(&mut self) -> Result<(), Error> {
        let doing = "check the structure of the state";
        let mut part = self.begin("pages");
        let checked = self.database.run(doing, |connection| {
            let check = "PRAGMA integrity_check";
            let pages: i64 = value(connection, "PRAGMA page_count", [])?;
            part.rows = pages.unsigned_abs();
            all::<Vec<String>, _>(connection, check, [], |row| row.get(0))
        });
        let damage = or_detail(checked)?.unwrap_or_else(|detail| vec![detail]);
        for detail in damage.iter().filter(|detail| *detail != "ok") {
            self.found(&mut part, format!("structure: {detail}. {RESTORE}"));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Checks each row that a query gives. The query takes the first columns of the row after which it begins, which are
    /// `after` at first.
    fn rows(
        &mut self,
        name: &'static str,
        query: &str,
        mut after: Vec<Value>,
        mut check: impl FnMut(&Connection, &Row) -> rusqlite::Result<Vec<String>>,
    ) -> Result<(), Error> {
        let mut part = self.begin(name);
        loop {
            let mut read = 0;
            let database = self.database;
            let slice = database.run("verify the state", |connection| {
                let mut statement = connection.prepare_cached(query)?;
                let mut rows = statement.query(params_from_iter(&after))?;
                while let Some(row) = rows.next()? {
                    let key = (0..after.len()).map(|column| row.get(column));
                    let key = key.collect::<rusqlite::Result<Vec<Value>>>()?;
                    for finding in check(connection, row)? {
                        self.found(&mut part, finding);
                    }
                    after = key;
                    read += 1;
                }
                Ok(())
            });
            if let Err(detail) = or_detail(slice)? {
                self.found(
                    &mut part,
                    format!("{name}: not all can be read ({detail}). {RESTORE}"),
                );
                break;
            }
            part.rows += read;
            (self.tell)(VerifyEvent::Read(name, part.rows));
            if read < SLICE {
                break;
            }
        }
        self.parts.push(part);
        Ok(())
    }

    /// Checks the versions, and how many are counted. They are only ever added, so those up to the newest one are counted as
    /// they are read: no index has their streams.
    fn versions(&mut self) -> Result<(), Error> {
        let counted = self.database.read("read the counts", |connection| {
            let counted = counts::parts(connection, &counts::VERSIONS)?;
            Ok((
                last_seq(connection)?,
                counted,
                keep::dropped_to(connection)?,
            ))
        })?;
        let (last, counted, dropped_before) = counted;
        let mut found: BTreeMap<String, i64> = BTreeMap::new();
        let from = vec![Value::Integer(i64::MIN)];
        self.rows("versions", VERSIONS, from, |connection, row| {
            if let (Ok(stream), true) = (row.get(1), row.get::<_, i64>(0)? <= last) {
                *found.entry(stream).or_default() += 1;
            }
            version(connection, row)
        })?;
        let Some(mut part) = self.parts.pop() else {
            return Ok(());
        };
        let dropped = self
            .database
            .run("read what was dropped", keep::dropped_to)?;
        // What is damaged may be of any stream. What was dropped meanwhile may have been counted.
        if part.found == 0 && dropped == dropped_before {
            let found: Vec<(String, i64)> = found.into_iter().collect();
            self.compare(&mut part, &counts::VERSIONS, &counted, &found);
        }
        self.parts.push(part);
        Ok(())
    }

    /// Checks the records, table by table. A commit may move one on meanwhile: then it is checked twice.
    fn records(&mut self) -> Result<(), Error> {
        const NAME: &str = "records";
        self.rows(NAME, OTHER_RECORDS, vec![no_text(), no_text()], |_, row| {
            record(&row.get::<_, String>(0)?, row, 1)
        })?;
        for table in TRANSACTIONS {
            self.rows(NAME, table, vec![no_text()], |_, row| {
                record(Stream::Transactions.name(), row, 0)
            })?;
        }
        let tables = self.parts.extract_if(.., |part| part.name == NAME);
        let (mut rows, mut found) = (0, 0);
        for table in tables {
            (rows, found) = (rows + table.rows, found + table.found);
        }
        self.parts.push(CheckedPart {
            name: NAME,
            rows,
            found,
        });
        Ok(())
    }

    /// Counts what else is counted, each kind in one look at the state.
    fn counts(&mut self) -> Result<(), Error> {
        let mut part = self.begin("counts");
        for rows in &counts::AT_ONCE {
            let read = self
                .database
                .read("count what is in the state", |connection| {
                    let counted = counts::parts(connection, rows)?;
                    Ok((counted, counts::count(connection, rows)?))
                });
            // What cannot be read was found before.
            if let Ok((counted, found)) = or_detail(read)? {
                part.rows += found.len() as u64;
                self.compare(&mut part, rows, &counted, &found);
            }
        }
        self.parts.push(part);
        Ok(())
    }

    fn compare(
        &mut self,
        part: &mut CheckedPart,
        rows: &CountedRows,
        counted: &[(String, i64)],
        found: &[(String, i64)],
    ) {
        let table = rows.table();
        let all = counted.iter().chain(found).map(|(part, _)| part);
        for name in all.collect::<BTreeSet<_>>() {
            let number = |counts: &[(String, i64)]| {
                let known = counts.iter().find(|(known, _)| known == name);
                known.map_or(0, |(_, rows)| *rows)
            };
            let (counted, found) = (number(counted), number(found));
            if counted == found {
                continue;
            }
            let of = if name.is_empty() {
                String::new()
            } else {
                format!(" of \"{}\"", escaped(name))
            };
            let finding = format!(
                "counts: {counted} rows{of} are counted in the table \"{table}\", and it has {found}, so status shows a \
                 wrong number. To have everything counted again, stop the connector, run: sqlite3 {} \"DELETE FROM \
                 counted\", and start it. Check the disk of the state",
                self.database.file().display()
            );
            self.found(part, finding);
        }
    }

    /// Looks for versions that are missing at the ends of the lists.
    fn ends_of_lists(&mut self, walk: &ListWalk) -> Result<(), Error> {
        let Some(mut part) = self.parts.pop() else {
            return Ok(());
        };
        for stream in Stream::LISTED {
            let missing = self.database.run("verify the lists", |connection| {
                missing(connection, stream, walk.highest[stream], i64::MAX)
            });
            // What cannot be read was found before.
            for finding in or_detail(missing)?.unwrap_or_default() {
                self.found(&mut part, finding);
            }
        }
        self.parts.push(part);
        Ok(())
    }

    /// Reads what is kept of polls, cursors and sweeps as the program does.
    fn progress(&mut self, directory: &Path) -> Result<(), Error> {
        const EVERYTHING: usize = 1_000;
        let mut part = self.begin("polls and cursors");
        let shown = Snapshot::open(directory)
            .and_then(|state| state.overview(EVERYTHING, SweepTimes::default()));
        match or_detail(shown)? {
            Ok(overview) => part.rows = (overview.polls.len() + overview.cursors.len()) as u64,
            Err(detail) => {
                let finding =
                    format!("polls and cursors: they cannot be read ({detail}). {RESTORE}");
                self.found(&mut part, finding);
            }
        }
        for stream in Stream::LISTED {
            let read = self.database.run("read a cursor", |connection| {
                cursor::get(connection, stream)
            });
            if let Err(detail) = or_detail(read)? {
                self.found(
                    &mut part,
                    format!("{stream}: the cursor cannot be read ({detail}). {RESTORE}"),
                );
            }
        }
        let (last, used) = self.database.run("read the seqs", |connection| {
            Ok((last_seq(connection)?, last_used_seq(connection)?))
        })?;
        if used < last {
            let finding = format!(
                "the last seq is {last}, but {used} is noted: seqs would be used twice. {RESTORE}"
            );
            self.found(&mut part, finding);
        }
        self.parts.push(part);
        Ok(())
    }

    fn begin(&mut self, name: &'static str) -> CheckedPart {
        (self.tell)(VerifyEvent::Read(name, 0));
        CheckedPart {
            name,
            rows: 0,
            found: 0,
        }
    }

    fn found(&mut self, part: &mut CheckedPart, finding: String) {
        part.found += 1;
        (self.tell)(VerifyEvent::Found(finding));
    }
}

/// What was read, or how it is damaged. Other errors are errors.
fn or_detail<T>(read: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(Error::Corrupt { detail, .. }) => Ok(Err(detail)),
        Err(error) => Err(error),
    }
}

/// What the list has shown of a transaction.
fn shown(_: &Connection, row: &Row) -> rusqlite::Result<Vec<String>> {
    let id: String = row.get(0)?;
    let is_read = row.get::<_, AsJson<ShownTransaction>>(1).is_ok();
    Ok((!is_read)
        .then(|| {
            format!(
                "transactions: what the list has shown of \"{}\" is damaged, so Formance may show a wrong amount of it. \
                 {RESTORE}",
                escaped(&id)
            )
        })
        .into_iter()
        .collect())
}

fn quarantined(_: &Connection, row: &Row) -> rusqlite::Result<Vec<String>> {
    let number: i64 = row.get(0)?;
    let is_read = row.get::<_, Stream>(3).is_ok()
        && row.get::<_, QuarantineKind>(4).is_ok()
        && row.get::<_, Second>(5).is_ok()
        && row.get::<_, Second>(6).is_ok();
    let is_good = is_read && damage::text(row, 1, 2)?.is_some();
    Ok((!is_good)
        .then(|| {
            format!(
                "quarantined record {number} is damaged, so it is not shown. The service sends it again if it still lists \
                 it; drop this one: generic-connector quarantine drop {number}"
            )
        })
        .into_iter()
        .collect())
}

fn initiation(_: &Connection, row: &Row) -> rusqlite::Result<Vec<String>> {
    let key = row.get(0)?;
    Ok((!is_intact(row))
        .then(|| DamagedInitiation(key).to_string())
        .into_iter()
        .collect())
}

/// A publisher: it has not delivered what does not exist.
fn publisher(connection: &Connection, row: &Row) -> rusqlite::Result<Vec<String>> {
    let (name, last): (String, i64) = (row.get(0)?, last_used_seq(connection)?);
    let is_good = row
        .get::<_, i64>(1)
        .is_ok_and(|offset| (0..=last).contains(&offset));
    Ok((!is_good)
        .then(|| {
            format!(
                "publisher \"{name}\": the seq that it has delivered is beyond the last one, {last}, so new versions would \
                 not be delivered. Let it deliver again: generic-connector publisher replay {name}"
            )
        })
        .into_iter()
        .collect())
}
