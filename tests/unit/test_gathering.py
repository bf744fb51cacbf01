"""`engine.media`: what becomes of each source of a request, channel by channel."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from reynard.core.catalogue import Model
from reynard.core.channels import Carried, Channel
from reynard.core.errors import GenerationError
from reynard.core.formats import Kind
from reynard.core.generation import Generation
from reynard.core.media import Intake, Media, Resolved
from reynard.engine.media import NOTHING, Gathered, Gatherer, MediaLimits
from reynard.engine.routes import Route
from reynard.ports.media import Opened, Uploaded
from reynard.testing.clock import FakeClock

PNG = b"\x89PNG\r\n\x1a\n" + bytes(92)
JPEG = b"\xff\xd8\xff\xe0" + bytes(96)
WAV = b"RIFF\x00\x00\x00\x00WAVE" + bytes(88)
PDF = b"%PDF-1.7 " + bytes(91)
MODEL = Model(id="m", capabilities=("text", "vision", "video", "audio", "file"), youtube=True)


class Body:
    def __init__(self, data: bytes, media_type: str) -> None:
        self._data = data
        self.type = media_type
        self.size = len(data)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        yield self._data[:10]
        yield self._data[10:]


class Web:
    """What is at which address; counts who asks for it."""

    def __init__(self, **found: tuple[bytes, str]) -> None:
        self.found = {f"https://web.example/{name.replace('_', '.')}": body for name, body in found.items()}
        self.asked: list[tuple[str, int]] = []
        self.open_now = self.most_open = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def owns(self, url: str) -> bool:
        return url in self.found

    @asynccontextmanager
    async def open(self, url: str, limit: int) -> AsyncIterator[Opened]:
        self.asked.append((url, limit))
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self.gate.wait()
            if url not in self.found:
                raise GenerationError("media_fetch_failed", "no")
            yield Body(*self.found[url])
        finally:
            self.open_now -= 1


class Shelf:
    """A provider's store of files."""

    def __init__(self, clock: FakeClock, lives_s: float = 10_000) -> None:
        self.clock = clock
        self.lives_s = lives_s
        self.kept: list[tuple[bytes, str]] = []

    async def upload(self, data: bytes, media_type: str) -> Uploaded:
        self.kept.append((data, media_type))
        return Uploaded(f"files/{len(self.kept)}", self.clock.now() + self.lives_s)


class Takes:
    """A codec, as far as media goes."""

    def __init__(self, *fetches: Kind, youtube: bool = False, inline_bytes: int = 100_000) -> None:
        self._intake = Intake(fetches=frozenset(fetches), youtube=youtube, inline_bytes=inline_bytes)

    def intake(self, channel: Channel) -> Intake:
        return self._intake


def route(codec: Takes, shelf: Shelf | None = None, name: str = "c") -> Route:
    base_url = "https://api.provider.example/v1"
    channel = Channel(name=name, dialect="openai", base_url=base_url, models=(Carried("m", "m"),))
    return Route(channel, codec, None, shelf)  # type: ignore[arg-type]


def asked(*sources: tuple[Kind, str]) -> Generation:
    blocks = [{"type": f"{kind}_url", f"{kind}_url": {"url": url}} for kind, url in sources]
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, *blocks]}]}
    return msgspec.convert(body, Generation)


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def attempted(task: Gathered, to: Route) -> Resolved:
    """An attempt, from start to end."""
    try:
        return await task.resolve(to)
    finally:
        task.rest()


class Desk:
    """A gatherer, and all around it."""

    def __init__(self, web: Web | None = None, own: Web | None = None, **limits: Any) -> None:
        self.web = web or Web()
        self.own = own or Web()
        self.clock = FakeClock()
        self.gatherer = Gatherer(self.web, self.own, self.clock, MediaLimits(**limits))

    def begin(self, *sources: tuple[Kind, str], model: Model = MODEL, key: str = "key") -> Gathered:
        return self.gatherer.begin(asked(*sources), model, key)


def raw(media: Media) -> bytes:
    assert media.data is not None
    return base64.b64decode(media.data)


async def test_a_request_with_no_media_costs_nothing() -> None:
    assert await Desk().begin().resolve(route(Takes())) is NOTHING


async def test_an_address_that_the_provider_reads_is_passed_on_unread() -> None:
    desk = Desk()
    url = "https://web.example/a.png"
    resolved = await desk.begin(("image", url)).resolve(route(Takes("image")))
    assert resolved == {url: Media(kind="image", type="image/png", url=url)}
    assert desk.web.asked == []


@pytest.mark.parametrize("url", ["http://web.example/a.png", "https://127.0.0.1/a.png", "https://0x7f.1/a.png"])
async def test_what_only_the_gateway_may_look_at_is_never_passed_on(url: str) -> None:
    desk = Desk()
    with pytest.raises(GenerationError) as caught:
        await desk.begin(("image", url)).resolve(route(Takes("image")))
    assert caught.value.code == "media_fetch_failed"
    assert [asked for asked, _ in desk.web.asked] == [url]


@pytest.mark.parametrize("base_url", ["http://localhost:8000/v1", "https://10.0.0.7/v1", "https://llm.internal/v1"])
async def test_a_server_in_the_operators_network_is_handed_no_address(base_url: str) -> None:
    desk = Desk(Web(a_png=(PNG, "image/png")))
    through = route(Takes("image"))
    through.channel = msgspec.structs.replace(through.channel, base_url=base_url)
    (media,) = (await desk.begin(("image", "https://web.example/a.png")).resolve(through)).values()
    assert raw(media) == PNG


async def test_a_failure_says_which_source_and_ends_the_other_fetches() -> None:
    desk = Desk(Web(a_png=(PNG, "image/png")))
    desk.web.gate.clear()
    task = desk.begin(("image", "https://web.example/a.png"), ("image", "https://web.example/none.png"))
    running = asyncio.ensure_future(task.resolve(route(Takes())))
    while desk.web.open_now < 2:
        await asyncio.sleep(0)
    desk.web.found.clear()
    desk.web.gate.set()
    with pytest.raises(GenerationError, match=r"^`messages\[0\].content\[[12]\].image_url.url`: "):
        await running
    assert desk.web.open_now == 0


async def test_what_the_provider_does_not_read_is_fetched_and_sent_along() -> None:
    desk = Desk(Web(a_png=(PNG, "image/png")))
    url = "https://web.example/a.png"
    (media,) = (await desk.begin(("image", url)).resolve(route(Takes("file")))).values()
    assert (media.kind, media.type, media.url, raw(media)) == ("image", "image/png", None, PNG)


async def test_a_fetch_is_shared_by_the_attempts_of_a_task_and_by_nothing_else() -> None:
    desk = Desk(Web(a_png=(PNG, "image/png")))
    url = "https://web.example/a.png"
    task = desk.begin(("image", url), ("image", url))
    for name in ("one", "two"):
        assert raw((await attempted(task, route(Takes(), name=name)))[url]) == PNG
    assert len(desk.web.asked) == 1
    other = desk.begin(("image", url))
    await attempted(other, route(Takes()))
    assert len(desk.web.asked) == 2
    task.let_go()
    await attempted(task, route(Takes()))
    assert len(desk.web.asked) == 3


async def test_what_is_held_for_later_attempts_makes_room_for_what_is_wanted_now() -> None:
    web = Web(a_png=(PNG, "image/png"), b_png=(PNG + b"b", "image/png"))
    desk = Desk(web, max_held_bytes=150)
    one, two = (desk.begin(("image", f"https://web.example/{name}.png")) for name in "ab")
    await attempted(one, route(Takes()))
    await attempted(two, route(Takes()))  # which leaves no room for what is held for the first
    await attempted(one, route(Takes()))
    assert [url[-5] for url, _ in web.asked] == ["a", "b", "a"]
    for task in (one, two):
        task.let_go()
    assert desk.gatherer.room.used == 0


async def test_what_does_not_fit_beside_others_waits_for_them() -> None:
    desk = Desk(Web(a_png=(PNG, ""), b_png=(PNG, "")), max_held_bytes=150)
    first, second = (desk.begin(("image", f"https://web.example/{name}.png")) for name in "ab")
    await first.resolve(route(Takes()))
    waiting = asyncio.ensure_future(attempted(second, route(Takes())))
    while len(desk.web.asked) < 2:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    first.rest()
    await waiting
    for task in (first, second):
        task.let_go()
    assert desk.gatherer.room.used == 0


async def test_one_that_gives_up_waiting_leaves_no_trace() -> None:
    desk = Desk(Web(a_png=(PNG, ""), b_png=(PNG, "")), max_held_bytes=150, gather_s=0.05)
    first, second = (desk.begin(("image", f"https://web.example/{name}.png")) for name in "ab")
    await first.resolve(route(Takes()))
    with pytest.raises(GenerationError) as caught:
        await attempted(second, route(Takes()))
    assert caught.value.code == "generation_timeout"
    first.rest()
    for task in (first, second):
        task.let_go()
    assert desk.gatherer.room.used == 0


async def test_many_that_do_not_fit_side_by_side_all_come_to_their_turn() -> None:
    names = {f"{name}{n}_png": (PNG, "") for name in "ab" for n in range(9)}
    desk = Desk(Web(**names), max_held_bytes=250, fetches_at_once=64)

    async def one(number: int) -> None:
        task = desk.begin(*(("image", f"https://web.example/{name}{number}.png") for name in "ab"))
        await task.resolve(route(Takes()))
        await asyncio.sleep(0)
        task.rest()
        task.let_go()

    async with asyncio.timeout(5):
        await asyncio.gather(*map(one, range(9)))
    assert desk.gatherer.room.used == 0


async def test_more_than_there_ever_is_room_for_is_refused_at_once() -> None:
    desk = Desk(Web(a_png=(PNG, ""), b_png=(PNG, "")), max_held_bytes=150)
    task = desk.begin(*(("image", f"https://web.example/{name}.png") for name in "ab"))
    with pytest.raises(GenerationError) as caught:
        await attempted(task, route(Takes()))
    assert caught.value.code == "media_too_large"
    task.let_go()
    assert desk.gatherer.room.used == 0


async def test_an_address_that_stands_for_two_kinds_is_checked_as_both() -> None:
    desk = Desk(Web(a=(PDF, "application/pdf")))
    url = "https://web.example/a"
    for places in ((("image", url), ("file", url)), (("file", url), ("image", url))):
        with pytest.raises(GenerationError) as caught:
            await attempted(desk.begin(*places), route(Takes()))
        assert caught.value.code == "media_fetch_failed"


async def test_own_files_are_read_here_even_where_the_provider_reads_addresses() -> None:
    desk = Desk(own=Web(a_pdf=(PDF, "application/pdf")))
    url = "https://web.example/a.pdf"
    (media,) = (await desk.begin(("file", url)).resolve(route(Takes("file")))).values()
    assert (media.type, raw(media)) == ("application/pdf", PDF)
    assert desk.web.asked == []


@pytest.mark.parametrize(
    ("kind", "name", "body", "said", "found"),
    [
        ("image", "a_png", JPEG, "image/png", "image/jpeg"),
        ("audio", "a_mp3", WAV, "application/octet-stream", "audio/wav"),
        ("file", "a_txt", PDF, "text/plain", "application/pdf"),
        ("file", "a_md", b"# Title", "text/plain", "text/markdown"),
        ("file", "a", b"Hello", "text/plain; charset=utf-8", "text/plain"),
        ("audio", "a_m4a", b"\x00\x00\x00\x20ftypmp42" + bytes(88), "video/mp4", "audio/mp4"),
        ("video", "a_mp4", b"\x00\x00\x00\x20ftypmp42" + bytes(88), "", "video/mp4"),
    ],
)
async def test_the_type_is_told_by_content_then_by_name_then_by_the_server(
    kind: Kind, name: str, body: bytes, said: str, found: str
) -> None:
    desk = Desk(Web(**{name: (body, said)}))
    (url,) = desk.web.found
    (media,) = (await desk.begin((kind, url)).resolve(route(Takes()))).values()
    assert media.type == found


@pytest.mark.parametrize(
    ("kind", "name", "body", "model"),
    [
        ("image", "a_png", PDF, MODEL),
        ("image", "a", b"<!DOCTYPE html><p>", MODEL),
        ("video", "a_mp4", PNG, MODEL),
        ("audio", "a_wav", b"ID3" + bytes(97), msgspec.structs.replace(MODEL, formats={"audio": ("wav",)})),
        ("file", "a", PNG, msgspec.structs.replace(MODEL, formats={"file": ("pdf",)})),
    ],
)
async def test_what_is_not_what_it_should_be_is_refused(kind: Kind, name: str, body: bytes, model: Model) -> None:
    desk = Desk(Web(**{name: (body, "")}))
    (url,) = desk.web.found
    with pytest.raises(GenerationError) as caught:
        await desk.begin((kind, url), model=model).resolve(route(Takes()))
    assert (caught.value.code, caught.value.failover) == ("media_fetch_failed", False)
    assert "web.example" not in caught.value.message


async def test_the_smaller_limit_holds() -> None:
    desk = Desk(Web(a_png=(PNG, "")), max_bytes=1_000)
    small = msgspec.structs.replace(MODEL, max_media_bytes={"image": 99})
    url = "https://web.example/a.png"
    with pytest.raises(GenerationError) as caught:
        await desk.begin(("image", url), model=small).resolve(route(Takes()))
    assert caught.value.code == "media_too_large"
    await desk.begin(("image", url)).resolve(route(Takes()))
    assert [limit for _, limit in desk.web.asked] == [99, 1_000]


async def test_the_largest_are_uploaded_until_the_rest_fits() -> None:
    large = PDF + bytes(900)
    desk = Desk(Web(a_pdf=(large, ""), b_png=(PNG, "")))
    shelf = Shelf(desk.clock)
    pdf, png, inline = "https://web.example/a.pdf", "https://web.example/b.png", data_uri("image/jpeg", JPEG)
    task = desk.begin(("image", png), ("file", pdf), ("image", inline))
    resolved = await task.resolve(route(Takes(inline_bytes=400), shelf))
    assert resolved[pdf] == Media(kind="file", type="application/pdf", url="files/1")
    assert (raw(resolved[png]), raw(resolved[inline])) == (PNG, JPEG)
    assert shelf.kept == [(large, "application/pdf")]


async def test_a_data_uri_too_large_for_the_request_is_uploaded_as_its_bytes() -> None:
    desk = Desk()
    shelf = Shelf(desk.clock)
    uri = data_uri("image/png", PNG)
    resolved = await desk.begin(("image", uri)).resolve(route(Takes(inline_bytes=10), shelf))
    assert (resolved[uri].url, shelf.kept) == ("files/1", [(PNG, "image/png")])


async def test_an_upload_is_used_again_while_it_lives_and_only_on_its_channel() -> None:
    desk = Desk()
    shelf = Shelf(desk.clock, lives_s=10_000)
    uri = data_uri("image/png", PNG)

    async def kept_as(name: str) -> str | None:
        return (await desk.begin(("image", uri)).resolve(route(Takes(inline_bytes=10), shelf, name)))[uri].url

    assert [await kept_as("a"), await kept_as("a"), await kept_as("b")] == ["files/1", "files/1", "files/2"]
    desk.clock.advance(9_000)  # it would end soon
    assert await kept_as("a") == "files/3"


async def test_an_upload_that_may_be_gone_is_made_anew() -> None:
    desk = Desk()
    shelf = Shelf(desk.clock)
    uri = data_uri("image/png", PNG)
    to = route(Takes(inline_bytes=10), shelf)
    first = desk.begin(("image", uri))
    await first.resolve(to)
    assert not first.distrust()  # it was made for this very attempt
    second = desk.begin(("image", uri))
    assert (await second.resolve(to))[uri].url == "files/1"
    assert second.distrust()
    assert (await second.resolve(to))[uri].url == "files/2"
    assert not second.distrust()


async def test_what_is_wanted_at_once_is_uploaded_once() -> None:
    desk = Desk()
    shelf = Shelf(desk.clock)
    uri = data_uri("image/png", PNG)
    to = route(Takes(inline_bytes=10), shelf)
    tasks = [desk.begin(("image", uri)) for _ in range(5)]
    found = await asyncio.gather(*(task.resolve(to) for task in tasks))
    assert {resolved[uri].url for resolved in found} == {"files/1"}


async def test_what_fits_nowhere_is_too_large() -> None:
    with pytest.raises(GenerationError) as caught:
        await Desk().begin(("image", data_uri("image/png", PNG))).resolve(route(Takes(inline_bytes=10)))
    assert (caught.value.code, caught.value.failover) == ("media_too_large", False)


async def test_youtube_goes_where_it_is_known_and_fails_over_elsewhere() -> None:
    url = "https://www.youtube.com/watch?v=abcdefghijk"
    task = Desk().begin(("video", url))
    assert (await task.resolve(route(Takes(youtube=True))))[url].url == url
    with pytest.raises(GenerationError) as caught:
        await task.resolve(route(Takes("video")))
    assert caught.value.failover


async def test_fetches_at_once_are_bounded_and_shared_between_keys() -> None:
    names = {f"a{n}_png": (PNG, "") for n in range(12)}
    desk = Desk(Web(**names), fetches_at_once=4)
    desk.web.gate.clear()
    greedy = [asyncio.ensure_future(desk.begin(("image", url)).resolve(route(Takes()))) for url in desk.web.found]
    while desk.web.open_now < 2:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert desk.web.open_now == 2  # half of it
    other = desk.begin(("image", "https://web.example/a0.png"), key="other")
    modest = asyncio.ensure_future(other.resolve(route(Takes())))
    while desk.web.open_now < 3:
        await asyncio.sleep(0)
    desk.web.gate.set()
    await modest
    await asyncio.gather(*greedy)
    assert desk.web.most_open <= 4
