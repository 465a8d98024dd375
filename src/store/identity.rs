use rusqlite::Connection;

use super::database::{optional, value};

/// The id of a state.
pub(super) fn state_id(connection: &Connection) -> rusqlite::Result<String> {
    value(
        connection,
        "SELECT value FROM state WHERE key = 'state_id'",
        [],
    )
}

/// What a state says of itself under that key.
pub(super) fn state_value(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    const VALUE: &str = "SELECT value FROM state WHERE key = ?1";
    optional(connection, VALUE, [key], |row| row.get(0))
}
