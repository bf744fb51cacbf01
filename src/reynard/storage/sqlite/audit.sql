-- The statements of an audit. All but the first and the last take the rows from :after to :until, so that a long ledger
-- is read in steps. What a carry may stand for, a hold without its end as well, is not missed. A fault is (key, task, what is there, what there should be), amounts in micro-credits.

-- name: spans
SELECT (SELECT coalesce(max(seq), 0) FROM ledger), (SELECT coalesce(max(seq), 0) FROM tasks);

-- name: sums
SELECT key_id,
       sum(amount),
       sum(iif(kind = 'hold'
               AND NOT EXISTS (SELECT 1
                                 FROM ledger AS ending
                                WHERE ending.task_id = entry.task_id AND ending.kind IN ('settlement', 'refund')),
               -amount, 0)),
       sum(cost)
  FROM ledger AS entry
 WHERE seq > :after AND seq <= :until
 GROUP BY key_id;

-- name: odd_entries
SELECT key_id, coalesce(task_id, ''), amount, cost
  FROM ledger
 WHERE seq > :after AND seq <= :until
   AND CASE kind
       WHEN 'hold' THEN amount >= 0 OR cost <> 0
       WHEN 'settlement' THEN cost <= 0
       WHEN 'refund' THEN amount <= 0 OR cost <> 0
       WHEN 'grant' THEN cost <> 0
       END;

-- name: open_holds
SELECT hold.key_id, hold.task_id, -hold.amount, 0
  FROM ledger AS hold
  LEFT JOIN tasks AS task ON task.id = hold.task_id
 WHERE hold.seq > :after AND hold.seq <= :until
   AND hold.kind = 'hold'
   AND (task.id IS NULL OR task.ended IS NOT NULL)
   AND NOT EXISTS (SELECT 1 FROM ledger WHERE task_id = hold.task_id AND kind IN ('settlement', 'refund'));

-- name: twice
SELECT later.key_id, later.task_id, later.amount, later.cost
  FROM ledger AS later
 WHERE later.seq > :after AND later.seq <= :until
   AND later.kind IN ('hold', 'settlement', 'refund')
   AND EXISTS (SELECT 1
                 FROM ledger AS before
                WHERE before.task_id = later.task_id
                  AND before.seq < later.seq
                  AND before.kind IN ('hold', 'settlement', 'refund')
                  AND (before.kind = 'hold') = (later.kind = 'hold'));

-- name: ends_without_hold
SELECT ending.key_id, coalesce(ending.task_id, ''), ending.amount + ending.cost, coalesce(task.reserved, 0)
  FROM ledger AS ending
  LEFT JOIN tasks AS task ON task.id = ending.task_id
 WHERE ending.seq > :after AND ending.seq <= :until
   AND ending.kind IN ('settlement', 'refund')
   AND (ending.kind = 'refund' OR ending.amount <> -ending.cost OR coalesce(task.reserved, 0) <> 0)
   AND NOT EXISTS (SELECT 1 FROM ledger WHERE task_id = ending.task_id AND kind = 'hold')
   AND NOT EXISTS (SELECT 1
                     FROM ledger AS carry
                    WHERE carry.key_id = ending.key_id
                      AND carry.kind = 'carry'
                      AND carry.at >= coalesce(task.created, 0));

-- name: unequal_ends
SELECT ending.key_id, ending.task_id, ending.amount + ending.cost, -hold.amount
  FROM ledger AS ending
  JOIN ledger AS hold ON hold.task_id = ending.task_id AND hold.kind = 'hold'
 WHERE ending.seq > :after AND ending.seq <= :until
   AND ending.kind IN ('settlement', 'refund')
   AND ending.amount + ending.cost <> -hold.amount;

-- name: early_ends
SELECT ending.key_id, ending.task_id, ending.amount, ending.cost
  FROM ledger AS ending
  JOIN tasks AS task ON task.id = ending.task_id
 WHERE ending.seq > :after AND ending.seq <= :until
   AND ending.kind IN ('settlement', 'refund')
   AND task.ended IS NULL;

-- name: strangers
SELECT entry.key_id, entry.task_id, entry.amount, entry.cost
  FROM ledger AS entry
  JOIN tasks AS task ON task.id = entry.task_id
 WHERE entry.seq > :after AND entry.seq <= :until
   AND entry.key_id <> task.key_id;

-- name: missing_holds
SELECT task.key_id, task.id, coalesce(-hold.amount, 0), task.reserved
  FROM tasks AS task
  LEFT JOIN ledger AS hold ON hold.task_id = task.id AND hold.kind = 'hold'
 WHERE task.seq > :after AND task.seq <= :until
   AND task.reserved <> coalesce(-hold.amount, 0)
   AND (hold.seq IS NOT NULL
        OR task.ended IS NULL
        OR NOT EXISTS (SELECT 1 FROM ledger WHERE key_id = task.key_id AND kind = 'carry' AND at >= task.created));

-- name: wrong_costs
SELECT task.key_id, task.id, coalesce(settlement.cost, 0), coalesce(json_extract(CAST(task.bill AS TEXT), '$.cost'), 0)
  FROM tasks AS task
  LEFT JOIN ledger AS settlement ON settlement.task_id = task.id AND settlement.kind = 'settlement'
 WHERE task.seq > :after AND task.seq <= :until
   AND task.ended IS NOT NULL
   AND coalesce(settlement.cost, 0) <> coalesce(json_extract(CAST(task.bill AS TEXT), '$.cost'), 0)
   AND (settlement.seq IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM ledger WHERE key_id = task.key_id AND kind = 'carry' AND at >= task.ended));

-- name: used
SELECT key_id, sum(cost) FROM usage GROUP BY key_id;
