-- Version 3: money, turns between keys, chunks that outlive the process, idempotency, webhooks.

ALTER TABLE tasks ADD COLUMN deadline REAL;
ALTER TABLE tasks ADD COLUMN terms BLOB;                             -- JSON; what was asked beside the generation
ALTER TABLE tasks ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;    -- micro-credits, as all amounts here
ALTER TABLE tasks ADD COLUMN bill BLOB;                              -- JSON; set in an end, if anything was produced
ALTER TABLE tasks ADD COLUMN attempts BLOB;                          -- JSON; the upstream calls, there at the end

DROP INDEX tasks_pending;                     -- claims take turns between keys
DROP INDEX tasks_processing;
CREATE INDEX tasks_pending ON tasks (key_id, seq, status) WHERE status = 'pending';
CREATE INDEX tasks_processing ON tasks (key_id, owner, status) WHERE status = 'processing';
CREATE INDEX tasks_overdue ON tasks (deadline) WHERE status = 'pending' AND deadline IS NOT NULL;
CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL;
CREATE INDEX tasks_with_result ON tasks (ended) WHERE result IS NOT NULL;
CREATE INDEX tasks_of_model ON tasks (key_id, model, seq);
CREATE INDEX tasks_broken ON tasks (key_id, status, seq) WHERE status IN ('failed', 'cancelled');

CREATE TABLE ledger (                          -- append-only; `carry` stands for what is no longer kept
    seq     INTEGER PRIMARY KEY,
    key_id  TEXT NOT NULL,
    task_id TEXT,
    kind    TEXT NOT NULL CHECK (kind IN ('grant', 'hold', 'settlement', 'refund', 'carry')),
    amount  INTEGER NOT NULL,                  -- what moves the balance
    cost    INTEGER NOT NULL,                  -- what a settlement keeps of a hold
    at      REAL NOT NULL,
    note    TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX ledger_once ON ledger (task_id, kind) WHERE task_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_ends ON ledger (task_id) WHERE kind IN ('settlement', 'refund');
CREATE INDEX ledger_of_key ON ledger (key_id, seq);

CREATE TABLE accounts (                        -- of each key, so that a balance is read and not added up
    key_id   TEXT PRIMARY KEY,
    balance  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    used     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_moves AFTER INSERT ON ledger WHEN NEW.kind <> 'carry' BEGIN
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
