-- The state as layout 5 had it, for the test of the way from there.
PRAGMA application_id = 0x67636f6e;
PRAGMA user_version = 5;
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
    previous    INTEGER,          -- the seq of the version before; none if it is the first
    timestamp   TEXT NOT NULL,    -- the record's own date
    hash        BLOB NOT NULL,    -- of json: the first 16 bytes of its SHA-256
    observed_at TEXT NOT NULL,
    poll        INTEGER NOT NULL, -- the poll that read it, or after which a sweep did
    sweep       INTEGER,          -- the sweep that found it; none if a poll did
    json        TEXT NOT NULL     -- as the service sent it
) STRICT;
CREATE INDEX account ON version (seq, id) WHERE stream = 'accounts' AND number = 1;

-- The newest version of every record.
CREATE TABLE record (
    stream TEXT NOT NULL,
    id     TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    stamp  INTEGER,           -- balances: the date that the listener shows, as in listed
    PRIMARY KEY (stream, id)
) STRICT, WITHOUT ROWID;

-- The lists as the listener shows them: every version, also the superseded ones, under its stamp.
CREATE TABLE listed (
    stream TEXT NOT NULL,
    stamp  INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z; they increase as the seqs do
    seq    INTEGER NOT NULL,
    PRIMARY KEY (stream, stamp)
) STRICT, WITHOUT ROWID;

-- The lists that Connectivity has asked for.
CREATE TABLE listing (
    stream   TEXT PRIMARY KEY,
    asked_at TEXT NOT NULL,
    above    INTEGER -- every stamp lies above this one, because the first request was for what is later
) STRICT, WITHOUT ROWID;

-- Payouts and transfers that Connectivity has asked for.
CREATE TABLE initiation (
    key        TEXT PRIMARY KEY, -- the idempotencyKey
    kind       TEXT NOT NULL,    -- payouts or transfers
    request    TEXT NOT NULL,    -- the body as it was sent, and as it is forwarded
    state      TEXT NOT NULL,    -- open, made, refused, not made, unknown
    asked_at   TEXT NOT NULL,    -- when the service was asked; again within a minute: the first time
    ended_at   TEXT,             -- when its answer was written down, or why there is none
    after      INTEGER NOT NULL, -- the seq of the newest version when the service was asked
    id         TEXT,             -- what the service calls it
    status     INTEGER,          -- of the service's answer, if it is an outcome
    answer     TEXT,             -- the body that is answered
    error      TEXT              -- why there is no outcome
) STRICT, WITHOUT ROWID;
CREATE INDEX initiated ON initiation (id, kind) WHERE id IS NOT NULL;
CREATE INDEX unsettled ON initiation (asked_at) WHERE state NOT IN ('made', 'refused');

-- How far each list is known to be complete.
CREATE TABLE cursor (
    stream   TEXT PRIMARY KEY,
    position TEXT,             -- a second; every record before it has been read
    numbered TEXT NOT NULL,    -- JSON: ranges of seconds that the last walk read by page number
    again    TEXT NOT NULL,    -- JSON: ranges of seconds that are to be read again
    quirks   TEXT NOT NULL,    -- JSON: how the service departs from the API
    ended_at TEXT,             -- when the list was last read to its end
    standing INTEGER NOT NULL  -- polls in a row that left the position, although they read newer records
) STRICT, WITHOUT ROWID;

-- Readings of the whole lists, each from its beginning.
CREATE TABLE sweep (
    number          INTEGER PRIMARY KEY,
    started_at      TEXT NOT NULL,
    ended_at        TEXT,             -- none while it is under way
    stream          TEXT NOT NULL,    -- the list that it reads
    place           TEXT NOT NULL,    -- JSON: how far it has come there
    seen            INTEGER NOT NULL, -- elements read
    missed          INTEGER NOT NULL, -- records that no poll had found
    changed         INTEGER NOT NULL, -- records that had changed without a newer date
    always_changing INTEGER NOT NULL, -- those of them that had done so in the sweep before, too
    lateness        INTEGER NOT NULL, -- seconds; how far the farthest missed record lay behind the cursor
    unread          TEXT NOT NULL     -- JSON: the lists that could not be read to their end
) STRICT;

-- Records that are not accepted, as the service sent them. A number is never used again.
CREATE TABLE quarantine (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    stream     TEXT NOT NULL,
    id         TEXT NOT NULL,    -- empty if it has none that can be used
    hash       BLOB NOT NULL,    -- of json, as in version
    kind       TEXT NOT NULL,    -- contract: it breaks the API; duplicate: another content has its id
    reason     TEXT NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen  TEXT NOT NULL,
    rival_seen TEXT,             -- of a duplicate: when the version was last seen that was kept instead
    retry      INTEGER NOT NULL, -- 1: the next poll is to take it again
    json       TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX quarantined ON quarantine (stream, id, hash);

-- Values of type and status that the API does not know. Their records are delivered as they are.
CREATE TABLE unknown_value (
    field      TEXT NOT NULL, -- type or status
    value      TEXT NOT NULL,
    versions   INTEGER NOT NULL,
    first_seen TEXT NOT NULL,
    PRIMARY KEY (field, value)
) STRICT, WITHOUT ROWID;

-- How far each publisher has delivered.
CREATE TABLE publisher (
    name         TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    offset       INTEGER NOT NULL, -- the last seq delivered
    delivered_at TEXT,
    error        TEXT,             -- why it does not deliver, while it does not
    sending      INTEGER,          -- the end of the batch under way, where a batch is sent again as it was
    target       TEXT,             -- what has what is delivered, as it names itself
    replay       INTEGER           -- to be delivered again: everything after this seq
) STRICT, WITHOUT ROWID;

-- Versions that a target refuses for their content.
CREATE TABLE refusal (
    publisher  TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    reason     TEXT NOT NULL,    -- what the target answered
    refused_at TEXT NOT NULL,
    retry      INTEGER NOT NULL, -- 1: to be delivered again
    PRIMARY KEY (publisher, seq)
) STRICT, WITHOUT ROWID;

-- What a publisher remembers of its target, committed with its offset. Topics and values are the publisher's own.
CREATE TABLE memory (
    publisher TEXT NOT NULL,
    topic     TEXT NOT NULL,
    key       TEXT NOT NULL,
    seq       INTEGER NOT NULL, -- the version that the entry is about, which is kept as long as the entry
    value     TEXT,             -- JSON; none if the entry only keeps the version
    PRIMARY KEY (publisher, topic, key, seq)
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
    quarantined   INTEGER NOT NULL, -- records newly put into quarantine
    error         TEXT
) STRICT;
