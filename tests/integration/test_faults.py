"""Each scenario of `tests.faults`, in each dialect, in every way of asking: alone, and with a good channel behind it.

A model's name carries how its provider behaves, so that all cells of a dialect run beside each other, once; each test
looks at what became of its own.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import httpx2
import pytest
from tests.faults import OF_THE_REQUEST, SCENARIOS, STATUS, Scenario, behaviour_of
from tests.processes import UPSTREAM_KEY, Dialect, Gateway, Upstream, channel, events, running, text_of

PROMPT = "Say something."
PACE = {"tokens_per_s": 12}
CELLS_AT_ONCE = 40
BEHIND = ("alone", "with another")
PRICE = "price = { input = 1_000, output = 2_000 }"
TOKENS = 24  # of an answer, unless a scenario says
IN, OUT = 1_000, 2_000  # micro-credits a token
ENDS = ("[DONE]", "message_stop", "response.completed", "event: done")
ADVICE = ("ry again", "Change", "Shorten", "Tell")


@dataclass
class Told:
    """What a caller was told. `code`: of the error, wherever it stands; `done`: it was told that this is the end."""

    status: int
    headers: httpx2.Headers
    raw: str
    text: str = ""
    code: str | None = None
    message: str = ""
    done: bool = False
    task: dict[str, Any] = field(default_factory=dict)


Ask = Callable[[httpx2.Client, str], Told]


def failed(told: Told, error: dict[str, Any], code: str = "code") -> Told:
    return replace(told, code=error[code], message=error["message"])


def body(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 100, **fields}


def post(client: httpx2.Client, path: str, sent: dict[str, Any]) -> Told:
    """Anything but a 200 is told here, for all of them in one shape."""
    response = client.post(path, json=sent)
    told = Told(response.status_code, response.headers, response.text)
    return told if response.status_code == 200 else failed(told, response.json()["error"])


def chat(path: str, **fields: Any) -> Ask:
    def ask(client: httpx2.Client, model: str) -> Told:
        told = post(client, path, body(model, **fields))
        if told.code is not None:
            return told
        return replace(told, text=json.loads(told.raw)["choices"][0]["message"]["content"], done=True)

    return ask


def chat_stream(path: str, **fields: Any) -> Ask:
    def ask(client: httpx2.Client, model: str) -> Told:
        told = post(client, path, body(model, stream=True, **fields))
        if told.code is not None:
            return told
        *lines, last = [data for _, _, data in events(told.raw)]
        if last == "[DONE]":
            return replace(told, text=text_of([json.loads(line) for line in lines]), done=True)
        told = failed(told, json.loads(last)["error"])
        return replace(told, text=text_of([json.loads(line) for line in lines]))

    return ask


def message(client: httpx2.Client, model: str) -> Told:
    told = post(client, "/v1/messages", body(model))
    if told.code is not None:
        return told
    return replace(told, text="".join(block["text"] for block in json.loads(told.raw)["content"]), done=True)


def message_stream(client: httpx2.Client, model: str) -> Told:
    told = post(client, "/v1/messages", body(model, stream=True))
    if told.code is not None:
        return told
    found = [json.loads(data) for _, _, data in events(told.raw)]
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    told = replace(told, text="".join(delta["text"] for delta in deltas))
    last = found[-1]
    return replace(told, done=True) if last["type"] == "message_stop" else failed(told, last["error"])


def response_text(shown: dict[str, Any]) -> str:
    return "".join(part["text"] for item in shown["output"] for part in item["content"])


def response(client: httpx2.Client, model: str) -> Told:
    told = post(client, "/v1/responses", {"model": model, "input": PROMPT, "max_output_tokens": 100})
    if told.code is not None:
        return told
    shown = json.loads(told.raw)
    return replace(told, text=response_text(shown), done=shown["status"] == "completed")


def response_stream(client: httpx2.Client, model: str) -> Told:
    sent = {"model": model, "input": PROMPT, "max_output_tokens": 100, "stream": True}
    told = post(client, "/v1/responses", sent)
    if told.code is not None:
        return told
    found = [json.loads(data) for _, _, data in events(told.raw)]
    told = replace(told, text="".join(e["delta"] for e in found if e["type"] == "response.output_text.delta"))
    last = found[-1]
    if last["type"] != "response.failed":
        return replace(told, done=last["type"] == "response.completed")
    return failed(told, last["response"]["error"], "type")


def later(client: httpx2.Client, told: Told) -> Told:
    """As the task's end has it."""
    task = client.get(f"/v1/tasks/{json.loads(told.raw)['id']}", params={"wait": 60}).json()
    if task["status"] == "completed":
        return replace(told, text=task["results"][0]["choices"][0]["message"]["content"], done=True)
    return failed(told, task["error"])


def task(client: httpx2.Client, model: str) -> Told:
    return later(client, post(client, "/v1/llm/generations", body(model)))


def followed(client: httpx2.Client, told: Told) -> Told:
    raw = client.get(json.loads(told.raw)["stream"]["url"]).text
    *chunks, (name, _, data) = events(raw)
    assert [number for _, number, _ in chunks] == [str(number) for number in range(len(chunks))]
    told = replace(told, raw=told.raw + raw, text=text_of([json.loads(chunk) for _, _, chunk in chunks]))
    return replace(told, done=True) if name == "done" else failed(told, json.loads(data))


def unread_stream(client: httpx2.Client, model: str) -> Told:
    """Nobody reads before the end."""
    submitted = post(client, "/v1/llm/generations", body(model, stream=True))
    ended = later(client, submitted)
    told = followed(client, submitted)
    assert (told.done, told.code, told.text if told.done else "") == (ended.done, ended.code, ended.text)
    return told


def read_stream(client: httpx2.Client, model: str) -> Told:
    """Read from the first chunk on, while it comes; and the same once more, when it has ended."""
    submitted = post(client, "/v1/llm/generations", body(model, stream=True))
    told = followed(client, submitted)
    assert followed(client, submitted).raw == told.raw
    return told


@dataclass(frozen=True)
class Way:
    """How it is asked. `hands_out`: what comes of a stream is handed out as it comes."""

    ask: Ask
    stream: bool = False
    hands_out: bool = False
    paced: bool = False
    late: bool = False


WAYS = {
    "sync": Way(chat("/v1/llm/generations", sync=True)),
    "sync stream": Way(chat_stream("/v1/llm/generations", sync=True), stream=True, hands_out=True),
    "async": Way(task, late=True),
    "async stream, unread": Way(unread_stream, stream=True, late=True),
    "async stream, read": Way(read_stream, stream=True, hands_out=True, paced=True, late=True),
    "chat completion": Way(chat("/v1/chat/completions")),
    "chat completion stream": Way(chat_stream("/v1/chat/completions"), stream=True, hands_out=True),
    "message": Way(message),
    "message stream": Way(message_stream, stream=True, hands_out=True),
    "response": Way(response),
    "response stream": Way(response_stream, stream=True, hands_out=True),
}
CELLS = [(name, way, behind) for name in SCENARIOS for way in WAYS for behind in BEHIND]


def expected(scenario: Scenario, dialect: str, way: Way, behind: str) -> str | None:
    """The code with which it ends; None is the whole answer."""
    code = scenario.code(dialect, stream=way.stream)
    is_open = way.hands_out and dialect in scenario.begins
    is_rescued = behind != "alone" and code not in OF_THE_REQUEST and (scenario.goes_on or not is_open)
    if code is None or is_rescued:
        return None
    return scenario.broken if is_open else code


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
    except Exception as error:  # noqa: BLE001 (the cell's own test tells it
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
    assert (told.code, told.done) == (code, code is None)
    if code is None:
        check_whole(told, whole)
    else:
        check_failure(told, scenario, how, whole, is_open=how.hands_out and dialect in scenario.begins)
    model = model_of((name, way, behind))
    check_attempts(told, outcomes.asked[model], scenario, model)
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


def check_attempts(told: Told, asked: int, scenario: Scenario, model: str) -> None:
    """Each is told, and the failing provider was not asked more often than it may be."""
    attempts = told.task["attempts"]
    assert asked <= scenario.most
    if "reset_rate" not in scenario.behaviour:  # a request on a connection that may be stale is sent again unseen
        assert asked == len([attempt for attempt in attempts if attempt["channel"] == f"bad-{model}"])
    *before, last = [(attempt["channel"], attempt["outcome"]) for attempt in attempts]
    assert {outcome for _, outcome in before} <= {"failed"}
    assert last[1] == told.task["status"]
    if told.done:
        assert told.task["usage"]["served_by"] == last[0]
        assert told.headers.get("x-served-by", last[0]) in (last[0], attempts[0]["channel"])


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
