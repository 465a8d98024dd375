use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, Row};

use super::database::{Database, execute, optional, value};
use super::identity::{put_state_value, state_value};
use super::seq::last_seq;
use super::{ChangeLog, Error, MemoryChange, Restored, keep, memory, open, refusal, restored};
use crate::api::Timestamp;

/// How far a publisher has delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublisherProgress {
    /// The last seq delivered, 0 before the first.
    pub offset: i64,
    /// The end of the batch under way, if a batch must be sent again as it was.
    pub sending: Option<i64>,
    /// The target's own name for what has the delivered versions.
    pub target: Option<String>,
    /// The seq after which the operator wants everything to be delivered again.
    pub replay: Option<i64>,
}

/// What became of versions that were delivered, if more than that they were.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Versions that the target refuses for their content, and what it answered.
    pub refused: Vec<(i64, String)>,
    /// What the publisher remembers of them.
    pub memory: Vec<MemoryChange>,
    /// Versions that the target has no place for, or not for all of them, and those that wait for others.
    pub untaken: BTreeSet<i64>,
    /// How many versions the target has taken that waited before.
    pub late: usize,
}

/// What the state has known of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It is new.
    New,
    /// It had another type.
    OtherType,
    /// It has delivered before.
    Known,
}

/// One publisher's part of the state: the change log, how far it has delivered it, what it remembers of its target. It
/// has a connection of its own.
#[derive(Debug)]
pub struct PublisherState {
    /// The change log.
    pub log: ChangeLog,
    /// Its name in the configuration.
    pub name: String,
}

/// Every publisher's progress, beside the process that delivers: for the operator.
#[derive(Debug)]
pub struct Publishers {
    pub(super) database: Database,
}

impl Delivered {
    /// A version that the target refuses.
    pub fn refused(seq: i64, reason: String) -> Delivered {
        Delivered {
            refused: vec![(seq, reason)],
            ..Delivered::default()
        }
    }

    /// Whether there is nothing to note but that the versions were delivered.
    pub fn is_plain(&self) -> bool {
        self.refused.is_empty() && self.memory.is_empty()
    }
}

impl PublisherState {
    /// Its progress.
    pub fn progress(&self) -> Result<PublisherProgress, Error> {
        const PROGRESS: &str =
            "SELECT offset, sending, target, replay FROM publisher WHERE name = ?1";
        let read = |row: &Row| {
            Ok(PublisherProgress {
                offset: row.get(0)?,
                sending: row.get(1)?,
                target: row.get(2)?,
                replay: row.get(3)?,
            })
        };
        let doing = "read a publisher's offset";
        let database = &self.log.database;
        let progress = database.optional(doing, PROGRESS, [&self.name], read)?;
        Ok(progress.unwrap_or_default())
    }

    /// When the state was last put back; none if it never was.
    pub fn restored(&self) -> Result<Option<Restored>, Error> {
        self.log.database.run("read the restores", restored::last)
    }

    /// Notes that there is such a publisher. One that had another type delivers to something else now, which has
    /// nothing yet.
    pub fn register(&self, kind: &str) -> Result<Registration, Error> {
        const REGISTER: &str =
            "INSERT OR REPLACE INTO publisher (name, type, offset) VALUES (?1, ?2, 0)";
        self.log.database.write("note a publisher", |connection| {
            let known = kind_of(connection, &self.name)?;
            if known.as_deref() == Some(kind) {
                return Ok(Registration::Known);
            }
            execute(connection, REGISTER, (&self.name, kind))?;
            forget(connection, &self.name, 0)?;
            Ok(match known {
                None => Registration::New,
                Some(_) => Registration::OtherType,
            })
        })
    }

    /// How many superseded balances were dropped, if a delivery of everything after that seq lacks some.
    pub fn dropped_after(&self, seq: i64) -> Result<Option<i64>, Error> {
        self.log
            .database
            .run(READ, |connection| keep::dropped_after(connection, seq))
    }

    /// Notes how far a batch reaches that is about to be sent.
    pub fn begin_batch(&self, end: i64) -> Result<(), Error> {
        const BEGIN: &str = "UPDATE publisher SET sending = ?2 WHERE name = ?1";
        self.update("note a batch", BEGIN, end)
    }

    /// Notes in one transaction that everything up to that seq is delivered, and what became of it. `replay`: the replay of
    /// which the first changes are delivered now. One that was asked for meanwhile stays.
    pub fn advance(
        &self,
        offset: i64,
        delivered: &Delivered,
        replay: Option<i64>,
    ) -> Result<(), Error> {
        const ADVANCE: &str = "
            UPDATE publisher SET offset = ?2, delivered_at = ?3, error = NULL, sending = NULL,
                replay = nullif(replay, ?4) WHERE name = ?1";
        self.log
            .database
            .write("store a publisher's offset", |connection| {
                execute(
                    connection,
                    ADVANCE,
                    (&self.name, offset, Timestamp::now().second(), replay),
                )?;
                self.note(connection, delivered)
            })
    }

    /// Notes that a version is settled that had been refused before, and what became of it.
    pub fn settle(&self, seq: i64, delivered: &Delivered) -> Result<(), Error> {
        self.log.database.write("settle a refusal", |connection| {
            refusal::forget(connection, &self.name, seq)?;
            self.note(connection, delivered)
        })
    }

    /// Notes why it does not deliver, or that it does.
    pub fn note_error(&self, error: Option<&str>) -> Result<(), Error> {
        const NOTE: &str = "UPDATE publisher SET error = ?2 WHERE name = ?1";
        self.update("note a publisher's error", NOTE, error)
    }

    /// Notes what it delivers to from now on. That has nothing yet, so everything is delivered to it.
    pub fn begin_target(&self, target: &str) -> Result<(), Error> {
        const BEGIN: &str = "
            UPDATE publisher SET offset = 0, target = ?2, sending = NULL, replay = NULL WHERE name = ?1";
        self.log
            .database
            .write("restart a publisher's delivery", |connection| {
                execute(connection, BEGIN, (&self.name, target))?;
                forget(connection, &self.name, 0)
            })
    }

    /// Goes back for a replay that the operator has asked for: everything after that seq is delivered again.
    pub fn begin_replay(&self, after: i64) -> Result<(), Error> {
        const BEGIN: &str = "UPDATE publisher SET offset = ?2, sending = NULL WHERE name = ?1";
        self.log.database.write("begin a replay", |connection| {
            execute(connection, BEGIN, (&self.name, after))?;
            forget(connection, &self.name, after)
        })
    }

    fn note(&self, connection: &Connection, delivered: &Delivered) -> rusqlite::Result<()> {
        for (seq, reason) in &delivered.refused {
            refusal::put(connection, &self.name, *seq, reason)?;
        }
        for change in &delivered.memory {
            memory::change(connection, &self.name, change)?;
        }
        Ok(())
    }

    fn update(
        &self,
        doing: &'static str,
        sql: &str,
        value: impl rusqlite::ToSql,
    ) -> Result<(), Error> {
        let parameters = (&self.name, value);
        self.log
            .database
            .execute(doing, sql, parameters)
            .map(|_| ())
    }
}

/// The key of the publishers to which the last process delivers, as JSON.
const USED: &str = "publishers";

pub(super) fn use_only(database: &Database, names: &[String]) -> Result<(), Error> {
    let names = serde_json::Value::from(names).to_string();
    database.write("note the publishers", |connection| {
        put_state_value(connection, USED, &names)
    })
}

/// The publishers to which the process delivers that was started last; none if it did not say so.
pub(super) fn used(connection: &Connection) -> rusqlite::Result<Option<Vec<String>>> {
    let names = state_value(connection, USED)?;
    Ok(names.and_then(|names| serde_json::from_str(&names).ok()))
}

impl Publishers {
    /// Opens those of the state in that directory.
    pub fn open(directory: &Path) -> Result<Publishers, Error> {
        Ok(Publishers {
            database: Database::beside(directory)?,
        })
    }

    /// The type of a publisher. It is an error if there is no such publisher.
    pub fn kind(&self, publisher: &str) -> Result<String, Error> {
        let kind = self
            .database
            .run(READ, |connection| kind_of(connection, publisher))?;
        kind.ok_or_else(|| self.no_publisher(publisher))
    }

    /// Lets a publisher deliver everything after that seq again. Its delivery thread begins with its next batch.
    ///
    /// It is an error if there is no such publisher, or if it has not delivered everything up to that seq: what is in
    /// between would be left out.
    pub fn replay(&self, publisher: &str, after: i64) -> Result<(), Error> {
        const REPLAY: &str = "UPDATE publisher SET replay = ?2 WHERE name = ?1";
        let offset = self.offset(publisher)?;
        if after > offset {
            return Err(Error::NotDelivered {
                publisher: publisher.to_owned(),
                offset,
            });
        }
        let parameters = (publisher, after);
        let asked = self
            .database
            .execute("ask for a replay", REPLAY, parameters);
        asked.map(|_| ())
    }

    /// How many superseded balances were dropped, if a delivery of everything after that seq lacks some.
    pub fn dropped_after(&self, seq: i64) -> Result<Option<i64>, Error> {
        self.database
            .run(READ, |connection| keep::dropped_after(connection, seq))
    }

    /// Forgets a publisher that nobody uses any more, and what became of what it delivered. It is an error while a
    /// connector runs on the state.
    pub fn remove(&self, publisher: &str) -> Result<(), Error> {
        const REMOVE: &str = "DELETE FROM publisher WHERE name = ?1";
        let directory = self.database.file().parent().unwrap_or(Path::new("."));
        let _lock = match open::lock(directory) {
            Ok(lock) => Some(lock),
            // The process that runs may have a configuration without it.
            Err(Error::Locked(_)) => match self.database.run(READ, used)? {
                Some(used) if !used.iter().any(|name| name == publisher) => None,
                _ => return Err(Error::PublisherInUse(publisher.to_owned())),
            },
            Err(error) => return Err(error),
        };
        let removed = self.database.write("forget a publisher", |connection| {
            forget(connection, publisher, 0)?;
            connection.execute(REMOVE, [publisher])
        })?;
        match removed {
            0 => Err(self.no_publisher(publisher)),
            _ => Ok(()),
        }
    }

    /// The last seq that a publisher has delivered. It is an error if there is no such publisher.
    pub(super) fn offset(&self, publisher: &str) -> Result<i64, Error> {
        const OFFSET: &str = "SELECT offset FROM publisher WHERE name = ?1";
        let offset = self
            .database
            .optional(READ, OFFSET, [publisher], |row| row.get(0))?;
        offset.ok_or_else(|| self.no_publisher(publisher))
    }

    fn no_publisher(&self, publisher: &str) -> Error {
        const NAMES: &str = "SELECT name FROM publisher ORDER BY name";
        let known = self.database.all(READ, NAMES, [], |row| row.get(0));
        match known {
            Ok(known) => Error::NoPublisher {
                name: publisher.to_owned(),
                known,
            },
            Err(error) => error,
        }
    }
}

const READ: &str = "read the publishers";

/// How many versions up to that seq a publisher has not delivered that has that offset. One may have delivered what a state
/// that was put back does not have.
pub(super) fn lag(connection: &Connection, offset: i64, last_seq: i64) -> rusqlite::Result<i64> {
    Ok((last_seq - offset - restored::left_out(connection, offset, last_seq)?).max(0))
}

/// How many versions the slowest publisher has not delivered; none if there is no publisher.
pub(super) fn greatest_lag(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    const SLOWEST: &str = "SELECT min(offset) FROM publisher";
    let slowest: Option<i64> = value(connection, SLOWEST, [])?;
    let newest = last_seq(connection)?;
    slowest
        .map(|offset| lag(connection, offset, newest))
        .transpose()
}

fn kind_of(connection: &Connection, publisher: &str) -> rusqlite::Result<Option<String>> {
    const KIND: &str = "SELECT type FROM publisher WHERE name = ?1";
    optional(connection, KIND, [publisher], |row| row.get(0))
}

/// Forgets what became of versions after that seq, because they are delivered again. What is remembered of the target
/// builds on every version before, so it goes only when all of them are.
fn forget(connection: &Connection, publisher: &str, after: i64) -> rusqlite::Result<()> {
    refusal::forget_after(connection, publisher, after)?;
    if after == 0 {
        memory::clear(connection, publisher)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::LAYOUT;

    #[test]
    fn a_publisher_ahead_of_a_state_that_was_put_back_has_nothing_to_deliver() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(LAYOUT).unwrap();
        let restored = "INSERT INTO restored (noticed_at, last_seq, left_out) VALUES ('2024-01-01T00:00:00Z', 5, 100)";
        connection.execute_batch(restored).unwrap();
        // A file may end with what the lost branch has delivered.
        for (offset, last_seq, expected) in [
            (5, 5, 0),
            (7, 5, 0),
            (3, 5, 2),
            (7, 101, 1),
            (5, 102, 2),
            (101, 102, 1),
        ] {
            assert_eq!(
                lag(&connection, offset, last_seq).unwrap(),
                expected,
                "{offset} {last_seq}"
            );
        }
    }
}
