use std::path::Path;

use super::database::{Database, all, value};
use super::{Error, schema};

/// The shape of a state, for a person who helps: its layout, its size in pages, what is counted of it, and its tables. A
/// state of another version of this program has a shape, too.
pub fn describe(directory: &Path) -> Result<String, Error> {
    let database = Database::connect_read_only(&Database::file_in(directory)?)?;
    database.reading("describe the state", || {
        database.run("describe the state", |connection| {
            let pragma = |name: &str| {
                let found: rusqlite::types::Value =
                    value(connection, &format!("PRAGMA {name}"), [])?;
                Ok(format!("{name:<14} {}\n", in_words(&found)))
            };
            let names = [
                "user_version",
                "application_id",
                "page_size",
                "page_count",
                "freelist_count",
                "journal_mode",
            ];
            let facts: rusqlite::Result<String> = names.into_iter().map(pragma).collect();
            let counted = all::<Vec<String>, _>(
                connection,
                "SELECT kind, part, rows FROM counted ORDER BY kind, part",
                [],
                |row| {
                    let (kind, part): (String, String) = (row.get(0)?, row.get(1)?);
                    Ok(format!("{kind:<14} {part:<14} {}\n", row.get::<_, i64>(2)?))
                },
            )
            // An older layout counts nothing.
            .unwrap_or_default();
            let tables: Vec<String> = all(
                connection,
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name",
                [],
                |row| Ok(format!("{};\n\n", row.get::<_, String>(0)?)),
            )?;
            Ok(format!(
                "layout {} is the newest that this program knows\n\n{}\n{}\n{}",
                schema::VERSION,
                facts?,
                counted.concat(),
                tables.concat()
            ))
        })
    })
}

fn in_words(value: &rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
