"""The durable store: tasks, their generations and results, money, workers' leases, keys, files, deliveries."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from reynard.core.files import File
from reynard.core.generation import Generation
from reynard.core.idempotency import Repeat
from reynard.core.keys import Key
from reynard.core.ledger import Account, Entry
from reynard.core.task import Attempt, Status, Task
from reynard.core.webhooks import Delivery, State, Try

UsageField = Literal["day", "model", "key"]


class TaskFilter(Struct, frozen=True, kw_only=True):
    """`GET /v1/tasks`: newest first; `after` is the id of the last task of the page before."""

    key_id: str
    status: Status | None = None
    model: str | None = None
    created_after: float | None = None
    after: str | None = None
    limit: int = 20


class TaskPage(Struct, frozen=True):
    """Tasks with their results; `has_more`: there are older ones."""

    tasks: list[tuple[Task, bytes | None]]
    has_more: bool


class Tasks(Protocol):
    """What is answered is on disk: every writing method returns after the commit.

    Every method raises `StoreUnavailable` when nothing can be kept (disk full, locked), and then nothing was.
    """

    async def insert(
        self,
        task: Task,
        generation: Generation | None,
        result: bytes | None = None,
        attempts: Sequence[Attempt] = (),
        *,
        limited: bool = False,
        spared: int = 0,
        repeat: Repeat | None = None,
    ) -> None:
        """A new task, with the hold of its reservation. One that has ended already is kept without its generation, and
        with all that comes with an end.

        `limited`: the key's balance must cover the reservation and leave `spared` micro-credits, else
        `InsufficientCredits` is raised. `repeat`: the Idempotency-Key that it is known by from now on; raises
        `Repeated` if another task of that key is. In both cases nothing is kept.
        """
        ...

    async def save(self, task: Task, result: bytes | None = None, attempts: Sequence[Attempt] = ()) -> bool:
        """Replaces version `task.version - 1`; False, and no change, if the store has another.

        With the end of a task its generation is let go, `result` (JSON; in another end than `completed`, as far as it
        came) and `attempts` are kept, its hold is settled or refunded (`core.ledger.at_end`), its usage added to the
        day's, and a delivery made if it has a `callback_url`: all in one commit.
        """
        ...

    async def find(self, task_id: str) -> tuple[Task, bytes | None] | None:
        """The task and its result."""
        ...

    async def generation(self, task_id: str) -> Generation | None:
        """What is asked of a task that has not ended; None if it cannot be read, or is not kept."""
        ...

    async def attempts(self, task_id: str) -> Sequence[Attempt]:
        """The upstream calls of an ended task, oldest first."""
        ...

    async def repeated(self, key_id: str, name: str) -> tuple[Repeat, str] | None:
        """What an Idempotency-Key of the key stands for, and the id of its task."""
        ...

    async def unfinished(self) -> Mapping[str, int]:
        """How many tasks each key has that have not ended."""
        ...

    async def list_tasks(self, wanted: TaskFilter) -> TaskPage:
        """At most `wanted.limit`, newest first; fewer where the results are so large that a page would be too long."""
        ...

    async def claim(self, owner: str, limit: int, max_bytes: int, now: float) -> list[tuple[Task, Generation | None]]:
        """Pending tasks, now `owner`'s: as many as have generations of `max_bytes` together, but one at least.
        Concurrent claims never overlap.

        Keys take turns: a task's turn is its place among those of its key that wait, behind those that run. The least
        turns are claimed, among equals that of the key that was claimed of longest ago, and then the oldest.

        None in place of a generation that cannot be read (another version of this program wrote it).
        """
        ...

    async def pending(self) -> Mapping[str, int]:
        """How many tasks of each key wait to be claimed."""
        ...

    async def overdue(self, now: float, limit: int) -> list[Task]:
        """Pending tasks whose deadline has come."""
        ...

    async def orphans(self, claimant: str, now: float, limit: int) -> list[Task]:
        """Processing tasks of workers other than `claimant`, whose lease has run out."""
        ...


class Ledger(Protocol):
    """Credits, in micro-credits. Holds and their ends come with the tasks (`Tasks.insert`, `Tasks.save`)."""

    async def post(self, entry: Entry) -> None:
        """One more entry that is no task's."""
        ...

    async def account(self, key_id: str) -> Account:
        """A key's credits; all zero for one that has no entries."""
        ...


class UsageFilter(Struct, frozen=True, kw_only=True):
    """Days in UTC (`2026-11-21`), the last one too; `by`: what the rows are told apart by; `page` counts from 1."""

    first: str
    last: str
    key_id: str | None = None  # None: all keys
    by: frozenset[UsageField] = frozenset()
    page: int = 1
    limit: int = 1_000


class UsageRow(Struct, frozen=True, kw_only=True):
    """What ended tasks used; `cost` in micro-credits. What rows are not told apart by is None."""

    day: str | None = None
    model: str | None = None
    key_id: str | None = None
    tasks: int = 0
    completed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0


class UsagePage(Struct, frozen=True):
    """Rows in order of day, model and key; `total` is of all pages."""

    rows: list[UsageRow]
    total: UsageRow
    has_more: bool


class Fault(Struct, frozen=True, kw_only=True):
    """What an audit found to be wrong with a key's credits, in words that name the entries."""

    key_id: str
    task_id: str | None = None
    message: str


Told = Callable[[int, int], None]
"""Is told how far an audit is: so many of so many rows."""


class Accounts(Protocol):
    """The ledger, read: reports of any length, which keep nobody waiting."""

    async def accounts(self) -> Mapping[str, Account]:
        """Every key's credits; a key without entries is not there."""
        ...

    async def entries(self, key_id: str, limit: int) -> Sequence[Entry]:
        """The key's newest entries, newest first."""
        ...

    async def usage(self, wanted: UsageFilter) -> UsagePage:
        """What ended tasks used, added up."""
        ...

    def audit(self, told: Told) -> Iterator[Fault]:
        """Adds up the whole ledger, as it is at this moment, and compares: entries with accounts, holds with their ends
        and with the tasks, costs with bills and usage. Reads as it is iterated, also while a gateway runs.

        Entries that were folded into a `carry` are taken as it has them.
        """
        ...


class Workers(Protocol):
    """A worker holds one lease for all that it runs: a heartbeat costs the same for one task and ten thousand."""

    async def beat(self, owner: str, until: float) -> None:
        """The worker lives, and means to until then (Unix seconds)."""
        ...

    async def retire(self, owner: str) -> None:
        """The worker stops: its lease ends now."""
        ...


class Keys(Protocol):
    """API keys, by the digest of the secret."""

    async def add_key(self, key: Key) -> None:
        """A new key."""
        ...

    async def update_key(self, key: Key, *, was: Key) -> bool:
        """Replaces `was`, of the same id; False, and no change, if the store has another."""
        ...

    async def key_by_digest(self, digest: bytes) -> Key | None:
        """The key whose secret has this digest."""
        ...

    async def find_key(self, key_id: str) -> Key | None:
        """The key of an id."""
        ...

    async def list_keys(self) -> Sequence[Key]:
        """All keys, oldest first."""
        ...

    def keys_epoch(self) -> int:
        """A number that changes with every change of a key, by whichever process; cheap enough to ask each time."""
        ...


class FilePage(Struct, frozen=True):
    """Files, newest first; `has_more`: there are older ones."""

    files: list[File]
    has_more: bool


class Files(Protocol):
    """What is known of uploaded files; their bytes are in a blob store, under their tokens."""

    async def add_file(self, file: File, quota: int, *, cleanup: bool) -> list[File]:
        """A new file, if all of its key's files together are at most `quota` bytes then; in one transaction.

        What has expired by `file.created` makes room, and with `cleanup` the key's oldest do: these are gone from the
        store, and returned, so that their blobs can be deleted. Raises `StorageFull`, and nothing is changed then.
        """
        ...

    async def file_by_token(self, token: str) -> File | None:
        """The file of an address."""
        ...

    async def find_file(self, file_id: str) -> File | None:
        """The file of an id."""
        ...

    async def list_files(self, key_id: str, after: str | None, limit: int) -> FilePage:
        """The key's files, newest first; `after` is the id of the last one of the page before."""
        ...

    async def delete_file(self, file_id: str) -> bool:
        """It is gone; False if it was not there."""
        ...

    async def expired_files(self, now: float, limit: int) -> list[File]:
        """Files whose time is over, those that expired first coming first."""
        ...


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """Newest first; `key_id` None: of all keys; `after` is the id of the last delivery of the page before."""

    key_id: str | None
    task_id: str | None = None
    state: State | None = None
    after: str | None = None
    limit: int = 20


class DeliveryPage(Struct, frozen=True):
    """Deliveries, newest first; `has_more`: there are older ones."""

    deliveries: list[Delivery]
    has_more: bool


class Deliveries(Protocol):
    """The outbox of webhooks. A delivery comes in with the end of its task (`Tasks.save`)."""

    async def due_deliveries(self, start: tuple[float, str], now: float, limit: int) -> list[Delivery]:
        """Pending ones that are due, in the order of (due, id), from behind `start` on."""
        ...

    async def next_delivery_due(self, now: float) -> float | None:
        """When the first of the pending ones that are not due yet will be."""
        ...

    async def record_try(self, delivery: Delivery, tried: Try, *, was: Delivery) -> bool:
        """A try, and what it made of `was`, in one commit. False, and only the try is kept, if `was` was changed
        since: somebody wants it delivered once more. Of a delivery's tries the last `webhooks.TRIES_KEPT` are kept; of
        one that is gone, none."""
        ...

    async def postpone(self, delivery: Delivery, *, was: Delivery) -> bool:
        """As `record_try`, without a try."""
        ...

    async def put_back(self, delivery: Delivery) -> bool:
        """The delivery as it is now, in place of the one of its id; False if there is none."""
        ...

    async def find_delivery(self, delivery_id: str) -> Delivery | None:
        """The delivery of an id."""
        ...

    async def tries(self, delivery_id: str, limit: int) -> list[Try]:
        """The last ones of a delivery, oldest first."""
        ...

    async def list_deliveries(self, wanted: DeliveryFilter) -> DeliveryPage:
        """At most `wanted.limit`, newest first."""
        ...


class ChunkRow(Struct, frozen=True):
    """Chunks (JSON without line breaks) of one stream that follow each other; `first` is the number of the first."""

    task_id: str
    first: int
    chunks: Sequence[bytes]


class ChunkRows(Protocol):
    """The chunks of streams, for a chunk log that is written behind (or before) what it delivers."""

    async def write_chunks(self, rows: Sequence[ChunkRow], now: float) -> None:
        """Keeps rows of any number of streams, all or none. One of the same stream and number is replaced."""
        ...

    async def log_chunks(self, rows: Sequence[ChunkRow], oldest: int) -> int:
        """Keeps rows of any number of streams, all or none, in one entry of a log, which nothing reads before
        `file_logged`. Entries numbered below `oldest` go: what they held was given to `write_chunks`.

        Returns the entry's number, greater than any before; 0 where there was nothing to keep.
        """
        ...

    async def file_logged(self, now: float) -> None:
        """What entries hold becomes rows, as far as it follows on the stream's own without a gap; the log is emptied.

        Of a stream that was dropped it is only what was logged after that.
        """
        ...

    async def has_chunks(self, task_id: str) -> bool:
        """Whether there are rows of the stream."""
        ...

    async def read_chunks(self, task_id: str, first: int, most_bytes: int = 1_000_000) -> list[bytes]:
        """A page of the stream's chunks from number `first` on, of `most_bytes` or one row; empty at the end.

        What does not follow without a gap is not there.
        """
        ...

    async def drop_chunks(self, task_id: str) -> None:
        """The stream's rows are gone, and what the log holds of it never becomes any."""
        ...


class Retention(Protocol):
    """What is past its time goes, a batch of at most `limit` at a time; each method returns how many it was, 0 when
    none is left. A batch is one transaction, and of a bounded size in bytes too: nobody waits long behind it."""

    async def sweep_tasks(self, before: float, limit: int) -> int:
        """Tasks that ended by `before` (Unix seconds), with what was delivered of them. One that is still to be
        delivered stays, `webhooks.GRACE_S` at the most. Their ledger entries and usage stay."""
        ...

    async def sweep_results(self, before: float, limit: int) -> int:
        """The results of tasks that ended by `before`; the tasks stay. What is still to be delivered stays as
        in `sweep_tasks`."""
        ...

    async def sweep_chunks(self, before: float, limit: int) -> int:
        """Rows of streams that were begun by `before`, and whose task ended by then or is gone."""
        ...

    async def sweep_repeats(self, before: float, limit: int) -> int:
        """Idempotency-Keys that were first used by `before`."""
        ...

    async def sweep_lone_repeats(self, before: float, limit: int) -> int:
        """Of those, the ones whose task is gone."""
        ...

    async def fold_ledger(self, before: float, limit: int) -> int:
        """Ledger entries made by `before`, but for holds that have no end yet: a key's are replaced by one `carry` of
        their sums, so that its entries still add up to its balance and to what it used. Those behind a younger one may
        wait for it."""
        ...


class Store(Tasks, Ledger, Accounts, Workers, Keys, Files, Deliveries, ChunkRows, Retention, Protocol):
    """One back-end for all of it."""

    async def close(self) -> None:
        """Keeps what was accepted, and lets go of the files."""
        ...
