-- A state of layout 4, as the program of then wrote it: a formance publisher with payments, one of them held and one
-- refunded, versions that wait, and versions that were left out or refused.
PRAGMA application_id = 0x67636f6e;
PRAGMA user_version = 4;
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE state (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO state VALUES('endpoint','http://127.0.0.1:36537');
INSERT INTO state VALUES('name','test');
INSERT INTO state VALUES('state_id','4a32e8905f5c849b360e5e95d8085cd8');
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
INSERT INTO version VALUES(1,'accounts','acc-1',1,NULL,'2024-01-01T00:00:00.000000000Z',X'959542f21b6374b4c78a99fba603c712','2026-11-25T21:07:55Z',1,NULL,'{"accountName":"Account acc-1","createdAt":"2024-01-01T00:00:00Z","id":"acc-1"}');
INSERT INTO version VALUES(2,'balances','acc-1',1,NULL,'2024-03-01T00:00:00.000000000Z',X'9ed3e7f3f9d8e3e1073c94e8858f1cfd','2026-11-25T21:07:55Z',1,NULL,'{"accountID":"acc-1","at":"2024-03-01T00:00:00Z","balances":[{"amount":"12345678901234567890","currency":"EUR/2"}],"id":"bal-acc-1"}');
INSERT INTO version VALUES(3,'beneficiaries','ben-1',1,NULL,'2024-01-01T00:00:00.000000000Z',X'bc7f7632a429848601046fdeb0710d92','2026-11-25T21:07:55Z',1,NULL,'{"createdAt":"2024-01-01T00:00:00Z","id":"ben-1","ownerName":"Owner ben-1"}');
INSERT INTO version VALUES(4,'transactions','paid',1,NULL,'2024-02-01T00:00:01.000000000Z',X'8800776c9569b001acbf9385941a6f9e','2026-11-25T21:07:55Z',1,NULL,'{"amount":"100","createdAt":"2024-02-01T00:00:01Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"paid","metadata":{"order":"it''s \"7\""},"sourceAccountID":null,"status":"SUCCEEDED","type":"PAYIN","updatedAt":"2024-02-01T00:00:01Z"}');
INSERT INTO version VALUES(5,'transactions','refund',1,NULL,'2024-02-01T00:00:02.000000000Z',X'982aaebdc6b5629bbf349d4abd30cece','2026-11-25T21:07:55Z',1,NULL,'{"amount":"30","createdAt":"2024-02-01T00:00:02Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"refund","relatedTransactionID":"paid","sourceAccountID":null,"status":"REFUNDED","type":"PAYIN","updatedAt":"2024-02-01T00:00:02Z"}');
INSERT INTO version VALUES(6,'transactions','held',1,NULL,'2024-02-01T00:00:03.000000000Z',X'7e062583ce5c19dc69e6751d734572e6','2026-11-25T21:07:55Z',1,NULL,'{"amount":"100","createdAt":"2024-02-01T00:00:03Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"held","sourceAccountID":null,"status":"AUTHORISATION","type":"PAYIN","updatedAt":"2024-02-01T00:00:03Z"}');
INSERT INTO version VALUES(7,'transactions','orphan',1,NULL,'2024-02-01T00:00:04.000000000Z',X'0718db0a5bcafb46f8931496377fe0a6','2026-11-25T21:07:55Z',1,NULL,'{"amount":"30","createdAt":"2024-02-01T00:00:04Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"orphan","relatedTransactionID":"missing","sourceAccountID":null,"status":"REFUNDED","type":"PAYIN","updatedAt":"2024-02-01T00:00:04Z"}');
INSERT INTO version VALUES(8,'transactions','grandchild',1,NULL,'2024-02-01T00:00:05.000000000Z',X'8c1e9846f18b2ad13921defe65350697','2026-11-25T21:07:55Z',1,NULL,'{"amount":"10","createdAt":"2024-02-01T00:00:05Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"grandchild","relatedTransactionID":"orphan","sourceAccountID":null,"status":"REFUND_REVERSED","type":"PAYIN","updatedAt":"2024-02-01T00:00:05Z"}');
INSERT INTO version VALUES(9,'transactions','odd',1,NULL,'2024-02-01T00:00:06.000000000Z',X'886ca51551a04fa918836ba4831dc990','2026-11-25T21:07:55Z',1,NULL,'{"amount":"5","createdAt":"2024-02-01T00:00:06Z","currency":"JPY","destinationAccountID":"acc-1","id":"odd","sourceAccountID":null,"status":"SUCCEEDED","type":"PAYIN","updatedAt":"2024-02-01T00:00:06Z"}');
INSERT INTO version VALUES(10,'transactions','turned down',1,NULL,'2024-02-01T00:00:07.000000000Z',X'343e8002ea58eaf71713acc1d2f3752f','2026-11-25T21:07:55Z',1,NULL,'{"amount":"77","createdAt":"2024-02-01T00:00:07Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"turned down","sourceAccountID":null,"status":"SUCCEEDED","type":"PAYIN","updatedAt":"2024-02-01T00:00:07Z"}');
INSERT INTO version VALUES(11,'accounts','acc-1',2,1,'2024-01-01T00:00:01.000000000Z',X'd6c603f2cf29a06a5916ddadba4d0535','2026-11-25T21:07:55Z',2,NULL,'{"accountName":"Renamed","createdAt":"2024-01-01T00:00:01Z","id":"acc-1"}');
INSERT INTO version VALUES(12,'transactions','orphan',2,7,'2024-02-01T00:01:00.000000000Z',X'fdb242a684ff9741699a8abaa4c08274','2026-11-25T21:07:55Z',2,NULL,'{"amount":"30","createdAt":"2024-02-01T00:00:04Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"orphan","relatedTransactionID":"missing","sourceAccountID":null,"status":"REFUNDED_FAILURE","type":"PAYIN","updatedAt":"2024-02-01T00:01:00Z"}');
INSERT INTO version VALUES(13,'transactions','held',2,6,'2024-02-01T00:01:01.000000000Z',X'ab5a8c4358da7aaf0767e17250af1976','2026-11-25T21:07:55Z',2,NULL,'{"amount":"100","createdAt":"2024-02-01T00:00:03Z","currency":"EUR/2","destinationAccountID":"acc-1","id":"held","metadata":{"a":"1"},"sourceAccountID":null,"status":"AUTHORISATION","type":"PAYIN","updatedAt":"2024-02-01T00:01:01Z"}');
CREATE TABLE record (
        stream TEXT NOT NULL,
        id     TEXT NOT NULL,
        seq    INTEGER NOT NULL,
        stamp  INTEGER,           -- balances: the date that the listener shows, as in listed
        PRIMARY KEY (stream, id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO record VALUES('accounts','acc-1',11,NULL);
INSERT INTO record VALUES('balances','acc-1',2,1709251200000000000);
INSERT INTO record VALUES('beneficiaries','ben-1',3,NULL);
INSERT INTO record VALUES('transactions','grandchild',8,NULL);
INSERT INTO record VALUES('transactions','held',13,NULL);
INSERT INTO record VALUES('transactions','odd',9,NULL);
INSERT INTO record VALUES('transactions','orphan',12,NULL);
INSERT INTO record VALUES('transactions','paid',4,NULL);
INSERT INTO record VALUES('transactions','refund',5,NULL);
INSERT INTO record VALUES('transactions','turned down',10,NULL);
CREATE TABLE listed (
        stream TEXT NOT NULL,
        stamp  INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z; they increase as the seqs do
        seq    INTEGER NOT NULL,
        PRIMARY KEY (stream, stamp)
    ) STRICT, WITHOUT ROWID;
INSERT INTO listed VALUES('accounts',1704067200000000000,1);
INSERT INTO listed VALUES('accounts',1704067201000000000,11);
INSERT INTO listed VALUES('beneficiaries',1704067200000000000,3);
INSERT INTO listed VALUES('transactions',1706745601000000000,4);
INSERT INTO listed VALUES('transactions',1706745602000000000,5);
INSERT INTO listed VALUES('transactions',1706745603000000000,6);
INSERT INTO listed VALUES('transactions',1706745604000000000,7);
INSERT INTO listed VALUES('transactions',1706745605000000000,8);
INSERT INTO listed VALUES('transactions',1706745606000000000,9);
INSERT INTO listed VALUES('transactions',1706745607000000000,10);
INSERT INTO listed VALUES('transactions',1706745660000000000,12);
INSERT INTO listed VALUES('transactions',1706745661000000000,13);
CREATE TABLE listing (
        stream   TEXT PRIMARY KEY,
        asked_at TEXT NOT NULL,
        above    INTEGER -- every stamp lies above this one, because the first request was for what is later
    ) STRICT, WITHOUT ROWID;
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
CREATE TABLE cursor (
        stream   TEXT PRIMARY KEY,
        position TEXT,             -- a second; every record before it has been read
        numbered TEXT NOT NULL,    -- JSON: ranges of seconds that the last walk read by page number
        again    TEXT NOT NULL,    -- JSON: ranges of seconds that are to be read again
        traits   TEXT NOT NULL,    -- JSON: how the service departs from what one would hope for
        ended_at TEXT,             -- when the list was last read to its end
        standing INTEGER NOT NULL  -- polls in a row that left the position, although they read newer records
    ) STRICT, WITHOUT ROWID;
INSERT INTO cursor VALUES('accounts','2024-01-01T00:00:01Z','[]','[]','{"capsPageSizeAt":null,"unsortedSince":null,"unstableSince":null,"ignoresPage":false,"filtersLateBy":0,"filtersEarlyBy":0,"incomplete":null}','2026-11-25T21:07:55Z',0);
INSERT INTO cursor VALUES('beneficiaries','2024-01-01T00:00:00Z','[]','[]','{"capsPageSizeAt":null,"unsortedSince":null,"unstableSince":null,"ignoresPage":false,"filtersLateBy":0,"filtersEarlyBy":0,"incomplete":null}','2026-11-25T21:07:55Z',0);
INSERT INTO cursor VALUES('transactions','2024-02-01T00:01:01Z','[]','[]','{"capsPageSizeAt":null,"unsortedSince":null,"unstableSince":null,"ignoresPage":false,"filtersLateBy":0,"filtersEarlyBy":0,"incomplete":null}','2026-11-25T21:07:55Z',0);
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
CREATE TABLE unknown_value (
        field      TEXT NOT NULL, -- type or status
        value      TEXT NOT NULL,
        versions   INTEGER NOT NULL,
        first_seen TEXT NOT NULL,
        PRIMARY KEY (field, value)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE publisher (
        name         TEXT PRIMARY KEY,
        type         TEXT NOT NULL,
        offset       INTEGER NOT NULL, -- the last seq delivered
        delivered_at TEXT,
        error        TEXT,             -- why it does not deliver, while it does not
        sending      INTEGER,          -- the end of the batch under way, where a batch is sent again as it was
        target       TEXT,             -- formance: the id of the connector that has what is delivered
        replay       INTEGER           -- to be delivered again: everything after this seq
    ) STRICT, WITHOUT ROWID;
INSERT INTO publisher VALUES('formance','formance',13,'2026-11-25T21:07:55Z',NULL,NULL,'eyJQcm92aWRlciI6ImdlbmVyaWMiLCJSZWZlcmVuY2UiOiIwYmE0MDNiYi0zYzlmLTQ2OTUtYmQxZC0yYmQ5ZDdiMjgwOTQifQ',NULL);
CREATE TABLE refusal (
        publisher  TEXT NOT NULL,
        seq        INTEGER NOT NULL,
        reason     TEXT NOT NULL,    -- what the target answered
        refused_at TEXT NOT NULL,
        retry      INTEGER NOT NULL, -- 1: to be delivered again
        PRIMARY KEY (publisher, seq)
    ) STRICT, WITHOUT ROWID;
INSERT INTO refusal VALUES('formance',10,'POST http://127.0.0.1:39689/api/payments/v3/payments answered 400 (VALIDATION: no)','2026-11-25T21:07:55Z',0);
CREATE TABLE left_out (
        publisher TEXT NOT NULL,
        reason    TEXT NOT NULL,
        versions  INTEGER NOT NULL,
        seq       INTEGER NOT NULL, -- the last of them
        PRIMARY KEY (publisher, reason)
    ) STRICT, WITHOUT ROWID;
INSERT INTO left_out VALUES('formance','asset JPY: the Payments API takes none but codes of ISO 4217 with their decimals, such as USD/2 or JPY/0',1,9);
INSERT INTO left_out VALUES('formance','balances: no API of Formance takes them; let Connectivity poll this program ("listen")',1,2);
INSERT INTO left_out VALUES('formance','changed accounts and beneficiaries: the Payments API writes them once and keeps the first name and metadata',1,11);
CREATE TABLE waiting (
        publisher TEXT NOT NULL,
        parent    TEXT NOT NULL,
        seq       INTEGER NOT NULL,
        PRIMARY KEY (publisher, parent, seq)
    ) STRICT, WITHOUT ROWID;
INSERT INTO waiting VALUES('formance','missing',7);
INSERT INTO waiting VALUES('formance','missing',12);
INSERT INTO waiting VALUES('formance','orphan',8);
CREATE TABLE payment (
        publisher  TEXT NOT NULL,
        id         TEXT NOT NULL,    -- the transaction's
        seq        INTEGER NOT NULL, -- its newest version that is delivered
        status     TEXT NOT NULL,    -- of its newest adjustment
        amount     TEXT NOT NULL,    -- the transaction's at that adjustment
        metadata   BLOB,             -- a hash of what was last sent; none if there was none
        kept       BLOB NOT NULL,    -- a hash of what Formance keeps as it was first told
        newest     INTEGER NOT NULL, -- the date of its newest adjustment, nanoseconds since 1970-01-01T00:00:00Z
        parent     TEXT,             -- the transaction whose payment it belongs to; none if it has its own
        type       TEXT,             -- from here on: of a payment of its own
        asset      TEXT,
        initial    TEXT,             -- the initialAmount
        shown      TEXT,             -- the amount, as the adjustments have moved it
        is_open    INTEGER,          -- 1: authorised, and nothing of it counted yet
        PRIMARY KEY (publisher, id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO payment VALUES('formance','held',13,'AUTHORISATION','100',X'9afeb0f2b203f254312ec8ded441d031',X'451b44b1600d4057b9115ebce1b33ed4',1706745603000000000,NULL,'PAY-IN','EUR/2','100','0',1);
INSERT INTO payment VALUES('formance','paid',4,'SUCCEEDED','100',X'7d4b22c7142e77a73dbac5acc0f56280',X'927b9ad7b59a79cd93f7f6428fb84a96',1706745601000000000,NULL,'PAY-IN','EUR/2','100','70',0);
INSERT INTO payment VALUES('formance','refund',5,'REFUNDED','30',NULL,X'80d42e09f6d4e74b43db9a00edadd717',1706745602000000000,'paid',NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO poll VALUES(1,'2026-11-25T21:07:55Z','2026-11-25T21:07:55Z','complete',10,0,1,1,1,7,0,NULL);
INSERT INTO poll VALUES(2,'2026-11-25T21:07:55Z','2026-11-25T21:07:55Z','complete',12,0,1,0,0,2,0,NULL);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('version',13);
CREATE INDEX account ON version (seq, id) WHERE stream = 'accounts' AND number = 1;
CREATE INDEX initiated ON initiation (id, kind) WHERE id IS NOT NULL;
CREATE INDEX unsettled ON initiation (asked_at) WHERE state NOT IN ('made', 'refused');
CREATE UNIQUE INDEX quarantined ON quarantine (stream, id, hash);
COMMIT;
