"""From channel to channel and from model to model, with providers that are scripts."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reynard.core.catalogue import Catalogue, Model, TokenRule
from reynard.core.channels import Carried, Channel, Rests, Retries
from reynard.core.circuit import CircuitRule
from reynard.core.errors import GenerationError, InvalidParam, NoAvailableModel, UnsupportedOptions
from reynard.core.forms import Form
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.task import Task, Terms
from reynard.engine.failover import Failover, RetryPolicy
from reynard.engine.handover import Delivered, Diverged, Handover
from reynard.engine.health import Call
from reynard.engine.media import Gatherer, MediaLimits
from reynard.engine.routes import Route, Routes
from reynard.engine.work import MOST_ATTEMPTS, Work
from reynard.ports.transport import ConnectFailed, ConnectionBroken, WireRequest
from reynard.providers.openai import OpenAICodec
from reynard.testing.clock import FakeClock

END: Final = "[DONE]"
CUT: Final = "cut"
HANG: Final = "hang"


def words(*said: str, finish: bool = True) -> list[str]:
    """A stream that says so."""
    return [*said, "stop", END] if finish else [*said, CUT]


class Provider:
    """Answers each call with the next of its scripts, and the last of them for ever.

    A script is a status that is not 200, or the words of a stream, in which `HANG` waits for ever.
    """

    def __init__(self, *scripts: int | list[str] | Exception, retry_after_s: float | None = None) -> None:
        self.scripts = list(scripts)
        self.asked: list[WireRequest] = []
        self.cut = 0
        self.retry_after_s = retry_after_s
        self.parts_of: Callable[[list[bytes]], list[bytes]] = list

    @asynccontextmanager
    async def send(self, request: WireRequest) -> AsyncIterator[Any]:
        self.asked.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, Exception):
            raise script
        try:
            yield Answer(self, script)
        except asyncio.CancelledError:
            self.cut += 1
            raise

    async def close(self) -> None: ...


class Answer:
    def __init__(self, provider: Provider, script: int | list[str]) -> None:
        self._provider = provider
        self._script = [] if isinstance(script, int) else script
        self.status = script if isinstance(script, int) else 200
        self.retry_after_s = provider.retry_after_s

    async def parts(self) -> AsyncGenerator[bytes, None]:
        if self.status != 200:
            yield b'{"error": {"message": "no"}}'
        encoded: list[bytes] = []
        for word in self._script:
            if word in (HANG, CUT):
                for part in self._provider.parts_of(encoded):
                    yield part
                encoded = []
                if word == HANG:
                    await asyncio.Event().wait()
                raise ConnectionBroken("cut")
            encoded.append(sse(word))
        for part in self._provider.parts_of(encoded):
            yield part

    async def read(self, limit: int) -> bytes:
        said = "".join(word for word in self._script if word not in ("stop", END))
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 40}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return msgspec.json.encode({"id": "x", "choices": [choice], "usage": usage})


def sse(word: str) -> bytes:
    if word == END:
        return b"data: [DONE]\n\n"
    delta = {} if word == "stop" else {"content": word}
    finish = "stop" if word == "stop" else None
    return b"data: %b\n\n" % msgspec.json.encode({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


class Reader:
    """A sink; from `reads` chunks on somebody has read."""

    def __init__(self, reads: int = 0) -> None:
        self.chunks: list[bytes] = []
        self._reads = reads

    async def put(self, chunks: Sequence[bytes]) -> None:
        self.chunks += chunks

    async def restart(self) -> bool:
        if len(self.chunks) >= self._reads and self.chunks:
            return False
        self.chunks.clear()
        return True

    @property
    def text(self) -> str:
        decoded = [msgspec.json.decode(chunk) for chunk in self.chunks]
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in decoded)


class Half:
    """Not chance at all."""

    def uniform(self) -> float:
        return 0.5

    def below(self, limit: int) -> int:
        return 0


def route(name: str, provider: Provider, model: str = "m", keys: int = 1, **traits: Any) -> Route:
    channel = Channel(name=name, dialect="openai", models=(Carried(model, model),), **traits)
    return Route(channel, OpenAICodec(), provider, keys=keys)


def failover(routes: Sequence[Route], *models: Model, policy: RetryPolicy | None = None) -> Failover:
    snapshot = Routes(Catalogue(models or (Model(id="m"), Model(id="n"))), routes)
    media = Gatherer(None, None, FakeClock(), MediaLimits())  # type: ignore[arg-type]
    return Failover(lambda: snapshot, media, FakeClock(), Half(), policy or RetryPolicy(pause_s=0.001))


def asked(stream: bool = True, **fields: Any) -> Generation:
    return msgspec.convert(
        {"model": "m", "messages": [{"role": "user", "content": "?"}], "stream": stream, **fields}, Generation
    )


def work(generation: Generation | None = None, *fallbacks: str, form: Form = "text") -> Work:
    terms = Terms(fallback_models=fallbacks)
    task = Task(id="task-llm-1-aaaaaaaa", key_id="k", model="m", form=form, created=1.0, terms=terms)
    return Work(task, generation or asked())


def outcomes(of: Work) -> list[tuple[str, str, str | None]]:
    return [(attempt.channel, attempt.outcome, attempt.code) for attempt in of.journal.attempts]


async def failed(tried: Failover, of: Work, sink: Reader | None = None) -> GenerationError:
    with pytest.raises(GenerationError) as caught:
        await tried.generate(of, sink)
    return caught.value


async def test_the_journal_names_who_answered_and_every_attempt() -> None:
    this, sink = work(), Reader()
    tried = failover([route("a", Provider(500)), route("b", Provider(words("hi ", "you")), priority=1)])
    completion = await tried.generate(this, sink)
    assert (completion.choices[0].message.content, sink.text) == ("hi you", "hi you")
    assert (this.journal.channel, this.journal.model) == ("b", "m")
    assert outcomes(this) == [("a", "failed", "upstream_error"), ("b", "completed", None)]
    assert this.produced() == completion


async def test_what_was_not_read_begins_anew_unseen() -> None:
    this, sink = work(), Reader(reads=100)
    tried = failover([route("a", Provider(words("x", finish=False))), route("b", Provider(words("y")), priority=1)])
    await tried.generate(this, sink)
    assert sink.text == "y"
    produced = this.produced()
    assert produced is not None
    assert produced.choices[0].message.content == "y"


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        (500, 3),
        (ConnectionBroken("reset"), 3),
        (ConnectFailed("refused"), 3),
        (404, 1),
        (401, 1),
        (504, 1),
        (400, 1),
        (words("half", finish=False), 1),
    ],
)
async def test_only_what_passes_by_itself_is_asked_of_the_same_channel_again(script: Any, calls: int) -> None:
    provider = Provider(script)
    await failed(failover([route("a", provider)]), work(), Reader(reads=100))
    assert len(provider.asked) == calls


async def test_a_channel_that_is_silent_is_left_for_the_next_one() -> None:
    silent = Provider([HANG])
    tried = failover(
        [route("a", silent, first_byte_timeout_s=0.01), route("b", Provider(words("y")), priority=1)],
    )
    assert (await tried.generate(work(), Reader())).choices[0].message.content == "y"
    assert (len(silent.asked), silent.cut) == (1, 1)


async def test_each_key_is_tried_once_and_what_is_refused_rests() -> None:
    provider = Provider(401, 429, words("y"))
    one = route("a", provider, keys=3)
    await failover([one]).generate(work(), Reader())
    assert [request.key for request in provider.asked] == [0, 1, 2]
    await failover([one]).generate(work(), Reader())
    assert provider.asked[-1].key == 2


async def test_keys_that_are_all_refused_end_it() -> None:
    provider = Provider(401)
    error = await failed(failover([route("a", provider, keys=3)]), work())
    assert (error.code, len(provider.asked)) == ("upstream_auth_failed", 3)
    again = await failed(failover([route("a", provider, keys=3)]), work())
    assert again.code == "upstream_auth_failed"


async def test_a_retry_after_of_nothing_is_no_loop() -> None:
    provider = Provider(429, retry_after_s=0.0)
    await failed(failover([route("a", provider, keys=2)]), work())
    assert len(provider.asked) <= 3


async def test_a_503_that_says_how_long_is_left_alone_for_so_long() -> None:
    provider = Provider(503, retry_after_s=100.0)
    one = route("a", provider, keys=2)
    for _ in range(2):
        error = await failed(failover([one]), work())
        assert error.retry_after_s == pytest.approx(100, abs=1)
    assert len(provider.asked) == 1


async def test_a_probe_that_is_cancelled_lets_the_next_one_through() -> None:
    provider = Provider(500, [HANG], words("y"))
    rule = CircuitRule(failures=1, open_s=0.01)
    one = route("a", provider, circuit=rule, retries=Retries(share=0, floor=0))
    await failed(failover([one]), work())
    now = asyncio.get_running_loop().time
    await asyncio.sleep(0.02)
    probe = asyncio.ensure_future(failover([one]).generate(work(), Reader()))
    while len(provider.asked) < 2:
        await asyncio.sleep(0)
    assert one.health.circuit.state(now()) == "probing"
    probe.cancel()
    await asyncio.wait([probe])
    assert one.health.circuit.state(now()) == "half-open"
    await failover([one]).generate(work(), Reader())
    assert one.health.circuit.state(now()) == "closed"


async def test_a_model_that_is_unknown_upstream_does_not_open_the_circuit_of_the_others() -> None:
    one = route("a", Provider(404), circuit=CircuitRule(failures=1))
    await failed(failover([one]), work())
    assert one.health.circuit.state(0) == "closed"


async def test_a_late_success_does_not_hide_why_the_channel_rests() -> None:
    one = route("a", Provider(500), circuit=CircuitRule(failures=1, open_s=50), retries=Retries(share=0, floor=0))
    now = asyncio.get_running_loop().time
    early = one.health.enter("m", now())
    assert early is not None
    first = await failed(failover([one]), work())
    one.health.succeeded(early, 0, now())
    closed = await failed(failover([one]), work())
    assert (closed.code, closed.message) == (first.code, first.message)
    assert closed.retry_after_s == pytest.approx(50, abs=1)


async def test_our_own_limit_is_told_as_one() -> None:
    one = route("a", Provider(504, words("y")), rpm=2)
    await failed(failover([one]), work())
    await failover([one]).generate(work(), Reader())
    error = await failed(failover([one]), work())
    assert (error.code, "settings" in error.message) == ("upstream_rate_limited", True)


class Watched(Reader):
    """One of which it can be told whether anybody still has it."""


async def test_what_failed_holds_on_to_nothing() -> None:
    gc.collect()
    gc.disable()
    try:
        sink = Watched()
        tried = failover([route("a", Provider(500)), route("b", Provider(["x", CUT]))])
        with suppress(GenerationError):
            await tried.generate(work(), sink)
        gone = weakref.ref(sink)
        del sink
        assert gone() is None
    finally:
        gc.enable()


async def test_a_fault_of_the_request_tells_nothing_of_the_channel() -> None:
    one = route("a", Provider(400), circuit=CircuitRule(failures=1))
    for _ in range(3):
        error = await failed(failover([one]), work())
        assert error.code == "invalid_parameters"
    assert one.health.circuit.state(0) == "closed"


class Full(Reader):
    async def put(self, chunks: Sequence[bytes]) -> None:
        raise GenerationError("upstream_error", "full")


async def test_a_sink_that_is_full_tells_nothing_of_the_channel_either() -> None:
    provider = Provider(words("y"))
    one = route("a", provider, circuit=CircuitRule(failures=1))
    assert (await failed(failover([one]), work(), Full())).message == "full"
    assert (one.health.circuit.state(0), len(provider.asked)) == ("closed", 1)


async def test_the_journal_is_bounded() -> None:
    this = work()
    routes = [route(f"c{number}", Provider(504), priority=number) for number in range(MOST_ATTEMPTS + 10)]
    await failed(failover(routes), this)
    assert len(this.journal.attempts) == MOST_ATTEMPTS
    assert this.journal.attempts[-1].channel == f"c{MOST_ATTEMPTS + 9}"


async def test_a_defect_of_ours_is_told_and_noted_as_one() -> None:
    this = work()
    with pytest.raises(ZeroDivisionError):
        await failover([route("a", Provider(ZeroDivisionError()))]).generate(this, None)
    assert outcomes(this) == [("a", "failed", "upstream_error")]


# models that stand in


@pytest.mark.parametrize(
    ("bound_to", "stand_ins"), [(None, ("n", "p", "o")), (("m", "n"), ("n",)), (("m", "n", "o"), ("n", "o"))]
)
def test_the_catalogues_fallbacks_follow_the_callers_where_the_key_may_use_them(
    bound_to: tuple[str, ...] | None, stand_ins: tuple[str, ...]
) -> None:
    models = [Model(id="m", fallbacks=("p", "n", "gone", "o")), *(Model(id=name) for name in "nop")]
    key = Key(id="k", digest=b"", name="", hint="", created=0, models=bound_to)
    routes = Routes(Catalogue(models), [])
    assert routes.fallbacks(models[0], ("n",), key) == stand_ins
    assert routes.fallbacks(models[1], ("o",), key) == ("o",)


async def test_the_models_are_asked_in_turn_and_the_one_that_answers_is_named() -> None:
    routes = [route(name, Provider(504 if name in "mn" else words(name)), model=name) for name in "mnop"]
    models = [Model(id=name) for name in "mnop"]
    this, sink = work(None, "n", "o"), Reader()
    completion = await failover(routes, *models).generate(this, sink)
    assert (completion.model, sink.text, this.journal.model, this.journal.channel) == ("o", "o", "o", "o")
    assert {msgspec.json.decode(chunk)["model"] for chunk in sink.chunks} == {"o"}
    assert [attempt.model for attempt in this.journal.attempts] == ["m", "n", "o"]


async def test_a_stand_in_is_told_its_own_limit_of_tokens() -> None:
    provider = Provider(words("y"))
    models = [Model(id="m"), Model(id="n", max_tokens=TokenRule(required=True, default=77))]
    tried = failover([route("a", Provider(504)), route("b", provider, model="n")], *models)
    await tried.generate(work(asked(stream=False), "n", form="custom"), None)
    assert msgspec.json.decode(provider.asked[0].body)["max_tokens"] == 77


async def test_one_that_has_no_word_for_a_parameter_is_passed_over() -> None:
    models = [Model(id="m"), Model(id="n"), Model(id="o")]
    other = Channel(name="b", dialect="openai", models=(Carried("n", "n", unsupported=("top_p",)),))
    routes = [
        route("a", Provider(504)),
        Route(other, OpenAICodec(), Provider(words("n"))),
        route("c", Provider(words("o")), model="o"),
    ]
    assert (await failover(routes, *models).generate(work(asked(top_p=0.5), "n", "o"), Reader())).model == "o"


async def test_what_was_read_is_not_gone_on_with_by_another_model() -> None:
    other, this, sink = Provider(words("x", "y")), work(None, "n"), Reader()
    routes = [route("a", Provider(words("x", finish=False))), route("b", other, model="n")]
    error = await failed(failover(routes), this, sink)
    assert (error.code, sink.text, other.asked) == ("stream_interrupted", "x", [])
    produced = this.produced()
    assert produced is not None
    assert produced.choices[0].message.content == "x"


def test_one_channel_that_has_a_word_for_a_parameter_is_enough() -> None:
    without = Channel(name="a", dialect="openai", models=(Carried("m", "m", unsupported=("top_p",)),))
    catalogue, wordless = Catalogue([Model(id="m")]), Route(without, OpenAICodec(), Provider(500))
    enough = Routes(catalogue, [wordless, route("b", Provider(500))])
    assert enough.admitted(asked(top_p=0.5), "custom").top_p == 0.5
    with pytest.raises(UnsupportedOptions, match="`top_p`"):
        Routes(catalogue, [wordless, wordless]).admitted(asked(top_p=0.5), "custom")


def test_a_model_without_a_channel_is_admitted_when_another_can_stand_in() -> None:
    routes = Routes(
        Catalogue([Model(id="m", max_tokens=TokenRule(minimum=5, default=9)), Model(id="n")]),
        [route("b", Provider(500), model="n")],
    )
    with pytest.raises(NoAvailableModel):
        routes.admitted(asked(), "text")
    with pytest.raises(NoAvailableModel):
        routes.admitted(asked(), "text", ("m", "unknown"))
    assert routes.admitted(asked(), "text", ("n",)).max_tokens == 9
    with pytest.raises(InvalidParam):
        routes.admitted(asked(max_tokens=2), "text", ("n",))


async def test_a_model_without_a_channel_is_answered_by_another() -> None:
    this = work(None, "n")
    completion = await failover([route("b", Provider(words("y")), model="n")]).generate(this, None)
    assert (completion.model, outcomes(this)) == ("n", [("b", "completed", None)])


async def test_no_stand_in_for_a_fault_of_the_request() -> None:
    other = Provider(words("y"))
    tried = failover([route("a", Provider(400)), route("b", other, model="n")])
    assert (await failed(tried, work(None, "n"))).code == "invalid_parameters"
    assert other.asked == []


async def test_a_stand_in_is_nearer_than_a_long_rest() -> None:
    limited = Provider(429, retry_after_s=5.0)
    routes = [route("a", limited), route("b", Provider(words("y")), model="n")]
    assert (await failover(routes).generate(work(None, "n"), None)).model == "n"
    assert len(limited.asked) == 1


# two at once


def slow_first(slow: Provider, fast: Provider, **more: Any) -> list[Route]:
    routes = [route("slow", slow, hedge=True, **more), route("fast", fast, priority=1)]
    for _ in range(20):
        routes[0].health.vitals.started(0.001)
    return routes


async def test_a_slow_start_is_outrun_and_only_the_winner_is_heard() -> None:
    slow, this, sink = Provider([HANG]), work(), Reader()
    await failover(slow_first(slow, Provider(words("y", "z")))).generate(this, sink)
    assert (sink.text, slow.cut) == ("yz", 1)
    assert sorted(outcomes(this)) == [("fast", "completed", None), ("slow", "outrun", None)]
    assert (this.journal.channel, this.journal.model) == ("fast", "m")


async def test_the_first_may_win_all_the_same() -> None:
    this, sink, fast = work(), Reader(), Provider([HANG])
    routes = slow_first(Provider(words("x")), fast)
    release = asyncio.Event()
    send = routes[0].transport.send

    @asynccontextmanager
    async def held(request: WireRequest) -> AsyncIterator[Any]:
        await release.wait()
        async with send(request) as response:
            yield response

    routes[0].transport.send = held  # type: ignore[method-assign]
    running = asyncio.ensure_future(failover(routes).generate(this, sink))
    while not fast.asked:
        await asyncio.sleep(0)
    release.set()
    await running
    assert (sink.text, fast.cut, this.journal.channel) == ("x", 1, "slow")
    assert ("fast", "outrun", None) in outcomes(this)


async def test_if_one_of_two_fails_the_other_goes_on() -> None:
    this, sink = work(), Reader()
    routes = slow_first(Provider([HANG]), Provider(500), first_byte_timeout_s=0.05)
    error = await failed(failover(routes), this, sink)
    assert error.code == "all_platforms_exhausted"
    this = work()
    routes = slow_first(Provider([HANG]), Provider(words("y")), first_byte_timeout_s=0.05)
    await failover(routes).generate(this, sink)
    assert sink.text == "y"


async def test_cancelling_cuts_both() -> None:
    slow, fast = Provider([HANG]), Provider([HANG])
    this = work()
    running = asyncio.ensure_future(failover(slow_first(slow, fast)).generate(this, Reader()))
    while not fast.asked:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert (slow.cut, fast.cut) == (1, 1)
    assert {outcome for _, outcome, _ in outcomes(this)} == {"cancelled"}


async def test_without_the_setting_nobody_is_asked_beside() -> None:
    fast = Provider(words("y"))
    routes = slow_first(Provider(words("x")), fast)
    routes[0] = route("slow", Provider(words("x")))
    await failover(routes).generate(work(), Reader())
    assert fast.asked == []


# a stream that was read


SAID = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=8)


def sliced(sizes: list[int]) -> Callable[[list[bytes]], list[bytes]]:
    """The same bytes, cut anywhere."""

    def parts(encoded: list[bytes]) -> list[bytes]:
        data, found = b"".join(encoded), []
        for size in sizes:
            found.append(data[:size])
            data = data[size:]
        return [part for part in (*found, data) if part]

    return parts


@settings(max_examples=60, deadline=None)
@given(SAID, st.integers(0, 8), SAID, st.lists(st.integers(1, 200), max_size=6), st.booleans())
def test_it_goes_on_if_and_only_if_the_next_generation_begins_with_what_was_delivered(
    said: list[str], cut: int, other: list[str], sizes: list[int], same: bool
) -> None:
    delivered = said[: min(cut, len(said))]
    following = said if same else other
    first, second = Provider([*delivered, CUT]), Provider(words(*following))
    second.parts_of = sliced(sizes)
    this, sink = work(), Reader()
    tried = failover([route("a", first), route("b", second, priority=1)])

    async def run() -> str | None:
        try:
            await tried.generate(this, sink)
        except GenerationError as error:
            return error.code
        return None

    code = asyncio.run(run())
    goes_on = following[: len(delivered)] == delivered
    assert code == (None if goes_on else "stream_interrupted")
    assert sink.text == "".join(following if goes_on else delivered)
    produced = this.produced()
    told = "" if produced is None else produced.choices[0].message.content
    assert told == sink.text
    assert this.journal.channel == ("b" if goes_on else "a")


async def test_the_other_call_is_cut_at_the_first_difference() -> None:
    second, sink = Provider(["x", "Z", HANG]), Reader()
    tried = failover([route("a", Provider(["x", "y", CUT])), route("b", second, priority=1)])
    assert (await failed(tried, work(), sink)).code == "stream_interrupted"
    assert sink.text == "xy"
    assert len(second.asked) == 1


async def test_it_may_break_off_more_than_once() -> None:
    said, sink, this = ["a", "b", "c", "d"], Reader(), work()
    routes = [
        route("1", Provider([*said[:1], CUT])),
        route("2", Provider(500), priority=1),
        route("3", Provider([*said[:3], CUT]), priority=2),
        route("4", Provider([*said[:2], CUT]), priority=3),
        route("5", Provider(words(*said)), priority=4),
    ]
    completion = await failover(routes).generate(this, sink)
    assert (sink.text, completion.choices[0].message.content, this.journal.channel) == ("abcd", "abcd", "5")


async def test_what_nobody_read_need_not_be_repeated() -> None:
    sink = Reader(reads=2)
    routes = [
        route("1", Provider(["x", CUT])),
        route("2", Provider(["y", "z", CUT]), priority=1),
        route("3", Provider(words("y", "z", "!")), priority=2),
    ]
    await failover(routes).generate(work(), sink)
    assert sink.text == "yz!"


async def test_a_generation_that_ends_before_what_was_delivered_is_another() -> None:
    delivered, this = Delivered(), work()
    delivered.add([b"1", b"2"])
    handover = Handover(
        this.identity,
        Reader(),
        this.journal,
        Call(0, 0, 0.0),
        channel="a",
        shows_usage=False,
        delivered=delivered,
        repeats=2,
    )
    with pytest.raises(Diverged):
        await handover.end()
    assert this.journal.assembly is None


async def test_when_nobody_is_left_what_was_produced_is_kept() -> None:
    sink, this = Reader(), work()
    tried = failover([route("a", Provider(["x", CUT])), route("b", Provider(500), priority=1)])
    assert (await failed(tried, this, sink)).code == "stream_interrupted"
    produced = this.produced()
    assert produced is not None
    assert (produced.choices[0].message.content, this.journal.channel, sink.text) == ("x", "a", "x")


async def test_how_long_a_key_rests_is_the_channels_own() -> None:
    one = route("a", Provider(429, words("y")), rests=Rests(limited_s=0.01))
    assert (await failover([one]).generate(work(), None)).choices[0].message.content == "y"


async def test_tokens_are_counted_when_the_answer_is_there() -> None:
    one = route("a", Provider(words("y")), tpm=40)
    now = asyncio.get_running_loop().time
    assert one.health.wait_s("m", now()) == 0
    await failover([one]).generate(work(asked(stream=False)), None)
    assert one.health.wait_s("m", now()) == pytest.approx(1.5, abs=0.1)  # until one of forty a minute is there again
