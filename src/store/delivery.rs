use rusqlite::{Connection, OptionalExtension, Row};

use super::{Change, ChangeLog, Error};
use crate::api::{Second, Timestamp};

/// A publisher as the state has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last seq delivered, 0 before the first.
    pub offset: i64,
    /// The end of the batch under way, where a batch has to be sent again as it was.
    pub sending: Option<i64>,
    /// What has what was delivered, as the target names it.
    pub target: Option<String>,
    /// The seq after which someone wants everything to be delivered again.
    pub replay: Option<i64>,
}

/// What became of versions that were delivered, beside that they were.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Seqs that the target refuses for their content, and what it answered.
    pub refused: Vec<(i64, String)>,
    /// Seqs that the target has no place for, and why.
    pub left_out: Vec<(i64, String)>,
    /// Seqs that wait for a transaction, and its id.
    pub waiting: Vec<(i64, String)>,
    /// Seqs that wait no longer, and for which transaction they did.
    pub released: Vec<(i64, String)>,
    /// What the target has been told of transactions.
    pub payments: Vec<Payment>,
}

/// What Formance has been told of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The transaction's id.
    pub id: String,
    /// Its newest version that is delivered.
    pub seq: i64,
    /// The status of its newest adjustment.
    pub status: String,
    /// Its amount at that adjustment: decimal digits, minor units.
    pub amount: String,
    /// A hash of the metadata that was last sent; none if there was none.
    pub metadata: Option<[u8; 16]>,
    /// A hash of what Formance keeps as it was first told.
    pub kept: [u8; 16],
    /// The date of its newest adjustment.
    pub newest: Timestamp,
    /// The transaction whose payment it belongs to, or what is known of its own payment.
    pub part: Part,
}

/// How a transaction is a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It is an adjustment of this transaction's payment.
    Of(String),
    /// It has a payment of its own.
    Own(PaymentState),
}

/// How a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentState {
    /// The type under which it is known, as Formance writes it.
    pub kind: String,
    /// The asset of its amounts.
    pub asset: String,
    /// The `initialAmount`: decimal digits, minor units.
    pub initial: String,
    /// The `amount`, as the adjustments have moved it.
    pub shown: String,
    /// Whether it is authorised and nothing of it is counted yet.
    pub is_open: bool,
}

impl Delivered {
    /// Whether nothing is to be noted but that the versions were delivered.
    pub fn is_plain(&self) -> bool {
        self.refused.is_empty()
            && self.left_out.is_empty()
            && self.waiting.is_empty()
            && self.released.is_empty()
            && self.payments.is_empty()
    }

    /// Adds what became of other versions.
    pub fn add(&mut self, other: Delivered) {
        self.refused.extend(other.refused);
        self.left_out.extend(other.left_out);
        self.waiting.extend(other.waiting);
        self.released.extend(other.released);
        self.payments.extend(other.payments);
    }
}

impl ChangeLog {
    /// A publisher's progress.
    pub fn progress(&self, publisher: &str) -> Result<Progress, Error> {
        self.connection
            .prepare_cached("SELECT offset, sending, target, replay FROM publisher WHERE name = ?1")
            .and_then(|mut statement| {
                let progress = statement.query_row([publisher], |row| {
                    Ok(Progress {
                        offset: row.get(0)?,
                        sending: row.get(1)?,
                        target: row.get(2)?,
                        replay: row.get(3)?,
                    })
                });
                progress.optional()
            })
            .map(Option::unwrap_or_default)
            .map_err(Error::on(&self.file, "read a publisher's offset"))
    }

    /// Notes that there is such a publisher. One that had another type delivers to something else now, which has
    /// nothing yet; true if that is so.
    pub fn register(&self, publisher: &str, kind: &str) -> Result<bool, Error> {
        let fail = Error::on(&self.file, "note a publisher");
        let known: Option<String> = self
            .connection
            .query_row(
                "SELECT type FROM publisher WHERE name = ?1",
                [publisher],
                |row| row.get(0),
            )
            .optional()
            .map_err(&fail)?;
        if known.as_deref() == Some(kind) {
            return Ok(false);
        }
        self.in_transaction("note a publisher", |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO publisher (name, type, offset) VALUES (?1, ?2, 0)",
                (publisher, kind),
            )?;
            forget(connection, publisher, 0)
        })?;
        Ok(known.is_some())
    }

    /// Notes how far a batch reaches that is about to be sent.
    pub fn begin_batch(&self, publisher: &str, end: i64) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE publisher SET sending = ?2 WHERE name = ?1")
            .and_then(|mut statement| statement.execute((publisher, end)))
            .map(|_| ())
            .map_err(Error::on(&self.file, "note a batch"))
    }

    /// Notes in one transaction that everything up to that seq is delivered, and what became of it.
    pub fn advance(
        &self,
        publisher: &str,
        offset: i64,
        delivered: &Delivered,
    ) -> Result<(), Error> {
        let now = Timestamp::now().second();
        self.in_transaction("store a publisher's offset", |connection| {
            connection
                .prepare_cached(
                    "UPDATE publisher SET offset = ?2, delivered_at = ?3, error = NULL, sending = NULL WHERE name = ?1",
                )?
                .execute((publisher, offset, now.to_string()))?;
            note(connection, publisher, delivered, now)
        })
    }

    /// Notes that a version is settled that had been refused before, and what became of it.
    pub fn settle(&self, publisher: &str, seq: i64, delivered: &Delivered) -> Result<(), Error> {
        self.in_transaction("settle a refusal", |connection| {
            connection
                .prepare_cached("DELETE FROM refusal WHERE publisher = ?1 AND seq = ?2")?
                .execute((publisher, seq))?;
            note(connection, publisher, delivered, Timestamp::now().second())
        })
    }

    /// Notes why a publisher does not deliver, or that it does.
    pub fn note_error(&self, publisher: &str, error: Option<&str>) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE publisher SET error = ?2 WHERE name = ?1")
            .and_then(|mut statement| statement.execute((publisher, error)))
            .map(|_| ())
            .map_err(Error::on(&self.file, "note a publisher's error"))
    }

    /// Notes what a publisher delivers to from now on. It has nothing yet: everything is delivered to it.
    pub fn begin_target(&self, publisher: &str, target: &str) -> Result<(), Error> {
        self.in_transaction("begin a publisher's delivery anew", |connection| {
            connection
                .prepare_cached(
                    "UPDATE publisher SET offset = 0, target = ?2, sending = NULL, replay = NULL WHERE name = ?1",
                )?
                .execute((publisher, target))?;
            forget(connection, publisher, 0)
        })
    }

    /// Begins a replay that someone has asked for: the seq after which everything is delivered again.
    pub fn take_replay(&self, publisher: &str) -> Result<Option<i64>, Error> {
        let asked: Option<i64> = self
            .connection
            .prepare_cached("SELECT replay FROM publisher WHERE name = ?1 AND replay IS NOT NULL")
            .and_then(|mut statement| {
                statement
                    .query_row([publisher], |row| row.get(0))
                    .optional()
            })
            .map_err(Error::on(&self.file, "read a publisher's offset"))?;
        let Some(after) = asked else { return Ok(None) };
        self.in_transaction("begin a replay", |connection| {
            // One that was asked for meanwhile stays.
            connection.execute(
                "UPDATE publisher SET offset = ?2, sending = NULL, replay = nullif(replay, ?2) WHERE name = ?1",
                (publisher, after),
            )?;
            forget(connection, publisher, after)
        })?;
        Ok(Some(after))
    }

    /// The first version after that seq that is in quarantine already.
    pub fn next_refused(&self, publisher: &str, after: i64) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT min(seq) FROM refusal WHERE publisher = ?1 AND seq > ?2")
            .and_then(|mut statement| statement.query_row((publisher, after), |row| row.get(0)))
            .map_err(Error::on(&self.file, "read the quarantine"))
    }

    /// Refused versions that someone wants to be delivered again, at most so many.
    pub fn retries(&self, publisher: &str, most: usize) -> Result<Vec<Change>, Error> {
        self.changes(
            "SELECT version.seq, stream, id, number, hash, observed_at, json
             FROM refusal JOIN version ON version.seq = refusal.seq
             WHERE refusal.publisher = ?1 AND retry = 1 ORDER BY version.seq LIMIT ?2",
            (publisher, most as i64),
        )
    }

    /// What Formance has been told of a transaction.
    pub fn payment(&self, publisher: &str, id: &str) -> Result<Option<Payment>, Error> {
        self.connection
            .prepare_cached(
                "SELECT id, seq, status, amount, metadata, kept, newest, parent, type, asset, initial, shown, is_open
                 FROM payment WHERE publisher = ?1 AND id = ?2",
            )
            .and_then(|mut statement| statement.query_row((publisher, id), payment).optional())
            .map_err(Error::on(&self.file, "read what Formance was told"))
    }

    /// The versions that wait for a transaction, ascending.
    pub fn waiting(&self, publisher: &str, parent: &str) -> Result<Vec<Change>, Error> {
        self.changes(
            "SELECT version.seq, stream, id, number, hash, observed_at, json
             FROM waiting JOIN version ON version.seq = waiting.seq
             WHERE waiting.publisher = ?1 AND parent = ?2 ORDER BY version.seq",
            (publisher, parent),
        )
    }

    /// Whether anything waits for another transaction.
    pub fn has_waiting(&self, publisher: &str) -> Result<bool, Error> {
        self.connection
            .prepare_cached("SELECT 1 FROM waiting WHERE publisher = ?1 LIMIT 1")
            .and_then(|mut statement| statement.exists([publisher]))
            .map_err(Error::on(&self.file, "read what waits"))
    }

    fn in_transaction(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Error> {
        // It writes: begun as a reader it could find another writer's commit in its way.
        let begun = rusqlite::Transaction::new_unchecked(
            &self.connection,
            rusqlite::TransactionBehavior::Immediate,
        );
        begun
            .and_then(|transaction| {
                work(&transaction)?;
                transaction.commit()
            })
            .map_err(Error::on(&self.file, doing))
    }
}

/// Writes down what became of versions.
fn note(
    connection: &Connection,
    publisher: &str,
    delivered: &Delivered,
    now: Second,
) -> rusqlite::Result<()> {
    for (seq, reason) in &delivered.refused {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO refusal (publisher, seq, reason, refused_at, retry) VALUES (?1, ?2, ?3, ?4, 0)",
            )?
            .execute((publisher, seq, reason, now.to_string()))?;
    }
    for (seq, reason) in &delivered.left_out {
        connection
            .prepare_cached(
                "INSERT INTO left_out (publisher, reason, versions, seq) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (publisher, reason) DO UPDATE SET versions = versions + 1, seq = excluded.seq",
            )?
            .execute((publisher, reason, seq))?;
    }
    for (seq, parent) in &delivered.waiting {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO waiting (publisher, parent, seq) VALUES (?1, ?2, ?3)",
            )?
            .execute((publisher, parent, seq))?;
    }
    for (seq, parent) in &delivered.released {
        connection
            .prepare_cached(
                "DELETE FROM waiting WHERE publisher = ?1 AND parent = ?2 AND seq = ?3",
            )?
            .execute((publisher, parent, seq))?;
    }
    for payment in &delivered.payments {
        let (parent, own) = match &payment.part {
            Part::Of(parent) => (Some(parent), None),
            Part::Own(state) => (None, Some(state)),
        };
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO payment
                 (publisher, id, seq, status, amount, metadata, kept, newest, parent, type, asset, initial, shown, is_open)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute((
                publisher,
                &payment.id,
                payment.seq,
                &payment.status,
                &payment.amount,
                payment.metadata,
                payment.kept,
                payment.newest.nanoseconds(),
                parent,
                own.map(|own| &own.kind),
                own.map(|own| &own.asset),
                own.map(|own| &own.initial),
                own.map(|own| &own.shown),
                own.map(|own| own.is_open),
            ))?;
    }
    Ok(())
}

/// Forgets what became of versions after that seq, which are delivered again.
pub(super) fn forget(connection: &Connection, publisher: &str, after: i64) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM refusal WHERE publisher = ?1 AND seq > ?2",
        (publisher, after),
    )?;
    if after == 0 {
        for table in ["left_out", "waiting", "payment"] {
            connection.execute(
                &format!("DELETE FROM {table} WHERE publisher = ?1"),
                [publisher],
            )?;
        }
    }
    Ok(())
}

fn payment(row: &Row) -> rusqlite::Result<Payment> {
    let parent: Option<String> = row.get(7)?;
    Ok(Payment {
        id: row.get(0)?,
        seq: row.get(1)?,
        status: row.get(2)?,
        amount: row.get(3)?,
        metadata: row.get(4)?,
        kept: row.get(5)?,
        newest: Timestamp::from_nanoseconds(row.get(6)?),
        part: match parent {
            Some(parent) => Part::Of(parent),
            None => Part::Own(PaymentState {
                kind: row.get(8)?,
                asset: row.get(9)?,
                initial: row.get(10)?,
                shown: row.get(11)?,
                is_open: row.get(12)?,
            }),
        },
    })
}
