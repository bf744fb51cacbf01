"""What the gateway has done, in figures: `ports.telemetry.Observer`. docs/metrics.md lists all of them.

Labels hold what the operator wrote (channels, models) and words of the gateway's own (codes, routes); never a key, the
id of a task, an address or anything a client made up.
"""

from collections.abc import Sequence
from typing import Final

from reynard.core.errors import RateLimited, ReynardError
from reynard.core.ledger import MICRO
from reynard.core.task import Attempt, Task
from reynard.core.webhooks import State
from reynard.telemetry import exposition
from reynard.telemetry.exposition import Counter, Family, Histogram

ANSWER_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
ATTEMPT_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
FIRST_S: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40)
COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
OPERATIONS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Metrics:
    """Counts what it is told; `families` are shown in their order, and others may be added to them."""

    def __init__(self) -> None:
        self._requests = Counter(
            "reynard_http_requests_total", "HTTP requests answered.", ["route", "method", "status"]
        )
        self._answers = Histogram(
            "reynard_http_request_duration_seconds",
            "From a request's head to the end of its answer, streams included.",
            ["route"],
            bounds=ANSWER_S,
        )
        self._errors = Counter("reynard_errors_total", "Requests answered with an error, by its code.", ["code"])
        self._limits = Counter(
            "reynard_limits_refused_total", "Requests beyond a limit of their key, by the limit.", ["limit"]
        )
        self._tasks = Counter(
            "reynard_tasks_ended_total",
            "Tasks that came to their end, by the model asked for; code: why one failed.",
            ["model", "status", "code"],
        )
        self._tokens = Counter(
            "reynard_tokens_total",
            "Tokens used, by the model that answered; kind: prompt, completion.",
            ["model", "kind"],
        )
        self._cost = Counter(
            "reynard_cost_credits_total",
            "Credits that answers came to, by the model that answered.",
            ["model"],
            per=MICRO,
        )
        self._attempts = Counter(
            "reynard_attempts_total",
            "Calls to providers; code: why one failed.",
            ["channel", "model", "outcome", "code"],
        )
        self._attempt_s = Histogram(
            "reynard_attempt_duration_seconds",
            "Of attempts, with the wait for a place on the channel.",
            ["channel", "outcome"],
            bounds=ATTEMPT_S,
        )
        self._first_s = Histogram(
            "reynard_attempt_first_chunk_seconds", "Until a stream's first chunk.", ["channel"], bounds=FIRST_S
        )
        self._webhooks = Counter("reynard_webhook_tries_total", "Webhooks posted, by what became of them.", ["state"])
        self._uploads = Counter("reynard_uploads_total", "Files kept.")
        self._upload_bytes = Counter("reynard_upload_bytes_total", "Bytes of the files kept.")
        self._commit_s = Histogram(
            "reynard_store_commit_duration_seconds",
            "From the start of a transaction to the news of it.",
            bounds=COMMIT_S,
        )
        self._commit_size = Histogram(
            "reynard_store_commit_operations", "Operations that shared a transaction.", bounds=OPERATIONS
        )
        self.families: list[Family] = [
            self._requests, self._answers, self._errors, self._limits, self._tasks, self._tokens, self._cost,
            self._attempts, self._attempt_s, self._first_s, self._webhooks, self._uploads, self._upload_bytes,
            self._commit_s, self._commit_size,
        ]  # fmt: skip

    def text(self) -> bytes:
        """The page, as it is now."""
        return exposition.text(self.families)

    def add(self, families: Sequence[Family]) -> None:
        """More to show."""
        self.families += families

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """See the port."""
        self._requests.add((route, method, str(status)))
        self._answers.observe((route,), seconds)

    def refused(self, error: ReynardError) -> None:
        """See the port."""
        self._errors.add((error.code,))
        if isinstance(error, RateLimited):
            self._limits.add((error.limit,))

    def ended(self, task: Task) -> None:
        """See the port."""
        self._tasks.add((task.model, task.status, "" if task.error is None else task.error.code))
        bill = task.bill
        if bill is not None:
            self._tokens.add((bill.model, "prompt"), bill.prompt_tokens)
            self._tokens.add((bill.model, "completion"), bill.completion_tokens)
            self._cost.add((bill.model,), bill.cost)

    def attempted(self, attempt: Attempt, first_s: float | None) -> None:
        """See the port."""
        channel, outcome = attempt.channel, attempt.outcome
        self._attempts.add((channel, attempt.model, outcome, attempt.code or ""))
        self._attempt_s.observe((channel, outcome), max(0.0, attempt.ended - attempt.started))
        if first_s is not None:
            self._first_s.observe((channel,), max(0.0, first_s))

    def committed(self, operations: int, seconds: float) -> None:
        """See the port."""
        self._commit_s.observe((), seconds)
        self._commit_size.observe((), operations)

    def delivered(self, state: State) -> None:
        """See the port."""
        self._webhooks.add((state,))

    def uploaded(self, size: int) -> None:
        """See the port."""
        self._uploads.add()
        self._upload_bytes.add((), size)
