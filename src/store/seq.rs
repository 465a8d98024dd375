use rusqlite::Connection;

use super::database::value;

/// The seq of the newest version; 0 before there is one.
pub(super) fn last_seq(connection: &Connection) -> rusqlite::Result<i64> {
    value(connection, "SELECT coalesce(max(seq), 0) FROM version", [])
}

/// The greatest seq that was ever used, or left out because another branch of the state may have used it.
pub(super) fn last_used_seq(connection: &Connection) -> rusqlite::Result<i64> {
    const LAST: &str =
        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'version'), 0)";
    value(connection, LAST, [])
}
