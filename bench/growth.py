"""What a request and a poll cost, in CPU time, when much is stored already: tasks with their ledger, and keys."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import bodies, cost, reynard, scenarios
from bench.figures import Figures, named
from bench.subject import Subject
from reynard.bootstrap.data_dir import STORE_FILE, new_key, open_store
from reynard.bootstrap.system import SystemChance, SystemClock
from reynard.core.ledger import Entry
from reynard.core.limits import Limits
from reynard.ports.store import Store
from reynard.testing import load
from reynard.testing.load import Target

TASKS: Final = (1_000, 100_000, 1_000_000)
KEYS: Final = 10_000
POLLED: Final = 2_000
OVER_S: Final = 20 * 86_400
CONNECTIONS: Final = 8
GRANT: Final = 10**12  # micro-credits

# The one task there is, as often as wanted: what is stored then is what the gateway itself stores of one. Younger than
# what retention takes away, and in the order of arrival, as they would have come.
MANY_TASKS: Final = """
INSERT INTO tasks (id, key_id, model, form, sync, stream, status, attempt, version, created, started, ended, owner,
                   read, error, generation, result, deadline, terms, reserved, bill, attempts)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
SELECT printf('task-llm-%d-%08x', created - :over * (1.0 - i * 1.0 / :count), i), key_id, model, form, sync, stream,
       status, attempt, version, created - :over * (1.0 - i * 1.0 / :count),
       started - :over * (1.0 - i * 1.0 / :count), ended - :over * (1.0 - i * 1.0 / :count), owner,
       read, error, generation, result, deadline, terms, reserved, bill, attempts
  FROM n CROSS JOIN (SELECT * FROM tasks ORDER BY seq LIMIT 1)
"""
THEIR_LEDGER: Final = """
INSERT INTO ledger (key_id, task_id, kind, amount, cost, at, note)
SELECT task.key_id, task.id, entry.kind, entry.amount, entry.cost, task.created, entry.note
  FROM tasks AS task
 CROSS JOIN (SELECT kind, amount, cost, note
               FROM ledger
              WHERE task_id = (SELECT id FROM tasks ORDER BY seq LIMIT 1)) AS entry
 WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE task_id = task.id)
"""
IN_HASTE: Final = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -500000"
"""Nothing is lost with a store that is being filled; the gateway sets its own way of writing when it opens it."""
SOME_TASKS: Final = "SELECT id FROM tasks WHERE seq % :every = 0 LIMIT :limit"


class Grown:
    """A gateway on a store that is full already. `sync` and `poll`: what it is asked."""

    def __init__(self, name: str, subject: Subject, tasks: list[str], secrets: list[str]) -> None:
        self.name = name
        self.subject = subject
        self.poll = scenarios.polls(subject, tasks)
        self.sync = scenarios.asked(subject)
        if secrets:
            host = urlsplit(subject.url).netloc
            each = (load.request("POST", host, subject.path, _headers(secret), bodies.chat()) for secret in secrets)
            self.sync = Target(self.sync.host, self.sync.port, tuple(each))


def measure(
    found: Figures, folder: Path, upstream: str, rounds: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Sizes are measured in turn, each round."""
    say("growth: filling the stores")
    secrets = _filled(folder, upstream)
    with ExitStack() as stack:
        grown = [_opened(stack, folder / name, upstream, name, secrets.get(name, [])) for name in _names()]
        for turn in range(rounds):
            for one in grown:
                say(f"growth: {one.name}, round {turn + 1} of {rounds}")
                _measure(one, [other.subject for other in grown if other is not one], seconds, found)


def tasks_name(count: int) -> str:
    """Of the row."""
    return f"{count:,} stored tasks"


KEYS_NAME: Final = f"{KEYS:,} keys"
SCENARIO: Final = "growth: CPU time and what is stored"


def _names() -> list[str]:
    return [*map(tasks_name, TASKS), KEYS_NAME]


def _measure(one: Grown, others: list[Subject], seconds: float, found: Figures) -> None:
    with cost.standing_still(pid for other in others for pid in other.pids):
        for kind, asked in (("sync", one.sync), ("poll", one.poll)):
            before_s = cost.cpu_s(one.subject.pids)
            outcome = load.on_loop(
                load.closed(asked, connections=CONNECTIONS, seconds=seconds, warm_s=scenarios.WARM_S)
            )
            used_s = cost.cpu_s(one.subject.pids) - before_s
            if outcome.failed:
                found.note(f"{one.name}, {kind}: {dict(outcome.failures)}")
            found.add(named(SCENARIO, one.name, f"CPU a {kind}"), "ms", 1000 * used_s / max(1, outcome.total))


def _filled(folder: Path, upstream: str) -> Mapping[str, list[str]]:
    """A folder for each; the secrets of the keys that there are more of."""
    base = folder / "base"
    base.mkdir()
    with reynard.start(0, upstream, base) as subject:
        load.on_loop(load.closed(scenarios.completed(subject), connections=1, seconds=0.0, warm_s=0.01))
    for count in TASKS:
        shutil.copytree(base, folder / tasks_name(count))
        _with_tasks(folder / tasks_name(count) / "data", count)
    shutil.copytree(folder / tasks_name(TASKS[0]), folder / KEYS_NAME)
    return {KEYS_NAME: asyncio.run(_with_keys(folder / KEYS_NAME / "data"))}


def _with_tasks(data: Path, count: int) -> None:
    with closing(sqlite3.connect(data / STORE_FILE)) as connection:
        connection.executescript(IN_HASTE)
        connection.execute(MANY_TASKS, {"count": count, "over": OVER_S})
        connection.execute(THEIR_LEDGER)
        connection.commit()


async def _with_keys(data: Path) -> list[str]:
    store = open_store(data)
    secrets = await asyncio.gather(*(_with_key(store) for _ in range(KEYS)))
    await store.close()
    return list(secrets)


async def _with_key(store: Store) -> str:
    limits = Limits(rpm=1_000_000_000, tpm=1_000_000_000, concurrency=1_000_000)
    secret, key = new_key(SystemChance(), SystemClock(), name="one of many", limited=True, limits=limits)
    await store.add_key(key)
    await store.post(Entry(key_id=key.id, kind="grant", amount=GRANT, at=key.created, note="at its creation"))
    return secret


def _opened(stack: ExitStack, folder: Path, upstream: str, name: str, secrets: list[str]) -> Grown:
    with closing(sqlite3.connect(folder / "data" / STORE_FILE)) as connection:
        count = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        every = max(1, count // POLLED)
        tasks = [row[0] for row in connection.execute(SOME_TASKS, {"every": every, "limit": POLLED})]
    random.Random(0).shuffle(tasks)
    return Grown(name, stack.enter_context(reynard.start(0, upstream, folder)), tasks, secrets)


def _headers(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
