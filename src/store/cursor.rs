use std::collections::BTreeSet;

use rusqlite::Connection;

use super::columns::AsJson;
use super::database::{execute, optional};
use super::{Error, Quirks, Store};
use crate::api::{Second, Stream};

/// The first and the last second of a range.
pub type Range = (Second, Second);

/// How far a stream is known to be complete. It moves only in the commit that stores the records it vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Every record dated before this second has been read, if it could be seen at the time.
    pub position: Option<Second>,
    /// When the walk began that moved the position there.
    pub moved_at: Option<Second>,
    /// When the position was last found to lie in the future, and was set back. A sweep closes the gap.
    pub set_back_at: Option<Second>,
    /// The seconds that the last walk read by page number.
    pub numbered: BTreeSet<Range>,
    /// The ranges that are still to be read again.
    pub again: BTreeSet<Range>,
    /// How the service departs from the API, as its answers have shown.
    pub quirks: Quirks,
    /// When the reading began that last came to the end of the list.
    pub began_at: Option<Second>,
    /// When the list was last read to its end.
    pub ended_at: Option<Second>,
    /// How many polls in a row have read newer records and yet left the position where it was.
    pub standing: i64,
}

impl Store {
    /// A stream's cursor; the beginning if it has none yet.
    pub fn cursor(&self, stream: Stream) -> Result<Cursor, Error> {
        self.database
            .run("read a cursor", |connection| get(connection, stream))
    }
}

/// Reads a stream's cursor; the beginning if it has none yet.
pub(super) fn get(connection: &Connection, stream: Stream) -> rusqlite::Result<Cursor> {
    const CURSOR: &str = "
        SELECT position, numbered, again, quirks, ended_at, standing, moved_at, set_back_at, began_at
        FROM cursor WHERE stream = ?1";
    let cursor = optional(connection, CURSOR, [stream], |row| {
        let AsJson(numbered) = row.get(1)?;
        let AsJson(again) = row.get(2)?;
        let AsJson(quirks) = row.get(3)?;
        Ok(Cursor {
            position: row.get(0)?,
            numbered,
            again,
            quirks,
            ended_at: row.get(4)?,
            standing: row.get(5)?,
            moved_at: row.get(6)?,
            set_back_at: row.get(7)?,
            began_at: row.get(8)?,
        })
    })?;
    Ok(cursor.unwrap_or_default())
}

/// Writes a stream's cursor.
pub(super) fn put(
    connection: &Connection,
    stream: Stream,
    cursor: &Cursor,
) -> rusqlite::Result<()> {
    const PUT: &str = "
        INSERT OR REPLACE INTO cursor
            (stream, position, numbered, again, quirks, ended_at, standing, moved_at, set_back_at, began_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    execute(
        connection,
        PUT,
        (
            stream,
            cursor.position,
            AsJson(&cursor.numbered),
            AsJson(&cursor.again),
            AsJson(&cursor.quirks),
            cursor.ended_at,
            cursor.standing,
            cursor.moved_at,
            cursor.set_back_at,
            cursor.began_at,
        ),
    )
}
