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
LEAVE_S: Final = 10.0  # for a client to send what it is about to, and to read why nobody wants it
MOST_LEAVING_BYTES: Final = 134_217_728  # of that
AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time (socket(7))


class Line:
    """Flow control. A client may read more slowly than is written: that is its right, as long as it reads."""

    __slots__ = (
        "_leave_bytes", "_patience", "_unread", "_unread_watch", "_writable", "is_ended", "is_full", "is_held",
        "transport",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.is_full = False  # the client has as much as it takes for now
        self.is_held = False  # nothing is read of the client
        self.is_ended = False  # the client sends nothing more, and perhaps is gone
        self._patience: asyncio.TimerHandle | None = None  # with one that still sends what nobody wants
        self._leave_bytes = 0  # of that, as far as it has come
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
        if self.is_held and not self.transport.is_closing():
            self.is_held = False
            self.transport.resume_reading()

    def fill(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        self.is_full = True
        self._writable = asyncio.Event()
        self._watch_reader()

    def empty(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        self._let_write()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._watch_reader()

    def lose(self) -> None:
        """The connection is gone."""
        self._let_write()
        if self._patience is not None:
            self._patience.cancel()

    @property
    def is_closing(self) -> bool:
        """Nothing more is read or written."""
        return self._patience is not None or self.transport.is_closing()

    def close(self) -> None:
        """Once the client has what was written; one that does not take it is not waited for."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def leave(self) -> None:
        """Closes to a client that may still be sending. One that is closed with something unread is reset, and its
        client may never see the answer (RFC 9112 9.6): so what it sends is taken, and thrown away."""
        if not self.is_closing:
            self._patience = asyncio.get_running_loop().call_later(LEAVE_S, self.close)
            self.transport.write_eof()
            self.go_on()

    def throw_away(self, size: int) -> None:
        """So many bytes came that nobody wants."""
        self._leave_bytes += size
        if self._leave_bytes > MOST_LEAVING_BYTES:
            self.transport.close()

    async def drained(self) -> None:
        """Waits for room."""
        if self._writable is not None:
            await self._writable.wait()

    def _let_write(self) -> None:
        self.is_full = False
        self._end_watch()
        if self._writable is not None:
            self._writable.set()

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
