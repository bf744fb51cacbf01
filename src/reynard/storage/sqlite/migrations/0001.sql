-- Version 1.

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
    result     BLOB                            -- JSON; there when completed
) STRICT;

CREATE INDEX tasks_of_key ON tasks (key_id, seq);
CREATE INDEX tasks_pending ON tasks (seq) WHERE status = 'pending';
CREATE INDEX tasks_processing ON tasks (owner) WHERE status = 'processing';

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
