-- name: insert_task
INSERT INTO tasks (id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read,
                   error, generation, result, deadline, terms, reserved, bill, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: save_task
UPDATE tasks
   SET status = ?, attempt = ?, version = ?, started = ?, owner = ?, read = ?
 WHERE id = ? AND version = ?;

-- name: end_task
UPDATE tasks
   SET status = ?, attempt = ?, version = ?, started = ?, ended = ?, owner = NULL, error = ?, result = ?, bill = ?,
       attempts = ?, terms = ?, generation = NULL
 WHERE id = ? AND version = ?;

-- name: find_task
SELECT id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read, error,
       deadline, terms, reserved, bill, result
  FROM tasks
 WHERE id = ?;

-- name: list_tasks
-- Source and conditions: of `lists`.
SELECT id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read, error,
       deadline, terms, reserved, bill, result
  FROM {source}
 WHERE key_id = :key_id
   AND seq < coalesce((SELECT seq FROM tasks WHERE id = :after AND key_id = :key_id), 9223372036854775807)
   AND {conditions}
 ORDER BY seq DESC
 LIMIT :limit + 1;

-- name: arrival
SELECT seq, created FROM tasks WHERE seq >= ? ORDER BY seq LIMIT 1;

-- name: claim_tasks
-- `line` is a queue that gives its least turn first, and takes in a key's next task when it gives out the one before:
-- so a claim looks at one task of each waiting key and at those that it takes, however many wait.
WITH RECURSIVE
waiting (key_id) AS (
    SELECT min(key_id) FROM tasks WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min(key_id) FROM tasks WHERE status = 'pending' AND key_id > waiting.key_id)
      FROM waiting WHERE key_id IS NOT NULL
),
running (key_id, tasks) AS MATERIALIZED (
    SELECT key_id, count(*) FROM tasks INDEXED BY tasks_processing WHERE status = 'processing' GROUP BY key_id
),
line (turn, last, seq, key_id) AS (
    SELECT 1 + coalesce(running.tasks, 0),
           coalesce((SELECT last FROM turns WHERE key_id = waiting.key_id), 0.0),
           (SELECT min(seq) FROM tasks WHERE status = 'pending' AND key_id = waiting.key_id),
           waiting.key_id
      FROM waiting LEFT JOIN running ON running.key_id = waiting.key_id
     WHERE waiting.key_id IS NOT NULL
    UNION ALL
    SELECT line.turn + 1, line.last, next.seq, line.key_id
      FROM line JOIN tasks AS next
        ON next.seq = (SELECT min(seq) FROM tasks
                        WHERE status = 'pending' AND key_id = line.key_id AND seq > line.seq)
     ORDER BY 1, 2, 3
     LIMIT ?3
)
UPDATE tasks
   SET status = 'processing', attempt = attempt + 1, version = version + 1, owner = ?1, started = coalesce(started, ?2)
 WHERE seq IN (SELECT seq
                 FROM (SELECT line.seq, row_number() OVER fair AS place, sum(length(generation)) OVER fair AS bytes
                         FROM line JOIN tasks USING (seq)
                       WINDOW fair AS (ORDER BY turn, last, line.seq))
                WHERE place = 1 OR bytes <= ?4)
RETURNING id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read, error,
          deadline, terms, reserved, bill, generation, seq;

-- name: pending
SELECT key_id, count(*) FROM tasks WHERE status = 'pending' GROUP BY key_id;

-- name: overdue
SELECT id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read, error,
       deadline, terms, reserved, bill, NULL
  FROM tasks
 WHERE status = 'pending' AND deadline <= ?
 LIMIT ?;

-- name: orphans
SELECT id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner, read, error,
       deadline, terms, reserved, bill, NULL
  FROM tasks
 WHERE status = 'processing'
   AND owner <> ?
   AND owner NOT IN (SELECT id FROM workers WHERE lease_until > ?)
 LIMIT ?;

-- name: find_generation
SELECT generation FROM tasks WHERE id = ?;

-- name: find_attempts
SELECT attempts FROM tasks WHERE id = ?;

-- name: unfinished
SELECT key_id, sum(tasks)
  FROM (SELECT key_id, count(*) AS tasks FROM tasks WHERE status = 'pending' GROUP BY key_id
        UNION ALL
        SELECT key_id, count(*) FROM tasks WHERE status = 'processing' GROUP BY key_id)
 GROUP BY key_id;

-- name: repeated
SELECT fingerprint, task_id, created FROM idempotency WHERE key_id = ? AND name = ?;

-- name: know_by
INSERT OR REPLACE INTO idempotency (key_id, name, fingerprint, task_id, created) VALUES (?, ?, ?, ?, ?);

-- name: post_entry
INSERT INTO ledger (key_id, task_id, kind, amount, cost, at, note, tallied) VALUES (?, ?, ?, ?, ?, ?, ?, 1);

-- name: post_entries
INSERT INTO ledger (key_id, task_id, kind, amount, cost, at, note, tallied)
VALUES (?, ?, ?, ?, ?, ?, ?, 1), (?, ?, ?, ?, ?, ?, ?, 1),
       (?, ?, ?, ?, ?, ?, ?, 1), (?, ?, ?, ?, ?, ?, ?, 1),
       (?, ?, ?, ?, ?, ?, ?, 1), (?, ?, ?, ?, ?, ?, ?, 1),
       (?, ?, ?, ?, ?, ?, ?, 1), (?, ?, ?, ?, ?, ?, ?, 1);

-- name: move_account
INSERT INTO accounts (key_id, balance, reserved, used) VALUES (?, ?, ?, ?)
ON CONFLICT (key_id) DO UPDATE
   SET balance = balance + excluded.balance, reserved = reserved + excluded.reserved, used = used + excluded.used;

-- name: account
SELECT balance, reserved, used FROM accounts WHERE key_id = ?;

-- name: add_usage
INSERT INTO usage (day, key_id, model, tasks, completed, prompt_tokens, completion_tokens, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, key_id, model) DO UPDATE
   SET tasks = tasks + excluded.tasks, completed = completed + excluded.completed, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
       completion_tokens = completion_tokens + excluded.completion_tokens, cost = cost + excluded.cost;

-- name: insert_delivery
INSERT INTO deliveries (id, task_id, key_id, url, created, due, state, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: beat
INSERT INTO workers (id, lease_until) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until;

-- name: retire
DELETE FROM workers WHERE id = ?;

-- name: retire_all
DELETE FROM workers;

-- name: add_key
INSERT INTO keys (id, digest, body, created) VALUES (?, ?, ?, ?);

-- name: key_by_id
SELECT body FROM keys WHERE id = ?;

-- name: update_key
UPDATE keys SET digest = ?, body = ? WHERE id = ? AND body = ?;

-- name: key_by_digest
SELECT body FROM keys WHERE digest = ?;

-- name: list_keys
SELECT body FROM keys ORDER BY created, id;

-- name: keys_epoch
SELECT value FROM epochs WHERE name = 'keys';

-- name: add_file
INSERT INTO files (id, key_id, name, type, size, sha256, token, created, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: file_bytes
SELECT bytes FROM file_bytes WHERE key_id = ?;

-- name: oldest_files
SELECT id, key_id, name, type, size, sha256, token, created, expires
  FROM files
 WHERE key_id = ?
 ORDER BY seq;

-- name: file_by_token
SELECT id, key_id, name, type, size, sha256, token, created, expires FROM files WHERE token = ?;

-- name: find_file
SELECT id, key_id, name, type, size, sha256, token, created, expires FROM files WHERE id = ?;

-- name: list_files
SELECT id, key_id, name, type, size, sha256, token, created, expires
  FROM files
 WHERE key_id = :key_id
   AND seq < coalesce((SELECT seq FROM files WHERE id = :after AND key_id = :key_id), 9223372036854775807)
 ORDER BY seq DESC
 LIMIT :limit + 1;

-- name: delete_file
DELETE FROM files WHERE id = ?;

-- name: expired_files
SELECT id, key_id, name, type, size, sha256, token, created, expires
  FROM files
 WHERE expires <= ?
 ORDER BY expires
 LIMIT ?;

-- name: accounts
SELECT key_id, balance, reserved, used FROM accounts;

-- name: entries
SELECT key_id, kind, amount, at, task_id, cost, note FROM ledger WHERE key_id = ? ORDER BY seq DESC LIMIT ?;

-- name: usage_of_all
SELECT iif(:day, day, NULL), iif(:model, model, NULL), iif(:key, key_id, NULL),
       sum(tasks), sum(completed), sum(prompt_tokens), sum(completion_tokens), sum(cost)
  FROM usage
 WHERE day BETWEEN :first AND :last
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3
 LIMIT :limit + 1 OFFSET :skipped;

-- name: usage_of_key
-- Day by day, for the rows of a day are in order of their keys: a key's are found without reading the others'.
WITH RECURSIVE days (at) AS (
    SELECT :first WHERE :first <= :last
     UNION ALL
    SELECT date(at, '+1 day') FROM days WHERE at < :last
)
SELECT iif(:day, day, NULL), iif(:model, model, NULL), iif(:key, key_id, NULL),
       sum(tasks), sum(completed), sum(prompt_tokens), sum(completion_tokens), sum(cost)
  FROM days CROSS JOIN usage ON usage.day = days.at AND usage.key_id = :key_id
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3
 LIMIT :limit + 1 OFFSET :skipped;
-- name: due_deliveries
SELECT id, task_id, key_id, url, created, due, state, attempt
  FROM deliveries
 WHERE state = 'pending' AND (due, id) > (?, ?) AND due <= ?
 ORDER BY due, id
 LIMIT ?;

-- name: next_delivery_due
SELECT min(due) FROM deliveries WHERE state = 'pending' AND due > ?;

-- name: settle_delivery
UPDATE deliveries SET state = ?, attempt = ?, due = ?
 WHERE id = ? AND state = ? AND attempt = ? AND due = ?;

-- name: put_back_delivery
UPDATE deliveries SET state = ?, attempt = ?, due = ? WHERE id = ?;

-- name: add_try
INSERT INTO delivery_log (delivery_id, at, status, error, took_ms)
SELECT id, :at, :status, :error, :took_ms FROM deliveries WHERE id = :id;

-- name: forget_tries
DELETE FROM delivery_log
 WHERE delivery_id = :id
   AND seq <= (SELECT seq FROM delivery_log WHERE delivery_id = :id ORDER BY seq DESC LIMIT 1 OFFSET :kept);

-- name: find_delivery
SELECT id, task_id, key_id, url, created, due, state, attempt FROM deliveries WHERE id = ?;

-- name: tries
SELECT at, status, error, took_ms FROM delivery_log WHERE delivery_id = ? ORDER BY seq DESC LIMIT ?;

-- name: list_deliveries
-- Source and conditions: of `lists`.
SELECT id, task_id, key_id, url, created, due, state, attempt
  FROM {source}
 WHERE {conditions}
 ORDER BY created DESC, id DESC
 LIMIT :limit + 1;

-- name: write_chunks
INSERT INTO chunks (task_id, first, body, written) VALUES (?, ?, ?, ?)
ON CONFLICT (task_id, first) DO UPDATE SET body = excluded.body, written = excluded.written;

-- name: has_chunks
SELECT EXISTS (SELECT 1 FROM chunks WHERE task_id = ?);

-- name: read_chunks
SELECT first, body
  FROM chunks
 WHERE task_id = :task
   AND first >= coalesce((SELECT max(first) FROM chunks WHERE task_id = :task AND first <= :first), :first)
 ORDER BY first;

-- name: last_chunks
SELECT first, body FROM chunks WHERE task_id = ? ORDER BY first DESC LIMIT 1;

-- name: drop_chunks
DELETE FROM chunks WHERE task_id = ?;

-- name: log_chunks
INSERT INTO chunk_log (body) VALUES (?);

-- name: has_entries
SELECT 1 FROM chunk_log LIMIT 1;

-- name: logged_chunks
SELECT body FROM chunk_log ORDER BY number;

-- name: drop_entries
DELETE FROM chunk_log WHERE number < ?;

-- name: drop_all_entries
DELETE FROM chunk_log;

-- name: streams_past
SELECT task_id
  FROM chunks
 WHERE first = 0 AND written <= :before
   AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_id AND (ended IS NULL OR ended > :before))
 ORDER BY written
 LIMIT :limit;

-- name: chunk_rows
SELECT rowid, length(body) FROM chunks WHERE task_id = ? ORDER BY first DESC LIMIT ?;

-- name: delete_chunk_row
DELETE FROM chunks WHERE rowid = ?;

-- name: tasks_past
SELECT seq, coalesce(length(result), 0) + coalesce(length(attempts), 0), id
  FROM tasks
 WHERE ended <= :before
   AND (ended <= :before - :grace
        OR NOT EXISTS (SELECT 1 FROM deliveries WHERE task_id = tasks.id AND state = 'pending'))
 ORDER BY ended
 LIMIT :limit;

-- name: delete_delivery_log
DELETE FROM delivery_log WHERE delivery_id IN (SELECT id FROM deliveries WHERE task_id = ?);

-- name: delete_delivery
DELETE FROM deliveries WHERE task_id = ?;

-- name: delete_task
DELETE FROM tasks WHERE id = ?;

-- name: results_past
SELECT seq, length(result)
  FROM tasks
 WHERE result IS NOT NULL AND ended <= :before
   AND (ended <= :before - :grace
        OR NOT EXISTS (SELECT 1 FROM deliveries WHERE task_id = tasks.id AND state = 'pending'))
 ORDER BY ended
 LIMIT :limit;

-- name: empty_result
UPDATE tasks SET result = NULL WHERE seq = ?;

-- name: sweep_repeats
DELETE FROM idempotency
 WHERE (key_id, name) IN (SELECT key_id, name FROM idempotency WHERE created <= ? ORDER BY created LIMIT ?);

-- name: sweep_lone_repeats
DELETE FROM idempotency
 WHERE (key_id, name) IN (SELECT key_id, name
                            FROM idempotency
                           WHERE created <= ? AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.id = task_id)
                           ORDER BY created
                           LIMIT ?);

-- name: entries_past
SELECT seq, key_id, amount, cost, at
  FROM ledger
 WHERE seq < coalesce((SELECT seq FROM ledger WHERE at > :before ORDER BY seq LIMIT 1), 9223372036854775807)
   AND kind <> 'carry'
   AND (kind <> 'hold'
        OR EXISTS (SELECT 1 FROM ledger AS ends
                    WHERE ends.task_id = ledger.task_id AND ends.kind IN ('settlement', 'refund')
                      AND ends.at <= :before))
 ORDER BY seq
 LIMIT :limit;

-- name: carries
SELECT seq, key_id, amount, cost, at FROM ledger WHERE key_id = ? AND kind = 'carry' AND seq <= ?;

-- name: delete_entry
DELETE FROM ledger WHERE seq = ?;

-- name: carry
INSERT INTO ledger (seq, key_id, task_id, kind, amount, cost, at, note) VALUES (?, ?, NULL, 'carry', ?, ?, ?, '');
