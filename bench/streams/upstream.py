"""A provider that streams at a pace, as a server of its own: `python -m bench.streams.upstream`.

The prompt says how: `paced 40 chunks at 2/s`; 0 chunks go on until they are ended, 0/s is as fast as they are taken.
The first chunk comes at once; `, held` keeps the others back until it is told to go on. `GET /_go` lets go of all that
is held, their turns spread evenly; `GET /_end` ends all that is open, thousands not all at once;
`GET /_state` tells how many are open. What is held and no stream is never answered; other words are answered at once.

Each chunk carries the moment in which it was sent, and its number: `@<nanoseconds, 19 digits> <number, 7 digits>`, by
the clock that all processes of a machine share. One timer writes all that is due: 10,000 chunks a second for a sixth of
a core.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

import httptools
import uvloop

from bench.subject import MODEL
from reynard.http.server import listen

TICK_S: Final = 0.005
WORDS: Final = re.compile(rb"paced (\d+) chunks at ([\d.]+)/s(, held)?")
STREAM: Final = re.compile(rb'"stream":\s*true')
ENDLESS: Final = 9_000_000
BLOCK: Final = 64  # chunks that are written at a time when there is no pace
ENDS_IN_A_TURN: Final = 650  # more ends at the same time are nothing that happens to a gateway
BACKLOG: Final = 8192

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER: Final = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
STAMP: Final = b"@%019d %07d"
OPENING: Final = (
    f'{{"id":"chatcmpl-paced","object":"chat.completion.chunk","created":1780000000,"model":"{MODEL}","choices":['
)


def _frame(choices: str, rest: str = "") -> bytes:
    """An event as a piece of the body; a stamp has the size of what stands for it."""
    data = f"data: {OPENING}{choices}]{rest}}}\n\n".encode()
    size = len(data) - data.count(b"%b") * 2 + data.count(b"%b") * len(STAMP % (0, 0))
    return b"%x\r\n" % size + data.replace(b"%b", STAMP) + b"\r\n"


FIRST: Final = HEAD + _frame('{"index":0,"delta":{"role":"assistant","content":"%b"},"finish_reason":null}')
CHUNK: Final = _frame('{"index":0,"delta":{"content":"%b"},"finish_reason":null}')
LAST: Final = _frame('{"index":0,"delta":{},"finish_reason":"stop"}')
USAGE: Final = _frame("", ',"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}')
COMPLETION: Final = (
    f'{{"id":"chatcmpl-paced","object":"chat.completion","created":1780000000,"model":"{MODEL}","choices":[{{"index":0,'
    '"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}'
).encode()
DONE: Final = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Wheel:
    """Whose turn it is, tick by tick, and who is held."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open: set[Connection] = set()
        self.held: list[Connection] = []
        self._loop = loop
        self._due: dict[int, list[Connection]] = {}
        self._at = int(loop.time() / TICK_S)

    def turn(self) -> None:
        """All that is due by now; a late turn does not change when the next one is."""
        until = int(self._loop.time() / TICK_S)
        while self._at < until:
            self._at += 1
            for stream in self._due.pop(self._at, ()):
                if stream.paced():
                    self.after(stream.period, stream)
        self._loop.call_at((self._at + 1) * TICK_S, self.turn)

    def after(self, ticks: int, stream: "Connection") -> None:
        """Its turn is so many ticks later."""
        self._due.setdefault(self._at + ticks, []).append(stream)

    def go(self) -> None:
        """Nothing is held any more."""
        held, self.held = self.held, []
        for number, stream in enumerate(held):
            self.after(1 + number * stream.period // len(held), stream)

    def end(self) -> None:
        """There are few more chunks, or none; each says so when its turn comes."""
        turns = 1 + len(self.open) // ENDS_IN_A_TURN
        for number, stream in enumerate(self.open):
            stream.left = min(stream.left, number % turns if stream.period else 0)
        self.go()


class Connection(asyncio.Protocol):
    """A client; its requests are answered one after the other."""

    def __init__(self, wheel: Wheel) -> None:
        self.left = 0
        self.period = 1
        self._wheel = wheel
        self._parser = httptools.HttpRequestParser(self)
        self._number = 0
        self._last = b""
        self._paused = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever leaves gets nothing more."""
        self.left = -1
        self._wheel.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._parser.feed_data(data)

    def pause_writing(self) -> None:
        """The client does not take so much."""
        self._paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._paused = False
        if self.period == 0:
            self._pour()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target = b""
        self._body = b""

    def on_url(self, url: bytes) -> None:
        """A piece of the path."""
        self._target += url

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._target.endswith(b"/chat/completions"):
            self._begin()
        elif self._target in CONTROLS:
            CONTROLS[self._target](self._wheel)
            self._transport.write(_answer(200, b"OK", b'{"open":%d}' % len(self._wheel.open)))
        else:
            self._transport.write(_answer(404, b"Not Found", b'{"error":{"message":"nothing is here"}}'))

    def _begin(self) -> None:
        words = WORDS.search(self._body)
        if words is None:
            self._transport.write(_answer(200, b"OK", COMPLETION))
            return
        if STREAM.search(self._body) is None:
            return
        chunks, per_s = int(words[1]), float(words[2])
        self._last = LAST + (USAGE if b"include_usage" in self._body else b"") + DONE
        self._number = 1
        self.left = chunks - 1 if chunks else ENDLESS
        self.period = round(1 / per_s / TICK_S) if per_s else 0
        self._wheel.open.add(self)
        self._transport.write(FIRST % (time.monotonic_ns(), 0))
        if not self.period:
            self._pour()
        elif words[3]:
            self._wheel.held.append(self)
        else:
            self._wheel.after(self.period, self)

    def paced(self) -> bool:
        """Writes one chunk, or the end; whether there is more to come."""
        if self.left > 0:
            self._transport.write(CHUNK % (time.monotonic_ns(), self._number))
            self._number += 1
            self.left -= 1
            return True
        if not self.left:
            self._finish()
        return False

    def _pour(self) -> None:
        while self.left > 0 and not self._paused:
            now, number = time.monotonic_ns(), self._number
            count = min(BLOCK, self.left)
            self._number += count
            self.left -= count
            self._transport.write(b"".join([CHUNK % (now, one) for one in range(number, number + count)]))
        if not self.left and self in self._wheel.open:
            self._finish()

    def _finish(self) -> None:
        self._wheel.open.discard(self)
        self._transport.write(self._last)


def _answer(status: int, reason: bytes, body: bytes) -> bytes:
    return ANSWER % (status, reason, len(body), body)


CONTROLS: Final[dict[bytes, Callable[[Wheel], None]]] = {
    b"/_go": Wheel.go,
    b"/_end": Wheel.end,
    b"/_state": lambda wheel: None,
}


async def main() -> None:
    """Serves on a free port, and says which."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    wheel.turn()
    server = await loop.create_server(lambda: Connection(wheel), sock=listen("127.0.0.1", 0), backlog=BACKLOG)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
