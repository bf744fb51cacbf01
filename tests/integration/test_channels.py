"""Channels under fire: what a provider that fails is spared, what the caller gets, and what happens to its stream."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit, wait_for
from tests.processes import UPSTREAM_KEY, Gateway, Upstream, channel, events, running, text_of, text_request

QUIET = "circuit = { failures = 1000, share = 1.0, calls = 1000 }\n"
BROKEN: dict[str, Any] = {"fail": {"status": 500, "rate": 1}}
SLOW: dict[str, Any] = {"tokens": 50, "tokens_per_s": 100}


@pytest.fixture(scope="module")
def first_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with running(Upstream(tmp_path_factory.mktemp("first"))) as process:
        yield process


@pytest.fixture
def first(first_upstream: Upstream) -> Upstream:
    """The provider that is asked first, behaving well at the start of each test."""
    first_upstream.behave()
    return first_upstream


@pytest.fixture
def second(upstream: Upstream) -> Upstream:
    """The one behind it."""
    return upstream


@contextmanager
def gateway_of(folder: Path, *rows: str) -> Iterator[httpx2.Client]:
    with running(Gateway(folder, "\n".join(rows))) as gateway, gateway.client() as client:
        yield client


def both(first: Upstream, second: Upstream, more: str = "") -> str:
    models = '["gpt-5.5"]'
    return channel(first, name="first", models=models, more=more) + channel(
        second, name="second", models=models, more="priority = 1"
    )


def ask(client: httpx2.Client, **fields: Any) -> httpx2.Response:
    return submit(client, text_request(sync=True, **fields))


def count(upstream: Upstream) -> int:
    return int(upstream.state()["requests"])


def read(client: httpx2.Client, **fields: Any) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """The events of a stream that is read from its first chunk on, and its task at the end."""
    task = submit(client, text_request(stream=True, **fields)).json()
    found = events(client.get(task["stream"]["url"]).text)
    return found, client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()


def said(found: list[tuple[str, str, str]]) -> str:
    return text_of([json.loads(data) for name, _, data in found if name == "chunk"])


def test_a_provider_that_is_down_is_not_hammered(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(**BROKEN)
    before = count(first)
    with gateway_of(folder, both(first, second)) as client:
        assert {ask(client, prompt=f"number {number}").status_code for number in range(40)} == {200}
    assert count(first) - before == 5  # then the circuit is open


def test_one_that_flaps_gets_one_probe_at_a_time_and_is_used_again_when_it_is_well(
    folder: Path, first: Upstream, second: Upstream
) -> None:
    first.behave(**BROKEN)
    with (
        gateway_of(folder, both(first, second, "circuit = { failures = 3, open_s = 0.3 }")) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        for number in range(3):
            assert ask(client, prompt=f"{number}").status_code == 200
        before = count(first)
        assert ask(client).status_code == 200
        assert count(first) == before
        first.behave(first_token_ms=500)

        def crowd() -> bool:
            answers = threads.map(lambda number: ask(client, prompt=f"{number}").status_code, range(8))
            assert set(answers) == {200}
            return count(first) > before

        wait_for(crowd)
        assert count(first) == before + 1
        first.behave()
        before = count(first)
        for _ in range(5):
            ask(client)
        assert count(first) == before + 5


def test_alone_behind_an_open_circuit_its_last_failure_is_told_at_once(folder: Path, first: Upstream) -> None:
    first.behave(**BROKEN)
    config = channel(first, more="circuit = { failures = 2, open_s = 50 }\nretries = { floor = 0, share = 0 }")
    with gateway_of(folder, config) as client:
        asked = [ask(client) for _ in range(2)]
        before = count(first)
        closed = ask(client)
        assert count(first) == before
        assert [answer.json() for answer in asked] == [closed.json()] * 2
        assert (closed.status_code, closed.json()["error"]["code"]) == (502, "all_platforms_exhausted")
        assert 45 <= int(closed.headers["retry-after"]) <= 50


def test_a_short_rest_is_waited_for(folder: Path, first: Upstream) -> None:
    first.behave(**BROKEN)
    config = channel(first, more="circuit = { failures = 1, open_s = 0.3 }\nretries = { floor = 0, share = 0 }")
    with gateway_of(folder, config) as client:
        assert ask(client).status_code == 502
        first.behave()
        assert ask(client).status_code == 200


def test_a_429_is_left_alone_for_as_long_as_it_says(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(fail={"status": 429, "rate": 1, "retry_after_s": 600})
    before = count(first)
    with gateway_of(folder, both(first, second)) as client:
        assert {ask(client).status_code for _ in range(10)} == {200}
        assert count(first) == before + 1


def test_429s_do_not_open_the_circuit(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(fail={"status": 429, "rate": 1, "retry_after_s": 0})
    before = count(first)
    with gateway_of(folder, both(first, second, "circuit = { failures = 2 }")) as client:
        assert {ask(client, prompt=f"{number}").status_code for number in range(10)} == {200}
        assert count(first) >= before + 10


def test_a_429_for_an_hour_is_told_at_once(folder: Path, first: Upstream) -> None:
    first.behave(fail={"status": 429, "rate": 1, "retry_after_s": 3600})
    before = count(first)
    with gateway_of(folder, channel(first)) as client:
        for _ in range(2):
            answer = ask(client)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_rate_limited")
            assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert count(first) == before + 1


def test_a_wait_that_a_provider_asks_for_is_kept(folder: Path, first: Upstream) -> None:
    first.behave(fail={"status": 429, "rate": 1, "retry_after_s": 1})
    before = count(first)
    with gateway_of(folder, channel(first)) as client:
        began = time.monotonic()
        task = submit(client, text_request()).json()
        ended = client.get(f"/v1/tasks/{task['id']}", params={"wait": 20}).json()
        assert time.monotonic() - began >= 2  # three attempts, two waits
        assert (ended["error"]["code"], count(first)) == ("upstream_rate_limited", before + 3)
        response = ask(client)
        assert response.headers["retry-after"] == "1"
    assert count(first) <= before + 5, "a caller who holds the line is not kept for a second wait"


def test_a_key_that_is_refused_is_benched_and_the_other_serves(folder: Path, first: Upstream) -> None:
    wrong = 'api_key = ["sk-wrong", "' + UPSTREAM_KEY + '"]'
    config = channel(first).replace(f'api_key = "{UPSTREAM_KEY}"', wrong)
    before, refused = count(first), len(first.state()["refused"])
    with gateway_of(folder, config) as client:
        assert {ask(client, prompt=f"{number}").status_code for number in range(10)} == {200}
        assert {ask(client, stream=True).status_code for _ in range(3)} == {200}
    assert len(first.state()["refused"]) == refused + 1
    assert count(first) == before + 14


def test_retries_have_a_budget(folder: Path, first: Upstream) -> None:
    first.behave(**BROKEN)
    with gateway_of(folder, channel(first, more=QUIET + "retries = { share = 0.0, floor = 1 }")) as client:
        before = count(first)
        ask(client)
        assert count(first) - before == 2
        ask(client)
        assert count(first) - before == 3


def test_what_broke_off_in_the_middle_is_not_asked_of_the_same_channel_again(folder: Path, first: Upstream) -> None:
    first.behave(fail={"cut_stream_rate": 1})
    with gateway_of(folder, channel(first)) as client:
        before = count(first)
        assert ask(client).status_code == 502
        assert ask(client, stream=True).status_code in (200, 502)
        assert count(first) == before + 2


def test_no_more_requests_a_minute_than_the_channel_may_have(folder: Path, first: Upstream, second: Upstream) -> None:
    before, behind = count(first), count(second)
    with gateway_of(folder, both(first, second, "rpm = 3")) as client:
        assert {ask(client).status_code for _ in range(10)} == {200}
        assert (count(first) - before, count(second) - behind) == (3, 7)


def test_no_more_tokens_a_minute_than_the_channel_may_have(folder: Path, first: Upstream, second: Upstream) -> None:
    before = count(first)
    with gateway_of(folder, both(first, second, "tpm = 60")) as client:
        assert {ask(client).status_code for _ in range(10)} == {200}
        assert count(first) - before == 3  # of 27 tokens each, and a few that flow back


def test_limits_of_our_own_are_told_as_such(folder: Path, first: Upstream) -> None:
    with gateway_of(folder, channel(first, more="rpm = 1")) as client:
        assert ask(client).status_code == 200
        answer = ask(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_rate_limited")
        assert int(answer.headers["retry-after"]) > 30


def test_a_channel_that_is_slow_to_start_is_hedged_and_the_loser_is_cut(
    folder: Path, first: Upstream, second: Upstream
) -> None:
    with gateway_of(folder, both(first, second, "hedge = true")) as client:
        before = count(second)
        whole = ask(client).json()["choices"][0]["message"]["content"]
        for _ in range(20):
            assert ask(client, stream=True).text.endswith("data: [DONE]\n\n")
        hedged = count(second) - before
        assert hedged <= 10, "one in twenty, and chance"
        first.behave(first_token_ms=20_000)
        cut, before = first.state()["cut"], count(second)
        found, task = read(client)
        wait_for(lambda: first.state()["cut"] == cut + 1, within_s=1)
        assert count(second) == before + 1
        assert (said(found), found[-1][0], task["status"]) == (whole, "done", "completed")


STAND_IN = '[[models]]\nid = "gpt-5.4"\nfallbacks = ["only-text", "gpt-5.5"]\n[[models]]\nid = "only-text"\n'
IMAGE = "data:image/png;base64,iVBORw0KGgo="


def test_another_model_stands_in_and_is_named(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(**BROKEN)
    rows = (channel(first, name="first", models='["gpt-5.4"]'), channel(second, name="second", models='["gpt-5.5"]'))
    with gateway_of(folder, *rows, STAND_IN) as client:
        answer = ask(client, model="gpt-5.4")
        assert (answer.status_code, answer.json()["model"]) == (200, "gpt-5.5")
        found, task = read(client, model="gpt-5.4")
        assert {json.loads(data)["model"] for name, _, data in found if name == "chunk"} == {"gpt-5.5"}
        assert (task["model"], task["results"][0]["model"]) == ("gpt-5.4", "gpt-5.5")


def test_one_that_cannot_take_the_request_is_passed_over(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(**BROKEN)
    rows = (
        channel(first, name="first", models='["gpt-5.4"]'),
        channel(second, name="second", models='["only-text", "gpt-5.5"]'),
    )
    with gateway_of(folder, *rows, STAND_IN) as client:
        assert ask(client, model="gpt-5.4").json()["model"] == "only-text"
        assert ask(client, model="gpt-5.4", image_urls=[IMAGE]).json()["model"] == "gpt-5.5"


def test_a_fault_of_the_request_has_no_stand_in(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(fail={"status": 400, "rate": 1})
    rows = (channel(first, name="first", models='["gpt-5.4"]'), channel(second, name="second", models='["gpt-5.5"]'))
    with gateway_of(folder, *rows, STAND_IN) as client:
        before = count(second)
        assert ask(client, model="gpt-5.4").status_code == 422
        assert count(second) == before


@pytest.mark.parametrize("fault", ["cut_stream_rate", "no_end_rate", "error_event_rate", "stall_rate"])
def test_a_stream_that_was_read_goes_on_when_the_next_generation_is_the_same(
    folder: Path, first: Upstream, second: Upstream, fault: str
) -> None:
    first.behave(**SLOW, fail={fault: 1})
    second.behave(tokens=50)
    with gateway_of(folder, both(first, second, "idle_timeout_s = 0.5")) as client:
        found, task = read(client)
        first.behave(**SLOW)
        whole = ask(client).json()["choices"][0]["message"]["content"]
        assert (found[-1][0], task["status"], said(found)) == ("done", "completed", whole)
        assert [number for name, number, _ in found if name == "chunk"] == [str(n) for n in range(len(found) - 1)]
        assert task["results"][0]["choices"][0]["message"]["content"] == whole


def test_a_sync_stream_goes_on_too(folder: Path, first: Upstream, second: Upstream) -> None:
    first.behave(**SLOW, fail={"cut_stream_rate": 1})
    second.behave(tokens=50)
    with gateway_of(folder, both(first, second)) as client:
        parts = ask(client, stream=True).text.strip().split("\n\n")
        assert parts[-1] == "data: [DONE]"
        text = text_of([json.loads(part.removeprefix("data: ")) for part in parts[:-1]])
        assert text == ask(client).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("other", [{"seed": 7, "tokens": 50}, {"tokens": 3}], ids=["another text", "a shorter one"])
def test_no_other_text_ever_follows(
    folder: Path, first: Upstream, second: Upstream, sync: bool, other: dict[str, Any]
) -> None:
    first.behave(**SLOW)
    with gateway_of(folder, both(first, second)) as client:
        whole = ask(client).json()["choices"][0]["message"]["content"]
        first.behave(**SLOW, fail={"cut_stream_rate": 1})
        second.behave(**other)
        before = count(second)
        if sync:
            chunks = [part.removeprefix("data: ") for part in ask(client, stream=True).text.strip().split("\n\n")]
            text, error = text_of([json.loads(chunk) for chunk in chunks[:-1]]), json.loads(chunks[-1])["error"]
        else:
            found, task = read(client)
            text, error = said(found), json.loads(found[-1][2])
            assert task["error"]["code"] == "stream_interrupted"
        assert error["code"] == "stream_interrupted"
        assert text
        assert whole.startswith(text)
        assert count(second) == before + 1
