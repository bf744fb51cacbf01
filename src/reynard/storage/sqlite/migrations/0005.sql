-- Version 5: what is new of many streams is one row, not one each.

CREATE TABLE chunk_log (                       -- what is new of many streams, until each has a row of it
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body   BLOB NOT NULL                       -- MessagePack: task, number of the first chunk, JSON a line each
) STRICT;
