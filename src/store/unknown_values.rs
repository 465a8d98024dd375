use std::collections::HashSet;

use rusqlite::Connection;
use serde::Serialize;

use super::database::{all, execute, limit};
use super::{Error, Store};
use crate::api::Timestamp;

/// How many unknown values of `type` and `status` are remembered. With more of them, they are free text.
pub const MOST_UNKNOWN_VALUES: usize = 1_000;

/// A value of `type` or `status` that the API does not know. Its records are delivered as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownValue {
    /// `type` or `status`.
    pub field: String,
    /// The value.
    pub value: String,
    /// How many versions had it.
    pub versions: i64,
    /// When it was first seen, RFC 3339.
    #[serde(rename = "firstSeen")]
    pub first_seen: String,
}

impl Store {
    /// The unknown values of `type` and `status` seen so far: field and value.
    pub fn unknown_values(&self) -> Result<HashSet<(String, String)>, Error> {
        const VALUES: &str = "SELECT field, value FROM unknown_value";
        let doing = "read the unknown values";
        self.database.all(doing, VALUES, [], |row| row.try_into())
    }
}

/// Counts further versions with an unknown value.
pub(super) fn count(
    connection: &Connection,
    field: &str,
    value: &str,
    versions: i64,
) -> rusqlite::Result<()> {
    const COUNT: &str = "
        INSERT INTO unknown_value (field, value, versions, first_seen)
        SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM unknown_value) < ?5
            OR EXISTS (SELECT 1 FROM unknown_value WHERE field = ?1 AND value = ?2)
        ON CONFLICT (field, value) DO UPDATE SET versions = versions + excluded.versions";
    let now = Timestamp::now().second();
    execute(
        connection,
        COUNT,
        (field, value, versions, now, limit(MOST_UNKNOWN_VALUES)),
    )
}

/// The unknown values, the most frequent ones first.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<UnknownValue>> {
    const LIST: &str = "SELECT field, value, versions, first_seen FROM unknown_value ORDER BY versions DESC, field, value";
    all(connection, LIST, [], |row| {
        Ok(UnknownValue {
            field: row.get(0)?,
            value: row.get(1)?,
            versions: row.get(2)?,
            first_seen: row.get(3)?,
        })
    })
}
