-- The whole schema, version 3 (PRAGMA user_version): what the migrations come to.

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
CREATE INDEX tasks_pending ON tasks (key_id, seq, status) WHERE status = 'pending';
CREATE INDEX tasks_processing ON tasks (key_id, owner, status) WHERE status = 'processing';

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
