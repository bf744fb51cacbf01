"""What a channel remembers, and of what: probes that take long, keys refused for one model, callers that wait."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import pytest
from tests.unit.test_walk import (
    HANG,
    Answer,
    Provider,
    Reader,
    asked,
    failed,
    failover,
    route,
    words,
    work,
)

from reynard.core.channels import Carried, Channel, Rests, Retries
from reynard.core.circuit import CircuitRule
from reynard.core.errors import GenerationError
from reynard.core.task import Task
from reynard.engine.failover import RetryPolicy
from reynard.engine.routes import Route
from reynard.engine.work import Work
from reynard.ports.codec import Codec
from reynard.ports.transport import ConnectionBroken, WireRequest
from reynard.providers.anthropic import AnthropicCodec
from reynard.providers.gemini import GeminiCodec
from reynard.providers.openai import OpenAICodec

NO_RETRIES: Final = Retries(floor=0, share=0)


def now() -> float:
    return asyncio.get_running_loop().time()


class Whole(Answer):
    """An answer in one body, of which nothing comes after the status line."""

    async def read(self, limit: int) -> bytes:
        await asyncio.Event().wait()
        return b""


class InOneBody(Provider):
    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Any]:
        self.asked.append(request)
        yield Whole(self, words("x"))


async def probing(provider: Provider, of: Work, sink: Reader | None) -> tuple[Route, asyncio.Task[Any]]:
    """A channel whose circuit was open, and the probe that is under way on it."""
    scripts, provider.scripts = provider.scripts, [500]
    one = route("a", provider, circuit=CircuitRule(failures=1, open_s=0.01), retries=NO_RETRIES)
    with suppress(GenerationError):
        await failover([one]).generate(work(), Reader())
    provider.scripts = scripts
    await asyncio.sleep(0.02)
    before = len(provider.asked)
    running = asyncio.ensure_future(failover([one]).generate(of, sink))
    while len(provider.asked) == before:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    return one, running


@pytest.mark.parametrize("in_one_body", [False, True])
async def test_a_probe_that_is_being_answered_opens_the_channel_for_the_others(in_one_body: bool) -> None:
    provider = InOneBody(words("x")) if in_one_body else Provider(["x", HANG])
    one, running = await probing(provider, work(), None if in_one_body else Reader())
    assert one.health.circuit.state(now()) == "closed"
    running.cancel()
    await asyncio.wait([running])
    assert one.health.circuit.state(now()) == "closed"


async def test_a_probe_without_a_first_chunk_tells_nothing_yet() -> None:
    one, running = await probing(Provider([HANG]), work(), Reader())
    assert one.health.circuit.state(now()) == "probing"
    running.cancel()
    await asyncio.wait([running])


async def test_a_probe_that_breaks_later_is_a_failure_like_any_other() -> None:
    one, running = await probing(Provider(["x", "cut"]), work(), Reader())
    with pytest.raises(GenerationError):
        await running
    circuit = one.health.circuit
    assert (circuit.state(now()), circuit.openings) == ("open", 2)  # one failure is enough here, and it is the second


async def test_a_first_chunk_says_nothing_more_of_a_closed_circuit() -> None:
    one = route("a", Provider(words("x")))
    await failover([one]).generate(work(), Reader())
    assert (one.health.circuit.era, one.health.circuit.seen) == (0, 1)


# one model of several


def _limited_by(code: str) -> dict[str, Any]:
    return {"error": {"type": "rate_limit_error", "details": {"error_code": code}}}


def _denied_for(reason: str) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    return {"error": {"status": "PERMISSION_DENIED", "details": [info]}}


class Refusing(Provider):
    """Refuses one model, with `status` and the code `word`."""

    def __init__(self, status: int, word: str | None) -> None:
        super().__init__(words("fine"))
        self._status, self._word = status, word

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Any]:
        self.asked.append(request)
        refused = msgspec.json.decode(request.body)["model"] == "m"
        yield Refusal(self, self._status, self._word) if refused else Answer(self, words("fine"))


class Refusal(Answer):
    def __init__(self, provider: Provider, status: int, word: str | None) -> None:
        super().__init__(provider, status)
        self._word = word

    async def parts(self) -> AsyncGenerator[bytes, None]:
        yield msgspec.json.encode({"error": {"message": "no", "code": self._word}})


def carrying(provider: Provider, *, keys: int = 1) -> Route:
    models = (Carried("m", "m"), Carried("n", "n"))
    channel = Channel(name="a", dialect="openai", models=models, retries=NO_RETRIES, rests=Rests(limited_s=50))
    return Route(channel, OpenAICodec(), provider, keys=keys)


@pytest.mark.parametrize("status", [403, 429])
async def test_a_key_refused_for_one_model_serves_the_others(status: int) -> None:
    provider = Refusing(status, None)
    one = carrying(provider)
    tried = failover([one])
    first = await failed(tried, work())
    assert (await tried.generate(work(asked(model="n")), Reader())).model
    before = len(provider.asked)
    again = await failed(tried, work())
    assert (again.code, again.message) == (first.code, first.message)
    assert len(provider.asked) == before, "it rests for the model that was refused"


@pytest.mark.parametrize(("status", "word"), [(401, None), (429, "insufficient_quota"), (403, "account_deactivated")])
async def test_a_key_that_is_no_good_rests_for_all(status: int, word: str | None) -> None:
    provider = Refusing(status, word)
    tried = failover([carrying(provider)])
    await failed(tried, work())
    await failed(tried, work(asked(model="n")))
    assert len(provider.asked) == 1


async def test_a_key_refused_for_one_model_leaves_the_other_key_to_it() -> None:
    provider = Refusing(403, None)
    await failed(failover([carrying(provider, keys=2)]), work())
    assert [request.key for request in provider.asked] == [0, 1]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_wrong_name_opens_no_circuit_whatever_its_status(status: int) -> None:
    provider = Refusing(status, "model_not_found")
    one = carrying(provider)
    tried = failover([one])
    for _ in range(6):
        await failed(tried, work())
    assert one.health.circuit.state(now()) == "closed"
    assert len(provider.asked) == 6
    assert (await tried.generate(work(asked(model="n")), Reader())).model


async def test_why_a_model_rests_is_told_of_that_model_alone() -> None:
    provider = Refusing(403, None)
    one = carrying(provider)
    await failed(failover([one]), work())
    reason = one.health.reason("n", now())
    assert (reason.code, "settings" in reason.message) == ("upstream_rate_limited", True)
    assert one.health.reason("m", now()).code == "upstream_auth_failed"


@pytest.mark.parametrize(
    ("codec", "status", "body", "of_model"),
    [
        (OpenAICodec(), 404, {}, True),
        (OpenAICodec(), 400, {"error": {"code": "model_not_found"}}, True),
        (OpenAICodec(), 403, {"error": {"code": "model_not_found", "type": "invalid_request_error"}}, True),
        (OpenAICodec(), 429, {"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, True),
        (OpenAICodec(), 429, {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}, False),
        (OpenAICodec(), 429, {"error": {"code": "rate_limit_exceeded", "type": "insufficient_quota"}}, False),
        (OpenAICodec(), 403, {"error": {"code": "server_error"}}, False),
        (OpenAICodec(), 401, {}, False),
        (OpenAICodec(), 500, {}, False),
        (AnthropicCodec(), 403, {"error": {"type": "permission_error"}}, True),
        (AnthropicCodec(), 404, {"error": {"type": "not_found_error"}}, True),
        (AnthropicCodec(), 529, {}, True),
        (AnthropicCodec(), 429, None, True),
        (AnthropicCodec(), 429, _limited_by("enforced_spend_limit_reached"), False),
        (AnthropicCodec(), 401, {"error": {"type": "authentication_error"}}, False),
        (AnthropicCodec(), 500, {"error": {"type": "api_error"}}, False),
        (GeminiCodec(), 403, {"error": {"status": "PERMISSION_DENIED"}}, True),
        (GeminiCodec(), 404, {"error": {"status": "NOT_FOUND"}}, True),
        (GeminiCodec(), 429, {"error": {"status": "RESOURCE_EXHAUSTED"}}, True),
        (GeminiCodec(), 403, _denied_for("SERVICE_DISABLED"), False),
        (GeminiCodec(), 403, _denied_for("IAM_PERMISSION_DENIED"), True),
        (GeminiCodec(), 400, {"error": {"status": "FAILED_PRECONDITION"}}, False),
        (GeminiCodec(), 404, {}, True),
    ],
)
def test_what_a_failure_speaks_of_is_told_by_its_typed_body(
    codec: Codec, status: int, body: Any, of_model: bool
) -> None:
    assert codec.decode_error(status, msgspec.json.encode(body)).of_model is of_model


def test_an_error_in_the_middle_of_a_stream_speaks_of_a_model_too() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"no"}}\n\n'
    with pytest.raises(GenerationError) as caught:
        list(AnthropicCodec().stream_decoder().feed(event))
    assert caught.value.of_model


# how long a caller is kept waiting


def sync() -> Work:
    task = Task(id="task-llm-1-aaaaaaaa", key_id="k", model="m", form="text", created=1.0, sync=True)
    return Work(task, asked())


async def test_one_who_waits_is_not_kept_behind_a_channel_that_rests() -> None:
    provider = Provider(ConnectionBroken("reset"), words("y"))
    rule = CircuitRule(failures=1, open_s=0.2)
    policy = RetryPolicy(pause_s=0.001, longest_pause_s=5.0, hurried_pause_s=0.05)
    one = route("a", provider, circuit=rule, retries=NO_RETRIES)
    tried = failover([one], policy=policy)
    await failed(tried, work())
    assert (await failed(tried, sync())).retry_after_s is not None
    assert len(provider.asked) == 1
    assert (await tried.generate(work(), Reader())).model
    assert len(provider.asked) == 2
