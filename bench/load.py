"""A load generator on raw sockets: closed loop, keep-alive, every answer checked for its status and read whole."""

import asyncio
import time

import msgspec
import uvloop


class Measured(msgspec.Struct):
    """One run. Latencies in milliseconds."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


class _Client(asyncio.Protocol):
    """Sends the same request again and again, each after the answer to the one before."""

    def __init__(self, request: bytes, until: float, latencies: list[float]) -> None:
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._latencies = latencies
        self._answer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self._answer = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + 15
    return int(lower[start:].split(b"\r\n", 1)[0])


def run(url: str, path: str, key: str, body: dict[str, object], *, connections: int, seconds: float) -> Measured:
    """`connections` clients at once, for `seconds` after a warm-up of a fifth of it."""
    host, port = url.removeprefix("http://").split(":")
    encoded = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
    )
    request = head.encode() + encoded

    async def once(duration: float) -> tuple[list[float], int]:
        loop = asyncio.get_running_loop()
        latencies: list[float] = []
        until = time.perf_counter() + duration
        made = [
            await loop.create_connection(lambda: _Client(request, until, latencies), host, int(port))
            for _ in range(connections)
        ]
        await asyncio.gather(*(client.done for _, client in made))
        return latencies, sum(client.failed for _, client in made)

    async def both() -> tuple[list[float], int]:
        await once(seconds / 5)
        return await once(seconds)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        latencies, failed = runner.run(both())
    latencies.sort()
    return Measured(
        requests_per_s=len(latencies) / seconds,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        failed=failed,
    )
