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
PACED = {"tokens": 24, "tokens_per_s": 15}
CELLS_AT_ONCE = 40
BEHIND = ("alone", "with another")
PRICE = "price = { input = 1_000, output = 2_000 }"
IN, OUT = 1_000, 2_000  # micro-credits a token
WELL = Scenario("well", {}, None, None)


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
GOES_ON = False  # whether a stream that was read is continued


def expected(scenario: Scenario, dialect: str, way: Way, behind: str) -> str | None:
    """The code with which it ends; None is the whole answer."""
    code = scenario.code(dialect, stream=way.stream)
    is_open = way.hands_out and scenario.begins
    if code is None or (behind != "alone" and code not in OF_THE_REQUEST and (GOES_ON or not is_open)):
        return None
    return scenario.broken if is_open else code


@dataclass
class Outcomes:
    """What became of every cell of a dialect."""

    told: dict[tuple[str, str, str], Told | Exception]
    asked: dict[str, int]
    ledger: dict[str, dict[str, tuple[int, int]]]
    secrets: list[str]


def model_of(cell: tuple[str, str, str]) -> str:
    return "cell-" + "-".join(str(CELLS.index(cell)) for _ in range(1))


def config(upstream: Upstream, dialect: Dialect) -> str:
    """For each scenario a channel of its own, and one that is good behind all of them."""
    said = [f'[[models]]\nid = "{model_of(cell)}"\n{PRICE}\n' for cell in CELLS]
    said.append(f'[[models]]\nid = "well"\n{PRICE}\n')
    for number, (name, scenario) in enumerate(SCENARIOS.items()):
        carried = []
        for cell in CELLS:
            if cell[0] == name:
                pace = PACED if WAYS[cell[1]].paced and "tokens" not in scenario.behaviour else {}
                upstream_name = f"{model_of(cell)}?{behaviour_of(scenario, **pace)}"
                carried.append(f'{{ id = "{model_of(cell)}", upstream = "{upstream_name}" }}')
        models = f"[{', '.join(carried)}]"
        said.append(channel(upstream, name=f"bad{number}", dialect=dialect, models=models, more=scenario.channel))
    good = [f'{{ id = "{model_of(cell)}", upstream = "{good_name(cell)}" }}' for cell in CELLS if cell[2] != "alone"]
    good.append('{ id = "well", upstream = "good" }')
    said.append(
        channel(upstream, name="good", dialect=dialect, models=f"[{', '.join(good)}]", more="priority = 1")
    )
    return "\n".join(said)


def good_name(cell: tuple[str, str, str]) -> str:
    """The text depends on the number of tokens, which some scenarios set."""
    tokens = SCENARIOS[cell[0]].behaviour.get("tokens")
    return f"good?tokens={tokens}" if tokens else "good"


def run(client: httpx2.Client, cell: tuple[str, str, str]) -> Told | Exception:
    try:
        told = WAYS[cell[1]].ask(client, model_of(cell))
        told.task = client.get(
            f"/v1/tasks/{told.headers['x-task-id']}", params={"include": "attempts,partial", "wait": 20}
        ).json()
    except Exception as error:  # the cell's own test tells it
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
def outcomes(tmp_path_factory: pytest.TempPathFactory, provider: Upstream, dialect: Dialect) -> Iterator[Outcomes]:
    """Those with a reader come first, with less beside them: it has to be there before the stream breaks."""
    before = provider.state()["of_model"]
    with (
        running(Gateway(tmp_path_factory.mktemp("faults"), config(provider, dialect))) as gateway,
        gateway.client(timeout_s=90) as client,
        ThreadPoolExecutor(CELLS_AT_ONCE) as pool,
    ):
        in_order = sorted(CELLS, key=lambda cell: not WAYS[cell[1]].paced)
        told = dict(zip(in_order, pool.map(lambda cell: run(client, cell), in_order), strict=True))
        told["well", "", ""] = WAYS["sync"].ask(client, "well")
        after = provider.state()["of_model"]
        asked = {model: count - before.get(model, 0) for model, count in after.items()}
        yield Outcomes(told, asked, ledger(gateway), [provider.url, provider.url.rpartition("/")[2], UPSTREAM_KEY])


def ledger(gateway: Gateway) -> dict[str, dict[str, tuple[int, int]]]:
    """`(amount, cost)` of a task's entries, by kind."""
    with contextlib.closing(sqlite3.connect(gateway.folder / "data" / "reynard.db")) as connection:
        rows = connection.execute("SELECT task_id, kind, amount, cost FROM ledger WHERE task_id IS NOT NULL").fetchall()
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for task_id, kind, amount, cost in rows:
        found.setdefault(task_id, {})[kind] = (amount, cost)
    return found


@pytest.mark.parametrize(("name", "way", "behind"), CELLS)
def test_a_cell(outcomes: Outcomes, dialect: Dialect, name: str, way: str, behind: str) -> None:
    cell = (name, way, behind)
    told = outcomes.told[cell]
    if isinstance(told, Exception):
        raise told
    scenario, how = SCENARIOS[name], WAYS[way]
    code = expected(scenario, dialect, how, behind)
    print(cell, told.status, told.code, told.message, told.text[:40], told.task)
    assert (told.code, told.done) == (code, code is None)
    if code is None:
        print(told)
