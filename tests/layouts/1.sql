-- The state as layout 1 had it, for the test of the way from there.
PRAGMA application_id = 0x67636f6e;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
-- Whose state this is: state_id, name, endpoint.
CREATE TABLE state (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The change log. Append-only; a seq is never used again.
CREATE TABLE version (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    stream      TEXT NOT NULL,
    id          TEXT NOT NULL,
    number      INTEGER NOT NULL, -- which version of its record, from 1
    timestamp   TEXT NOT NULL,    -- the record's own date
    hash        BLOB NOT NULL,    -- of json: the first 16 bytes of its SHA-256
    observed_at TEXT NOT NULL,
    poll        INTEGER NOT NULL, -- the poll that read it
    json        TEXT NOT NULL     -- as the service sent it
) STRICT;
CREATE INDEX account ON version (seq, id) WHERE stream = 'accounts' AND number = 1;

-- The newest version of every record.
CREATE TABLE record (
    stream TEXT NOT NULL,
    id     TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (stream, id)
) STRICT, WITHOUT ROWID;

-- How far each list is known to be complete.
CREATE TABLE cursor (
    stream   TEXT PRIMARY KEY,
    position TEXT,          -- a second; every record before it has been read
    numbered TEXT NOT NULL, -- JSON: ranges of seconds that the last walk read by page number
    again    TEXT NOT NULL  -- JSON: ranges of seconds that are to be read again
) STRICT, WITHOUT ROWID;

-- How far each publisher has delivered.
CREATE TABLE publisher (
    name         TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    offset       INTEGER NOT NULL, -- the last seq delivered
    delivered_at TEXT,
    error        TEXT              -- why it does not deliver, while it does not
) STRICT, WITHOUT ROWID;

-- The last polls; accounts to transactions count the new versions.
CREATE TABLE poll (
    number        INTEGER PRIMARY KEY,
    started_at    TEXT NOT NULL,
    ended_at      TEXT,
    outcome       TEXT NOT NULL, -- running, complete, partial, failed, interrupted
    requests      INTEGER NOT NULL,
    retries       INTEGER NOT NULL,
    accounts      INTEGER NOT NULL,
    balances      INTEGER NOT NULL,
    beneficiaries INTEGER NOT NULL,
    transactions  INTEGER NOT NULL,
    skipped       INTEGER NOT NULL,
    error         TEXT
) STRICT;
