-- The whole schema, version 4 (PRAGMA user_version): what the migrations come to.

CREATE TABLE tasks (
    seq        INTEGER PRIMARY KEY,            -- in order of arrival: what lists page by
    id         TEXT NOT NULL UNIQUE,
    key_id     TEXT NOT NULL,
    model      TEXT NOT NULL,
    form       TEXT NOT NULL,
    sync       INTEGER NOT NULL,
    stream     INTEGER NOT NULL,
    status     TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    created    REAL NOT NULL,
    started    REAL,
    ended      REAL,
    owner      TEXT,
    read       INTEGER NOT NULL,
    error      BLOB,                           -- JSON
    generation BLOB,                           -- JSON; let go at the end
    result     BLOB,                           -- JSON; the completion, or in another end what there is of one
    deadline   REAL,
    terms      BLOB,                           -- JSON; what was asked beside the generation
    reserved   INTEGER NOT NULL DEFAULT 0,     -- micro-credits, as all amounts here
    bill       BLOB,                           -- JSON; set in an end, if anything was produced
    attempts   BLOB                            -- JSON; the upstream calls, there at the end
) STRICT;

CREATE INDEX tasks_of_key ON tasks (key_id, seq);
CREATE INDEX tasks_pending ON tasks (key_id, seq, status) WHERE status = 'pending';
CREATE INDEX tasks_processing ON tasks (key_id, owner, status) WHERE status = 'processing';
CREATE INDEX tasks_overdue ON tasks (deadline) WHERE status = 'pending' AND deadline IS NOT NULL;
CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
CREATE INDEX tasks_with_result ON tasks (ended) WHERE result IS NOT NULL;
CREATE INDEX tasks_of_model ON tasks (key_id, model, seq);
CREATE INDEX tasks_broken ON tasks (key_id, status, seq) WHERE status IN ('failed', 'cancelled');

CREATE TABLE workers (
    id          TEXT PRIMARY KEY,
    lease_until REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id      TEXT PRIMARY KEY,
    digest  BLOB NOT NULL UNIQUE,
    body    BLOB NOT NULL,                     -- JSON
    created REAL NOT NULL
) STRICT;

CREATE TABLE epochs (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO epochs (name, value) VALUES ('keys', 1);

CREATE TRIGGER keys_added AFTER INSERT ON keys BEGIN
    UPDATE epochs SET value = value + 1 WHERE name = 'keys';
END;
CREATE TRIGGER keys_changed AFTER UPDATE ON keys BEGIN
    UPDATE epochs SET value = value + 1 WHERE name = 'keys';
END;
CREATE TRIGGER keys_removed AFTER DELETE ON keys BEGIN
    UPDATE epochs SET value = value + 1 WHERE name = 'keys';
END;

CREATE TABLE files (
    seq     INTEGER PRIMARY KEY,               -- in order of arrival: what lists page by, and what makes room first
    id      TEXT NOT NULL UNIQUE,
    key_id  TEXT NOT NULL,
    name    TEXT NOT NULL,
    type    TEXT NOT NULL,
    size    INTEGER NOT NULL,
    sha256  TEXT NOT NULL,
    token   TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    expires REAL NOT NULL
) STRICT;

CREATE INDEX files_of_key ON files (key_id, seq);
CREATE INDEX files_expiring ON files (expires);

CREATE TABLE file_bytes (                      -- of each key, so that a quota is checked without adding up its files
    key_id TEXT PRIMARY KEY,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER file_added AFTER INSERT ON files BEGIN
    INSERT INTO file_bytes (key_id, bytes) VALUES (NEW.key_id, NEW.size)
    ON CONFLICT (key_id) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER file_removed AFTER DELETE ON files BEGIN
    UPDATE file_bytes SET bytes = bytes - OLD.size WHERE key_id = OLD.key_id;
END;

CREATE TABLE ledger (                          -- append-only; `carry` stands for what is no longer kept
    seq     INTEGER PRIMARY KEY,
    key_id  TEXT NOT NULL,
    task_id TEXT,
    kind    TEXT NOT NULL CHECK (kind IN ('grant', 'hold', 'settlement', 'refund', 'carry')),
    amount  INTEGER NOT NULL,                  -- what moves the balance
    cost    INTEGER NOT NULL,                  -- what a settlement keeps of a hold
    at      REAL NOT NULL,
    note    TEXT NOT NULL,
    tallied INTEGER NOT NULL DEFAULT 0         -- whether its writer moves the account
) STRICT;

CREATE UNIQUE INDEX ledger_once ON ledger (task_id, kind = 'hold') WHERE task_id IS NOT NULL;    -- a hold, and an end
CREATE INDEX ledger_of_key ON ledger (key_id, seq);

CREATE TABLE accounts (                        -- of each key, so that a balance is read and not added up
    key_id   TEXT PRIMARY KEY,
    balance  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    used     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_moves AFTER INSERT ON ledger WHEN NEW.kind <> 'carry' AND NOT NEW.tallied BEGIN
    INSERT INTO accounts (key_id, balance, reserved, used)
    VALUES (NEW.key_id, NEW.amount, iif(NEW.kind = 'grant', 0, -NEW.amount - NEW.cost), NEW.cost)
    ON CONFLICT (key_id) DO UPDATE
       SET balance = balance + excluded.balance, reserved = reserved + excluded.reserved, used = used + excluded.used;
END;

CREATE TABLE usage (                           -- of ended tasks, a row a day, key and model; kept when tasks are not
    day               TEXT NOT NULL,           -- of the end, in UTC
    key_id            TEXT NOT NULL,
    model             TEXT NOT NULL,           -- the one that answered, else the one that was asked
    tasks             INTEGER NOT NULL,
    completed         INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost              INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (                          -- of streams, a row a batch
    task_id TEXT NOT NULL,
    first   INTEGER NOT NULL,                  -- the number of the first chunk in it
    body    BLOB NOT NULL,                     -- JSON, a line each
    written REAL NOT NULL,
    PRIMARY KEY (task_id, first)
) STRICT;

CREATE INDEX chunks_written ON chunks (written) WHERE first = 0;    -- when each stream began

CREATE TABLE chunk_log (                       -- what is new of many streams, until each has a row of it
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body   BLOB NOT NULL                       -- MessagePack: task, number of the first chunk, JSON a line each
) STRICT;

CREATE TABLE idempotency (
    key_id      TEXT NOT NULL,
    name        TEXT NOT NULL,                 -- the header's value
    fingerprint BLOB NOT NULL,                 -- of the path and the body
    task_id     TEXT NOT NULL,
    created     REAL NOT NULL,
    PRIMARY KEY (key_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_created ON idempotency (created);

CREATE TABLE deliveries (                      -- webhooks: an outbox, written with the end of a task
    id      TEXT PRIMARY KEY,
    task_id TEXT NOT NULL UNIQUE,
    key_id  TEXT NOT NULL,
    url     TEXT NOT NULL,
    created REAL NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempt INTEGER NOT NULL,
    due     REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (due) WHERE state = 'pending';
CREATE INDEX deliveries_of_key ON deliveries (key_id, created);
CREATE INDEX deliveries_failed ON deliveries (key_id, created) WHERE state = 'failed';

CREATE TABLE delivery_log (
    seq         INTEGER PRIMARY KEY,
    delivery_id TEXT NOT NULL,
    at          REAL NOT NULL,
    status      INTEGER,                       -- of HTTP, if there was an answer
    error       TEXT,
    took_ms     INTEGER NOT NULL
) STRICT;

CREATE INDEX delivery_log_of ON delivery_log (delivery_id, seq);

CREATE TABLE turns (                           -- when a key last had a pending task claimed
    key_id TEXT PRIMARY KEY,
    last   REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER turn_taken AFTER UPDATE OF status ON tasks WHEN OLD.status = 'pending' AND NEW.status = 'processing' BEGIN
    INSERT INTO turns (key_id, last) VALUES (NEW.key_id, NEW.started)
    ON CONFLICT (key_id) DO UPDATE SET last = max(last, excluded.last);
END;
