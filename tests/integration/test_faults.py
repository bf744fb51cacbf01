"""Each scenario of `tests.faults`, in each dialect, in every way of asking: alone, and with a good channel behind it.

A model's name carries how its provider behaves, so that all cells of a dialect run beside each other, once; each test
looks at what became of its own.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import get_args

import httpx2
import pytest
from tests.faults import BROKEN, OF_THE_REQUEST, SCENARIOS, STATUS, Scenario, behaviour_of
from tests.integration.test_answers import wait_for
from tests.processes import UPSTREAM_KEY, Dialect, Gateway, Upstream, channel, running
from tests.ways import WAYS, Told, Way

PACE = {"tokens_per_s": 12}
CELLS_AT_ONCE = 40
BEHIND = ("alone", "with another")
PRICE = "price = { input = 1_000, output = 2_000 }"
TOKENS = 24  # of an answer, unless a scenario says
IN, OUT = 1_000, 2_000  # micro-credits a token
ENDS = ("[DONE]", "message_stop", "response.completed", "event: done")
ADVICE = ("ry again", "Change", "Shorten", "Tell")
CELLS = [(name, way, behind) for name in SCENARIOS for way in WAYS for behind in BEHIND]


def expected(scenario: Scenario, dialect: str, way: Way, behind: str) -> str | None:
    """The code with which it ends; None is the whole answer."""
    code = scenario.code(dialect, stream=way.stream)
    is_open = way.hands_out and dialect in scenario.begins
    is_rescued = behind != "alone" and code not in OF_THE_REQUEST
    if code is None or is_rescued:
        return None
    return BROKEN if is_open else code


Cell = tuple[str, str, str]
Entries = dict[str, tuple[int, int]]
"""`(amount, cost)` of a task's entries in the ledger, by kind."""


@dataclass
class Outcomes:
    """What became of every cell of a dialect. `words`: of a whole answer, as many as any of them has."""

    told: dict[Cell, Told | Exception]
    asked: dict[str, int]
    ledger: dict[str, Entries]
    secrets: list[str]
    words: list[str]

    def whole(self, scenario: Scenario) -> str:
        """The answer of a scenario, had nothing gone wrong."""
        return "".join(f"{word} " for word in self.words[: scenario.behaviour.get("tokens") or TOKENS])


def model_of(cell: Cell) -> str:
    return f"cell-{CELLS.index(cell)}"


def bad(upstream: Upstream, dialect: Dialect, cell: Cell) -> str:
    """The failing channel, which no other cell has."""
    scenario, model = SCENARIOS[cell[0]], model_of(cell)
    pace = PACE if WAYS[cell[1]].paced and "tokens_per_s" not in scenario.behaviour else {}
    models = f'[{{ id = "{model}", upstream = "{model}?{behaviour_of(scenario, **pace)}" }}]'
    return channel(upstream, name=f"bad-{model}", dialect=dialect, models=models, more=scenario.channel)


def good(upstream: Upstream, dialect: Dialect) -> str:
    """The channel behind all of those that have another; the number of tokens, some scenarios set."""
    tokens = {cell: SCENARIOS[cell[0]].behaviour.get("tokens") for cell in CELLS if cell[2] != "alone"}
    carried = [
        f'{{ id = "{model_of(cell)}", upstream = "good{f"?tokens={count}" if count else ""}" }}'
        for cell, count in tokens.items()
    ]
    models = f'[{", ".join(carried)}, {{ id = "well", upstream = "good?tokens=100" }}]'
    return channel(upstream, name="good", dialect=dialect, models=models, more="priority = 1")


def config(upstream: Upstream, dialect: Dialect) -> str:
    models = [f'[[models]]\nid = "{name}"\n{PRICE}\n' for name in ("well", *map(model_of, CELLS))]
    return "\n".join([*models, *(bad(upstream, dialect, cell) for cell in CELLS), good(upstream, dialect)])


def run(client: httpx2.Client, cell: Cell) -> Told | Exception:
    try:
        told = WAYS[cell[1]].ask(client, model_of(cell))
        told.task = client.get(
            f"/v1/tasks/{told.headers['x-task-id']}", params={"include": "attempts,partial", "wait": 20}
        ).json()
    except Exception as error:  # noqa: BLE001 (the cell's own test tells it)
        return error
    return told


@pytest.fixture(scope="module", params=get_args(Dialect))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running(Upstream(tmp_path_factory.mktemp("provider"))) as process:
        yield process


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, provider: Upstream, dialect: Dialect) -> Outcomes:
    """Those with a reader come first, with less beside them: it has to be there before the stream breaks."""
    before = provider.state()["of_model"]
    with (
        running(Gateway(tmp_path_factory.mktemp("faults"), config(provider, dialect))) as gateway,
        gateway.client(timeout_s=90) as client,
        ThreadPoolExecutor(CELLS_AT_ONCE) as pool,
    ):
        in_order = sorted(CELLS, key=lambda cell: not WAYS[cell[1]].paced)
        told = dict(zip(in_order, pool.map(lambda cell: run(client, cell), in_order), strict=True))
        asked = {model: count - before.get(model, 0) for model, count in provider.state()["of_model"].items()}
        wait_for(lambda: provider.state()["open"] == 0)  # nothing is still being asked
        words = WAYS["sync"].ask(client, "well").text.split()
        return Outcomes(told, asked, ledger(gateway), [provider.url.partition("//")[2], UPSTREAM_KEY], words)


def ledger(gateway: Gateway) -> dict[str, Entries]:
    """Of each task."""
    with contextlib.closing(sqlite3.connect(gateway.folder / "data" / "reynard.db")) as connection:
        rows = connection.execute("SELECT task_id, kind, amount, cost FROM ledger WHERE task_id IS NOT NULL").fetchall()
    found: dict[str, Entries] = {}
    for task_id, kind, amount, cost in rows:
        assert kind not in found.setdefault(task_id, {})
        found[task_id][kind] = (amount, cost)
    return found


@pytest.mark.parametrize(("name", "way", "behind"), CELLS)
def test_a_cell(outcomes: Outcomes, dialect: Dialect, name: str, way: str, behind: str) -> None:
    told, scenario, how = outcomes.told[name, way, behind], SCENARIOS[name], WAYS[way]
    if isinstance(told, Exception):
        raise told
    code, whole = expected(scenario, dialect, how, behind), outcomes.whole(scenario)
    is_open = how.hands_out and dialect in scenario.begins
    assert (told.code, told.done) == (code, code is None)
    if code is None:
        check_whole(told, whole)
    else:
        check_failure(told, scenario, how, whole, is_open=is_open)
    model = model_of((name, way, behind))
    check_attempts(told, outcomes.asked[model], scenario, model, is_open=is_open)
    if code is None and behind != "alone" and scenario.code(dialect, stream=how.stream) is not None:
        assert told.task["usage"]["served_by"] == "good"
    check_money(told, outcomes.ledger[told.task["id"]])
    everything = f"{told.raw}{told.headers}{told.task}"
    assert [secret for secret in outcomes.secrets if secret in everything] == []


def check_whole(told: Told, whole: str) -> None:
    assert (told.status, told.text) == (200, whole)
    assert (told.task["status"], told.task["error"], told.task["partial"]) == ("completed", None, None)
    [choice] = told.task["results"][0]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (whole, "stop")


def check_failure(told: Told, scenario: Scenario, way: Way, whole: str, *, is_open: bool) -> None:
    """It says what can be done, and nowhere that it was the end."""
    assert told.status == (200 if way.late or is_open else STATUS[told.code or ""])
    assert [end for end in ENDS if end in told.raw] == []
    assert whole.startswith(told.text)
    task_error = {"code": told.code, "message": told.message, "type": "task_error"}
    assert (told.task["status"], told.task["results"], told.task["error"]) == ("failed", None, task_error)
    assert [word for word in ADVICE if word in told.message] != []
    assert scenario.says in told.message
    wait = scenario.behaviour.get("retry_after_s")
    if wait is not None and told.status == 503:
        assert max(0, wait - 90) < int(told.headers["retry-after"]) <= wait


def check_attempts(told: Told, asked: int, scenario: Scenario, model: str, *, is_open: bool) -> None:
    """Each is told, and the failing provider was not asked more often than it may be."""
    attempts = told.task["attempts"]
    assert asked <= scenario.most
    assert asked == len([attempt for attempt in attempts if attempt["channel"] == f"bad-{model}"])
    *before, last = [(attempt["channel"], attempt["outcome"]) for attempt in attempts]
    assert {outcome for _, outcome in before} <= {"failed"}
    assert last[1] == told.task["status"]
    if told.done:
        assert told.task["usage"]["served_by"] == last[0]
        of_headers = attempts[0]["channel"] if is_open else last[0]  # they were sent with the first chunk
        assert told.headers.get("x-served-by", of_headers) == of_headers


def check_money(told: Told, entries: Entries) -> None:
    """What was handed out is paid for, once; else all that was held goes back."""
    usage, partial = told.task["usage"], told.task["partial"]
    held = -entries["hold"][0]
    assert held > 0
    if not told.done and not told.text:
        assert (entries, partial) == ({"hold": (-held, 0), "refund": (held, 0)}, None)
        assert usage["credits_used"] == 0
        return
    cost = usage["prompt_tokens"] * IN + usage["completion_tokens"] * OUT
    assert entries == {"hold": (-held, 0), "settlement": (held - cost, cost)}
    assert 0 < cost == round(usage["credits_used"] * 1_000_000)
    if partial is not None:
        [choice] = partial["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (told.text, "error")
    assert (partial is None) == told.done


@pytest.mark.proof
@pytest.mark.timeout(1_800)
def test_the_original_times(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> None:
    """A first token after 20 s, and one byte a second, with the timeouts that ship."""
    slow = {"late": "first_token_ms=20000", "dripping": "tokens=1&fail.slow_bytes_ms=1000"}
    cells = [(dialect, pace, stream) for dialect in get_args(Dialect) for pace in slow for stream in (False, True)]
    names = {cell: f"{cell[0]}-{cell[1]}" for cell in cells}
    rows = [f'[[models]]\nid = "{name}"\n' for name in dict.fromkeys(names.values())]
    for dialect in get_args(Dialect):
        models = ", ".join(
            f'{{ id = "{dialect}-{pace}", upstream = "x?{behaviour}" }}' for pace, behaviour in slow.items()
        )
        rows.append(channel(provider, name=dialect, dialect=dialect, models=f"[{models}]"))
    with (
        running(Gateway(tmp_path_factory.mktemp("slow"), "\n".join(rows))) as gateway,
        gateway.client(timeout_s=1_800) as client,
        ThreadPoolExecutor(len(cells)) as pool,
    ):
        found = pool.map(
            lambda cell: WAYS["sync stream" if cell[2] else "sync"].ask(client, names[cell]),
            cells,
        )
        for (_, pace, _), told in zip(cells, found, strict=True):
            assert (told.code, told.done) == (None, True)
            assert len(told.text.split()) == (TOKENS if pace == "late" else 1)
