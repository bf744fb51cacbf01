-- Version 3: claims take turns between keys.

DROP INDEX tasks_pending;
DROP INDEX tasks_processing;
CREATE INDEX tasks_pending ON tasks (key_id, seq, status) WHERE status = 'pending';
CREATE INDEX tasks_processing ON tasks (key_id, owner, status) WHERE status = 'processing';
