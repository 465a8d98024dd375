use rusqlite::Connection;

use super::database::{execute, optional, value};

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

/// Writes what it says under that key.
pub(super) fn put_state_value(
    connection: &Connection,
    key: &str,
    value: &str,
) -> rusqlite::Result<()> {
    const PUT: &str = "
        INSERT INTO state (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(connection, PUT, (key, value))
}
