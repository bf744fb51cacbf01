-- Version 2: uploaded files.

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
