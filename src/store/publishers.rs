use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::delivery::forget;
use super::{Error, Stream};
use crate::api::{Second, Timestamp};

/// The publishers' progress, beside the process that delivers: for whoever looks after it.
#[derive(Debug)]
pub struct Publishers {
    connection: Connection,
    file: PathBuf,
}

/// A version that a target refuses for its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose target it is.
    pub publisher: String,
    /// The version.
    pub seq: i64,
    /// Its stream.
    pub stream: Stream,
    /// Its record's key.
    pub id: String,
    /// What the target answered.
    pub reason: String,
    /// When it last did.
    pub refused_at: Second,
    /// Whether it is to be delivered again.
    pub retry: bool,
    /// The record as the service sent it.
    pub json: String,
}

impl Publishers {
    /// Opens those of the state in that directory.
    pub fn open(directory: &Path) -> Result<Publishers, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let (connection, file) = super::open_existing(directory, flags)?;
        Ok(Publishers { connection, file })
    }

    /// Lets a publisher deliver everything after that seq again. What it delivers to is told in its own process.
    ///
    /// An error if there is no such publisher, or if it tells of payments, which build on what came before, and is to
    /// begin anywhere but at the beginning.
    pub fn replay(&self, publisher: &str, after: i64) -> Result<(), Error> {
        let fail = Error::on(&self.file, "ask for a replay");
        let known: Option<(String, i64)> = self
            .connection
            .query_row(
                "SELECT type, offset FROM publisher WHERE name = ?1",
                [publisher],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(&fail)?;
        match known {
            None => return Err(self.no_publisher(publisher)),
            Some((kind, _)) if kind == "formance" && after > 0 => {
                return Err(Error::FromTheBeginning(publisher.to_owned()));
            }
            // What it has yet to deliver would be left out.
            Some((_, offset)) if after > offset => {
                return Err(Error::NotDelivered {
                    publisher: publisher.to_owned(),
                    offset,
                });
            }
            Some(_) => {}
        }
        self.connection
            .execute(
                "UPDATE publisher SET replay = ?2 WHERE name = ?1",
                (publisher, after),
            )
            .map(|_| ())
            .map_err(&fail)
    }

    /// Puts a version into quarantine that a publisher has yet to deliver.
    pub fn skip(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        let fail = Error::on(&self.file, "put a version into quarantine");
        let offset: Option<i64> = self
            .connection
            .query_row(
                "SELECT offset FROM publisher WHERE name = ?1",
                [publisher],
                |row| row.get(0),
            )
            .optional()
            .map_err(&fail)?;
        let offset = offset.ok_or_else(|| self.no_publisher(publisher))?;
        // One that was to be tried again, and fails again, stays where it is.
        let kept = self
            .connection
            .execute(
                "UPDATE refusal SET retry = 0 WHERE publisher = ?1 AND seq = ?2",
                (publisher, seq),
            )
            .map_err(&fail)?;
        if kept > 0 {
            return Ok(());
        }
        let last = super::log::last_seq(&self.connection).map_err(&fail)?;
        if !(offset + 1..=last).contains(&seq) {
            return Err(Error::NotToBeDelivered {
                publisher: publisher.to_owned(),
                seq,
                offset,
                last,
            });
        }
        self.connection
            .execute(
                "INSERT OR REPLACE INTO refusal (publisher, seq, reason, refused_at, retry)
                 VALUES (?1, ?2, 'put aside by hand', ?3, 0)",
                (publisher, seq, Timestamp::now().second().to_string()),
            )
            .map(|_| ())
            .map_err(&fail)
    }

    /// Forgets a publisher that nobody uses any more, and what became of what it delivered.
    /// An error while a connector runs on the state.
    pub fn remove(&self, publisher: &str) -> Result<(), Error> {
        let fail = Error::on(&self.file, "forget a publisher");
        let directory = self.file.parent().unwrap_or(Path::new("."));
        let _lock = super::lock(directory)?;
        let transaction = self.connection.unchecked_transaction().map_err(&fail)?;
        let removed = transaction
            .execute("DELETE FROM publisher WHERE name = ?1", [publisher])
            .map_err(&fail)?;
        if removed == 0 {
            return Err(self.no_publisher(publisher));
        }
        forget(&transaction, publisher, 0).map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// Every version that a target refuses, by publisher and seq.
    pub fn refusals(&self) -> Result<Vec<Refusal>, Error> {
        self.connection
            .prepare(&format!("{REFUSALS} ORDER BY publisher, version.seq"))
            .and_then(|mut statement| statement.query_map([], refusal)?.collect())
            .map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// One of them.
    pub fn refusal(&self, publisher: &str, seq: i64) -> Result<Refusal, Error> {
        self.connection
            .prepare(&format!(
                "{REFUSALS} WHERE publisher = ?1 AND version.seq = ?2"
            ))
            .and_then(|mut statement| statement.query_row((publisher, seq), refusal).optional())
            .map_err(Error::on(&self.file, "read the quarantine"))?
            .ok_or_else(|| not_refused(publisher, seq))
    }

    /// Lets its publisher deliver one of them again.
    pub fn retry(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        self.change(
            "UPDATE refusal SET retry = 1 WHERE publisher = ?1 AND seq = ?2",
            publisher,
            seq,
        )
    }

    /// Forgets one of them. It is not delivered there.
    pub fn drop(&self, publisher: &str, seq: i64) -> Result<(), Error> {
        self.change(
            "DELETE FROM refusal WHERE publisher = ?1 AND seq = ?2",
            publisher,
            seq,
        )
    }

    fn change(&self, sql: &str, publisher: &str, seq: i64) -> Result<(), Error> {
        let changed = self
            .connection
            .execute(sql, (publisher, seq))
            .map_err(Error::on(&self.file, "change the quarantine"))?;
        match changed {
            0 => Err(not_refused(publisher, seq)),
            _ => Ok(()),
        }
    }

    fn no_publisher(&self, publisher: &str) -> Error {
        let known = self
            .connection
            .prepare("SELECT name FROM publisher ORDER BY name")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        match known {
            Ok(known) => Error::NoPublisher {
                name: publisher.to_owned(),
                known,
            },
            Err(error) => Error::on(&self.file, "read the publishers")(error),
        }
    }
}

const REFUSALS: &str = "SELECT publisher, version.seq, stream, id, reason, refused_at, retry, json
     FROM refusal JOIN version ON version.seq = refusal.seq";

fn refusal(row: &Row) -> rusqlite::Result<Refusal> {
    Ok(Refusal {
        publisher: row.get(0)?,
        seq: row.get(1)?,
        stream: super::stream(row, 2)?,
        id: row.get(3)?,
        reason: row.get(4)?,
        refused_at: super::second(row, 5)?,
        retry: row.get(6)?,
        json: row.get(7)?,
    })
}

fn not_refused(publisher: &str, seq: i64) -> Error {
    Error::NotRefused {
        publisher: publisher.to_owned(),
        seq,
    }
}
