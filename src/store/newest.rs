//! Which version of each record is its newest one.
//!
//! The ids of transactions come in any order. Written at once, each would change another page of a table that grows
//! forever, and every page is written twice. So the new ones have a small table of their own. Once it is full, each commit
//! moves some of them on, in the order of their ids, so that several change the same page.

use std::collections::BTreeMap;

use rusqlite::{Connection, ToSql};

use super::counts;
use super::database::{execute, optional, value};
use super::insert::insert;
use crate::api::{PerStream, Record, Stream};
use crate::crash;

/// New transactions from which on a commit moves some of them. The tests of a debug build have more, too.
const MOST_NEW: i64 = if cfg!(debug_assertions) { 100 } else { 200_000 };

/// How many it moves at least.
const MOVED: i64 = if cfg!(debug_assertions) { 30 } else { 20_000 };

/// How many one statement moves.
const SLICE: i64 = if cfg!(debug_assertions) { 7 } else { 1_000 };

const TRANSACTION_SEQ: &str = "
    SELECT seq FROM new_transaction WHERE id = ?1 UNION ALL SELECT seq FROM old_transaction WHERE id = ?1";

const OTHER_SEQ: &str = "SELECT seq FROM other_record WHERE stream = ?1 AND id = ?2";

/// The newest version of each record, while a batch is appended. They are written at its end, in the order of their ids.
pub(super) struct NewestVersions<'a> {
    connection: &'a Connection,
    /// Seq, and whether the record is known to be new.
    pending: BTreeMap<(Stream, &'a str), (i64, bool)>,
}

impl<'a> NewestVersions<'a> {
    pub fn new(connection: &'a Connection) -> NewestVersions<'a> {
        NewestVersions {
            connection,
            pending: BTreeMap::new(),
        }
    }

    /// The seq of a record's newest version.
    pub fn of(&self, record: &'a Record) -> rusqlite::Result<Option<i64>> {
        match self.pending.get(&(record.stream, &*record.id)) {
            Some((seq, _)) => Ok(Some(*seq)),
            None => seq_of(self.connection, record.stream, &record.id),
        }
    }

    /// Notes a version. `is_new`: it is known to be the first one of its record.
    pub fn note(&mut self, record: &'a Record, seq: i64, is_new: bool) {
        let noted = self.pending.entry((record.stream, &record.id));
        let (newest, was_new) = noted.or_insert((seq, is_new));
        (*newest, *was_new) = (seq, *was_new || is_new);
    }

    /// How many records are new.
    pub fn write(self) -> rusqlite::Result<PerStream<i64>> {
        const ADD: &str = "INSERT OR IGNORE INTO new_transaction (id, seq)";
        let mut added = Vec::new();
        let mut new = PerStream::<i64>::default();
        for ((stream, id), (seq, is_new)) in &self.pending {
            // A new transaction is not looked for: that would read another page for each.
            let is_unknown = *is_new && *stream == Stream::Transactions;
            if is_unknown || !point(self.connection, *stream, id, *seq)? {
                new[*stream] += 1;
                match stream {
                    Stream::Transactions => added.push((*id, *seq)),
                    _ => add_other(self.connection, *stream, id, *seq)?,
                }
            }
        }
        insert(self.connection, ADD, &added, |(id, seq)| [id, seq])?;
        let more = new[Stream::Transactions];
        if more > 0 {
            counts::add(self.connection, &counts::NEW_TRANSACTIONS, "", more)?;
        }
        Ok(new)
    }
}

/// The seq of a record's newest version.
pub(super) fn seq_of(
    connection: &Connection,
    stream: Stream,
    id: &str,
) -> rusqlite::Result<Option<i64>> {
    match stream {
        Stream::Transactions => optional(connection, TRANSACTION_SEQ, [id], |row| row.get(0)),
        _ => optional(connection, OTHER_SEQ, (stream, id), |row| row.get(0)),
    }
}

/// Lets a record lead to that version. Whether it is known.
fn point(connection: &Connection, stream: Stream, id: &str, seq: i64) -> rusqlite::Result<bool> {
    const POINT_NEW: &str = "UPDATE new_transaction SET seq = ?2 WHERE id = ?1";
    const POINT_OLD: &str = "UPDATE old_transaction SET seq = ?2 WHERE id = ?1";
    const POINT_OTHER: &str = "UPDATE other_record SET seq = ?2 WHERE id = ?1 AND stream = ?3";
    crash::point();
    let changed = |sql, parameters: &[&dyn ToSql]| {
        let changed = connection.prepare_cached(sql)?.execute(parameters)?;
        rusqlite::Result::Ok(changed > 0)
    };
    match stream {
        Stream::Transactions => {
            Ok(changed(POINT_NEW, &[&id, &seq])? || changed(POINT_OLD, &[&id, &seq])?)
        }
        _ => changed(POINT_OTHER, &[&id, &seq, &stream]),
    }
}

/// Adds a record that is no transaction.
fn add_other(connection: &Connection, stream: Stream, id: &str, seq: i64) -> rusqlite::Result<()> {
    const ADD: &str = "INSERT INTO other_record (stream, id, seq) VALUES (?1, ?2, ?3)";
    crash::point();
    execute(connection, ADD, (stream, id, seq))
}

/// Moves some of the new transactions on, if there are many: those after that id. The id that they end with.
pub(super) fn move_on(connection: &Connection, after: &str) -> rusqlite::Result<String> {
    let mut after = after.to_owned();
    let surplus = counts::get(connection, &counts::NEW_TRANSACTIONS, "")? - MOST_NEW;
    if surplus < 0 {
        return Ok(after);
    }
    let wanted = surplus.max(MOVED);
    let mut moved = 0;
    while moved < wanted {
        crash::point();
        match move_slice(connection, &after)? {
            Some((rows, last)) => (moved, after) = (moved + rows, last),
            // There are fewer than are counted. `verify` says so.
            None if after.is_empty() => break,
            // After the last one comes the first one.
            None => after.clear(),
        }
    }
    counts::add(connection, &counts::NEW_TRANSACTIONS, "", -moved)?;
    Ok(after)
}

/// Moves the transactions on that follow an id. How many they are, and the id of the last one; none if there are none.
///
/// No id is in both tables, so nothing is ignored.
fn move_slice(connection: &Connection, after: &str) -> rusqlite::Result<Option<(i64, String)>> {
    const LAST: &str = "
        SELECT max(id) FROM (SELECT id FROM new_transaction WHERE id > ?1 ORDER BY id LIMIT ?2)";
    const MOVE: &str = "
        INSERT OR IGNORE INTO old_transaction (id, seq)
        SELECT id, seq FROM new_transaction WHERE id > ?1 AND id <= ?2 ORDER BY id";
    const FORGET: &str = "DELETE FROM new_transaction WHERE id > ?1 AND id <= ?2";
    let last: Option<String> = value(connection, LAST, (after, SLICE))?;
    let Some(last) = last else {
        return Ok(None);
    };
    let rows = connection.prepare_cached(MOVE)?.execute((after, &last))?;
    crash::point();
    execute(connection, FORGET, (after, &last))?;
    Ok(Some((i64::try_from(rows).unwrap_or(i64::MAX), last)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use rusqlite::StatementStatus;

    use super::*;
    use crate::api::Timestamp;
    use crate::store::schema::LAYOUT;
    use crate::store::verify_records::VERSIONS;
    use crate::store::{Identity, Store};

    #[test]
    fn a_look_up_is_planned_once() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: "test".to_owned(),
            endpoint: "http://localhost".to_owned(),
        };
        let store = Store::open(folder.path(), &identity).unwrap();
        for id in ["a", "b", "c"] {
            for stream in Stream::ALL {
                assert_eq!(store.newest(stream, id).unwrap(), None);
            }
        }
        for sql in [TRANSACTION_SEQ, OTHER_SEQ] {
            let planned_again = store.database.run("count the plans", |connection| {
                let statement = connection.prepare_cached(sql)?;
                Ok(statement.get_status(StatementStatus::RePrepare))
            });
            assert_eq!(planned_again.unwrap(), 0, "{sql}");
        }
    }

    #[test]
    fn the_view_of_all_records_uses_the_indices_of_its_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(LAYOUT).unwrap();
        for sql in [
            "SELECT seq FROM record WHERE stream = ?1 AND id = ?2",
            VERSIONS,
        ] {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps = statement.raw_query().mapped(|row| row.get("detail"));
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            let searched = steps
                .iter()
                .filter(|step| step.contains("_transaction USING PRIMARY KEY (id=?)"));
            assert_eq!(searched.count(), 2, "{sql}: {steps:?}");
        }
    }

    /// Records as `sql` gives them: id and seq.
    fn rows(connection: &Connection, sql: &str) -> BTreeMap<String, i64> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.try_into()).unwrap();
        rows.map(Result::unwrap).collect()
    }

    proptest! {
        /// Whatever is written in whatever order, each transaction is in one table, and leads to its newest version.
        #[test]
        fn every_transaction_leads_to_its_newest_version(batches in vec(vec(0..900_u32, 1..400), 1..12)) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(LAYOUT).unwrap();
            let mut expected = BTreeMap::new();
            let mut moved_to = String::new();
            let mut seq = 0;
            for batch in batches {
                let record = |id| Record::new(Stream::Transactions, format!("tx-{id}"), Timestamp::now(), "{}");
                let records: Vec<Record> = batch.into_iter().map(record).collect();
                let mut newest = NewestVersions::new(&connection);
                let before = expected.len();
                for record in &records {
                    seq += 1;
                    prop_assert_eq!(newest.of(record).unwrap(), expected.get(&*record.id).copied());
                    let is_first = expected.insert(record.id.to_string(), seq).is_none();
                    newest.note(record, seq, is_first);
                }
                let new = newest.write().unwrap();
                prop_assert_eq!(new[Stream::Transactions], (expected.len() - before) as i64);
                moved_to = move_on(&connection, &moved_to).unwrap();

                prop_assert_eq!(&rows(&connection, "SELECT id, seq FROM record"), &expected);
                let new = rows(&connection, "SELECT id, seq FROM new_transaction");
                let old = rows(&connection, "SELECT id, seq FROM old_transaction");
                prop_assert_eq!(new.len() + old.len(), expected.len());
                prop_assert!(new.len() as i64 <= MOST_NEW, "{}", new.len());
                let counted = counts::get(&connection, &counts::NEW_TRANSACTIONS, "").unwrap();
                prop_assert_eq!(counted, new.len() as i64);
            }
        }
    }
}
