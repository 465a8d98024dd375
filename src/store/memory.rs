use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::columns::AsJson;
use super::database::{Database, execute};
use super::{Change, Error, PublisherState, change_log::CHANGE, counts};

/// What a publisher remembers of its target, beside how far it has delivered.
///
/// Entries belong to a topic and a key, and each is about one version. Topics and values are the publisher's own: the
/// store commits them with the offset, so that after a crash they say exactly what was delivered.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    pub(super) database: &'a Database,
    pub(super) publisher: &'a str,
}

/// A change of what is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryChange {
    topic: &'static str,
    key: String,
    seq: i64,
    action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Set(String),
    Add,
    Remove,
}

impl MemoryChange {
    /// Makes this the only entry under its key.
    pub fn set(topic: &'static str, key: &str, seq: i64, value: &impl Serialize) -> MemoryChange {
        // Values are numbers, texts and structs of them: nothing that JSON could not hold.
        let value = serde_json::to_string(value).unwrap_or_default();
        MemoryChange::new(topic, key, seq, Action::Set(value))
    }

    /// Adds an entry without a value, which keeps its version.
    pub fn add(topic: &'static str, key: &str, seq: i64) -> MemoryChange {
        MemoryChange::new(topic, key, seq, Action::Add)
    }

    /// Removes an entry.
    pub fn remove(topic: &'static str, key: &str, seq: i64) -> MemoryChange {
        MemoryChange::new(topic, key, seq, Action::Remove)
    }

    fn new(topic: &'static str, key: &str, seq: i64, action: Action) -> MemoryChange {
        MemoryChange {
            topic,
            key: key.to_owned(),
            seq,
            action,
        }
    }
}

impl Memory<'_> {
    /// The entry under a key: its seq and its value.
    pub fn get<T: DeserializeOwned>(
        &self,
        topic: &str,
        key: &str,
    ) -> Result<Option<(i64, T)>, Error> {
        const GET: &str =
            "SELECT seq, value FROM memory WHERE publisher = ?1 AND topic = ?2 AND key = ?3";
        self.database
            .optional(READ, GET, (self.publisher, topic, key), |row| {
                let AsJson(value) = row.get(1)?;
                Ok((row.get(0)?, value))
            })
    }

    /// Every entry of a topic: key, seq and value, in the order of the keys.
    pub fn list<T: DeserializeOwned>(&self, topic: &str) -> Result<Vec<(String, i64, T)>, Error> {
        const LIST: &str = "SELECT key, seq, value FROM memory WHERE publisher = ?1 AND topic = ?2 ORDER BY key, seq";
        self.database
            .all(READ, LIST, (self.publisher, topic), |row| {
                let AsJson(value) = row.get(2)?;
                Ok((row.get(0)?, row.get(1)?, value))
            })
    }

    /// How many entries of a topic have no value, and only keep their versions.
    pub fn kept(&self, topic: &str) -> Result<i64, Error> {
        let part = counts::memory_part(self.publisher, topic);
        self.database.run(READ, |connection| {
            counts::get(connection, &counts::KEPT, part)
        })
    }

    /// The first key of a topic; none if it has no entries.
    pub fn first_key(&self, topic: &str) -> Result<Option<String>, Error> {
        const FIRST: &str = "SELECT min(key) FROM memory WHERE publisher = ?1 AND topic = ?2";
        self.database.value(READ, FIRST, (self.publisher, topic))
    }
}

impl PublisherState {
    /// What it remembers of its target.
    pub fn memory(&self) -> Memory<'_> {
        Memory {
            database: &self.log.database,
            publisher: &self.name,
        }
    }

    /// The versions that the entries under a key are about, ascending.
    pub fn remembered_versions(&self, topic: &str, key: &str) -> Result<Vec<Change>, Error> {
        let sql = format!(
            "SELECT {CHANGE} FROM memory JOIN version ON version.seq = memory.seq
             WHERE publisher = ?1 AND topic = ?2 AND key = ?3 ORDER BY version.seq"
        );
        self.log.changes(READ, &sql, (&self.name, topic, key))
    }
}

const READ: &str = "read what a publisher remembers";

/// Writes a change of what a publisher remembers.
pub(super) fn change(
    connection: &Connection,
    publisher: &str,
    change: &MemoryChange,
) -> rusqlite::Result<()> {
    const FORGET_KEY: &str = "DELETE FROM memory WHERE publisher = ?1 AND topic = ?2 AND key = ?3";
    const FORGET_ENTRY: &str =
        "DELETE FROM memory WHERE publisher = ?1 AND topic = ?2 AND key = ?3 AND seq = ?4";
    const PUT: &str = "INSERT OR REPLACE INTO memory (publisher, topic, key, seq, value) VALUES (?1, ?2, ?3, ?4, ?5)";
    let MemoryChange {
        topic,
        key,
        seq,
        action,
    } = change;
    match action {
        Action::Set(value) => {
            execute(connection, FORGET_KEY, (publisher, topic, key))?;
            execute(connection, PUT, (publisher, topic, key, seq, value))
        }
        Action::Add => {
            let value: Option<String> = None;
            execute(connection, PUT, (publisher, topic, key, seq, value))
        }
        Action::Remove => execute(connection, FORGET_ENTRY, (publisher, topic, key, seq)),
    }
}

/// Forgets everything that a publisher remembers.
pub(super) fn clear(connection: &Connection, publisher: &str) -> rusqlite::Result<()> {
    const CLEAR: &str = "DELETE FROM memory WHERE publisher = ?1";
    execute(connection, CLEAR, [publisher])
}
