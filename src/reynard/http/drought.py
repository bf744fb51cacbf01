"""A process without a single descriptor left: uvloop would try to accept over and over, so it is not let.

What waits at the socket is answered with a descriptor that was kept for it, and closed.
"""

import logging
import os
import socket
from contextlib import suppress
from functools import partial
from typing import Final

from reynard.http.door import LOG_S, refusal

log = logging.getLogger(__name__)

LEAST: Final = 4  # a connection is more than one
MOST_AT_ONCE: Final = 512  # that are answered in a row, so that the event loop goes on


class Drought:
    """Looks whether there is a descriptor, and answers at the door while there is none."""

    def __init__(self, bound: socket.socket, shared: bytes) -> None:
        self._refusal = partial(refusal, shared)
        self._bound = bound.dup()
        self._kept: int | None = os.open(os.devnull, os.O_RDONLY)
        self._said_at = -LOG_S

    def is_on(self) -> bool:
        """Whether the process can open nothing now, or so little that whoever is let in is closed without a word."""
        opened: list[int] = []
        try:
            opened.extend(os.dup(self._bound.fileno()) for _ in range(LEAST))
        except OSError:
            return True
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return False

    def listening(self) -> socket.socket:
        """The socket once more, to listen on when it is over. Raises `OSError`."""
        if self._kept is None:
            self._kept = os.open(os.devnull, os.O_RDONLY)
        return self._bound.dup()

    def answer(self, now: float) -> None:
        """Those who wait. `now`: seconds of a clock that never goes back."""
        if now - self._said_at >= LOG_S:
            self._said_at = now
            log.error("the process has no file descriptor left; connections are refused until it has")
        self._give_up_kept()
        with suppress(OSError):  # nobody waits any more, or the one that was kept is somebody else's now
            for _ in range(MOST_AT_ONCE):
                connection, _ = self._bound.accept()
                with connection:
                    connection.setblocking(False)
                    connection.send(self._refusal())
        with suppress(OSError):
            self._kept = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Lets go of the socket."""
        self._bound.close()
        self._give_up_kept()

    def _give_up_kept(self) -> None:
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None
