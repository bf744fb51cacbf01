-- Version 4: a transaction moves accounts once, however many entries it holds.

ALTER TABLE ledger ADD COLUMN tallied INTEGER NOT NULL DEFAULT 0;    -- whether its writer moves the account

DROP TRIGGER ledger_moves;                    -- stays for who does not: a gateway of an older version that still runs
CREATE TRIGGER ledger_moves AFTER INSERT ON ledger WHEN NEW.kind <> 'carry' AND NOT NEW.tallied BEGIN
    INSERT INTO accounts (key_id, balance, reserved, used)
    VALUES (NEW.key_id, NEW.amount, iif(NEW.kind = 'grant', 0, -NEW.amount - NEW.cost), NEW.cost)
    ON CONFLICT (key_id) DO UPDATE
       SET balance = balance + excluded.balance, reserved = reserved + excluded.reserved, used = used + excluded.used;
END;

DROP INDEX ledger_once;                       -- one index for what two did
DROP INDEX ledger_ends;
CREATE UNIQUE INDEX ledger_once ON ledger (task_id, kind = 'hold') WHERE task_id IS NOT NULL;
