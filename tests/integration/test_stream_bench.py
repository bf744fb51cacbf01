"""The readers of `bench.streams` notice what is wrong with a stream, and the paced provider keeps its pace."""

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from bench import servers
from bench.streams import reader
from bench.streams.reader import Broken, Target, crowd
from bench.subject import Subject

PACED = "paced 4 chunks at 100/s"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with servers.server(1, "bench.streams.upstream") as server:
        yield server.url


@asynccontextmanager
async def spoiled(upstream: str, spoil: Callable[[bytes], bytes]) -> AsyncIterator[Target]:
    """A proxy that takes an answer whole, and gives it on as `spoil` makes it; each frame stays one."""

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        host, _, port = upstream.removeprefix("http://").partition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        ours.write(await incoming.readuntil(b'"stream":true}'))
        outgoing.write(spoil(await theirs.readuntil(b"\r\n0\r\n\r\n")))
        outgoing.close()
        ours.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Target(
            name="spoiled", subject=Subject(name="spoiled", version="", url=f"http://127.0.0.1:{port}", pids=())
        )


async def read(target: Target, words: str = PACED) -> reader.Tally:
    async with crowd(target, words) as found:
        found.tally.notes = True
        await found.join(2)
        await found.ended()
    return found.tally


async def test_a_paced_stream_is_read_whole(upstream: str) -> None:
    tally = await read(reader.upstream_alone(upstream))
    assert (tally.chunks, tally.ended, len(tally.firsts), len(tally.delays)) == (8, 2, 2, 8)
    assert all(0 < delay < 10**9 for delay in tally.delays)


async def test_what_is_held_waits_to_be_let_go_and_ends_when_told(upstream: str) -> None:
    async with crowd(reader.upstream_alone(upstream), "paced 0 chunks at 100/s, held") as found:
        await found.join(3)
        assert found.tally.chunks == 3
        for word in ("go", "end"):
            await asyncio.to_thread(urllib.request.urlopen, f"{upstream}/_{word}")
        await found.ended()
        assert found.tally.ended == 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda answer: answer, None, id="untouched"),
        pytest.param(
            lambda answer: re.sub(rb"[0-9a-f]+\r\ndata: [^\n]* 0000002[^\n]*\n\n\r\n", b"", answer),
            "0000003",
            id="a chunk is lost",
        ),
        pytest.param(lambda answer: answer.replace(b"e\r\ndata: [DONE]\n\n\r\n", b""), "no end", id="no end"),
        pytest.param(lambda answer: answer[: len(answer) // 2], "closed after", id="cut"),
        pytest.param(lambda answer: answer.replace(b"200 OK", b"503 Full"), "status 503", id="refused"),
    ],
)
async def test_a_broken_stream_is_noticed(upstream: str, spoil: Callable[[bytes], bytes], said: str | None) -> None:
    async with spoiled(upstream, spoil) as target:
        if said is None:
            assert (await read(target)).ended == 2
        else:
            with pytest.raises(Broken, match=said):
                await read(target)
