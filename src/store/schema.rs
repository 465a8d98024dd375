/// The version of the layout below, kept in `user_version`.
pub(super) const VERSION: i64 = 12;

/// Marks the file as ours, kept in `application_id`: "gcon".
pub(super) const APPLICATION: i64 = 0x67_63_6f_6e;

/// The tables. Dates are RFC 3339 in UTC: nine fractional digits where a record's own date is kept, none elsewhere.
pub(super) const LAYOUT: &str = "
    -- Whose state this is: state_id, name, endpoint. How often it was opened: generation. Whether a process has it open,
    -- or it is a copy: open, copy. The seq of the account whose balances are asked for first: first_balances. When
    -- Connectivity has asked for a stream, as JSON: asked:accounts and so on. When a backup was made last: backed_up_at.
    -- Which streams the last polls have not read completely, as JSON: failing:accounts and so on. Since when there is a
    -- listener, as JSON: listening. To
    -- which publishers the process delivers that was started last, as JSON: publishers.
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

    -- How many rows there are. The commit of a batch counts versions and records, triggers count the others.
    CREATE TABLE counted (
        kind TEXT NOT NULL,    -- the table that they are in
        part TEXT NOT NULL,    -- which of them: those of a stream, a state, a publisher; empty: all that are counted
        rows INTEGER NOT NULL,
        PRIMARY KEY (kind, part)
    ) STRICT, WITHOUT ROWID;

    -- Versions whose text is not the one that was stored. They are neither shown nor delivered.
    CREATE TABLE damaged (
        seq      INTEGER PRIMARY KEY,
        stream   TEXT NOT NULL,
        found_at TEXT NOT NULL,
        asked    INTEGER NOT NULL DEFAULT 0 -- 1: a sweep began to read it again
    ) STRICT;

    -- Accounts whose balances the service does not know.
    CREATE TABLE missing (
        account TEXT PRIMARY KEY,
        since   TEXT NOT NULL,             -- when it was first so, after the account was last listed
        closed  INTEGER NOT NULL DEFAULT 0 -- 1: a sweep that began later has not found it in the list
    ) STRICT, WITHOUT ROWID;

    -- The newest version of every account, account's balances and beneficiary.
    CREATE TABLE other_record (
        stream TEXT NOT NULL,
        id     TEXT NOT NULL,
        seq    INTEGER NOT NULL,
        stamp  INTEGER,           -- balances: the date that the listener shows, as in listed
        PRIMARY KEY (stream, id)
    ) STRICT, WITHOUT ROWID;

    -- The newest version of every transaction that is in new_transaction no longer.
    CREATE TABLE old_transaction (
        id  TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The newest version of the transactions that were read first not long ago. Ids come in any order, and each would
    -- change another page of a large table. Commits move them from here in the order of their ids.
    CREATE TABLE new_transaction (
        id  TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The newest version of every record. The types are said, or the indices of the tables are not used.
    CREATE VIEW record (stream, id, seq, stamp) AS
        SELECT stream, id, seq, stamp FROM other_record
        UNION ALL SELECT CAST('transactions' AS TEXT), id, seq, CAST(NULL AS INTEGER) FROM new_transaction
        UNION ALL SELECT CAST('transactions' AS TEXT), id, seq, CAST(NULL AS INTEGER) FROM old_transaction;

    -- The lists as the listener shows them: every version, also the superseded ones, under its stamp. What is shown of a
    -- list, and what is held back, goes by place.
    CREATE TABLE listed (
        stream TEXT NOT NULL,
        place  INTEGER NOT NULL, -- increases within the list, and stays when the list is dated again
        stamp  INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z; they increase as the places do
        seq    INTEGER NOT NULL,
        shown  TEXT,             -- JSON: how a transaction is shown; none if it is shown as it was sent
        PRIMARY KEY (stream, place)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX stamped ON listed (stream, stamp);

    -- What the list has shown of transactions that have relatives, or more than two versions.
    CREATE TABLE shown (
        id    TEXT PRIMARY KEY,
        seq   INTEGER NOT NULL, -- the newest version in the list; 0: only relatives are; -1: Formance has made the payment
        value TEXT NOT NULL     -- JSON
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX shown_alone ON shown (id) WHERE seq = 0;

    -- Versions of transactions that are not in the list yet, because the one that they relate to is not.
    CREATE TABLE held (
        parent       TEXT NOT NULL,
        seq          INTEGER NOT NULL,
        id           TEXT NOT NULL,
        moves_amount INTEGER NOT NULL, -- whether it moves the amount of the payment
        PRIMARY KEY (parent, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX held_of ON held (id);

    -- What the lists leave out, because Formance cannot take it.
    CREATE TABLE unlisted (
        stream  TEXT NOT NULL,
        reason  TEXT NOT NULL,
        count   INTEGER NOT NULL, -- versions; accounts, if it is their balances
        example TEXT NOT NULL,    -- the id of the first record
        PRIMARY KEY (stream, reason)
    ) STRICT, WITHOUT ROWID;

    -- The lists that Connectivity has asked for. A bound is the second from which it asks.
    CREATE TABLE listing (
        stream   TEXT PRIMARY KEY,
        asked_at TEXT,                      -- when it asked first
        shown    INTEGER,                   -- the greatest stamp that was ever put on a page
        above    INTEGER,                   -- every stamp lies above this one, because of a bound above shown
        dated    INTEGER,                   -- while the list is dated again: the last place that has its new stamp
        newest   INTEGER,                   -- while it is: up to this place, only newest versions stay
        bound    TEXT,                      -- a bound above shown that it has asked with
        since    TEXT,                      -- when it first did
        last     TEXT,                      -- when it last did
        requests INTEGER NOT NULL DEFAULT 0, -- how often it did
        agreed   INTEGER NOT NULL DEFAULT 0, -- 1: the operator wants the list to be dated above that bound
        foreign_seq   INTEGER,              -- Connectivity may have read versions up to this one from the service itself
        foreign_until TEXT                  -- and records that were created up to then
    ) STRICT, WITHOUT ROWID;

    -- When the state was found to have been put back from an older copy.
    CREATE TABLE restored (
        number     INTEGER PRIMARY KEY,
        noticed_at TEXT NOT NULL,
        last_seq   INTEGER NOT NULL, -- of the newest version then
        left_out   INTEGER NOT NULL  -- the seqs up to this one, which what was lost may have used
    ) STRICT;

    -- Payouts and transfers that Connectivity has asked for.
    CREATE TABLE initiation (
        key        TEXT PRIMARY KEY, -- the idempotencyKey
        kind       TEXT NOT NULL,    -- payouts or transfers
        request    TEXT NOT NULL,    -- the body as it was sent, and as it is forwarded
        state      TEXT NOT NULL,    -- open, made, refused, not made, unknown
        asked_at   TEXT NOT NULL,    -- when the service was asked; again within a minute: the first time
        ended_at   TEXT,             -- when its answer was written down, or why there is none
        after      INTEGER NOT NULL, -- the last place in the list of transactions when the service was asked
        id         TEXT,             -- what the service calls it
        status     INTEGER,          -- of the answer, if there is an outcome
        answer     TEXT,             -- the body that is answered
        error      TEXT,             -- why there is no outcome, or was none until an operator settled it
        settled_at TEXT,             -- when an operator settled or confirmed it
        remark     TEXT,             -- how what is made differs from what was asked for; none once it is confirmed
        hash       BLOB              -- of key, kind, request, state, id, status and answer, as in version
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX initiated ON initiation (id, kind) WHERE id IS NOT NULL;
    CREATE INDEX unsettled ON initiation (asked_at)
        WHERE state NOT IN ('made', 'refused') OR remark IS NOT NULL;
    CREATE INDEX urgent ON initiation (CASE state WHEN 'unknown' THEN 0 WHEN 'made' THEN 1 ELSE 2 END, asked_at DESC, key)
        WHERE state NOT IN ('made', 'refused') OR remark IS NOT NULL;

    -- Accounts whose balances are answered with an older date than the stored ones have.
    CREATE TABLE older_balances (
        account TEXT PRIMARY KEY,
        since   TEXT NOT NULL -- since when no newer ones were seen
    ) STRICT, WITHOUT ROWID;

    -- How far each list is known to be complete.
    CREATE TABLE cursor (
        stream      TEXT PRIMARY KEY,
        position    TEXT,             -- a second; every record before it has been read
        numbered    TEXT NOT NULL,    -- JSON: ranges of seconds that the last walk read by page number
        again       TEXT NOT NULL,    -- JSON: ranges of seconds that are to be read again
        quirks      TEXT NOT NULL,    -- JSON: how the service departs from the API
        ended_at    TEXT,             -- when the list was last read to its end
        standing    INTEGER NOT NULL, -- polls in a row that left the position, although they read newer records
        moved_at    TEXT,             -- when the reading began that moved the position there
        set_back_at TEXT,             -- when the position was last found in the future, and set back
        began_at    TEXT              -- when the reading began that last came to the end of the list
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
        unread          TEXT NOT NULL,    -- JSON: the lists that could not be read to their end
        last_seq        INTEGER,          -- the newest version when it began
        settled_before  TEXT              -- when it began, less the lookback
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
        error         TEXT,
        took          INTEGER,          -- microseconds from its beginning to its end
        latency_p50   INTEGER,          -- microseconds within which half of the service's answers came
        latency_p95   INTEGER,          -- microseconds within which 95 % of them came
        lag           INTEGER           -- versions from before that a publisher, the slowest, had not delivered at its end
    ) STRICT;
";
