"""A client's connection, both ways: what is held back while the other side does not take it."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Final

UNREAD_S: Final = 300  # a client that takes nothing at all for so long is gone, or means no good
AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time (socket(7))


class Line:
    """Flow control. A client may read more slowly than is written: that is its right, as long as it reads."""

    __slots__ = ("_unread", "_unread_watch", "_writable", "is_full", "is_held", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_full = False  # the client has as much as it takes for now
        self.is_held = False  # nothing is read of the client
        self._writable: asyncio.Event | None = None
        self._unread = 0  # bytes that waited for the client when this was last looked at
        self._unread_watch: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        """Reads nothing until `go_on`."""
        if not self.is_held:
            self.is_held = True
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Reads again."""
        if self.is_held:
            self.is_held = False
            self.transport.resume_reading()

    def fill(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        self.is_full = True
        self._writable = asyncio.Event()
        self._watch_reader()

    def empty(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`; also for a connection that is gone."""
        self.is_full = False
        self._end_watch()
        if self._writable is not None:
            self._writable.set()

    async def drained(self) -> None:
        """Waits for room."""
        if self._writable is not None:
            await self._writable.wait()

    def _watch_reader(self) -> None:
        self._end_watch()
        self._unread = self._waiting_bytes()
        self._unread_watch = asyncio.get_running_loop().call_later(UNREAD_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        if self._waiting_bytes() < self._unread:
            self._watch_reader()
        else:
            self._reset()

    def _reset(self) -> None:
        """Closes so that the kernel lets go, too: else it keeps what it has for the client, and tries for minutes."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def _waiting_bytes(self) -> int:
        """What is here, and what the kernel holds for the client: it takes megabytes, and asks for more rarely."""
        waiting = self.transport.get_write_buffer_size()
        with suppress(OSError):  # a system that does not say
            asked = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(asked, sys.byteorder)
        return waiting

    def _end_watch(self) -> None:
        if self._unread_watch is not None:
            self._unread_watch.cancel()
            self._unread_watch = None
